"""A keeper's database as first light wrote it, made by its own statements: format 1, and a little in it."""

import sqlite3
from contextlib import closing
from pathlib import Path

from salus.crypto.digests import derive
from salus.crypto.sealing_at_rest import wrap

TABLES = """
CREATE TABLE meta (name VARCHAR NOT NULL, value BLOB, PRIMARY KEY (name));
CREATE TABLE subjects (tag BLOB NOT NULL, wrapped_key BLOB NOT NULL, PRIMARY KEY (tag));
CREATE TABLE policies (cell BLOB NOT NULL, "commitment" BLOB NOT NULL, tag BLOB NOT NULL, version BIGINT NOT NULL,
    sender VARCHAR(32) NOT NULL, good_until BIGINT NOT NULL, wrapped BLOB NOT NULL, PRIMARY KEY (cell, "commitment"));
CREATE INDEX ix_policies_tag ON policies (tag);
CREATE INDEX policies_waiting ON policies (good_until, sender);
CREATE TABLE widenings (cell BLOB NOT NULL, "commitment" BLOB NOT NULL, evidence BLOB NOT NULL, tag BLOB NOT NULL,
    noticed BIGINT NOT NULL, untold BIGINT NOT NULL, wrapped BLOB NOT NULL,
    PRIMARY KEY (cell, "commitment", evidence));
CREATE INDEX ix_widenings_tag ON widenings (tag);
CREATE INDEX widenings_untold ON widenings (untold);
CREATE TABLE batches (author VARCHAR(32) NOT NULL, batch_id BLOB NOT NULL, root BLOB NOT NULL,
    share_root BLOB NOT NULL, good_until BIGINT NOT NULL, PRIMARY KEY (author, batch_id, root, share_root));
CREATE INDEX batches_waiting ON batches (good_until, author);
CREATE TABLE holdings (tag BLOB NOT NULL, author VARCHAR(32) NOT NULL, batch_id BLOB NOT NULL, root BLOB NOT NULL,
    share_root BLOB NOT NULL, wrapped BLOB NOT NULL, PRIMARY KEY (tag, author, batch_id, root, share_root));
CREATE INDEX holdings_by_batch ON holdings (author, batch_id);
CREATE TABLE log (number BIGINT NOT NULL, tag BLOB NOT NULL, subject_number BIGINT NOT NULL, head BLOB NOT NULL,
    person BLOB NOT NULL, member BLOB NOT NULL, request BLOB NOT NULL, break_glass BOOLEAN NOT NULL,
    time BIGINT NOT NULL, wrapped BLOB NOT NULL, PRIMARY KEY (number));
CREATE INDEX log_by_member ON log (member, time) WHERE break_glass = 1;
CREATE INDEX log_by_person ON log (person, time);
CREATE UNIQUE INDEX log_by_subject ON log (tag, subject_number);
CREATE TABLE log_pages ("key" BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY ("key"));
"""
SUBJECT_KEY = bytes(range(100, 132))
TAG = b"t" * 16
SECRET, CONTEXT = b"a policy", b"here"


def write_first_format(path: Path, kek: bytes) -> bytes:
    """Write it; returns what was wrapped for the subject behind `TAG`."""
    from hmac import digest

    check = digest(derive(kek, "store", "index"), b"check\0kek", "sha256")[:16]
    wrapped_key = wrap(kek, bytes(12), SUBJECT_KEY, b"subject key" + TAG)
    with closing(sqlite3.connect(path)) as disk:
        disk.executescript(TABLES)
        disk.execute("INSERT INTO subjects VALUES (?, ?)", (TAG, wrapped_key))
        disk.executemany("INSERT INTO meta VALUES (?, ?)", [("format", b"\1"), ("kek_check", check)])
        disk.commit()
    return wrap(SUBJECT_KEY, bytes(12), SECRET, CONTEXT)
