"""What a light client believes: a block follows from one that is trusted, by the votes of enough validators.

Forwards, the next block must be by the validators that the trusted one names as next; a later one must be signed by
more than a third of the trusted validators (so that one honest member among them vouches for it) and by more than two
thirds of its own; where too few of the trusted ones are left, blocks between are asked for (`bisection`). Backwards,
a header is the one that the next names. Trust runs out after a period; headers from the future are refused.

All functions are pure: blocks and the time are handed in. Comparing several sources is in `witness.py`.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from salus.contracts.members.messages import Genesis
from salus.core.errors import RefusalError
from salus.core.ids import DAY_MS, SECOND_MS, ChainId, Digest, Height
from salus.crypto.signatures import verify as is_signed
from salus.engines.cometbft.blocks import (
    Header,
    LightBlock,
    TimeNs,
    Validator,
    Vote,
    address_of,
    founders,
    header_hash,
    is_well_formed,
    powers,
    signed_bytes,
    validators_hash,
)

MS_NS = 1_000_000
FETCHED_MAX = 1_000  # Blocks that one bisection asks for: 500 changes of half the validators each.


class LightBlockError(RefusalError):
    """The block is not one that these validators agreed on, or does not follow from the trusted one."""

    code = "engine.light_block"


class TooFewTrustedError(RefusalError):
    """Too few of the validators that are trusted signed the block: ask for a block between."""

    code = "engine.too_few_trusted"


class TrustExpiredError(RefusalError):
    """The trusted block is too old to vouch for another: take a newer checkpoint."""

    code = "engine.trust_expired"


@dataclass(frozen=True, slots=True)
class Policy:
    """How far trust reaches."""

    period_ns: int = 14 * DAY_MS * MS_NS  # How long a trusted block vouches for others.
    drift_ns: int = 10 * SECOND_MS * MS_NS  # How far a header's time may be ahead of ours.
    level: tuple[int, int] = (1, 3)  # More than this part of the trusted validators must have signed.


@dataclass(frozen=True, slots=True)
class Trusted:
    """A block that is believed, as far as it says who may sign others."""

    chain: ChainId
    height: Height
    time: TimeNs
    header: Digest
    next_validators: Digest
    known: tuple[Validator, ...]  # Its own validators or the next; empty where only the digest of the next is known.


def trusted(block: LightBlock) -> Trusted:
    """What a block vouches for, once it is believed."""
    header = block.header
    return Trusted(
        chain=header.chain,
        height=header.height,
        time=header.time,
        header=header_hash(header),
        next_validators=header.next_validators,
        known=block.validators,
    )


def trusted_genesis(genesis: Genesis) -> Trusted:
    """A genesis, as if it were a block before the first, whose header's time is the genesis's own."""
    validators = founders(genesis)
    named = validators_hash(validators)
    return Trusted(genesis.chain, 0, max(0, genesis.time * MS_NS - 1), b"", named, validators)


def verify(trusted: Trusted, block: LightBlock, policy: Policy, now: TimeNs) -> None:
    """Raise unless the block follows from the trusted one.

    Raises, in this order:
        TrustExpiredError: the trusted block is older than the policy allows.
        LightBlockError: malformed; another chain; not later; from the future; or other validators than it names.
        LightBlockError: the next block, but not by the validators that the trusted one names as next.
        TooFewTrustedError: a later block that not more than a third of the trusted validators signed.
        LightBlockError: a vote that is not a validator's, is doubled or not valid; or not more than two thirds.
    """
    if block.header.height == trusted.height + 1:
        verify_adjacent(trusted, block, policy, now)
    else:
        verify_skipping(trusted, block, policy, now)


def verify_adjacent(trusted: Trusted, block: LightBlock, policy: Policy, now: TimeNs) -> None:
    """As `verify`, for the next block."""
    if block.header.height != trusted.height + 1:
        raise LightBlockError(reason="not the next block", height=block.header.height)
    _check_later(trusted, block, policy, now)
    if block.header.validators != trusted.next_validators:
        raise LightBlockError(reason="not by the validators named as next", height=block.header.height)
    check_votes(block)


def verify_skipping(trusted: Trusted, block: LightBlock, policy: Policy, now: TimeNs) -> None:
    """As `verify`, for a later block than the next."""
    if block.header.height == trusted.height + 1:
        raise LightBlockError(reason="the next block skips nothing", height=block.header.height)
    _check_later(trusted, block, policy, now)
    _check_overlap(trusted, block, policy)
    check_votes(block)


def verify_backwards(newer: Header, older: Header) -> None:
    """Raise unless the older header is the one before the newer, which is believed.

    Raises:
        LightBlockError: malformed, of another chain, not earlier, or not the one that the newer names.
    """
    if not is_well_formed(older) or older.chain != newer.chain:
        raise LightBlockError(reason="not a header of this chain", height=older.height)
    if older.height + 1 != newer.height or older.time >= newer.time:
        raise LightBlockError(reason="not the header before", height=older.height)
    if header_hash(older) != newer.previous.header:
        raise LightBlockError(reason="not the header that the next one names", height=older.height)


def verify_back_to(newest: Header, older: Sequence[Header]) -> None:
    """As `verify_backwards`, through many headers, the newest first."""
    for header in older:
        verify_backwards(newest, header)
        newest = header


def check_votes(block: LightBlock) -> None:
    """Raise unless more than two thirds of the block's own validators signed it, and nobody else, each once.

    All votes are verified, so that a block with a vote changed is never taken for the block.

    Raises:
        LightBlockError: as said.
    """
    height = block.header.height
    if validators_hash(block.validators) != block.header.validators:
        raise LightBlockError(reason="other validators than the header names", height=height)
    keys = {address_of(one.key): one for one in block.validators}
    voters = [vote.validator for vote in block.votes]
    if any(a >= b for a, b in pairwise(voters)) or not keys.keys() >= set(voters):
        raise LightBlockError(reason="votes are not those of distinct validators", height=height)
    if not all(is_signed(keys[vote.validator].key, signed_bytes(block, vote), vote.signature) for vote in block.votes):
        raise LightBlockError(reason="a validator's signature is not valid", height=height)
    if 3 * sum(keys[voter].power for voter in voters) <= 2 * sum(one.power for one in block.validators):
        raise LightBlockError(reason="not more than two thirds signed", height=height)


def valid_votes(block: LightBlock) -> tuple[Vote, ...]:
    """The votes of a block that hold here: CometBFT accepts a few encodings of signatures that nobody else does.

    A validator that signs in such a way cannot spoil the others' votes for who keeps only these.
    """
    keys = {address_of(one.key): one.key for one in block.validators}
    return tuple(
        vote
        for vote in block.votes
        if vote.validator in keys and is_signed(keys[vote.validator], signed_bytes(block, vote), vote.signature)
    )


def bisection(
    start: Trusted, target: LightBlock, policy: Policy, now: TimeNs, fetched_max: int = FETCHED_MAX
) -> Generator[Height, LightBlock, tuple[LightBlock, ...]]:
    """Verify a block through as few blocks between as are needed; yields heights, is sent the blocks there.

    Answers the blocks that were verified, in order, the target last.

    Raises:
        as `verify`; LightBlockError also where another block was sent than asked for, or too many would be needed.
    """
    believed = start
    waiting = [target]
    trace: list[LightBlock] = []
    fetched = 0
    while waiting:
        try:
            verify(believed, waiting[-1], policy, now)
        except TooFewTrustedError:
            height = (believed.height + waiting[-1].header.height) // 2
            fetched += 1
            if fetched > fetched_max:
                raise LightBlockError(reason="too many changes of validators between", height=height) from None
            block = yield height
            if block.header.height != height:
                raise LightBlockError(reason="another block than was asked for", height=height) from None
            waiting.append(block)
        else:
            trace.append(waiting.pop())
            believed = trusted(trace[-1])
    return tuple(trace)


def _check_later(trusted: Trusted, block: LightBlock, policy: Policy, now: TimeNs) -> None:
    header = block.header
    if trusted.time + policy.period_ns <= now:
        raise TrustExpiredError(height=trusted.height)
    if not is_well_formed(header) or header.chain != trusted.chain:
        raise LightBlockError(reason="not a header of this chain", height=header.height)
    if header.height <= trusted.height or header.time <= trusted.time:
        raise LightBlockError(reason="not later than the trusted block", height=header.height)
    if header.time >= now + policy.drift_ns:
        raise LightBlockError(reason="from the future", height=header.height)
    if validators_hash(block.validators) != header.validators:
        raise LightBlockError(reason="other validators than the header names", height=header.height)


def _check_overlap(trusted: Trusted, block: LightBlock, policy: Policy) -> None:
    """By power as it is with the trusted ones; whether the votes hold, `check_votes` sees."""
    height = block.header.height
    if not trusted.known:
        if block.header.validators != trusted.next_validators:
            raise TooFewTrustedError(height=height, trusted_height=trusted.height)
        return
    above, below = policy.level
    counted = powers(trusted.known)
    voters = {vote.validator for vote in block.votes}
    signed = sum(counted.get(one.key, 0) for one in block.validators if address_of(one.key) in voters)
    if below * signed <= above * sum(counted.values()):
        raise TooFewTrustedError(height=height, trusted_height=trusted.height)
