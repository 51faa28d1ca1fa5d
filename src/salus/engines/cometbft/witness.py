"""Comparing sources: two signed blocks that contradict each other are an attack, and name who made it.

A client verifies blocks from a primary and asks witnesses for the block at the same height (`client.py`). If one tells
of another, `examine` finds the newest block on which both agree and verifies the witness's way from there. Then the two
ways are proof by themselves: `check_attack` needs no network. It is held against either side, since a witness may be
the liar: `culprits` are validators that signed what only a liar signs, if what they contradict is true.
"""

from collections.abc import Generator, Sequence
from enum import Enum
from typing import Annotated

from msgspec import Meta

from salus.core.errors import RefusalError
from salus.core.ids import Height, PublicKey
from salus.core.wire import Record
from salus.engines.cometbft.blocks import LightBlock, TimeNs, address_of, header_hash
from salus.engines.cometbft.light import LightBlockError, Policy, bisection, check_votes, trusted, verify

Way = Annotated[tuple[LightBlock, ...], Meta(min_length=1)]  # Each follows from the one before.

_OF_THE_APPLICATION = ("validators", "next_validators", "consensus", "app_hash", "last_results")


class Kind(Enum):
    """How validators made two blocks that contradict each other."""

    LUNATIC = "lunatic"  # The header says of state, validators or height what the chain does not.
    EQUIVOCATION = "equivocation"  # They signed two possible headers in one round.
    AMNESIA = "amnesia"  # They signed in two rounds and forgot a lock: the votes alone do not say who.


class AttackError(RefusalError):
    """The evidence shows no two signed blocks that contradict each other, or names others than those who signed."""

    code = "engine.attack"


class Attack(Record, tag="comet.attack/1", frozen=True):
    """Two ways from one block to two that contradict each other."""

    common: LightBlock
    believed: Way
    conflicting: Way
    kind: Kind
    culprits: tuple[PublicKey, ...]  # Who signed the last conflicting block and should not have, by address.


def contradict(one: LightBlock, other: LightBlock) -> bool:
    """Whether two blocks cannot be of one chain: two at one height, or a higher one that is not later."""
    mine, theirs = one.header, other.header
    if mine.height == theirs.height:
        return header_hash(mine) != header_hash(theirs)
    return (mine.height < theirs.height) != (mine.time < theirs.time)


def examine(
    trace: Sequence[LightBlock], told: LightBlock, policy: Policy, now: TimeNs
) -> Generator[Height, LightBlock, tuple[Attack, Attack]]:
    """Evidence from a verified trace, and from what a witness told that contradicts its last block.

    `trace` begins with the trusted block; each was verified from the one before. Yields heights, is sent the witness's
    blocks there. The first piece is held against who signed the trace, the second against who signed for the witness.

    Raises:
        LightBlockError, TooFewTrustedError, TrustExpiredError: what the witness told does not verify.
        AttackError: nothing that the witness told contradicts the trace.
    """
    common = trace[0]
    for block in trace[1:]:
        of_witness = told
        if block.header.height < told.header.height:
            of_witness = yield block.header.height
            if of_witness.header.height != block.header.height:
                raise LightBlockError(reason="another block than was asked for", height=block.header.height)
        if contradict(block, of_witness):
            way = yield from bisection(trusted(common), of_witness, policy, now)
            return attack(common, way, (block,)), attack(common, (block,), way)
        common = block
    raise AttackError(reason="no contradiction", height=told.header.height)


def attack(common: LightBlock, believed: Way, conflicting: Way) -> Attack:
    """The evidence against who signed the last of `conflicting`, if the last of `believed` is the chain's."""
    kind = kind_of(believed[-1], conflicting[-1])
    return Attack(common, believed, conflicting, kind, culprits(common, believed, conflicting))


def kind_of(believed: LightBlock, conflicting: LightBlock) -> Kind:
    """How the conflicting block was made."""
    mine, theirs = believed.header, conflicting.header
    if mine.height != theirs.height or any(getattr(mine, it) != getattr(theirs, it) for it in _OF_THE_APPLICATION):
        return Kind.LUNATIC
    return Kind.EQUIVOCATION if believed.round == conflicting.round else Kind.AMNESIA


def culprits(common: LightBlock, believed: Way, conflicting: Way) -> tuple[PublicKey, ...]:
    """The validators that certainly lied if what is believed is true, by address.

    Of a lunatic's header, those who signed it and were in office before it; of an equivocation, those who signed both.
    After amnesia none can be named from the votes alone.
    """
    last = conflicting[-1]
    voters = [vote.validator for vote in last.votes]
    match kind_of(believed[-1], last):
        case Kind.AMNESIA:
            return ()
        case Kind.LUNATIC:
            in_office = (common, *conflicting)[-2].validators
        case Kind.EQUIVOCATION:
            in_office = last.validators
            both = {vote.validator for vote in believed[-1].votes}
            voters = [voter for voter in voters if voter in both]
    keys = {address_of(one.key): one.key for one in in_office}
    return tuple(keys[voter] for voter in voters if voter in keys)


def check_attack(evidence: Attack, policy: Policy, now: TimeNs) -> None:
    """Raise unless this is evidence of an attack, from its common block on; that this one is trusted, the caller sees.

    Raises:
        LightBlockError, TooFewTrustedError, TrustExpiredError: a block does not follow from the one before.
        AttackError: the last blocks do not contradict each other, or show another kind or other culprits.
    """
    check_votes(evidence.common)
    for way in (evidence.believed, evidence.conflicting):
        before = evidence.common
        for block in way:
            verify(trusted(before), block, policy, now)
            before = block
    height = evidence.conflicting[-1].header.height
    if not contradict(evidence.believed[-1], evidence.conflicting[-1]):
        raise AttackError(reason="no contradiction", height=height)
    if evidence != attack(evidence.common, evidence.believed, evidence.conflicting):
        raise AttackError(reason="another kind, or other culprits", height=height)
