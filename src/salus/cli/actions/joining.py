"""Members on machines of their own: a network founded of cards, others invited into it, an invitation accepted."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from salus.cli.actions.governance import propose, state_of
from salus.cli.actions.ledger import read_file
from salus.cli.errors import FileError, NotApartError, SeveralMembersError
from salus.cli.home import Home
from salus.contracts.members.messages import AddMember
from salus.contracts.members.reads import member_of, members_of, undecided
from salus.core.errors import SalusError
from salus.core.ids import ChainId, MemberId, ProposalId
from salus.core.wire import encode
from salus.engines.cometbft.unit import engine_rpc
from salus.node.cards import Card, card_id, fingerprint, read_card
from salus.node.catching_up import begin_from, newest_block
from salus.node.enlisting import (
    OtherChainError,
    accept,
    are_founders,
    beginning,
    found_of,
    is_joined,
    own_card,
    was_started,
)
from salus.node.folder import member_folder, read_genesis
from salus.node.gateway_side import GatewaySide
from salus.node.gateways import Gateways
from salus.node.invitations import (
    LASTS_MS,
    FingerprintError,
    Invitation,
    Peer,
    invitation_id,
    read_invitation,
    sign_invitation,
)
from salus.node.keys import load_secrets, write_secret
from salus.node.settings import system_clock
from salus.node.site import read_site
from salus.state.state import State


@dataclass(frozen=True, slots=True)
class Founded:
    """A network that begins, and the invitation to it."""

    chain: ChainId
    members: tuple[MemberId, ...]
    names: tuple[MemberId, ...]  # Who is invited.
    fingerprint: str
    cards: dict[str, str]  # Fingerprints by name.
    is_new: bool


@dataclass(frozen=True, slots=True)
class Invited:
    """An invitation into a running network."""

    names: tuple[MemberId, ...]
    fingerprint: str
    cards: dict[str, str]
    proposal: ProposalId | None  # None: they are members already.


@dataclass(frozen=True, slots=True)
class Joined:
    """An invitation that was accepted."""

    member: MemberId
    chain: ChainId
    inviter: MemberId
    members: tuple[MemberId, ...]
    fingerprint: str
    trust_height: int  # 0: the ledger is replayed from its genesis.
    is_new: bool


def sole_member(home: Home, named: str | None) -> MemberId:
    """The member that acts: the one named, else the only one whose gateway runs here.

    Raises:
        UnknownMemberError: nobody of this name runs here.
        SeveralMembersError: none was named, and more than one runs here.
    """
    if named is not None:
        return home.member(named).name
    names = [member.name for member in home.network.members]
    if len(names) != 1:
        raise SeveralMembersError(members=", ".join(names))
    return names[0]


def founding_again(folder: Path, files: Sequence[Path]) -> bool:
    """Whether all these cards are those with which the network of this folder began. Raises as `read_card`."""
    return are_founders(read_genesis(folder), _cards(files))


def found(folder: Path, files: Sequence[Path], chain: str, to: Path) -> Founded:
    """Found a network of this folder's member and of the cards in these files; write the invitation.

    Where it was founded with these before, the invitation is written anew.

    Raises:
        NotACardError, FalseCardError: a file is no card, or a key on it did not sign it.
        OtherChainError, RefusalError: as `enlisting.found_of`.
        FileError: a file cannot be read or written.
    """
    own, cards, now = own_card(folder), _cards(files), system_clock()
    cards = [card for card in cards if card != own]
    is_new = not is_joined(folder)
    genesis = (
        found_of(folder, cards, chain=ChainId(chain or f"salus-{now:x}"), now=now) if is_new else read_genesis(folder)
    )
    invitation = beginning(folder, cards, now)
    secrets = load_secrets(member_folder(folder, own.member) / "keys")
    _write(to, encode(sign_invitation(invitation, secrets.ledger)))
    return Founded(
        genesis.chain,
        tuple(one.member for one in genesis.members),
        tuple(card.member for card in cards),
        fingerprint(invitation_id(invitation)),
        _shown(cards),
        is_new,
    )


async def invite(
    home: Home, by: str | None, files: Sequence[Path], to: Path, *, validator: bool, quota_bytes: int
) -> Invited:
    """Put the members of these cards to the vote, unless they are already; write the invitation.

    Raises:
        NotApartError: the members of this network share one process.
        NotACardError, FalseCardError: a file is no card, or a key on it did not sign it.
        OtherChainError: a card is for another network.
        LedgerRefusedError: a rule says no, with its code.
        UnavailableError: the own ledger does not answer, or a file cannot be read or written.
    """
    if not isinstance(home.network, Gateways):
        raise NotApartError
    me, cards, chain = home.member(sole_member(home, by)), _cards(files), home.network.genesis.chain
    for card in cards:
        if card.chain != chain:
            raise OtherChainError(member=card.member, chain=chain)
    wanted = [_adding(card, validator=validator, quota_bytes=quota_bytes) for card in cards if not _is_in(home, card)]
    proposal = None
    if wanted:
        proposal = _open_for(state_of(home), wanted)
        if proposal is None:
            standing, _ = await propose(home, me.name, wanted)
            proposal = standing.proposal_id
    invitation = await _for_a_running_one(home, me, cards, proposal)
    _write(to, encode(sign_invitation(invitation, me.secrets.ledger)))
    names = tuple(card.member for card in cards)
    return Invited(names, fingerprint(invitation_id(invitation)), _shown(cards), proposal)


async def join(folder: Path, file: Path, said: str) -> Joined:
    """Accept an invitation.

    Raises:
        NotBegunError: `salus init` was not here.
        RefusalError, MalformedError: as `read_invitation`.
        FingerprintError: it is not the one that was read by telephone.
        NobodyToAskError, LightBlockError, AttackedError: as `begin_from`.
        JoinedAlreadyError: this member belongs to another network.
    """
    own, now = own_card(folder), system_clock()
    invitation = read_invitation(read_file(file), own, now)
    shown = fingerprint(invitation_id(invitation))
    if said and said.split() != shown.split():
        raise FingerprintError(inviter=invitation.inviter)
    sync = None if was_started(folder) else await begin_from(invitation, now)
    is_new = accept(folder, invitation, sync)
    site = read_site(member_folder(folder, own.member))
    members = tuple(peer.member for peer in invitation.peers)
    return Joined(own.member, invitation.genesis.chain, invitation.inviter, members, shown, site.trust_height, is_new)


async def _for_a_running_one(
    home: Home, me: GatewaySide, cards: Sequence[Card], proposal: ProposalId | None
) -> Invitation:
    site, now = read_site(me.folder), me.clock()
    rpc = engine_rpc(me.folder)
    try:
        trusted = await newest_block(rpc, site.snapshot_every_blocks)
    finally:
        rpc.close()
    return Invitation(
        genesis=home.network.genesis,
        inviter=me.name,
        invited=tuple(card_id(card) for card in cards),
        peers=_peers(state_of(home)),
        light=(site.reached(site.rpc), *site.light),
        trusted=trusted,
        proposal=proposal,
        snapshot_every_blocks=site.snapshot_every_blocks,
        expires=now + LASTS_MS,
    )


def _peers(state: State) -> tuple[Peer, ...]:
    entries = ((name, member_of(state, name)) for name in members_of(state))
    return tuple(
        Peer(member=name, ledger=entry.keys.ledger, tls=entry.keys.tls, endpoints=entry.endpoints)
        for name, entry in entries
        if entry is not None
    )


def _adding(card: Card, *, validator: bool, quota_bytes: int) -> AddMember:
    return AddMember(
        member=card.member,
        keys=card.keys,
        jurisdiction=card.jurisdiction,
        endpoints=card.endpoints,
        validator=validator,
        quota_bytes=quota_bytes,
        proof=card.proof,
    )


def _is_in(home: Home, card: Card) -> bool:
    entry = member_of(state_of(home), card.member)
    return entry is not None and entry.keys == card.keys


def _open_for(state: State, wanted: Sequence[AddMember]) -> ProposalId | None:
    """A proposal that is still to be decided and says the same."""
    return next((proposal_id for proposal_id, one in undecided(state) if one.changes == tuple(wanted)), None)


def _cards(files: Sequence[Path]) -> list[Card]:
    return [read_card(read_file(path)) for path in files]


def _shown(cards: Sequence[Card]) -> dict[str, str]:
    return {card.member: fingerprint(card_id(card)) for card in cards}


def _write(path: Path, data: bytes) -> None:
    try:
        write_secret(path, data, replace=True)
    except (OSError, SalusError):
        raise FileError(file=path.name) from None
