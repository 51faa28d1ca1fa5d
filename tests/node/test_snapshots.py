"""Snapshots made by hand: the same at every member, put back only under the root that the members signed."""

import asyncio
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from salus.core.errors import MalformedError
from salus.core.ids import HOUR_MS, MemberId
from salus.core.wire import decode, encode, replace
from salus.crypto.digests import digest
from salus.engines import snapshots as engine_snapshots
from salus.engines.check import check_folder
from salus.engines.cometbft.light import LightBlockError
from salus.engines.ledger_copy import NotFoundError
from salus.engines.receipts import ReceiptError
from salus.engines.snapshot_proofs import PROOF_FILE, NextBlock, SignedHeader, read_proof
from salus.engines.snapshots import MANIFEST, Manifest, Piece, SnapshotError, header_in, pieces_of, prune
from salus.node.folder import found, read_genesis, usual_names
from salus.node.snapshots import LedgerThereError, Listed, NotProvenError, check_pieces, listed, make, restore
from tests.faults.members import members
from tests.node.stage import HOSPITALS, permit, stage
from tests.support.apart import needs_cometbft

MERCY = MemberId("mercy")


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Snapshots of several pieces, though little is in them."""
    monkeypatch.setattr(engine_snapshots, "pieces_of", partial(pieces_of, piece_bytes=2_000))


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network at rest, with a few blocks."""
    folder = tmp_path_factory.mktemp("snapshots") / "network"
    asyncio.run(_grow(folder))
    return folder


async def _grow(folder: Path) -> None:
    async with stage(folder) as on:
        wallet = await on.patient("mercy", rules=(permit("lakeside"),))
        await on.seal("mercy", wallet, "a")


@pytest.fixture
async def made(grown: Path, tmp_path: Path, small_pieces: None) -> Listed:
    """A snapshot of mercy's, with its proof."""
    return await make(grown, MERCY, tmp_path / "snapshots")


def put_back(made: Listed, grown: Path, tmp_path: Path) -> None:
    """As an operator would, into a folder of its own."""
    restore(made.place, tmp_path / "ledger", read_genesis(grown), member=MERCY)


async def test_every_member_makes_the_same(grown: Path, tmp_path: Path, small_pieces: None) -> None:
    all_made = [await make(grown, MemberId(name), tmp_path / name) for name in HOSPITALS]
    assert len({one.hash for one in all_made}) == 1
    assert all_made[0].pieces > 3
    assert {check_pieces(one.place) for one in all_made} == {all_made[0].hash}


async def test_what_was_made_is_listed_and_pruned(grown: Path) -> None:
    assert listed(grown) == []
    made = await make(grown, MERCY, grown / "snapshots")
    assert listed(grown) == [made]
    assert (made.where, made.is_proven, made.height) == ("", True, int(made.place.name))
    assert prune(grown / "snapshots", 1) == []
    assert prune(grown / "snapshots", 0) == [made.height]
    assert listed(grown) == []


async def test_a_network_without_blocks_has_no_snapshot(tmp_path: Path) -> None:
    found(tmp_path / "network", usual_names(1))
    with pytest.raises(NotFoundError):
        await make(tmp_path / "network", MERCY, tmp_path / "snapshots")


def test_a_snapshot_is_put_back_whole(made: Listed, grown: Path, tmp_path: Path) -> None:
    put_back(made, grown, tmp_path)
    report = check_folder(tmp_path / "ledger", MERCY, read_genesis(grown))
    assert report.is_sound, report.differences


def test_a_ledger_that_is_there_is_left_alone(made: Listed, grown: Path, tmp_path: Path) -> None:
    (tmp_path / "ledger").mkdir()
    (tmp_path / "ledger" / "data.mdb").write_bytes(b"kept")
    with pytest.raises(LedgerThereError):
        put_back(made, grown, tmp_path)
    assert (tmp_path / "ledger" / "data.mdb").read_bytes() == b"kept"


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("is_gone", [False, True])
def test_a_piece_that_is_damaged_is_named_and_nothing_is_left(
    made: Listed, grown: Path, tmp_path: Path, number: int, is_gone: bool
) -> None:
    path = made.place / f"{number:06}"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    if is_gone:
        path.unlink()
    with pytest.raises(SnapshotError) as caught:
        put_back(made, grown, tmp_path)
    assert caught.value.facts["piece"] == number
    with pytest.raises(SnapshotError) as caught:
        check_pieces(made.place)
    assert caught.value.facts["piece"] == number
    assert {path.name for path in tmp_path.iterdir()} == {"snapshots"}


def forged(made: Listed, number: int, change: Callable[[Piece], Piece]) -> None:
    """Other content in a piece, and a manifest whose hashes are right."""
    path = made.place / f"{number:06}"
    path.write_bytes(encode(change(decode(Piece, path.read_bytes()))))
    manifest = decode(Manifest, (made.place / MANIFEST).read_bytes())
    pieces = tuple(digest(path.read_bytes()) if at == number else piece for at, piece in enumerate(manifest.pieces))
    (made.place / MANIFEST).write_bytes(encode(replace(manifest, pieces=pieces)))


def test_values_that_were_changed_with_their_hashes_are_refused(made: Listed, grown: Path, tmp_path: Path) -> None:
    forged(made, 1, lambda piece: replace(piece, rows=((piece.rows[0][0], b"other"), *piece.rows[1:])))
    with pytest.raises(SnapshotError) as caught:
        put_back(made, grown, tmp_path)
    assert "root" in str(caught.value.facts["reason"])
    assert not (tmp_path / "ledger").exists()


def test_another_root_than_the_members_signed_is_refused(made: Listed, grown: Path, tmp_path: Path) -> None:
    def other_root(piece: Piece) -> Piece:
        assert piece.head is not None
        header = replace(header_in(piece.head), app_hash=bytes(32))
        return replace(piece, head=replace(piece.head, header=encode(header)))

    forged(made, 0, other_root)
    with pytest.raises(ReceiptError):
        put_back(made, grown, tmp_path)


def test_a_snapshot_of_another_network_is_refused(made: Listed, tmp_path: Path) -> None:
    found(tmp_path / "other", usual_names(4), chain="other")
    with pytest.raises(MalformedError):
        put_back(made, tmp_path / "other", tmp_path)


def test_the_same_name_of_another_network_helps_nobody(made: Listed, tmp_path: Path) -> None:
    found(tmp_path / "other", usual_names(4), chain="test")
    with pytest.raises(ReceiptError):
        put_back(made, tmp_path / "other", tmp_path)


def test_a_snapshot_without_its_proof_is_refused(made: Listed, grown: Path, tmp_path: Path) -> None:
    proof = read_proof((made.place / PROOF_FILE).read_bytes())
    assert isinstance(proof, SignedHeader)
    (made.place / PROOF_FILE).write_bytes(encode(replace(proof, votes=proof.votes[:2])))
    with pytest.raises(ReceiptError):
        put_back(made, grown, tmp_path)
    (made.place / PROOF_FILE).write_bytes(b"no proof")
    with pytest.raises(MalformedError):
        put_back(made, grown, tmp_path)
    (made.place / PROOF_FILE).unlink()
    with pytest.raises(NotProvenError):
        put_back(made, grown, tmp_path)


async def test_a_member_whose_ledger_is_lost_goes_on_from_a_snapshot(grown: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(grown, tmp_path / "network"))
    made = await make(folder, MemberId("st-luke"), tmp_path / "snapshots")
    async with stage(folder) as on:
        wallet = await on.patient("mercy", rules=(permit("lakeside"),))
        await on.seal("mercy", wallet, "b")
    ledger = folder / "members" / "mercy" / "ledger"
    shutil.rmtree(ledger)
    restore(made.place, ledger, read_genesis(folder), member=MERCY)
    async with stage(folder) as on:
        assert len({member.replica.header for member in on.network.members}) == 1
        await on.seal("mercy", wallet, "c")
        view = await on.view("lakeside", await on.clinician("lakeside"), wallet)
        assert len(view.records) == 2
    assert check_folder(ledger, MERCY, read_genesis(folder)).is_sound


@needs_cometbft
async def test_between_machines_the_next_block_proves_the_root(tmp_path: Path) -> None:
    async with members(tmp_path / "network", 1) as net:
        await net.start(("ledger",))
        while True:
            try:
                made = await make(net.folder, MERCY, tmp_path / "snapshots")
                break
            except NotFoundError:
                await asyncio.sleep(0.2)
    proof = read_proof((made.place / PROOF_FILE).read_bytes())
    assert isinstance(proof, NextBlock)
    put_back(made, net.folder, tmp_path)
    assert check_folder(tmp_path / "ledger", MERCY, read_genesis(net.folder), signed=False).is_sound
    for change in ({"time": proof.block.header.time + HOUR_MS}, {"app_hash": bytes(32)}):
        shutil.rmtree(tmp_path / "ledger", ignore_errors=True)
        lie = replace(proof, block=replace(proof.block, header=replace(proof.block.header, **change)))
        (made.place / PROOF_FILE).write_bytes(encode(lie))
        with pytest.raises((ReceiptError, LightBlockError)):
            put_back(made, net.folder, tmp_path)
