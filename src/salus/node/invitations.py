"""An invitation: all that a joiner must know of a network, signed by the member that invites. It holds no secret.

A joiner believes it because somebody it knows read the fingerprint to it by telephone; the signature binds the rest to
that. For a network that is being founded it holds the genesis, in which the joiner finds its own card. For one that
runs it also holds a block to begin from, and the proposal by which members decide about the joiner.
"""

from typing import Annotated

from msgspec import Meta

from salus.contracts.members.founding import first_committee
from salus.contracts.members.messages import Address, Endpoints, Genesis
from salus.contracts.members.transitions import genesis as found
from salus.core.errors import MalformedError, RefusalError
from salus.core.ids import DAY_MS, Digest, Name, ProposalId, PublicKey, Signature, TimeMs, Unsigned
from salus.core.wire import Record, decode, encode
from salus.crypto.digests import tagged
from salus.crypto.signatures import SigningKey, verify
from salus.engines.cometbft.blocks import LightBlock
from salus.node.cards import Card, card_id
from salus.state.key_value import MemoryStore
from salus.state.state import State

INVITATION_BYTES_MAX = 32 << 20
LASTS_MS = 7 * DAY_MS
PEERS_MAX = 10_000


class NotAnInvitationError(MalformedError):
    """The file is no invitation of Salus, or was cut short."""

    code = "node.not_an_invitation"


class FalseInvitationError(RefusalError):
    """The invitation was changed after it was signed, or does not fit together."""

    code = "node.false_invitation"


class InvitationExpiredError(RefusalError):
    """The invitation is too old."""

    code = "node.invitation_expired"


class NotInvitedError(RefusalError):
    """The invitation is for other cards than the one in this folder."""

    code = "node.not_invited"


class FingerprintError(RefusalError):
    """The invitation is not the one whose fingerprint was read to you."""

    code = "node.fingerprint"


class Peer(Record, tag="node.peer/1", frozen=True):
    """A member as the inviter's ledger has it: its keys for signing and for the wire, and where it is reached."""

    member: Name
    ledger: PublicKey
    tls: PublicKey
    endpoints: Endpoints


class Invitation(Record, tag="node.invitation/1", frozen=True):
    """What an inviter tells."""

    genesis: Genesis
    inviter: Name
    invited: Annotated[tuple[Digest, ...], Meta(min_length=1, max_length=PEERS_MAX)]  # Cards, by their ids.
    peers: Annotated[tuple[Peer, ...], Meta(min_length=1, max_length=PEERS_MAX)]  # The inviter is among them.
    light: Annotated[tuple[Address, ...], Meta(max_length=PEERS_MAX)]  # Where light clients may ask, the inviter first.
    trusted: LightBlock | None  # None: the network begins.
    proposal: ProposalId | None  # None: nothing needs to be decided.
    snapshot_every_blocks: Unsigned
    expires: TimeMs


class SignedInvitation(Record, tag="node.signed_invitation/1", frozen=True):
    """An invitation with its inviter's word."""

    invitation: Invitation
    signature: Signature  # By the inviter's ledger key.


def sign_invitation(invitation: Invitation, ledger: SigningKey) -> SignedInvitation:
    """Sign as the inviter."""
    return SignedInvitation(invitation=invitation, signature=ledger.sign(invitation_id(invitation)))


def invitation_id(invitation: Invitation) -> Digest:
    """What the inviter signs, and what people compare by telephone."""
    return tagged("node.invitation", encode(invitation))


def read_invitation(data: bytes, own: Card, now: TimeMs) -> Invitation:
    """An invitation, if it is its inviter's, still good, and meant for this card.

    Raises, in this order:
        NotAnInvitationError: it is none.
        FalseInvitationError: its inviter is not among the members, or did not sign this.
        InvitationExpiredError: it is over.
        FalseInvitationError: its genesis founds no network, or other members than it says.
        NotInvitedError: it is for other cards, or the genesis has this member under another card.
    """
    try:
        signed = decode(SignedInvitation, data[: INVITATION_BYTES_MAX + 1])
    except MalformedError:
        raise NotAnInvitationError from None
    invitation = signed.invitation
    inviter = next((peer for peer in invitation.peers if peer.member == invitation.inviter), None)
    if inviter is None or not verify(inviter.ledger, invitation_id(invitation), signed.signature):
        raise FalseInvitationError(reason="signature", inviter=invitation.inviter)
    if now >= invitation.expires:
        raise InvitationExpiredError(expires=invitation.expires, inviter=invitation.inviter)
    _check_genesis(invitation)
    _check_own(invitation, own)
    return invitation


def is_founder(genesis: Genesis, card: Card) -> bool:
    """Whether a genesis founds its network with this card."""
    own = (card.member, card.keys, card.jurisdiction, card.endpoints)
    return own in [(one.member, one.keys, one.jurisdiction, one.endpoints) for one in genesis.members]


def check_founding(genesis: Genesis) -> None:
    """Raise unless a network can be founded so. Raises what `contracts.members.genesis` refuses it with."""
    found(State(MemoryStore()), genesis)


def _check_genesis(invitation: Invitation) -> None:
    """A network at its beginning has the members that its genesis names, and its usual committee."""
    genesis = invitation.genesis
    try:
        check_founding(genesis)
    except RefusalError as refusal:
        raise FalseInvitationError(reason="genesis", said=refusal.code) from None
    if invitation.trusted is not None:
        if invitation.trusted.header.chain != genesis.chain:
            raise FalseInvitationError(reason="another chain")
        return
    told = [(peer.member, peer.ledger, peer.tls, peer.endpoints) for peer in invitation.peers]
    founders = [(one.member, one.keys.ledger, one.keys.tls, one.endpoints) for one in genesis.members]
    if told != founders or [one.committee for one in genesis.committees] != [first_committee(genesis.chain)]:
        raise FalseInvitationError(reason="members")


def _check_own(invitation: Invitation, own: Card) -> None:
    if card_id(own) not in invitation.invited:
        raise NotInvitedError(member=own.member)
    genesis = invitation.genesis
    if invitation.trusted is None and not is_founder(genesis, own):
        raise NotInvitedError(member=own.member)
    if own.chain and own.chain != genesis.chain:
        raise NotInvitedError(member=own.member, chain=genesis.chain)
