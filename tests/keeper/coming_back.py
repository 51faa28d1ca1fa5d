"""A member whose databases are older than the ledger, or gone: how a test takes them, puts them back, and looks."""

import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import sqlalchemy as sa

from salus.core.ids import MemberId
from salus.keeper.store import LOG
from salus.node.backup.copies import forget_reconciled
from salus.sdk.patient_log import PatientLog, read_log
from salus.sdk.views import View
from salus.sdk.wallet import Wallet
from tests.node.stage import Clock, Stage, stage

LOST = MemberId("northgate")
FILES = ("keeper.db", "gateway.db")


def taken(folder: Path, name: str = LOST, *, is_marked: bool = True) -> Path:
    """A member's databases as a backup takes them while it runs, marked as a restore marks them or as they are."""
    to = folder / f"backup-of-{name}"
    to.mkdir()
    for file in FILES:
        source = folder / "members" / name / file
        with closing(sqlite3.connect(source)) as disk, closing(sqlite3.connect(to / file)) as copy:
            disk.backup(copy)
        if is_marked:
            forget_reconciled(to / file)
    return to


def put_back(folder: Path, backup: Path | None, name: str = LOST, files: tuple[str, ...] = FILES) -> None:
    """Older databases in the place of the newer, or none at all."""
    member = folder / "members" / name
    for file in files:
        for path in (file, f"{file}-wal", f"{file}-shm"):
            (member / path).unlink(missing_ok=True)
        if backup is not None:
            shutil.copy(backup / file, member / file)


@asynccontextmanager
async def again(folder: Path, clock: Clock) -> AsyncIterator[Stage]:
    """The network after a stop; one block is made, so that everybody's view is fresh."""
    async with stage(folder, clock=clock) as on:
        await on.clinician("mercy")
        await on.settled()
        yield on


async def log_of(on: Stage, wallet: Wallet) -> PatientLog:
    writers = [writer.member for writer in wallet.writers]
    return await read_log(on["mercy"].gateway, wallet.subject, wallet.committee, writers, wallet.device_key())


def named(view: View) -> set[str]:
    return {one.member for one in (*view.accusations, *view.notices) if one.what != "missing_blob"}


def count(on: Stage, table: sa.Table, name: str = LOST) -> int:
    query = sa.select(sa.func.count()).select_from(table)
    return int(on[name].keeping._store.connection.execute(query).scalar_one())


def numbers(on: Stage, name: str = LOST) -> list[int]:
    query = sa.select(LOG.c.number).order_by(LOG.c.number)
    return list(on[name].keeping._store.connection.execute(query).scalars())
