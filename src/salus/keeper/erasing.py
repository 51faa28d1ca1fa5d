"""Dropping what a keeper holds of a subject whose cell is closed: shares, policies, and the key they were under.

The log stays, since it says who used what, under a fresh key: what a stolen copy of the database still has of the old
key opens nothing that is written from now on.
"""

import sqlalchemy as sa

from salus.keeper.access_log import log_context
from salus.keeper.store import HOLDINGS, LOG, POLICIES, SUBJECTS, WIDENINGS, SubjectStore


def erase(store: SubjectStore, tag: bytes) -> None:
    """Drop a subject, all at once; durable on return."""
    kept = store.connection.execute(sa.select(LOG.c.number, LOG.c.wrapped).where(LOG.c.tag == tag)).all()
    entries = store.unwrapped_all(tag, [(row.wrapped, log_context(row.number)) for row in kept]) if kept else []
    with store.commit("keeper.erase") as connection:
        for table in (POLICIES, HOLDINGS, WIDENINGS, SUBJECTS):
            connection.execute(table.delete().where(table.c.tag == tag))
        store.forget_key(tag)
        for row, entry in zip(kept, entries, strict=True):
            wrapped = store.wrapped(tag, entry, log_context(row.number))
            connection.execute(LOG.update().where(LOG.c.number == row.number).values(wrapped=wrapped))
