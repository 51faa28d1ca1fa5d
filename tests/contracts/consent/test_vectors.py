"""The decisions written down for other implementations are still the ones taken, and their bytes still read."""

import json

from salus.contracts.consent import Decision, PolicySet, ReadRequest, decide
from salus.contracts.records.header import Header
from salus.core.wire import decode, encode
from tests.contracts.consent.world import PACKS
from tests.vectors.generate_decisions import TARGET, vectors


def test_the_vectors_are_what_the_generator_writes() -> None:
    assert json.loads(TARGET.read_text()) == json.loads(json.dumps(vectors()))


def test_every_decision_follows_from_its_bytes_alone() -> None:
    for case in json.loads(TARGET.read_text())["decisions"]:
        taken = decide(
            decode(PolicySet, bytes.fromhex(case["policy"])),
            tuple(PACKS[name] for name in case["packs"]),
            decode(ReadRequest, bytes.fromhex(case["request"])),
            decode(Header, bytes.fromhex(case["header"])),
            case["at"],
        )
        assert encode(taken).hex() == case["decision"]
        assert decode(Decision, bytes.fromhex(case["decision"])).effect.value == case["effect"]
