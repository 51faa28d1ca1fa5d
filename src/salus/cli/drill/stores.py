"""Disks that change what a member wrote: every changed byte is found before anything is decided by it.

What can be mended is mended elsewhere (`vaults.py`); here it is enough that nobody acts on it.
"""

import sqlite3
from pathlib import Path

from salus.cli.drill.attack import Outcome, attack, must
from salus.cli.drill.liars import flipped
from salus.cli.drill.pooling import everything_in
from salus.cli.drill.world import World, permit, sources
from salus.core.errors import SalusError
from salus.core.ids import MemberId
from salus.core.wire import encode, replace
from salus.engines.check import Report, check_ledger
from salus.engines.layout import block_key
from salus.engines.receipts import Vote
from salus.keeper.errors import StoreCorruptError
from salus.keeper.store import SubjectStore, metadata, sqlite_engine
from salus.node.member import Member
from salus.state.state import VALUES_PREFIX

VICTIM = MemberId("lakeside")
READER = "clinician@st-luke"
WRAPPED = ("wrapped", "wrapped_key")


@attack("flipped byte in a keeper's or gateway's store", guard="salus.keeper.store.unwrap")
async def flipped_byte_in_store(world: World) -> Outcome:
    """A disk turns a bit in one row of every table that holds something of a patient."""
    await _used(world)
    member = world.network[VICTIM]
    keys = {"keeper.db": member.secrets.keeper_kek, "gateway.db": member.secrets.gateway_kek}
    tried = 0
    for file, kek in keys.items():
        for table, column, rowid, value in _wrapped_rows(member.folder / file):
            _write(member.folder / file, table, column, rowid, flipped(value, at=len(value) // 2))
            tried += 1
            if not _is_found(member.folder / file, kek):
                return Outcome("SUCCEEDED", f"a changed row of {table} opens")
            _write(member.folder / file, table, column, rowid, value)
    must(tried >= 7, "rows of every kind were there")
    return Outcome("detected", f"keeper.store_corrupt in {tried} tables of two databases")


@attack("flipped byte in a keeper's share", guard="salus.keeper.store.unwrap_all", harmful=True)
async def flipped_byte_in_share(world: World) -> Outcome:
    """A disk turns a bit of what a keeper holds of a patient: it answers no more, and the reader has everything."""
    honest = await _used(world)
    member = world.network[VICTIM]
    path = member.folder / "keeper.db"
    store = SubjectStore(sqlite_engine(path), member.secrets.keeper_kek)
    tag = store.tag(world.a.wallet.subject)
    store.close()
    with sqlite3.connect(path) as disk:
        for rowid, wrapped in disk.execute("SELECT rowid, wrapped FROM holdings WHERE tag = ?", (tag,)).fetchall():
            disk.execute("UPDATE holdings SET wrapped = ? WHERE rowid = ?", (flipped(wrapped, at=40), rowid))
    view = await world.read(READER, world.a)
    must(sources(world.a, view) == honest, "the reader has everything from the other seats")
    if VICTIM not in view.absent or view.accusations:
        return Outcome("SUCCEEDED", f"{VICTIM} answers from a store that was changed")
    return Outcome("detected", f"{VICTIM} answers no more; all {len(view.records)} records read from the others")


@attack("flipped byte in a block's signature", guard="salus.engines.check._check_signed")
async def flipped_byte_in_vote(world: World) -> Outcome:
    """A member's block bears a signature that nobody gave."""
    member = world.network[VICTIM]
    stored = member.replica.block(2)
    votes = tuple(Vote(validator=vote.validator, signature=flipped(vote.signature)) for vote in stored.votes)
    return _checked(member, block_key(2), encode(replace(stored, votes=votes)))


@attack("flipped byte in a block's transaction", guard="salus.engines.check._applied")
async def flipped_byte_in_transaction(world: World) -> Outcome:
    """A member's block holds another transaction than the one that was agreed on."""
    member = world.network[VICTIM]
    height = next(stored.header.height for stored in member.replica.blocks() if stored.block.txs)
    stored = member.replica.block(height)
    tx = stored.block.txs[0]
    block = replace(stored.block, txs=(flipped(tx, at=len(tx) - 1), *stored.block.txs[1:]))
    return _checked(member, block_key(height), encode(replace(stored, block=block)))


@attack("flipped byte in a value of the state", guard="salus.engines.check._compare")
async def flipped_byte_in_value(world: World) -> Outcome:
    """A member's state says something else than its blocks."""
    member = world.network[VICTIM]
    key, value = next(iter(member.replica.values_and_tree.scan(VALUES_PREFIX + b"cells/cell/")))
    return _checked(member, key, flipped(value, at=len(value) - 1))


async def _used(world: World) -> set[str]:
    """A read, so that there is a log entry; what it showed."""
    await world.allow(world.a, permit("st-luke"))
    await world.read("clinician@lakeside", world.a)
    view = await world.read(READER, world.a)
    must(not view.absent, "every keeper answers")
    return sources(world.a, view)


def _wrapped_rows(path: Path) -> list[tuple[str, str, int, bytes]]:
    """One row of each table that holds wrapped values."""
    found: list[tuple[str, str, int, bytes]] = []
    with sqlite3.connect(path) as disk:
        here = {name for (name,) in disk.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for table in metadata.sorted_tables:
            for column in WRAPPED:
                if table.name in here and column in table.columns:
                    query = f"SELECT rowid, {column} FROM {table.name} LIMIT 1"
                    found += [(table.name, column, rowid, value) for rowid, value in disk.execute(query)]
    return found


def _write(path: Path, table: str, column: str, rowid: int, value: bytes) -> None:
    with sqlite3.connect(path) as disk:
        disk.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (value, rowid))


def _is_found(path: Path, kek: bytes) -> bool:
    """Whether opening every row of the database, as the member itself would, meets what was changed."""
    store = SubjectStore(sqlite_engine(path), kek)
    try:
        list(everything_in(store))
    except StoreCorruptError:
        return True
    except SalusError:
        return False  # It opened, and only its form gave it away.
    finally:
        store.close()
    return False


def _checked(member: Member, key: bytes, changed: bytes) -> Outcome:
    """Change a member's ledger, check it as `salus ledger check` does, and put it right again."""
    store = member.replica.values_and_tree
    before = store.get(key)
    must(before is not None and before != changed, "there is something to change")
    must(check_ledger(member.replica).is_sound, "the ledger is sound before")
    report = _with_change(member, key, changed, before or b"")
    if report.is_sound:
        return Outcome("SUCCEEDED", f"the ledger of {member.name} passes for sound")
    first = report.differences[0]
    return Outcome("detected", f"salus ledger check: {first.what} at height {first.height}")


def _with_change(member: Member, key: bytes, changed: bytes, before: bytes) -> Report:
    store = member.replica.values_and_tree
    with store.write():
        store.put(key, changed)
    try:
        return check_ledger(member.replica)
    finally:
        with store.write():
            store.put(key, before)
