"""An invitation is believed when its inviter signed it, it is still good, fits together, and is for one's own card."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from salus.core.ids import ChainId, MemberId
from salus.core.wire import encode, replace
from salus.crypto.signatures import SigningKey
from salus.engines.cometbft.config import StateSync
from salus.node.cards import Card
from salus.node.enlisting import JoinedAlreadyError, accept, begin, beginning, found_of, own_card
from salus.node.folder import GENESIS_FILE, member_folder, read_genesis
from salus.node.invitations import (
    LASTS_MS,
    FalseInvitationError,
    Invitation,
    InvitationExpiredError,
    NotAnInvitationError,
    NotInvitedError,
    read_invitation,
    sign_invitation,
)
from salus.node.keys import load_secrets
from salus.node.settings import system_clock
from salus.node.site import read_site

NAMES = ("mercy", "st-luke", "lakeside", "northgate")
NOW = system_clock()


@dataclass(frozen=True, slots=True)
class Four:
    """Four folders, as if on four machines; Mercy has founded the network and invites the others."""

    place: Path
    cards: dict[str, Card]
    invitation: Invitation
    key: SigningKey

    def signed(self, invitation: Invitation | None = None, key: SigningKey | None = None) -> bytes:
        return encode(sign_invitation(invitation or self.invitation, key or self.key))


@pytest.fixture
def four(tmp_path: Path) -> Four:
    cards = {name: begin(tmp_path / name, MemberId(name)) for name in NAMES}
    others = [cards[name] for name in NAMES[1:]]
    found_of(tmp_path / "mercy", others, chain=ChainId("salus-1"), now=NOW)
    invitation = beginning(tmp_path / "mercy", others, NOW)
    return Four(tmp_path, cards, invitation, load_secrets(tmp_path / "mercy/members/mercy/keys").ledger)


@pytest.mark.parametrize("data", [b"", b"\x90", b"an invitation"])
def test_what_is_no_invitation_is_malformed(four: Four, data: bytes) -> None:
    with pytest.raises(NotAnInvitationError):
        read_invitation(data, four.cards["lakeside"], NOW)


def test_an_invitation_cut_short_is_malformed(four: Four) -> None:
    with pytest.raises(NotAnInvitationError):
        read_invitation(four.signed()[:-1], four.cards["lakeside"], NOW)


def test_a_signature_of_somebody_else_is_refused(four: Four) -> None:
    with pytest.raises(FalseInvitationError):
        read_invitation(four.signed(key=SigningKey(bytes([9]) * 32)), four.cards["lakeside"], NOW)


def test_an_inviter_that_is_no_member_is_refused(four: Four) -> None:
    stranger = replace(four.invitation, inviter=MemberId("stranger"))
    with pytest.raises(FalseInvitationError):
        read_invitation(four.signed(stranger), four.cards["lakeside"], NOW)


def test_every_changed_byte_is_noticed(four: Four) -> None:
    """Also in the genesis: what is changed after it was signed does not read, or is not signed."""
    data = four.signed()
    for at in range(0, len(data), 97):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises((NotAnInvitationError, FalseInvitationError)):
            read_invitation(changed, four.cards["lakeside"], NOW)


def test_an_old_invitation_is_refused(four: Four) -> None:
    read_invitation(four.signed(), four.cards["lakeside"], NOW + LASTS_MS - 1)
    with pytest.raises(InvitationExpiredError):
        read_invitation(four.signed(), four.cards["lakeside"], NOW + LASTS_MS)


def _other_quota(invitation: Invitation) -> Invitation:
    first, *rest = invitation.genesis.members
    return replace(invitation, genesis=replace(invitation.genesis, members=(first, first, *rest)))


def _without_the_last(invitation: Invitation) -> Invitation:
    genesis = invitation.genesis
    return replace(invitation, genesis=replace(genesis, members=genesis.members[:-1]))


def _another_chain(invitation: Invitation) -> Invitation:
    return replace(invitation, genesis=replace(invitation.genesis, chain=ChainId("salus-2")))


def _another_address(invitation: Invitation) -> Invitation:
    first, *rest = invitation.peers
    moved = replace(first, endpoints=replace(first.endpoints, engine="00@198.51.100.7:1"))
    return replace(invitation, peers=(moved, *rest))


@pytest.mark.parametrize("change", [_other_quota, _without_the_last, _another_chain, _another_address])
def test_a_genesis_that_does_not_fit_is_refused_though_its_inviter_signed_it(
    four: Four, change: Callable[[Invitation], Invitation]
) -> None:
    with pytest.raises(FalseInvitationError):
        read_invitation(four.signed(change(four.invitation)), four.cards["lakeside"], NOW)


def test_an_invitation_for_other_cards_is_refused(four: Four) -> None:
    stranger = begin(four.place / "southport", MemberId("southport"))
    with pytest.raises(NotInvitedError):
        read_invitation(four.signed(), stranger, NOW)


def test_who_made_new_keys_after_the_card_was_sent_is_not_invited(four: Four) -> None:
    again = begin(four.place / "second", MemberId("lakeside"))
    with pytest.raises(NotInvitedError):
        read_invitation(four.signed(), again, NOW)


def test_a_genesis_with_another_card_of_ones_name_is_refused_though_the_card_is_named(four: Four) -> None:
    again = begin(four.place / "second", MemberId("lakeside"))
    for name in NAMES[1:]:
        (four.place / "mercy" / f"{name}.card").unlink(missing_ok=True)
    more = beginning(four.place / "mercy", [again], NOW)
    with pytest.raises(NotInvitedError):
        read_invitation(four.signed(more), again, NOW)


def test_an_invitation_holds_no_secret(four: Four) -> None:
    data = four.signed()
    for name in NAMES:
        keys = four.place / name / "members" / name / "keys"
        assert not any(path.read_bytes() in data for path in keys.iterdir())


def test_a_member_joins_once_and_again_without_a_change(four: Four) -> None:
    folder = four.place / "lakeside"
    invitation = read_invitation(four.signed(), four.cards["lakeside"], NOW)
    assert accept(folder, invitation)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert not accept(folder, invitation)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert read_genesis(folder) == four.invitation.genesis
    site = read_site(member_folder(folder, MemberId("lakeside")))
    assert [peer.rpartition("@")[0] for peer in site.peers] == [
        four.cards[name].endpoints.engine.rpartition("@")[0] for name in NAMES if name != "lakeside"
    ]
    assert four.cards["lakeside"].light not in site.light
    assert len(site.light) == 3


def test_until_it_was_started_a_newer_invitation_moves_where_it_begins(four: Four) -> None:
    """A member that waited too long begins from a block that is not too old; one that runs is left alone."""
    folder, place = four.place / "lakeside", member_folder(four.place / "lakeside", MemberId("lakeside"))
    for height in (2_000, 4_000):
        assert accept(folder, four.invitation, StateSync((), height, f"{height:064X}"))
        assert (read_site(place).trust_height, read_site(place).trust_hash) == (height, f"{height:064X}")
    (place / "ledger").mkdir()
    assert not accept(folder, four.invitation, StateSync((), 6_000, "AB"))
    assert read_site(place).trust_height == 4_000


def test_a_member_of_one_network_joins_no_other(four: Four, tmp_path: Path) -> None:
    invitation = read_invitation(four.signed(), four.cards["lakeside"], NOW)
    accept(four.place / "lakeside", invitation)
    begin(tmp_path / "other", MemberId("mercy"))
    found_of(tmp_path / "other", [four.cards["lakeside"]], chain=ChainId("salus-2"), now=NOW)
    key = load_secrets(tmp_path / "other/members/mercy/keys").ledger
    second = encode(sign_invitation(beginning(tmp_path / "other", [four.cards["lakeside"]], NOW), key))
    with pytest.raises(JoinedAlreadyError):
        accept(four.place / "lakeside", read_invitation(second, own_card(four.place / "lakeside"), NOW))
    assert read_genesis(four.place / "lakeside") == four.invitation.genesis
    assert (four.place / "lakeside" / GENESIS_FILE).exists()
