"""How a folder becomes a member's: its keys and card, a network founded with others' cards, an invitation accepted.

    salus init      begin         keys, member.toml, card
    salus invite    found_of      the genesis of several cards, where the network begins
    salus join      accept        genesis, peers and the block to begin from, out of an invitation

Each may be repeated: what is there already stays, and what contradicts it is refused. Keys never leave the folder.
"""

from collections.abc import Sequence
from dataclasses import replace
from os import urandom
from pathlib import Path

from salus.contracts.consent import pack_root
from salus.contracts.members.errors import MemberTwiceError
from salus.contracts.members.founding import QUOTA_BYTES, founding
from salus.contracts.members.messages import Genesis
from salus.contracts.members.transitions import first_repeated
from salus.core.errors import RefusalError
from salus.core.ids import ChainId, MemberId, TimeMs
from salus.core.wire import encode
from salus.engines.cometbft.config import StateSync, make_node_key
from salus.engines.cometbft.unit import ENGINE_FOLDER, LEDGER_FOLDER
from salus.node.cards import ANY_CHAIN, Card, card_file, card_id, make_card, read_card
from salus.node.folder import GENESIS_FILE, member_folder, read_genesis
from salus.node.invitations import LASTS_MS, Invitation, Peer, check_founding, is_founder
from salus.node.keys import FolderError, load_secrets, make_secrets, write_secret
from salus.node.site import LOOPBACK, PORTS, SITE_FILE, free_ports, read_site, site_at, write_site
from salus.sdk.packs import shipped_packs


class NotBegunError(RefusalError):
    """No member lives in this folder yet, or more than one."""

    code = "node.not_begun"


class NotJoinedError(RefusalError):
    """The member in this folder belongs to no network yet."""

    code = "node.not_joined"


class JoinedAlreadyError(RefusalError):
    """The member in this folder belongs to a network already."""

    code = "node.joined_already"


class OtherChainError(RefusalError):
    """The card is for another network than this one."""

    code = "node.other_chain"


def begin(
    folder: Path,
    member: MemberId,
    *,
    jurisdiction: str = "us",
    chain: ChainId = ANY_CHAIN,
    listen: str = LOOPBACK,
    reach: str = "",
    first_port: int = 0,
) -> Card:
    """Make a member's keys, addresses and card in a folder of its own; where they are there, its card alone, anew.

    `first_port` is the first of seven that it listens at; 0 takes free ones.

    Raises:
        JoinedAlreadyError: another member lives there, or it belongs to a network of another name.
        FolderError: the folder cannot be written.
        KeyFileError, SiteError: what is there is damaged.
    """
    others = [name for name in _living(folder) if name != member]
    if others or (is_joined(folder) and chain not in (ANY_CHAIN, read_genesis(folder).chain)):
        raise JoinedAlreadyError(member=others[0] if others else member)
    place = member_folder(folder, member)
    secrets = load_secrets(place / "keys") if (place / "keys").is_dir() else make_secrets(place / "keys")
    node_id = make_node_key(place / ENGINE_FOLDER, urandom(32))
    if not (place / SITE_FILE).exists():
        ports = list(range(first_port, first_port + PORTS)) if first_port else free_ports(PORTS)
        write_site(place, replace(site_at(listen, ports), reach=reach))
    site = read_site(place)
    card = make_card(
        member,
        secrets,
        chain=chain,
        jurisdiction=jurisdiction,
        endpoints=site.endpoints(node_id),
        light=site.reached(site.rpc),
    )
    _write(card_file(folder, member), encode(card))
    return card


def is_begun(folder: Path) -> bool:
    """Whether `salus init` was here."""
    return len(_living(folder)) == 1 and card_file(folder, _living(folder)[0]).exists()


def is_joined(folder: Path) -> bool:
    """Whether the folder has a genesis."""
    return (folder / GENESIS_FILE).exists()


def was_started(folder: Path) -> bool:
    """Whether the member of this folder has a ledger: where it begins is settled then."""
    return is_joined(folder) and any((folder / "members").glob(f"*/{LEDGER_FOLDER}"))


def own_card(folder: Path) -> Card:
    """The card of the member that lives in a folder.

    Raises:
        NotBegunError: `salus init` was not here.
        NotACardError, FalseCardError: the card is damaged.
    """
    if not is_begun(folder):
        raise NotBegunError
    [member] = _living(folder)
    return read_card(card_file(folder, member).read_bytes())


def found_of(folder: Path, cards: Sequence[Card], *, chain: ChainId, now: TimeMs) -> Genesis:
    """Found a network of the folder's own member and of these, in this order.

    Raises:
        NotBegunError: `salus init` was not here.
        OtherChainError: a card is for a network of another name.
        RefusalError: the contract refuses the genesis: a name or key twice, an unsound key.
        FolderError: the folder cannot be written.
    """
    own = own_card(folder)
    members = (own, *(card for card in cards if card != own))
    for card in members:
        if card.chain not in (ANY_CHAIN, chain):
            raise OtherChainError(member=card.member, chain=card.chain)
    if (twice := first_repeated(card.member for card in members)) is not None:
        raise MemberTwiceError(member=twice)
    genesis = founding(
        chain=chain,
        time=now,
        keys={card.member: card.keys for card in members},
        jurisdiction=own.jurisdiction,
        packs={pack.jurisdiction: pack_root(pack) for pack in shipped_packs()},
        jurisdictions={card.member: card.jurisdiction for card in members},
        quota_bytes=QUOTA_BYTES,
        endpoints={card.member: card.endpoints for card in members},
    )
    check_founding(genesis)
    light = [card.light for card in members if card != own]
    _settle(folder, genesis, peers_of_genesis(genesis), light)
    return genesis


def beginning(folder: Path, cards: Sequence[Card], now: TimeMs) -> Invitation:
    """What the founder of a network tells the others, of whose cards its genesis is made.

    Raises as `own_card` and `read_genesis`.
    """
    own, genesis = own_card(folder), read_genesis(folder)
    site = read_site(member_folder(folder, own.member))
    others = [card for card in cards if card != own]
    return Invitation(
        genesis=genesis,
        inviter=own.member,
        invited=tuple(card_id(card) for card in others),
        peers=peers_of_genesis(genesis),
        light=tuple(card.light for card in (own, *others) if card.light),
        trusted=None,
        proposal=None,
        snapshot_every_blocks=site.snapshot_every_blocks,
        expires=now + LASTS_MS,
    )


def accept(folder: Path, invitation: Invitation, sync: StateSync | None = None) -> bool:
    """Make the folder's member one of the network's, as far as it goes alone; False where it is so already.

    Until it was started, a newer invitation changes where it begins.

    Raises:
        JoinedAlreadyError: it belongs to another network.
        FolderError: the folder cannot be written.
    """
    if is_joined(folder) and read_genesis(folder) != invitation.genesis:
        raise JoinedAlreadyError(chain=read_genesis(folder).chain)
    if was_started(folder):
        return False
    every = invitation.snapshot_every_blocks
    return _settle(folder, invitation.genesis, invitation.peers, invitation.light, every, sync)


def are_founders(genesis: Genesis, cards: Sequence[Card]) -> bool:
    """Whether the network began with all of these cards."""
    return all(is_founder(genesis, card) for card in cards)


def _settle(
    folder: Path,
    genesis: Genesis,
    peers: Sequence[Peer],
    light: Sequence[str],
    snapshot_every_blocks: int | None = None,
    sync: StateSync | None = None,
) -> bool:
    """Write who the others are; then the genesis, last: with it the folder has joined. Whether anything is new."""
    own = own_card(folder)
    place = member_folder(folder, own.member)
    others = [peer for peer in peers if peer.member != own.member]
    before = read_site(place)
    site = replace(
        before,
        peers=tuple(peer.endpoints.engine for peer in others if peer.endpoints.engine),
        light=tuple(address for address in light if address != own.light),
    )
    if snapshot_every_blocks:
        site = replace(site, snapshot_every_blocks=snapshot_every_blocks)
    if sync is not None:
        site = replace(site, trust_height=sync.trust_height, trust_hash=sync.trust_hash)
    if site == before and is_joined(folder):
        return False
    write_site(place, site)
    _write(folder / GENESIS_FILE, encode(genesis))
    return True


def peers_of_genesis(genesis: Genesis) -> tuple[Peer, ...]:
    """The founders, in the genesis's order."""
    return tuple(
        Peer(member=one.member, ledger=one.keys.ledger, tls=one.keys.tls, endpoints=one.endpoints)
        for one in genesis.members
    )


def _living(folder: Path) -> list[MemberId]:
    return sorted(MemberId(path.parent.name) for path in (folder / "members").glob("*/keys") if path.is_dir())


def _write(path: Path, data: bytes) -> None:
    try:
        write_secret(path, data, replace=True)
    except OSError as error:
        raise FolderError(reason=error.strerror or type(error).__name__) from None
