"""Whether a member's ledger is what its blocks say: everything worked out again from the genesis, and compared.

1. Blocks: none missing, each signed by more than two thirds of those who validated then, each
   following the one before. With CometBFT, which proves by its own commits that they are final, no block
   carries signatures (`signed=False`).
2. Replay: every block applied anew, by a fresh machine, in a store of its own; each header must come out the same.
3. Store: values, pages, index and newest header must be those of the replay, byte for byte, and nothing besides.
4. Tree: the root once more from all values at once, not block by block; it must be the newest header's.
5. Rules: every contract's invariants.

A ledger that began with a snapshot has nothing to replay: there, blocks since are held against their own headers, and
the tree is built anew from the values.

Memory holds a few blocks and a chunk of values, whatever the ledger's size; the replay takes about as much disk as the
ledger's state. For `salus ledger check`. A damaged LMDB file can end the process that reads it: `check_folder` looks at
its structure first.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from salus.contracts.members.messages import Genesis
from salus.contracts.members.reads import validators
from salus.core.errors import IntegrityError, MalformedError, SalusError
from salus.core.ids import NO_DIGEST, Digest, Height, MemberId
from salus.core.wire import decode, encode, replace
from salus.engines.engine import Ledger
from salus.engines.layout import (
    BASE_KEY,
    BLOCKS_PREFIX,
    GENESIS_KEY,
    HANDOVERS_PREFIX,
    INDEX_PREFIX,
    NEWEST_KEY,
    StoredBlock,
    block_at,
    hand_over,
    index,
)
from salus.engines.lmdb_store import LmdbStore, Snapshot, check_file
from salus.engines.receipts import ReceiptError, Validator, check_votes, keys_of, named
from salus.engines.replica import genesis_header, no_cyclic_collector
from salus.machine.admission import remembering
from salus.machine.block import Header, header_id, header_of, outcome_root
from salus.machine.invariants import invariants
from salus.machine.machine import Machine
from salus.state import tree
from salus.state.key_value import KeyValue, Prefixed
from salus.state.state import PAGES_PREFIX, VALUES_PREFIX, State

Progress = Callable[[Height, Height], None]  # Blocks replayed, and how many there are.

BROKEN_RULES_MAX = 20  # Named in a report; the first one is already a reason to stop.
_BLOCKS_PER_WRITE = 64
_VALUES_PER_CHUNK = 20_000
_PARTS: Final = {VALUES_PREFIX: "value", PAGES_PREFIX: "page", HANDOVERS_PREFIX: "handover", INDEX_PREFIX: "index"}
_TAKEN: Final = frozenset({BLOCKS_PREFIX, *_PARTS})  # A key of another form under `b` makes a block seem missing.
# Where keys begin that are none of ours: before, between and behind the parts.
_GAPS: Final = (
    b"",
    *(bytes((p[0] + 1,)) for p in sorted(_TAKEN)),
    GENESIS_KEY + b"\0",
    NEWEST_KEY + b"\0",
    BASE_KEY + b"\0",
)


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it must be. Names heights and keys' first bytes, never content."""

    what: (
        str  # file, genesis, block, chain, votes, header, value, page, handover, index, newest, stray, root, invariant.
    )
    height: Height  # The block at which it shows; the newest one for what is in the store.
    detail: str


@dataclass(slots=True)
class Report:
    """What was checked, and what is wrong; the earliest first."""

    member: MemberId
    height: Height = 0  # Of the newest block replayed.
    transactions: int = 0
    votes: int = 0
    values: int = 0
    app_hash: Digest = NO_DIGEST
    differences: list[Difference] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.differences


class _Wrong(Exception):
    """Carries the first difference up."""

    def __init__(self, difference: Difference) -> None:
        self.difference = difference


def check_folder(
    folder: Path, member: MemberId, genesis: Genesis, progress: Progress | None = None, *, signed: bool = True
) -> Report:
    """Check a closed ledger, its file's structure first.

    Raises:
        UnavailableError: the folder is in use, or cannot be read.
    """
    try:
        check_file(folder)
        with LmdbStore(folder) as store:
            return check_store(store, member, genesis, progress, signed=signed)
    except IntegrityError as error:
        return Report(member=member, differences=[Difference("file", 0, error.code)])


def check_ledger(replica: Ledger, progress: Progress | None = None, *, signed: bool = True) -> Report:
    """Check the ledger of a running member, as of one moment."""
    return check_store(replica.values_and_tree, replica.member, replica.genesis, progress, signed=signed)


def check_store(
    store: LmdbStore, member: MemberId, genesis: Genesis, progress: Progress | None = None, *, signed: bool = True
) -> Report:
    """Check one store, as of one moment, with the disk's temporary folder for the replay."""
    report = Report(member=member)
    with ExitStack() as stack:
        view = stack.enter_context(store.snapshot())
        workspace = Path(stack.enter_context(TemporaryDirectory(prefix="salus-check-")))
        anew = stack.enter_context(LmdbStore(workspace / "replay"))
        rebuilt = stack.enter_context(LmdbStore(workspace / "tree"))
        stack.enter_context(no_cyclic_collector())
        try:
            if view.get(GENESIS_KEY) != encode(genesis):
                raise _Wrong(Difference("genesis", 0, "the store belongs to another network"))
            base = view.get(BASE_KEY)
            if base is None:
                newest = _replay(view, anew, genesis, report, progress or _in_silence, signed)
                _compare(view, anew, newest)
                _rebuild(view, rebuilt, newest, report)
            else:
                newest = _followed(view, _header(base), rebuilt, report, progress or _in_silence)
                _rebuild(view, rebuilt, newest, report)
                _compare(view, rebuilt, newest, {PAGES_PREFIX: "page", INDEX_PREFIX: "index"})
        except _Wrong as wrong:
            report.differences.append(wrong.difference)
        else:
            _judge(anew if base is None else view, report)
    return report


def _header(data: bytes) -> Header:
    try:
        return decode(Header, data)
    except MalformedError:
        raise _Wrong(Difference("newest", 0, "not a header")) from None


def _followed(view: Snapshot, base: Header, rebuilt: LmdbStore, report: Report, progress: Progress) -> Header:
    """The blocks behind a snapshot: each follows the one before, and its results are those its header names."""
    newest = base
    report.app_hash = base.app_hash
    total = base.height + sum(1 for _ in view.scan(BLOCKS_PREFIX))
    with rebuilt.write():
        for stored in _blocks(view, total, base.height + 1):
            _check_place(stored, newest)
            newest = stored.header
            if len(stored.results) != len(stored.block.txs) or newest != _named(stored):
                raise _Wrong(Difference("header", stored.block.height, "the header is not this block's"))
            index(rebuilt, stored)
            _count(report, stored)
    progress(total, total)
    if view.get(NEWEST_KEY) != encode(newest):
        raise _Wrong(Difference("newest", newest.height, "the newest header is not that of the last block"))
    return newest


def _named(stored: StoredBlock) -> Header:
    """The header that a block and its results have, given the state's root and validators after it."""
    block, header = stored.block, stored.header
    return replace(
        header,
        chain=block.chain,
        height=block.height,
        time=block.time,
        previous=block.previous,
        outcome_root=outcome_root(stored.results, block.txs),
    )


def _replay(
    view: Snapshot,
    anew: LmdbStore,
    genesis: Genesis,
    report: Report,
    progress: Progress,
    signed: bool,
) -> Header:
    machine = Machine(remembering(Machine().verify))
    with anew.write():
        newest = genesis_header(genesis, machine.genesis(State(anew), genesis))
    total = sum(1 for _ in view.scan(BLOCKS_PREFIX))
    blocks = _blocks(view, total)
    while report.height < total:
        with anew.write():
            for stored in islice(blocks, _BLOCKS_PER_WRITE):
                _check_place(stored, newest)
                before = named(validators(State(anew)))
                _check_signed(stored, before, signed)
                newest = _applied(stored, anew, machine)
                _note_handover(anew, before, newest)
                _count(report, stored)
        progress(report.height, total)
    if view.get(NEWEST_KEY) != encode(newest):
        raise _Wrong(Difference("newest", newest.height, "the newest header is not that of the last block"))
    return newest


def _blocks(view: Snapshot, total: int, start: Height = 1) -> Iterator[StoredBlock]:
    for height in range(start, total + 1):
        try:
            stored = block_at(view, height)
        except MalformedError:
            raise _Wrong(Difference("block", height, "not a block")) from None
        if stored is None:
            raise _Wrong(Difference("block", height, "missing"))
        yield stored


def _check_place(stored: StoredBlock, newest: Header) -> None:
    block = stored.block
    if block.chain != newest.chain:
        raise _Wrong(Difference("chain", newest.height + 1, "a block of another chain"))
    if block.height != newest.height + 1 or block.previous != header_id(newest) or block.time < newest.time:
        raise _Wrong(Difference("chain", newest.height + 1, "the block does not follow the one before"))


def _note_handover(anew: LmdbStore, before: tuple[Validator, ...], newest: Header) -> None:
    after = named(validators(State(anew)))
    if after != before:
        hand_over(anew, newest.height, after)


def _check_signed(stored: StoredBlock, before: tuple[Validator, ...], signed: bool) -> None:
    if not signed:
        if stored.votes:
            raise _Wrong(Difference("votes", stored.block.height, "signatures where CometBFT's commit is the proof"))
        return
    try:
        check_votes(stored.header, stored.votes, keys_of(before))
    except ReceiptError as error:
        raise _Wrong(Difference("votes", stored.block.height, str(error.facts["reason"]))) from None


def _applied(stored: StoredBlock, anew: LmdbStore, machine: Machine) -> Header:
    """Apply a block again; the header must come out as signed, and the results as kept."""
    height = stored.block.height
    try:
        applied = machine.apply(State(anew), stored.block)
    except SalusError as error:
        raise _Wrong(Difference("block", height, error.code)) from None
    header = header_of(stored.block, applied)
    if header != stored.header:
        named = [name for name in header.__struct_fields__ if getattr(header, name) != getattr(stored.header, name)]
        raise _Wrong(Difference("header", height, f"the replay gives another {', '.join(named)}"))
    if applied.results != stored.results:
        raise _Wrong(Difference("block", height, "the replay gives other results"))
    index(anew, stored)
    return header


def _count(report: Report, stored: StoredBlock) -> None:
    report.height = stored.block.height
    report.transactions += len(stored.block.txs)
    report.votes += len(stored.votes)
    report.app_hash = stored.header.app_hash


def _compare(view: Snapshot, anew: LmdbStore, newest: Header, parts: Mapping[bytes, str] = _PARTS) -> None:
    """Both stores side by side, in order of keys."""
    for prefix, what in parts.items():
        for found, expected in zip_longest(view.scan(prefix), anew.scan(prefix)):
            if found != expected:
                place = min(row[0] for row in (found, expected) if row is not None)
                raise _Wrong(Difference(what, newest.height, f"differs at {place[:12].hex()}"))
    for gap in _GAPS:
        for key, _ in islice(view.scan(b"", gap), 1):
            if key[:1] not in _TAKEN and key not in (GENESIS_KEY, NEWEST_KEY, BASE_KEY):
                raise _Wrong(Difference("stray", newest.height, f"a key at {key[:12].hex()}"))


def _rebuild(view: Snapshot, rebuilt: LmdbStore, newest: Header, report: Report) -> None:
    """The tree from all values, chunk by chunk in order of keys, as no history of blocks would have built it."""
    values = Prefixed(view, VALUES_PREFIX).scan(b"")
    pages = Prefixed(rebuilt, PAGES_PREFIX)
    root = tree.root(pages)
    while chunk := dict(islice(values, _VALUES_PER_CHUNK)):
        with rebuilt.write():
            root = tree.update(pages, chunk)
        report.values += len(chunk)
    if root != newest.app_hash:
        raise _Wrong(Difference("root", newest.height, "the values do not have the newest header's root"))


def _judge(anew: KeyValue, report: Report) -> None:
    """Ask the invariants. They name ids that are on the ledger by design."""
    for broken in islice(invariants(State(anew)), BROKEN_RULES_MAX):
        report.differences.append(Difference("invariant", report.height, broken))


def _in_silence(_done: Height, _total: Height) -> None:
    """No progress is shown."""
