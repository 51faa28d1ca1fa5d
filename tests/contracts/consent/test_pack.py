"""The shipped packs can be read, cite their sources, and say what the sealing author must add."""

import msgspec
import pytest

from salus.contracts.consent import Effect, Pack, pack_root, padded, read_pack, seal_facts
from salus.contracts.consent.errors import PackError
from salus.contracts.consent.pack import Layer
from salus.contracts.records.header import Bits
from salus.core.wire import replace
from tests.contracts.consent.world import PACKS, pack_bytes

US, EU = PACKS["us"], PACKS["eu"]
RULE = US.rules[0]
BAD = [
    b"",
    b"not json",
    b"[]",
    b"\xff{}",
    b"[" * 100_000,
    pack_bytes("us").replace(b'"layer"', b'"lair"'),
    pack_bytes("us").replace(b'"TREAT"', b'"CURIOSITY"'),
    msgspec.json.encode(replace(US, rules=(RULE, RULE))),
    msgspec.json.encode(replace(US, labels=(US.labels[0], US.labels[0]))),
    msgspec.json.encode(replace(US, rules=(replace(RULE, since=5, until=5),))),
    msgspec.json.encode(replace(US, rules=(replace(RULE, names_explicit=True),))),
    msgspec.json.encode(replace(US, rules=(replace(RULE, citation=""),))),
]


@pytest.mark.parametrize("data", BAD, ids=range(len(BAD)))
def test_what_is_not_a_pack_is_refused(data: bytes) -> None:
    with pytest.raises(PackError):
        read_pack(data)


@pytest.mark.parametrize("pack", PACKS.values(), ids=PACKS)
def test_every_rule_cites_its_source_and_no_default_opens_a_record_to_another_members_staff(pack: Pack) -> None:
    assert all(rule.citation and rule.sentence.endswith(".") for rule in pack.rules)
    assert all(label.citation and label.sentence.endswith(".") for label in pack.labels)
    opening = [r for r in pack.rules if r.effect is Effect.PERMIT and r.layer is not Layer.IDENTITY]
    assert all(rule.own or [kind.value for kind in rule.kinds] == ["proxy"] for rule in opening)


def test_a_packs_root_is_of_its_content_not_its_layout() -> None:
    assert pack_root(read_pack(msgspec.json.format(pack_bytes("us"), indent=7))) == pack_root(US)
    assert len({pack_root(US), pack_root(EU), pack_root(replace(US, version=2))}) == 3


@pytest.mark.parametrize(
    ("pack", "labels", "confidentiality", "explicit", "bits"),
    [
        (US, [], [], (), Bits.RESTRICTED),
        (US, [], ["X"], (), Bits.RESTRICTED),
        (US, [], ["UL"], (), Bits.RESTRICTED),
        (US, [], ["N", "R"], (), Bits.RESTRICTED),
        (US, [], ["N", "L"], (), Bits(0)),
        (US, ["UNHEARD-OF"], ["N"], (), Bits(0)),
        (US, ["HIV"], ["N"], (), Bits.RESTRICTED),
        (US, ["SUD", "ETH"], ["N"], ("label:SUD",), Bits.RESTRICTED | Bits.NO_REDISCLOSURE),
        (US, ["PSYTHPN", "PSY"], ["V"], ("label:PSYTHPN",), Bits.RESTRICTED | Bits.NO_BREAK_GLASS),
        (US, ["MINOR"], ["N"], (), Bits.RESTRICTED | Bits.NO_PROXY),
        (EU, ["MINOR", "GDIS"], ["N"], ("label:GDIS",), Bits.RESTRICTED | Bits.NO_PROXY),
    ],
)
def test_the_sealing_author_adds(
    pack: Pack, labels: list[str], confidentiality: list[str], explicit: tuple[str, ...], bits: Bits
) -> None:
    facts = seal_facts(pack, frozenset(labels), frozenset(confidentiality))
    assert (facts.explicit, facts.bits) == (explicit, bits)


def test_explicit_is_padded_by_repeating_itself() -> None:
    one, two = b"1" * 16, b"2" * 16
    assert [padded(()), padded((two, one)), padded((one,) * 5)] == [(), (one, two, two, two), (one,) * 4]
