"""Snapshots in an operator's hands: listed, made, compared, put back, pruned.

    members/<name>/snapshots/<height>/   what members that run apart make by themselves, for others to join by
    snapshots/<height>/                  what an operator made: with a proof, so that it can be put back anywhere

All members have the same snapshot at a height, byte for byte; where two differ, one of them has another state.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from salus.contracts.members.messages import Genesis
from salus.core.clock import Clock
from salus.core.errors import MalformedError, RefusalError
from salus.core.ids import Digest, Height, MemberId, TimeMs
from salus.core.wire import encode
from salus.engines.cometbft.checkpoints import SignedCheckpoint
from salus.engines.cometbft.collect import leading_to, proof_block
from salus.engines.cometbft.unit import LEDGER_FOLDER, SNAPSHOTS_FOLDER, engine_rpc
from salus.engines.follower import Follower
from salus.engines.layout import handovers_before
from salus.engines.ledger_copy import NotFoundError
from salus.engines.lmdb_store import LmdbStore, Snapshot
from salus.engines.replica import Replica
from salus.engines.snapshot_proofs import PROOF_FILE, NextBlock, Proof, SignedHeader, check_proof, read_proof
from salus.engines.snapshots import SnapshotError, SnapshotFolder, header_in, heights_in, snapshot_hash, write_snapshot
from salus.engines.taking_over import TakingOver
from salus.machine.block import Header
from salus.machine.machine import Machine
from salus.node.folder import is_apart, member_folder, members_here, read_genesis
from salus.node.settings import system_clock

OWN = ""
"""The place of snapshots that an operator made, among members' names."""


class LedgerThereError(RefusalError):
    """There is a ledger already: a snapshot is put back into a folder that is not there yet."""

    code = "node.ledger_there"


class NotProvenError(RefusalError):
    """The snapshot carries no proof that members signed its root: take one that `salus ledger snapshot make` made."""

    code = "node.snapshot_unproven"


@dataclass(frozen=True, slots=True)
class Listed:
    """One snapshot here."""

    where: str  # A member's name, or `OWN`.
    place: Path
    height: Height
    hash: Digest | None  # None where it has no manifest that reads.
    pieces: int = 0
    size_bytes: int = 0
    time: TimeMs = 0  # Of its header; 0 where its first piece does not read.
    is_proven: bool = False  # A proof lies with it; whether that holds is looked at when it is put back.


def listed(folder: Path) -> list[Listed]:
    """All snapshots of the members of a folder, and those that an operator made there.

    Raises:
        NoNetworkError, NotANetworkError: as `read_genesis`.
    """
    places = [(str(name), member_folder(folder, name)) for name in members_here(folder, read_genesis(folder))]
    found = [
        described(where, place / SNAPSHOTS_FOLDER / str(height), height)
        for where, place in (*places, (OWN, folder))
        for height in heights_in(place / SNAPSHOTS_FOLDER)
    ]
    return sorted(found, key=lambda one: (one.height, one.where))


def described(where: str, place: Path, height: Height) -> Listed:
    """One of them, by its manifest and first piece."""
    snapshot = SnapshotFolder(place)
    try:
        manifest = snapshot.manifest()
    except SnapshotError:
        return Listed(where, place, height, None)
    try:
        time = header_in(snapshot.head(manifest)).time
    except (SnapshotError, MalformedError):
        time = 0
    return Listed(
        where=where,
        place=place,
        height=manifest.height,
        hash=snapshot_hash(manifest.pieces),
        pieces=len(manifest.pieces),
        size_bytes=snapshot.size_bytes(),
        time=time,
        is_proven=(place / PROOF_FILE).is_file(),
    )


def check_pieces(place: Path) -> Digest:
    """Check every piece of a snapshot; what names it.

    Raises:
        SnapshotError: one is missing or damaged; it is named.
    """
    snapshot = SnapshotFolder(place)
    manifest = snapshot.manifest()
    for number in range(len(manifest.pieces)):
        snapshot.piece(manifest, number)
    return snapshot_hash(manifest.pieces)


async def make(folder: Path, member: MemberId, to: Path) -> Listed:
    """Make a snapshot of a member's newest final state, with its proof, beside whatever runs.

    Between machines the proof takes the block after it, so the member's engine must run.

    Raises:
        NotFoundError: there is no block yet, or none since the snapshot that this copy began with.
        NoProofError, UnavailableError: the engine does not tell of the next block.
        SnapshotError, OSError: it cannot be written, or another is there at this height.
    """
    genesis = read_genesis(folder)
    place = member_folder(folder, member)
    if not (place / LEDGER_FOLDER).is_dir():
        raise NotFoundError(height=0)
    ledger = Follower(member, genesis, place / LEDGER_FOLDER)
    try:
        header = ledger.header
        if not header.height:
            raise NotFoundError(height=0)
        proof: Proof = await _next_block(place, genesis, header) if is_apart(folder) else _signed_header(ledger)
        check_proof(proof, header, genesis)
        return _written(to, ledger.moment, header.height, proof)
    finally:
        ledger.close()


def _written(to: Path, moment: Snapshot, height: Height, proof: Proof) -> Listed:
    to.mkdir(parents=True, exist_ok=True, mode=0o700)
    return described(OWN, write_snapshot(to, moment, height, {PROOF_FILE: encode(proof)}), height)


def _signed_header(ledger: Follower) -> SignedHeader:
    votes = ledger.block(ledger.height).votes
    return SignedHeader(votes=votes, handovers=tuple(handovers_before(ledger.moment, ledger.height)))


async def _next_block(place: Path, genesis: Genesis, header: Header) -> NextBlock:
    rpc = engine_rpc(place)
    try:
        block = await proof_block(rpc, header.height)
        return NextBlock(block=block, since=await leading_to(rpc, genesis, block))
    finally:
        rpc.close()


def restore(
    snapshot: Path,
    to: Path,
    genesis: Genesis,
    *,
    member: MemberId,
    checkpoints: Sequence[SignedCheckpoint] = (),
    clock: Clock = system_clock,
) -> Header:
    """Put a snapshot back as the ledger in a folder that is not there yet; its header.

    Its root is believed only by its proof, from the genesis on; each piece by its hash, all together by the root.

    Raises, in this order:
        LedgerThereError: the folder is there.
        SnapshotError: the manifest or the first piece is missing or damaged.
        NotProvenError: it carries no proof.
        MalformedError, ReceiptError and what `check_proof` raises: the proof does not hold on this network.
        SnapshotError: a piece is missing or damaged, or all together have another root; nothing is left behind.
    """
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise LedgerThereError
    source = SnapshotFolder(snapshot)
    manifest = source.manifest()
    try:
        header = header_in(source.head(manifest))
    except MalformedError:
        raise SnapshotError(reason="no header that reads", height=manifest.height, piece=0) from None
    try:
        proof = read_proof((snapshot / PROOF_FILE).read_bytes())
    except OSError:
        raise NotProvenError from None
    check_proof(proof, header, genesis, checkpoints)
    beside = to.with_name(f"{to.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        _taken_over(source, beside, genesis, member, header, clock)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    if to.exists():
        to.rmdir()
    beside.rename(to)
    return header


def _taken_over(
    source: SnapshotFolder, to: Path, genesis: Genesis, member: MemberId, header: Header, clock: Clock
) -> None:
    manifest = source.manifest()
    replica = Replica(member, genesis, LmdbStore(to), Machine())
    try:
        taking = TakingOver(replica, clock, header.height, manifest.pieces, header.app_hash)
        try:
            for number in range(len(manifest.pieces)):
                taking.take(source.piece(manifest, number))
        finally:
            taking.abandon()
    finally:
        replica.close()
