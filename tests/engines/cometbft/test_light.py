"""The light client: the public vectors, and every way in which a block must be refused."""

import dataclasses
from collections.abc import Callable, Generator
from itertools import pairwise
from typing import Any, TypeVar

import pytest

from salus.core.errors import RefusalError, SalusError
from salus.core.wire import replace
from salus.crypto.signatures import SigningKey
from salus.engines.cometbft.blocks import Header, LightBlock, header_hash, validators_hash
from salus.engines.cometbft.headers import read_header, read_light_block, read_time, read_validators
from salus.engines.cometbft.light import (
    LightBlockError,
    Policy,
    TooFewTrustedError,
    Trusted,
    TrustExpiredError,
    bisection,
    check_votes,
    trusted,
    trusted_genesis,
    valid_votes,
    verify,
    verify_adjacent,
    verify_back_to,
    verify_backwards,
    verify_skipping,
)
from tests.engines.cometbft.chain import SECOND_NS, as_set, forged, signed, stranger
from tests.engines.cometbft.receipt_cases import NET, OTHER, chain, validators
from tests.engines.cometbft.vectors import single_steps

T = TypeVar("T")


def start_of(initial: dict[str, Any]) -> Trusted:
    header = read_header(initial["signed_header"]["header"])
    return Trusted(
        chain=header.chain,
        height=header.height,
        time=header.time,
        header=header_hash(header),
        next_validators=header.next_validators,
        known=read_validators(initial["next_validator_set"]["validators"]),
    )


def verdict(start: Trusted, shown: dict[str, Any], policy: Policy) -> tuple[str, LightBlock | None]:
    try:
        validators = read_validators(shown["block"]["validator_set"]["validators"])
        block = read_light_block(shown["block"]["signed_header"], validators)
        verify(start, block, policy, read_time(shown["now"]))
    except TooFewTrustedError:
        return "NOT_ENOUGH_TRUST", None
    except SalusError:
        return "INVALID", None
    return "SUCCESS", block


def test_there_are_41_vectors() -> None:
    assert len(single_steps()) == 41


@pytest.mark.parametrize("name", single_steps())
def test_every_public_vector_gets_its_verdict(name: str) -> None:
    case = single_steps()[name]
    start = start_of(case["initial"])
    policy = Policy(period_ns=int(case["initial"]["trusting_period"]), drift_ns=1)
    for shown in case["input"]:
        said, block = verdict(start, shown, policy)
        assert said == shown["verdict"]
        if block is not None:  # The vectors trust the next validators, whose digest the header holds.
            after = read_validators(shown["block"]["next_validator_set"]["validators"])
            assert validators_hash(after) == block.header.next_validators
            start = dataclasses.replace(trusted(block), known=after)


NOW = chain().blocks[-1].header.time + SECOND_NS
POLICY = Policy()


def others() -> tuple[SigningKey, ...]:
    return tuple(stranger(f"other {number}") for number in range(4))


def not_following() -> list[tuple[str, str, LightBlock]]:
    """What is wrong with a block that claims to follow the third, what is said of it, and the block."""
    fourth, fifth, keys = chain().at(4), chain().at(5), validators()
    third = chain().at(3).header
    return [
        ("the same height", "not later", chain().at(3)),
        ("a lower height", "not later", chain().at(2)),
        ("no later time", "not later", forged(fourth, keys, time=third.time)),
        ("the future", "future", forged(fourth, keys, time=NOW + POLICY.drift_ns)),
        ("another chain", "not a header of this chain", forged(fourth, keys, chain="other")),
        ("another version", "not a header of this chain", forged(fourth, keys, block_version=10)),
        ("a digest cut short", "not a header of", forged(fourth, keys, evidence=fourth.header.evidence[1:])),
        ("no validators", "not a header of this chain", forged(fourth, keys, validators=b"")),
        ("validators that it does not name", "other validators", replace(fourth, validators=as_set(others()))),
        ("next, but by others", "named as next", by(others(), fourth)),
        ("later, by others", "too_few_trusted", by(others(), fifth)),
        ("later, by one of four", "too_few_trusted", by((keys[0], *others()[1:]), fifth)),
        ("two thirds, not more", "two thirds", by(keys[:3], fifth, votes=2)),
        ("two of four", "two thirds", signed(fourth, keys[:2])),
        ("its votes in another round", "signature is not valid", replace(fourth, round=1)),
        ("its time changed", "not valid", replace(fourth, header=with_(fourth.header, time=third.time + 1))),
    ]


def with_(header: Header, **changes: object) -> Header:
    return replace(header, **changes)


def by(keys: tuple[SigningKey, ...], block: LightBlock, votes: int | None = None) -> LightBlock:
    named = validators_hash(as_set(keys))
    header = replace(block.header, validators=named, next_validators=named)
    return signed(replace(block, header=header, validators=as_set(keys)), keys[:votes])


@pytest.mark.parametrize(("why", "said", "block"), not_following(), ids=[why for why, *_ in not_following()])
def test_verify_refuses(why: str, said: str, block: LightBlock) -> None:
    with pytest.raises(RefusalError, match=said):
        verify(trusted(chain().at(3)), block, POLICY, NOW)


def test_trust_expires_at_the_end_of_its_period() -> None:
    start = trusted(chain().at(3))
    for block in (chain().at(4), chain().at(5)):
        verify(start, block, POLICY, start.time + POLICY.period_ns - 1)
        with pytest.raises(TrustExpiredError):
            verify(start, block, POLICY, start.time + POLICY.period_ns)


def test_a_header_may_be_ahead_of_our_clock_by_less_than_the_drift() -> None:
    start, block = trusted(chain().at(3)), chain().at(4)
    verify(start, block, POLICY, block.header.time - POLICY.drift_ns + 1)
    with pytest.raises(LightBlockError, match="future"):
        verify(start, block, POLICY, block.header.time - POLICY.drift_ns)


def test_adjacent_and_skipping_are_not_confused() -> None:
    start = trusted(chain().at(3))
    with pytest.raises(LightBlockError):
        verify_adjacent(start, chain().at(5), POLICY, NOW)
    with pytest.raises(LightBlockError):
        verify_skipping(start, chain().at(4), POLICY, NOW)


def test_the_genesis_vouches_for_the_first_block_and_later_ones() -> None:
    for height in (1, 2, 5):
        verify(trusted_genesis(NET.genesis), chain().at(height), POLICY, NOW)
    with pytest.raises(LightBlockError):
        verify(trusted_genesis(OTHER.genesis), chain().at(1), POLICY, NOW)


def test_a_trusted_block_without_its_validators_vouches_for_the_next_ones_alone() -> None:
    start = dataclasses.replace(trusted(chain().at(3)), known=())
    for height in (4, 5):
        verify(start, chain().at(height), POLICY, NOW)
    with pytest.raises(TooFewTrustedError):
        verify(start, chain().at(6), POLICY, NOW)


def test_a_higher_level_of_trust_asks_for_more_of_the_trusted_validators() -> None:
    start = trusted(chain().at(1))
    verify(start, chain().at(7), Policy(level=(1, 3)), NOW)
    with pytest.raises(TooFewTrustedError):
        verify(start, chain().at(7), Policy(level=(1, 2)), NOW)


def test_backwards_each_header_must_be_the_one_that_the_next_names() -> None:
    headers = [block.header for block in reversed(chain().blocks)]
    verify_back_to(headers[0], headers[1:])
    for number, header in enumerate(headers[1:-1], start=1):
        for changed in (with_(header, time=header.time - 1), with_(header, chain="other"), headers[number + 1]):
            with pytest.raises(LightBlockError):
                verify_backwards(headers[number - 1], changed)
    with pytest.raises(LightBlockError):
        verify_back_to(headers[0], headers[2:])


def run(steps: Generator[int, LightBlock, T], source: Callable[[int], LightBlock]) -> tuple[T, list[int]]:
    """The end of a search, and the heights that it asked for."""
    asked: list[int] = []
    try:
        asked.append(next(steps))
        while True:
            asked.append(steps.send(source(asked[-1])))
    except StopIteration as end:
        return end.value, asked


def test_bisection_asks_for_no_block_where_validators_have_not_changed() -> None:
    trace, asked = run(bisection(trusted(chain().at(1)), chain().at(5), POLICY, NOW), chain().at)
    assert ([block.header.height for block in trace], asked) == ([5], [])


def test_bisection_finds_a_way_through_changes() -> None:
    start = trusted_genesis(NET.genesis)
    trace, asked = run(bisection(start, chain().at(9), POLICY, NOW), chain().at)
    assert [block.header.height for block in trace][-1] == 9
    assert asked
    for before, after in pairwise([start, *map(trusted, trace)]):
        verify(before, chain().at(after.height), POLICY, NOW)


def test_bisection_refuses_a_source_that_lies() -> None:
    def forger(height: int) -> LightBlock:
        return by(others(), chain().at(height))

    with pytest.raises(LightBlockError):
        run(bisection(trusted_genesis(NET.genesis), chain().at(9), POLICY, NOW), forger)
    with pytest.raises(LightBlockError, match="asked for"):
        run(bisection(trusted_genesis(NET.genesis), chain().at(9), POLICY, NOW), lambda _: chain().at(6))
    with pytest.raises(LightBlockError):
        run(bisection(trusted_genesis(NET.genesis), by(others(), chain().at(9)), POLICY, NOW), chain().at)


def test_bisection_ends_where_too_many_blocks_would_be_needed() -> None:
    with pytest.raises(LightBlockError, match="too many"):
        run(bisection(trusted_genesis(NET.genesis), chain().at(9), POLICY, NOW, fetched_max=0), chain().at)


def test_votes_that_do_not_hold_are_left_out_and_spoil_nothing() -> None:
    block = chain().at(4)
    one, *rest = block.votes
    spoilt = replace(block, votes=(replace(one, signature=bytes(64)), *rest))
    with pytest.raises(LightBlockError):
        check_votes(spoilt)
    check_votes(replace(spoilt, votes=valid_votes(spoilt)))
    assert valid_votes(spoilt) == tuple(rest)
