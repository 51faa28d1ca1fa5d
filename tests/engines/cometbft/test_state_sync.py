"""Snapshots: the same bytes on all members, judged piece by piece, and a new member that joins by one."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from salus.core.ids import Digest, MemberId
from salus.core.wire import decode, encode
from salus.core.wire import replace as changed
from salus.crypto.digests import digest
from salus.engines.check import check_ledger
from salus.engines.cometbft import abci_pb2 as abci
from salus.engines.cometbft.collect import NoSuchTransactionError, collect
from salus.engines.cometbft.config import StateSync
from salus.engines.cometbft.frames import Frames
from salus.engines.cometbft.restoring import Restorer
from salus.engines.cometbft.retaining import retain_height, retaining
from salus.engines.cometbft.snapshots import Offering, offer
from salus.engines.cometbft.unit import LedgerUnit
from salus.engines.ledger_copy import NotFoundError
from salus.engines.lmdb_store import LmdbStore
from salus.engines.replica import Replica
from salus.engines.snapshots import Head, Manifest, Piece, Snapshots, header_in, pieces_of
from salus.machine.block import Block, header_id
from salus.machine.machine import Machine
from salus.node.http.light import LightPort
from tests.engines.cometbft.real import clock, needs_engine, prepared
from tests.support.network import BLOCK_MS, STARTED, Network, network

Offered = abci.OfferSnapshotResponse
Applied = abci.ApplySnapshotChunkResponse
BLOCKS = 5


def grown(folder: Path, net: Network, member: str = "mercy") -> Replica:
    """A replica with a few blocks of cells, made without CometBFT."""
    replica = Replica(MemberId(member), net.genesis, LmdbStore(folder), Machine())
    for height in range(1, BLOCKS + 1):
        time = STARTED + height * BLOCK_MS
        made = [net.create(net.id16(height, number)) for number in range(20)]
        txs = tuple(net.tx("mercy", each, valid_until=time + 60_000) for each in made)
        block = Block(net.chain, height, time, header_id(replica.header), txs)
        replica.finalise(replica.prepare(block), ())
    return replica


def empty(folder: Path, net: Network) -> Replica:
    return Replica(MemberId("northgate"), net.genesis, LmdbStore(folder), Machine())


def answer(data: bytes) -> abci.Response:
    return abci.Response.FromString(next(iter(Frames().feed(data))))


class Joining:
    """A new member and the snapshot it is offered."""

    def __init__(self, folder: Path, piece_bytes: int = 2_000) -> None:
        self.net = network(4)
        self.source = grown(folder / "source", self.net)
        self.pieces = list(pieces_of(self.source.values_and_tree.moment(), piece_bytes))
        self.replica = empty(folder / "new", self.net)
        self.restorer = Restorer(self.replica, lambda: STARTED + 60_000)
        self.app_hash = self.source.header.app_hash
        self.height = self.source.height

    def offered(self, app_hash: Digest | None = None, **changes: object) -> int:
        manifest = Manifest(height=self.height, format=1, pieces=tuple(map(digest, self.pieces)))
        snapshot = offer(manifest)
        for name, value in changes.items():
            setattr(snapshot, name, value)
        asked = abci.OfferSnapshot(snapshot=snapshot, app_hash=app_hash or self.app_hash)
        return answer(self.restorer.offer(abci.Request(offer_snapshot=asked))).offer_snapshot.result

    def applied(self, index: int, data: bytes | None = None) -> Applied:
        chunk = self.pieces[index] if data is None else data
        asked = abci.ApplySnapshotChunk(index=index, chunk=chunk, sender="peer")
        return answer(self.restorer.apply(abci.Request(apply_snapshot_chunk=asked))).apply_snapshot_chunk

    def all_applied(self) -> list[int]:
        return [self.applied(index).result for index in range(len(self.pieces))]

    def close(self) -> None:
        self.restorer.abandon()
        self.source.close()
        self.replica.close()


@pytest.fixture
def joining(tmp_path: Path) -> Iterator[Joining]:
    made = Joining(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("changes", "result"),
    [
        ({"format": 2}, Offered.REJECT_FORMAT),
        ({"chunks": 1}, Offered.REJECT),
        ({"chunks": 0, "metadata": b""}, Offered.REJECT),
        ({"hash": bytes(32)}, Offered.REJECT),
        ({"metadata": b"short"}, Offered.REJECT),
        ({"app_hash": b"short"}, Offered.REJECT),
    ],
)
def test_an_offer_that_is_not_in_form_is_refused(joining: Joining, changes: dict[str, object], result: int) -> None:
    assert joining.offered(**changes) == result  # type: ignore[arg-type]
    assert joining.applied(0).result == Applied.RETRY_SNAPSHOT


def test_a_member_that_has_blocks_takes_no_snapshot(joining: Joining) -> None:
    joining.restorer = Restorer(joining.source, clock)
    assert joining.offered() == Offered.ABORT


def test_a_piece_with_other_bytes_is_fetched_again_from_somebody_else(joining: Joining) -> None:
    assert joining.offered() == Offered.ACCEPT
    assert joining.applied(0).result == Applied.ACCEPT
    said = joining.applied(1, joining.pieces[1][:-1] + b"\0")
    assert (said.result, list(said.refetch_chunks), list(said.reject_senders)) == (Applied.RETRY, [1], ["peer"])
    assert joining.applied(1).result == Applied.ACCEPT


def _lost_row(piece: Piece) -> Piece:
    return changed(piece, rows=piece.rows[1:])


def _other_value(piece: Piece) -> Piece:
    return changed(piece, rows=((piece.rows[0][0], b"other"), *piece.rows[1:]))


def _out_of_order(piece: Piece) -> Piece:
    return changed(piece, rows=tuple(reversed(piece.rows)))


def _other_head(change: Callable[[Head], Head]) -> Callable[[Piece], Piece]:
    return lambda piece: changed(piece, head=change(piece.head) if piece.head is not None else None)


def _header(**changes: object) -> Callable[[Head], Head]:
    return lambda head: changed(head, header=encode(changed(header_in(head), **changes)))


@pytest.mark.parametrize(
    "lie",
    [
        _lost_row,
        _other_value,
        _out_of_order,
        lambda piece: changed(piece, head=None),
        _other_head(lambda head: changed(head, genesis=b"")),
        _other_head(lambda head: changed(head, header=b"")),
        _other_head(_header(height=4)),
        _other_head(_header(chain="other")),
        _other_head(_header(app_hash=bytes(32))),
        _other_head(_header(time=STARTED + 3_600_000)),
    ],
)
def test_a_snapshot_whose_pieces_lie_is_refused_and_nothing_of_it_stays(
    joining: Joining, lie: Callable[[Piece], Piece]
) -> None:
    """All hashes are right; what was hashed is not."""
    before = joining.replica.state.root()
    joining.pieces[0] = encode(lie(decode(Piece, joining.pieces[0])))
    assert joining.offered() == Offered.ACCEPT
    results = joining.all_applied()
    assert Applied.REJECT_SNAPSHOT in results
    assert (joining.replica.height, joining.replica.state.root()) == (0, before)


def test_a_snapshot_under_another_root_is_refused(joining: Joining) -> None:
    assert joining.offered(app_hash=bytes(32)) == Offered.ACCEPT
    assert joining.applied(0).result == Applied.REJECT_SNAPSHOT


def test_a_snapshot_is_taken_over_whole_and_survives_a_restart(joining: Joining, tmp_path: Path) -> None:
    assert len(joining.pieces) > 5
    assert joining.offered() == Offered.ACCEPT
    assert joining.replica.state.root() != joining.app_hash  # Nothing shows before it is whole.
    assert set(joining.all_applied()) == {Applied.ACCEPT}
    joining.replica.close()
    joining.replica = empty(tmp_path / "new", joining.net)
    own, source = joining.replica, joining.source
    assert (own.header, own.state.root()) == (source.header, source.state.root())
    assert list(own.values_and_tree.scan(b"v")) == list(source.values_and_tree.scan(b"v"))
    assert list(own.values_and_tree.scan(b"t")) == list(source.values_and_tree.scan(b"t"))
    assert list(own.blocks()) == []
    with pytest.raises(NotFoundError):
        own.block(BLOCKS)
    assert check_ledger(own, signed=False).is_sound


def test_a_snapshot_alone_gives_way_to_another_and_a_block_of_its_own_does_not(joining: Joining) -> None:
    """A crash may come after the snapshot is whole and before CometBFT has noted it: it then begins again."""
    assert joining.offered() == Offered.ACCEPT
    assert set(joining.all_applied()) == {Applied.ACCEPT}
    assert joining.offered() == Offered.ACCEPT
    assert set(joining.all_applied()) == {Applied.ACCEPT}
    own = joining.replica
    assert own.state.root() == joining.app_hash
    own.finalise(own.prepare(Block(own.chain, BLOCKS + 1, STARTED + 100 * BLOCK_MS, header_id(own.header), ())), ())
    assert joining.offered() == Offered.ABORT


def test_the_check_finds_what_was_changed_after_a_snapshot(joining: Joining) -> None:
    joining.offered()
    joining.all_applied()
    own = joining.replica
    time = STARTED + 100 * BLOCK_MS
    tx = joining.net.tx("mercy", joining.net.create(joining.net.id16("more")), valid_until=time + 60_000)
    own.finalise(own.prepare(Block(own.chain, BLOCKS + 1, time, header_id(own.header), (tx,))), ())
    report = check_ledger(own, signed=False)
    assert report.is_sound, report.differences
    assert (report.height, report.transactions) == (BLOCKS + 1, 1)
    for key, value, what in [(b"v", b"x", "root"), (b"x", b"x", "index"), (b"t", b"x", "page"), (b"b", b"x", "block")]:
        found, kept = next(own.values_and_tree.scan(key))
        with own.values_and_tree.write() as store:
            store.put(found, value)
        assert [each.what for each in check_ledger(own, signed=False).differences] == [what]
        with own.values_and_tree.write() as store:
            store.put(found, kept)


async def test_snapshots_are_the_same_bytes_on_all_members_and_old_ones_go(tmp_path: Path) -> None:
    net = network(4)
    made = []
    for member in ("mercy", "lakeside"):
        replica = grown(tmp_path / member / "ledger", net, member)
        snapshots = Snapshots(tmp_path / member / "snapshots", replica, every_blocks=1)
        snapshots.block_arrived()
        await snapshots.made()
        assert snapshots.heights() == [BLOCKS]
        offering = Offering(snapshots)
        asked = abci.LoadSnapshotChunk(height=BLOCKS, format=1, chunk=0)
        piece = answer(offering.load(abci.Request(load_snapshot_chunk=asked))).load_snapshot_chunk.chunk
        listed = answer(offering.list(abci.Request(list_snapshots=abci.Empty()))).list_snapshots.snapshots
        assert digest(piece) == listed[0].metadata
        made.append((piece, listed[0].SerializeToString(deterministic=True)))
        for height in (BLOCKS + 1, BLOCKS + 2):
            snapshots.make(replica.values_and_tree.moment(), height)
        assert snapshots.heights() == [BLOCKS + 1, BLOCKS + 2]
        replica.close()
    assert made[0] == made[1]


@pytest.mark.parametrize("name", ["000000", "manifest", ""])
def test_a_snapshot_that_cannot_be_read_is_none_and_ends_nothing(tmp_path: Path, name: str) -> None:
    """It may be forgotten between any two steps, or its disk may fail; a peer asked for it."""
    replica = grown(tmp_path / "ledger", network(4))
    snapshots = Snapshots(tmp_path / "snapshots", replica)
    offering = Offering(snapshots)
    snapshots.make(replica.values_and_tree.moment(), BLOCKS)
    place = tmp_path / "snapshots" / (f"{BLOCKS}/{name}" if name else "")
    if name:
        place.unlink()
    else:
        place.rename(tmp_path / "gone")
    place.symlink_to("/proc/self/mem")  # A file that is there, and fails when it is read.
    asked = abci.LoadSnapshotChunk(height=BLOCKS, format=1, chunk=0)
    piece = answer(offering.load(abci.Request(load_snapshot_chunk=asked))).load_snapshot_chunk.chunk
    listed = answer(offering.list(abci.Request(list_snapshots=abci.Empty()))).list_snapshots.snapshots
    assert bool(piece) == (name == "manifest")
    assert len(listed) == (name == "000000")
    replica.close()


def test_snapshots_that_are_forgotten_while_they_are_listed_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = grown(tmp_path / "ledger", network(4))
    snapshots = Snapshots(tmp_path / "snapshots", replica)
    (tmp_path / "snapshots").mkdir()
    monkeypatch.setattr(Path, "iterdir", _gone)
    assert snapshots.heights() == []
    replica.close()


def _gone(path: Path) -> Iterator[Path]:
    raise FileNotFoundError(path)


def test_what_evidence_and_snapshots_need_is_retained(tmp_path: Path) -> None:
    replica = grown(tmp_path, network(4))
    assert retain_height(replica, [4], None) == 0
    assert retain_height(replica, [], 1, evidence_blocks=1, evidence_s=0) == 0
    assert retain_height(replica, [4], 1, evidence_blocks=1, evidence_s=0) == 4
    assert retain_height(replica, [2], 1, evidence_blocks=1, evidence_s=0) == 2
    assert retain_height(replica, [4], 1, evidence_blocks=3, evidence_s=0) == 2
    assert retain_height(replica, [4], 3, evidence_blocks=1, evidence_s=0) == 2
    assert retain_height(replica, [4], 1, evidence_blocks=1, evidence_s=1) == 0  # Block 4 is as young as the limit.
    assert retain_height(replica, [4], 1) == 0
    replica.close()


@needs_engine
async def test_a_real_engine_drops_old_blocks_up_to_its_oldest_snapshot_and_the_ledger_drops_none(
    tmp_path: Path,
) -> None:
    """With evidence that counts no longer at once: what the limits of the genesis keep takes a fortnight."""
    chain = prepared(tmp_path, 1, heartbeat_s=0.1)
    chain.settings = {name: replace(each, snapshot_every_blocks=6) for name, each in chain.settings.items()}
    try:
        await chain.start()
        mercy = chain["mercy"]
        first = await mercy.engine.submit(tx := chain.create("first"))
        assert await earliest(mercy) == 1
        mercy.application.retain(retaining(mercy.replica, mercy.snapshots.heights, 2, evidence_blocks=2, evidence_s=0))
        async with asyncio.timeout(60.0):
            while (kept := await earliest(mercy)) <= 12:
                await mercy.engine.submit(chain.create(f"cell {mercy.replica.height}"))
        oldest = mercy.snapshots.heights()[0]
        assert kept <= oldest
        with pytest.raises(NoSuchTransactionError):
            await collect(mercy.rpc, mercy.settings.genesis, first.height, digest(tx), wait_s=20.0)
        with pytest.raises(NoSuchTransactionError):  # Its own block is gone, and the next one is not.
            await collect(mercy.rpc, mercy.settings.genesis, kept - 1, digest(tx), wait_s=20.0)
        assert mercy.replica.block(first.height).results[0].tx_id == first.tx_id
        assert check_ledger(mercy.replica, signed=False).is_sound
        await chain.stop()
        await chain.start()  # It has nothing to replay from before.
        assert (await chain["mercy"].engine.submit(chain.create("after"))).code == "ok"
    finally:
        await chain.stop()


async def earliest(unit: LedgerUnit) -> int:
    """The oldest block that a member's CometBFT has."""
    return int((await unit.rpc.call("status"))["sync_info"]["earliest_block_height"])


@needs_engine
async def test_a_new_member_joins_by_a_snapshot(tmp_path: Path) -> None:
    chain = prepared(tmp_path, 4)
    chain.settings = {name: replace(each, snapshot_every_blocks=8) for name, each in chain.settings.items()}
    try:
        await chain.start("mercy", "st-luke", "lakeside")
        mercy = chain["mercy"]
        number = 0
        while mercy.replica.height < 12:
            await mercy.engine.submit(chain.create(f"cell {number}"))
            number += 1
        await mercy.snapshots.made()
        trusted = (await mercy.rpc.call("commit", height="2"))["signed_header"]["commit"]["block_id"]["hash"]
        ports = [LightPort(chain[name].rpc) for name in ("mercy", "st-luke")]
        async with ports[0].listening("127.0.0.1"), ports[1].listening("127.0.0.1"):
            sync = StateSync(tuple(f"http://127.0.0.1:{one.port}" for one in ports), 2, trusted)
            own = chain.settings[MemberId("northgate")]
            chain.settings[MemberId("northgate")] = replace(own, engine=replace(own.engine, state_sync=sync))
            await chain.start("northgate")
            joined = chain["northgate"].replica
            assert await joined.reached(mercy.replica.height, 30.0)
        assert {asked for one in ports for asked in one.seen if asked.endswith(" 200")}
        assert not [asked for one in ports for asked in one.seen if not asked.endswith(" 200")]
        with pytest.raises(NotFoundError):
            joined.block(8)
        done = await chain["northgate"].engine.submit(chain.create("from the new one", sponsor="northgate"))
        assert done.code == "ok"
        height = await chain.level()
        assert encode(joined.block(height)) == encode(mercy.replica.block(height))
        assert check_ledger(joined, signed=False).is_sound
    finally:
        await chain.stop()
