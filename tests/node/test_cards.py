"""A card is its member's own, or nobody's: every key on it that can sign has signed it."""

from pathlib import Path

import pytest

from salus.core.errors import SalusError
from salus.core.ids import ChainId, MemberId
from salus.core.wire import encode, replace
from salus.crypto.signatures import SigningKey
from salus.node.cards import Card, FalseCardError, NotACardError, card_file, read_card
from salus.node.enlisting import (
    JoinedAlreadyError,
    NotBegunError,
    OtherChainError,
    begin,
    found_of,
    own_card,
)
from salus.node.folder import member_folder
from salus.node.keys import DUTIES, load_secrets
from salus.node.settings import system_clock

NOW = system_clock()


@pytest.fixture
def mercy(tmp_path: Path) -> Path:
    begin(tmp_path / "mercy", MemberId("mercy"))
    return tmp_path / "mercy"


@pytest.fixture
def card(mercy: Path) -> Card:
    return own_card(mercy)


@pytest.mark.parametrize("data", [b"", b"\x90", b"card", b"\xff" * 20_000])
def test_what_is_no_card_is_malformed(data: bytes) -> None:
    with pytest.raises(NotACardError):
        read_card(data)


def test_a_card_cut_short_or_with_more_behind_it_is_malformed(card: Card) -> None:
    for data in (encode(card)[:-1], encode(card) + b"\0"):
        with pytest.raises(NotACardError):
            read_card(data)


@pytest.mark.parametrize("duty", ["ledger", "validator", "keeper", "tls"])
def test_a_card_with_a_key_that_did_not_sign_it_is_refused(card: Card, duty: str) -> None:
    """Somebody enlists a key that is not theirs: the last of these is signed anew by who holds the ledger key."""
    other = SigningKey(bytes([7]) * 32)
    forged = replace(card, keys=replace(card.keys, **{duty: other.public}))
    with pytest.raises(FalseCardError):
        read_card(encode(forged))


@pytest.mark.parametrize("duty", ["ledger", "validator", "keeper", "tls"])
def test_a_false_proof_is_refused(card: Card, duty: str) -> None:
    forged = replace(card, proof=replace(card.proof, **{duty: bytes(64)}))
    with pytest.raises(FalseCardError):
        read_card(encode(forged))


@pytest.mark.parametrize(
    "change",
    [
        {"chain": ChainId("another")},
        {"member": MemberId("lakeside")},
        {"jurisdiction": "eu"},
        {"light": "198.51.100.7:26657"},
        {"signature": bytes(64)},
    ],
)
def test_a_card_that_was_changed_is_refused(card: Card, change: dict[str, object]) -> None:
    with pytest.raises(FalseCardError):
        read_card(encode(replace(card, **change)))


def test_a_changed_address_is_refused(card: Card) -> None:
    moved = replace(card, endpoints=replace(card.endpoints, keeper="198.51.100.7:1"))
    with pytest.raises(FalseCardError):
        read_card(encode(moved))


def test_a_card_holds_no_secret(mercy: Path, card: Card) -> None:
    data = card_file(mercy, card.member).read_bytes()
    secrets = [(member_folder(mercy, card.member) / "keys" / duty).read_bytes() for duty in DUTIES]
    assert not any(secret in data for secret in secrets)


def test_to_begin_again_keeps_keys_and_addresses_and_writes_the_card_anew(mercy: Path, card: Card) -> None:
    again = begin(mercy, MemberId("mercy"), chain=ChainId("salus-1"), listen="203.0.113.9")
    assert (again.keys, again.endpoints, again.light) == (card.keys, card.endpoints, card.light)
    assert again.chain == "salus-1"
    assert own_card(mercy) == again


def test_one_folder_is_one_members(mercy: Path) -> None:
    with pytest.raises(JoinedAlreadyError):
        begin(mercy, MemberId("lakeside"))


def test_a_member_that_listens_at_one_host_is_reached_at_another(tmp_path: Path) -> None:
    card = begin(tmp_path, MemberId("mercy"), listen="0.0.0.0", reach="salus.mercy.example", first_port=26_600)
    assert card.endpoints.engine.endswith("@salus.mercy.example:26600")
    assert (card.light, card.endpoints.keeper) == ("salus.mercy.example:26601", "salus.mercy.example:26602")


def test_nobody_founds_from_an_empty_folder(tmp_path: Path, card: Card) -> None:
    with pytest.raises(NotBegunError):
        found_of(tmp_path / "empty", [card], chain=ChainId("salus-1"), now=NOW)


def test_a_card_for_another_network_founds_nothing(tmp_path: Path, mercy: Path) -> None:
    other = begin(tmp_path / "lakeside", MemberId("lakeside"), chain=ChainId("salus-2"))
    with pytest.raises(OtherChainError):
        found_of(mercy, [other], chain=ChainId("salus-1"), now=NOW)
    assert not (mercy / "genesis").exists()


def test_two_cards_of_one_name_or_one_key_found_nothing(tmp_path: Path, mercy: Path, card: Card) -> None:
    twin = begin(tmp_path / "twin", MemberId("mercy"))
    with pytest.raises(SalusError) as refused:
        found_of(mercy, [twin], chain=ChainId("salus-1"), now=NOW)
    assert refused.value.code == "members.member_twice"
    assert not (mercy / "genesis").exists()


def test_keys_that_are_there_are_never_made_again(mercy: Path, card: Card) -> None:
    before = load_secrets(member_folder(mercy, card.member) / "keys").public
    begin(mercy, MemberId("mercy"))
    assert load_secrets(member_folder(mercy, card.member) / "keys").public == before
