"""Checkpoints: a day's block, co-signed by members with keys that a quantum computer does not break.

Each member signs what its own node holds (ML-DSA-65, FIPS 204), anybody gathers the signatures. A checkpoint that more
than two thirds of the genesis's members signed is a place from which light blocks are verified, once the genesis is too
old to be. It names the members of its own time, so that they may sign the next one.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

from msgspec import Meta

from salus.contracts.members.messages import Genesis
from salus.core.errors import RefusalError
from salus.core.ids import DAY_MS, ChainId, Digest, Height, LastingKey, LastingSignature, MemberId, Name, TimeMs
from salus.core.wire import Record, encode
from salus.crypto.digests import tagged
from salus.crypto.lasting import LastingSigningKey, verify_lasting
from salus.engines.cometbft.blocks import AppHash, LightBlock, TimeNs, header_hash
from salus.engines.cometbft.light import Trusted
from salus.engines.receipts import is_quorum

EVERY_MS = DAY_MS
MEMBERS_MAX = 10_000

_CONTEXT = b"salus.checkpoint/1"


class CheckpointError(RefusalError):
    """The checkpoint is not one that enough members of this network signed."""

    code = "engine.checkpoint"


class Signer(Record, tag="checkpoint.signer/1", frozen=True):
    """A member with the key by which it signs checkpoints."""

    member: Name
    key: LastingKey


class Checkpoint(Record, tag="checkpoint/1", frozen=True):
    """What members say of one final block, and who they are."""

    chain: ChainId
    height: Height
    time: TimeNs  # Of the header.
    header: Digest
    validators: Digest
    next_validators: Digest
    app_hash: AppHash  # As the header has it: the state after the block before.
    members: Annotated[tuple[Signer, ...], Meta(min_length=1, max_length=MEMBERS_MAX)]  # By name.


class CheckpointSignature(Record, tag="checkpoint.signature/1", frozen=True):
    """A member's signature."""

    member: Name
    signature: LastingSignature


class SignedCheckpoint(Record, tag="checkpoint.signed/1", frozen=True):
    """A checkpoint with its signatures, by name."""

    checkpoint: Checkpoint
    signatures: Annotated[tuple[CheckpointSignature, ...], Meta(max_length=MEMBERS_MAX)]


class CheckpointFile(Record, tag="checkpoint.file/1", frozen=True):
    """What is published. The genesis's members sign the first, those whom it names the next, and so on."""

    checkpoints: Annotated[tuple[SignedCheckpoint, ...], Meta(min_length=1)]


def checkpoint_id(checkpoint: Checkpoint) -> Digest:
    """What members sign."""
    return tagged("checkpoint", encode(checkpoint))


def sign_checkpoint(key: LastingSigningKey, checkpoint: Checkpoint) -> LastingSignature:
    """A member's signature over a checkpoint."""
    return key.sign(checkpoint_id(checkpoint), _CONTEXT)


def checkpoint_of(block: LightBlock, members: Mapping[MemberId, bytes]) -> Checkpoint:
    """The checkpoint of a block that was verified, with the members of its time."""
    header = block.header
    return Checkpoint(
        chain=header.chain,
        height=header.height,
        time=header.time,
        header=header_hash(header),
        validators=header.validators,
        next_validators=header.next_validators,
        app_hash=header.app_hash,
        members=tuple(Signer(member=member, key=key) for member, key in sorted(members.items())),
    )


def is_due(last_ms: TimeMs, now_ms: TimeMs) -> bool:
    """Whether members should sign the newest block: the first of a day (of block time) later than the last one's."""
    return now_ms // EVERY_MS > last_ms // EVERY_MS


def gather(
    checkpoint: Checkpoint, signatures: Iterable[CheckpointSignature], keys: Mapping[MemberId, LastingKey] | None = None
) -> SignedCheckpoint:
    """A checkpoint with those signatures that hold under these keys, one of each member; the others are left out.

    The keys are those that the checkpoint before names, or the genesis; if none are given, its own.
    """
    if keys is None:
        keys = keys_named(checkpoint)
    valid: dict[MemberId, CheckpointSignature] = {}
    for one in signatures:
        if one.member in keys and _is_signed(keys[one.member], checkpoint, one.signature):
            valid.setdefault(one.member, one)
    return SignedCheckpoint(checkpoint=checkpoint, signatures=tuple(valid[member] for member in sorted(valid)))


def checkpoint_keys(genesis: Genesis) -> dict[MemberId, bytes]:
    """The founding members' keys for checkpoints."""
    return {founder.member: founder.keys.checkpoint for founder in genesis.members}


def keys_named(checkpoint: Checkpoint) -> dict[MemberId, bytes]:
    """The keys of the members at a checkpoint's time."""
    return {signer.member: signer.key for signer in checkpoint.members}


def chain_to(newest_first: Iterable[SignedCheckpoint], genesis: Genesis) -> tuple[SignedCheckpoint, ...]:
    """The shortest way that is found from the genesis to the first of these, through later ones where it takes some.

    Raises:
        CheckpointError: none leads there.
    """
    found = list(newest_first)
    keys, members = checkpoint_keys(genesis), len(genesis.members)
    chain: list[SignedCheckpoint] = []
    while not chain or chain[-1] is not found[0]:
        above = chain[-1].checkpoint.height if chain else -1
        ahead = [one for one in found if one.checkpoint.height > above]
        following = next((one for one in ahead if _is_checked(one, genesis.chain, keys, members)), None)
        if following is None:
            raise CheckpointError(reason="no way leads to it", height=found[0].checkpoint.height if found else 0)
        chain.append(following)
        keys = keys_named(following.checkpoint)
        members = len(keys)
    return tuple(chain)


def check_checkpoints(checkpoints: Sequence[SignedCheckpoint], genesis: Genesis) -> None:
    """Raise unless members signed these: the genesis's the first, those named by each the next.

    Raises:
        CheckpointError: as `check_checkpoint`; or they are not in order.
    """
    check_chain(checkpoints, genesis.chain, checkpoint_keys(genesis), len(genesis.members))


def check_chain(
    checkpoints: Sequence[SignedCheckpoint], chain: ChainId, keys: Mapping[MemberId, bytes], members: int
) -> None:
    """As `check_checkpoints`, from any members, of whom some may have no key."""
    height = -1
    for signed in checkpoints:
        if signed.checkpoint.height <= height:
            raise CheckpointError(reason="checkpoints are not in order", height=signed.checkpoint.height)
        check_checkpoint(signed, chain, keys, members)
        height, keys = signed.checkpoint.height, keys_named(signed.checkpoint)
        members = len(keys)


def check_checkpoint(signed: SignedCheckpoint, chain: ChainId, keys: Mapping[MemberId, bytes], members: int) -> None:
    """Raise unless more than two thirds of these members signed the checkpoint.

    Raises, in this order:
        CheckpointError: another chain, or its members are not in their one order.
        CheckpointError: signatures that are not those of distinct members, or not valid.
        CheckpointError: too few.
    """
    checkpoint = signed.checkpoint
    named = [signer.member for signer in checkpoint.members]
    if checkpoint.chain != chain or named != sorted(set(named)):
        raise CheckpointError(reason="not a checkpoint of this chain", height=checkpoint.height)
    by = [one.member for one in signed.signatures]
    if by != sorted(set(by)) or not set(by) <= set(keys):
        raise CheckpointError(reason="signatures are not those of distinct members", height=checkpoint.height)
    if not all(_is_signed(keys[one.member], checkpoint, one.signature) for one in signed.signatures):
        raise CheckpointError(reason="a member's signature is not valid", height=checkpoint.height)
    if not is_quorum(len(by), members):
        raise CheckpointError(reason="not more than two thirds signed", height=checkpoint.height)


def trusted_checkpoint(checkpoint: Checkpoint) -> Trusted:
    """What a checkpoint vouches for, once it is believed."""
    return Trusted(
        chain=checkpoint.chain,
        height=checkpoint.height,
        time=checkpoint.time,
        header=checkpoint.header,
        next_validators=checkpoint.next_validators,
        known=(),
    )


def _is_checked(signed: SignedCheckpoint, chain: ChainId, keys: Mapping[MemberId, LastingKey], members: int) -> bool:
    try:
        check_checkpoint(signed, chain, keys, members)
    except CheckpointError:
        return False
    return True


def _is_signed(key: LastingKey, checkpoint: Checkpoint, signature: LastingSignature) -> bool:
    return verify_lasting(key, checkpoint_id(checkpoint), signature, _CONTEXT)
