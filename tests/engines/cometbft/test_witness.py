"""Witnesses: what two sources tell is compared, and a contradiction names who signed it."""

from collections.abc import Sequence

import pytest

from salus.core.errors import RefusalError
from salus.core.wire import decode, encode, replace
from salus.crypto.digests import digest
from salus.crypto.signatures import SigningKey
from salus.engines.cometbft.blocks import LightBlock, validators_hash
from salus.engines.cometbft.client import Fetch, Update, update
from salus.engines.cometbft.light import LightBlockError, Policy
from salus.engines.cometbft.rpc import EngineAwayError
from salus.engines.cometbft.witness import Attack, Kind, attack, check_attack, contradict
from tests.engines.cometbft.chain import SECOND_NS, as_set, forged, signed, stranger
from tests.engines.cometbft.receipt_cases import NET, chain, validators

POLICY = Policy()
NOW = chain().blocks[-1].header.time + SECOND_NS
COMMON, TRUE = chain().at(3), chain().at(4)
THREE = validators()[:3]
EQUIVOCATION = forged(TRUE, THREE, data=digest(b"another transaction"))
LUNATIC = forged(TRUE, THREE, app_hash=digest(b"another state"))
AMNESIA = signed(replace(EQUIVOCATION, round=1, votes=()), THREE)
HIGHER = forged(TRUE, THREE, height=5, time=TRUE.header.time - 1)


def source(*changed: LightBlock) -> Fetch:
    """The chain, with other blocks in some places."""
    others = {block.header.height: block for block in changed}

    async def fetch(height: int) -> LightBlock:
        return others.get(height) or chain().at(height)

    return fetch


async def away(height: int) -> LightBlock:
    raise EngineAwayError(method="commit", height=height)


async def updated(height: int, primary: Fetch, **witnesses: Fetch) -> Update:
    return await update(COMMON, height, primary, witnesses, POLICY, NOW)


def bad_evidence() -> list[tuple[str, Attack]]:
    good = attack(COMMON, (TRUE,), (LUNATIC,))
    return [
        ("another kind", replace(good, kind=Kind.AMNESIA)),
        ("fewer culprits", replace(good, culprits=good.culprits[1:])),
        ("others named", replace(good, culprits=(stranger("innocent").public, *good.culprits[1:]))),
        ("one block twice", attack(COMMON, (TRUE,), (TRUE,))),
        ("blocks of one chain", attack(COMMON, (TRUE,), (chain().at(5),))),
        ("too few votes", attack(COMMON, (TRUE,), (forged(LUNATIC, THREE[:2]),))),
        ("votes of strangers", attack(COMMON, (TRUE,), (forged(LUNATIC, [stranger(str(i)) for i in range(4)]),))),
        ("a common block that nobody signed", replace(good, common=signed(COMMON, ()))),
    ]


@pytest.mark.parametrize(("why", "evidence"), bad_evidence(), ids=[why for why, _ in bad_evidence()])
def test_check_attack_refuses(why: str, evidence: Attack) -> None:
    with pytest.raises(RefusalError):
        check_attack(evidence, POLICY, NOW)


@pytest.mark.parametrize(
    ("block", "kind", "signed_by"),
    [
        (EQUIVOCATION, Kind.EQUIVOCATION, {"mercy", "st-luke", "lakeside"}),
        (LUNATIC, Kind.LUNATIC, {"mercy", "st-luke", "lakeside"}),
        (AMNESIA, Kind.AMNESIA, set()),
        (HIGHER, Kind.LUNATIC, {"mercy", "st-luke", "lakeside"}),
    ],
)
def test_evidence_names_who_signed_and_needs_no_network(block: LightBlock, kind: Kind, signed_by: set[str]) -> None:
    evidence = decode(Attack, encode(attack(COMMON, (TRUE,), (block,))))
    check_attack(evidence, POLICY, NOW)
    assert evidence.kind is kind
    names = {one.keys.validator: one.member for one in NET.genesis.members}
    assert {names[key] for key in evidence.culprits} == signed_by


def test_blocks_contradict_each_other_at_one_height_or_where_the_higher_is_not_later() -> None:
    assert contradict(TRUE, LUNATIC)
    assert contradict(TRUE, HIGHER)
    assert contradict(HIGHER, TRUE)
    assert not contradict(TRUE, TRUE)
    assert not contradict(TRUE, chain().at(5))


async def test_a_block_is_believed_once_a_witness_agrees() -> None:
    found = await updated(4, source(), one=source(), two=away)
    assert (found.is_believed, found.agreed, found.away) == (True, ("one",), ("two",))
    assert [block.header.height for block in found.trace] == [3, 4]
    alone = await updated(4, source(), two=away)
    assert not alone.is_believed


@pytest.mark.parametrize("block", [EQUIVOCATION, LUNATIC, AMNESIA])
async def test_a_primary_that_lies_is_found_by_one_honest_witness(block: LightBlock) -> None:
    found = await updated(4, source(block), liar=source(block), honest=source())
    assert not found.is_believed
    ((against_primary, against_witness),) = found.attacks
    assert (against_primary.conflicting, against_primary.believed) == ((block,), (TRUE,))
    assert (against_witness.conflicting, against_witness.believed) == ((TRUE,), (block,))
    for evidence in (against_primary, against_witness):
        check_attack(evidence, POLICY, NOW)


async def test_a_witness_that_cannot_prove_its_block_is_dropped() -> None:
    strangers = [stranger(str(number)) for number in range(4)]
    found = await updated(4, source(), honest=source(), liar=source(forged(TRUE, strangers, data=b"")))
    assert (found.is_believed, found.unproven) == (True, ("liar",))


async def test_a_witness_that_answers_for_another_height_agrees_with_nothing() -> None:
    async def other(height: int) -> LightBlock:
        return chain().at(height - 1)

    found = await updated(4, source(), other=other)
    assert (found.agreed, found.away, found.is_believed) == ((), ("other",), False)


async def test_a_primary_with_a_higher_block_that_is_not_later_is_found_by_a_witness_that_is_behind() -> None:
    async def behind(height: int) -> LightBlock:
        return TRUE

    found = await updated(5, source(HIGHER), honest=behind)
    ((against_primary, _),) = found.attacks
    check_attack(against_primary, POLICY, NOW)
    assert against_primary.kind is Kind.LUNATIC


async def test_a_primary_must_tell_of_the_height_that_was_asked_for() -> None:
    async def other(height: int) -> LightBlock:
        return chain().at(height - 1)

    with pytest.raises(LightBlockError):
        await updated(5, other, one=source())


async def test_the_fork_is_found_where_it_began() -> None:
    """Validators of block 5 and on fork away with a set of their own; the witness's way is verified through it."""
    liars = (*validators()[1:], stranger("new"))
    fork = forked_from(chain().at(6), liars, up_to=9)
    found = await updated(9, source(*fork), honest=source())
    ((against_primary, _),) = found.attacks
    assert against_primary.conflicting[-1] in fork
    assert against_primary.common in chain().blocks
    check_attack(against_primary, POLICY, NOW)
    assert against_primary.culprits


def forked_from(block: LightBlock, keys: Sequence[SigningKey], up_to: int) -> list[LightBlock]:
    named = validators_hash(as_set(keys))
    blocks = []
    for height in range(block.header.height, up_to + 1):
        of = chain().at(height)
        header = replace(of.header, validators=named, next_validators=named, app_hash=digest(b"fork"))
        blocks.append(signed(replace(of, header=header, validators=as_set(keys)), keys))
    return blocks
