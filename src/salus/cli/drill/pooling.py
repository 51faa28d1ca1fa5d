"""What some members have if they put everything together: every row of their databases opened, keys, all ciphertext.

Whoever adds a table with wrapped rows adds its opener here: a row that nobody can open would escape the search, so
`everything_in` refuses it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from itertools import combinations
from typing import Any, Final

import sqlalchemy as sa

from salus.cli.drill.attack import must
from salus.cli.drill.world import World
from salus.contracts.consent import PolicySet
from salus.contracts.records.batch import document_context, key_commitment
from salus.contracts.records.header import Header, RecordId
from salus.core.ids import Seat
from salus.core.wire import Struct, reopen
from salus.crypto.documents import open_chunks
from salus.crypto.shares import combine
from salus.keeper.checking import Holding
from salus.keeper.messages import Entry, LogEntry
from salus.keeper.store import SubjectStore, metadata
from salus.keeper.widenings import Kept
from salus.node.member import Member
from salus.sdk.author_store import OwnHolding, Plan
from salus.sdk.drafting import OwnEntry
from salus.sdk.gateway import seats_of
from salus.sdk.links import Link

KEY_BYTES = 32
Labelled = tuple[str, bytes]


def _context(kind: bytes) -> Callable[[Any], bytes]:
    return lambda _row: kind


# Under which name a table's rows are wrapped, and what is inside. `plans` is under the member's own key.
OPENERS: Final[Mapping[str, tuple[type[Struct], Callable[[Any], bytes]]]] = {
    "policies": (PolicySet, lambda row: b"policy" + row.commitment),
    "holdings": (Holding, lambda row: b"holding" + row.author.encode() + row.batch_id + row.root + row.share_root),
    "widenings": (Kept, lambda row: b"widening" + row.commitment + row.evidence),
    "log": (LogEntry, lambda row: b"log" + row.number.to_bytes(8, "big")),
    "own": (OwnHolding, lambda row: b"own" + row.batch_id),
    "links": (Link, _context(b"link")),
    "policy_copies": (PolicySet, _context(b"policy copy")),
    "plans": (Plan, lambda row: b"plan" + row.batch_id),
}


class Pool:
    """Some members' keepers and gateways, opened with their own keys."""

    def __init__(self, world: World, names: Sequence[str]) -> None:
        self._world = world
        self._members = [world.network[name] for name in names]

    def shares(self, record: RecordId) -> dict[Seat, bytes]:
        """Their shares of a record's key."""
        return {seat: entry.share for seat, entry in self._entries(record).items()}

    def try_all(self, record: RecordId) -> tuple[int, bytes | None]:
        """Try every key that they could make, then every 32 bytes that lie anywhere in what they have."""
        shares = self.shares(record)
        made = [combine(dict(some)) for n in range(1, len(shares) + 1) for some in combinations(shares.items(), n)]
        made += [xor(left, right) for left, right in combinations(shares.values(), 2)]
        found = {
            value[at : at + KEY_BYTES]
            for member in self._members
            for _, value in everything_of(member)
            for at in range(len(value) - KEY_BYTES + 1)
        }
        keys = [*made, *found]
        return len(keys), self.opens(record, keys)

    def opens(self, record: RecordId, keys: Iterable[bytes]) -> bytes | None:
        """The document, if one of these keys is the one that its header commits to, with ciphertext from anywhere."""
        chain = self._world.network.genesis.chain
        header = reopen(Header, next(iter(self._entries(record).values())).header)
        key = next((k for k in keys if key_commitment(chain=chain, record=record, key=k) == header.key_com), None)
        if key is None:
            return None
        for member in self._world.network.members:
            blobs = member.blobs.read(record.author, record.batch_id, list(header.blobs))
            parts = [blob for blob in blobs if blob is not None]
            if len(parts) == len(header.blobs):
                return open_chunks(key, document_context(chain, record), parts, header.size_bytes)
        return None

    def _entries(self, record: RecordId) -> dict[Seat, Entry]:
        committee = self._members[0].gateway.committee(self._world.network.committee)
        seats = {holder.member: seat for seat, holder in seats_of(committee)}
        found = {seats[member.name]: entry for member in self._members for entry in _entries_of(member, record)}
        must(len(found) == len(self._members), "every one of them holds a share")
        return found


def xor(left: bytes, right: bytes) -> bytes:
    """Two values added in the field of the shares."""
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).to_bytes(len(left), "big")


def everything_of(member: Member) -> Iterator[Labelled]:
    """Every value in a member's two databases, opened, labelled with the field it stands in."""
    for store in stores_of(member):
        yield from everything_in(store)


def stores_of(member: Member) -> tuple[SubjectStore, SubjectStore]:
    """A member's keeper's database and its gateway's, each opened with its key."""
    return member.keeper.log._store, member.store


def everything_in(store: SubjectStore) -> Iterator[Labelled]:
    """Every column of every row; wrapped ones opened.

    Raises:
        StoreCorruptError: a row does not open.
        MissedError: a table has wrapped rows and no opener.
    """
    here = set(sa.inspect(store.connection).get_table_names())
    for table in metadata.sorted_tables:
        if table.name in here:
            for row in store.connection.execute(sa.select(table)).all():
                yield from _row(store, table, row)


def _row(store: SubjectStore, table: sa.Table, row: Any) -> Iterator[Labelled]:
    for column in table.columns:
        value = getattr(row, column.name)
        if column.name == "wrapped_key":
            key = store.subject_key(row.tag)
            must(key is not None, "a subject has a key")
            yield "subjects.key", key or b""
        elif column.name == "wrapped":
            must(table.name in OPENERS, f"there is an opener for {table.name}")
            shape, context = OPENERS[table.name]
            if table.name == "plans":
                data = store.unwrapped_own(value, context(row))
            else:
                data = store.unwrapped(row.tag, value, context(row))
            yield from labelled(shape.__name__, reopen(shape, data))
        else:
            yield from labelled(f"{table.name}.{column.name}", value)


def labelled(label: str, value: object) -> Iterator[Labelled]:
    """Every piece of a value, with the field it stands in: `Header.subject`, `LogEntry.released[1]`."""
    if isinstance(value, Struct):
        if isinstance(value, Entry | OwnEntry):
            yield from labelled("Header", reopen(Header, value.header))
        for name in value.__struct_fields__:
            if (type(value).__name__, name) not in _HEADERS:
                yield from labelled(f"{type(value).__name__}.{name}", getattr(value, name))
    elif isinstance(value, tuple):
        is_mixed = len({type(item) for item in value}) > 1
        for place, item in enumerate(value):
            yield from labelled(f"{label}[{place}]" if is_mixed else label, item)
    elif isinstance(value, bytes):
        yield label, value
    elif isinstance(value, str) and not isinstance(value, Enum):
        yield label, value.encode()


_HEADERS: Final = {("Entry", "header"), ("OwnEntry", "header")}  # Decoded, so that each field has its own label.


def _entries_of(member: Member, record: RecordId) -> list[Entry]:
    store, _ = stores_of(member)
    table = metadata.tables["holdings"]
    where = (table.c.author == record.author, table.c.batch_id == record.batch_id)
    rows = store.connection.execute(sa.select(table).where(*where)).all()
    holdings = [reopen(Holding, store.unwrapped(row.tag, row.wrapped, OPENERS["holdings"][1](row))) for row in rows]
    return [entry for holding in holdings for entry in holding.entries if entry.index == record.index]
