"""The light client: the public vectors, and every way in which a block must be refused."""

from dataclasses import replace
from typing import Any

import pytest

from salus.core.errors import SalusError
from salus.engines.cometbft.blocks import LightBlock, header_hash, validators_hash
from salus.engines.cometbft.headers import read_header, read_light_block, read_time, read_validators
from salus.engines.cometbft.light import Policy, TooFewTrustedError, Trusted, trusted, verify
from tests.engines.cometbft.vectors import single_steps


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
            start = replace(trusted(block), known=after)
