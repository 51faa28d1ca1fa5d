"""What members decide together: proposals, votes, and who is a member; a member's operator acts with its ledger key.

Changes name the versions that are current when they are made here (`contracts/members/changing.py` says why). Keys of a
joiner, and new keys of a member, are made in that member's folder and leave it as public keys alone.
"""

import os
from collections.abc import Sequence, Set
from dataclasses import dataclass

from salus.cli.errors import (
    AmbiguousProposalError,
    ApartError,
    OtherPackError,
    SeatsHeldError,
    UnknownCommitteeError,
    UnknownMemberError,
    UnknownProposalError,
)
from salus.cli.home import Home
from salus.contracts.consent import pack_root, read_pack
from salus.contracts.members import reads
from salus.contracts.members.executing import is_approved
from salus.contracts.members.messages import (
    AddMember,
    Change,
    Endpoints,
    KeyProof,
    Parameters,
    Propose,
    RemoveMember,
    ReplaceKeys,
    SetPack,
    SetParameters,
    SetSeats,
    Vote,
)
from salus.contracts.members.statements import joining, prove, replacing
from salus.contracts.members.tables import COMMITTEES, KEYS, PACKS, Member, Proposal
from salus.contracts.members.tables import Standing as ProposalStanding
from salus.contracts.records.reads import dealing_of
from salus.contracts.records.tables import BATCHES
from salus.core.ids import CommitteeId, Digest, Height, MemberId, ProposalId
from salus.core.wire import replace
from salus.crypto.digests import digest
from salus.node.folder import PACKS_FOLDER, NotANetworkError, packs_in
from salus.node.keys import PUBLIC_DUTIES, FolderError, Secrets, load_secrets, make_secrets, stage_secrets
from salus.node.network import Network
from salus.sdk.packs import shipped_packs
from salus.state.state import State

PROPOSAL_ID_BYTES = 16
_MAY_HAPPEN = (ProposalStanding.OPEN, ProposalStanding.ACCEPTED, ProposalStanding.EXECUTED)


@dataclass(frozen=True, slots=True)
class Standing:
    """A proposal as people see it."""

    proposal_id: ProposalId
    proposal: Proposal
    members: int  # Who may vote now.
    needed: int  # Approvals.
    lacks_packs: tuple[SetPack, ...] = ()  # Whose files are not in this folder.
    left_behind: tuple[tuple[MemberId, int], ...] = ()  # Who goes, and how many batches its successor is left to deal.


def state_of(home: Home) -> State:
    """The newest final state here."""
    return home.network.ledger.state


def entry_of(home: Home, name: str) -> Member:
    """A member's entry on the ledger.

    Raises:
        UnknownMemberError: there is no such member.
    """
    entry = reads.member_of(state_of(home), MemberId(name))
    if entry is None:
        raise UnknownMemberError(members=", ".join(reads.members_of(state_of(home))))
    return entry


async def propose(home: Home, by: str, changes: Sequence[Change], activate_at: Height = 0) -> tuple[Standing, Digest]:
    """Put changes to the vote; how the proposal stands then, and the transaction.

    Raises:
        UnknownMemberError: nobody of this name runs here.
        LedgerRefusedError: a rule says no, with its code.
    """
    proposal_id = os.urandom(PROPOSAL_ID_BYTES)
    message = Propose(proposal_id=proposal_id, changes=tuple(changes), activate_at=activate_at)
    tx_id, _ = await home.member(by).gateway.sponsor(message)
    await follow(home)
    return standing_of(home, proposal_id), tx_id


async def vote(
    home: Home, by: str, proposal: str, *, approve: bool, pack: bytes | None = None
) -> tuple[Standing, Digest]:
    """Say yes or no to a proposal, by its id or how that begins; a pack that it names is kept here, if it is given.

    Raises:
        UnknownProposalError, AmbiguousProposalError: no proposal, or more than one, has this id.
        MalformedError, FolderError: as in `packing`.
        OtherPackError: the proposal names another pack, or none.
        UnknownMemberError, LedgerRefusedError: as in `propose`.
    """
    proposal_id = _whole_id(home, proposal)
    if pack is not None:
        root, changes = pack_root(read_pack(pack)), standing_of(home, proposal_id).proposal.changes
        if not any(isinstance(change, SetPack) and change.root == root for change in changes):
            raise OtherPackError(proposal_id=proposal_id, root=root)
        _keep_pack(home, root, pack)
    tx_id, _ = await home.member(by).gateway.sponsor(Vote(proposal_id=proposal_id, approve=approve))
    await follow(home)
    return standing_of(home, proposal_id), tx_id


def standing_of(home: Home, proposal_id: ProposalId) -> Standing:
    """How a proposal stands."""
    state = state_of(home)
    found = reads.proposal_of(state, proposal_id)
    if found is None:
        raise UnknownProposalError(proposal_id=proposal_id)
    members = len(reads.governors(state))
    needed = next(count for count in range(members + 1) if is_approved(count, members))
    if found.standing not in _MAY_HAPPEN:
        return Standing(proposal_id, found, members, needed)
    return Standing(proposal_id, found, members, needed, _packs_lacked(home, found), _left_behind(state, found))


def _packs_lacked(home: Home, proposal: Proposal) -> tuple[SetPack, ...]:
    """Packs that a proposal names, or put in force, and that members who run here could not apply."""
    named = [change for change in proposal.changes if isinstance(change, SetPack)]
    if proposal.standing is ProposalStanding.EXECUTED:
        in_force = reads.pack_roots_of(state_of(home))
        named = [change for change in named if change.root in in_force]
    if not named:
        return ()
    try:
        packs = packs_in(home.folder)
    except NotANetworkError:  # A file among them is none: members here apply those that came with Salus.
        packs = shipped_packs()
    held = {pack_root(pack) for pack in packs}
    return tuple(change for change in named if change.root not in held)


def _left_behind(state: State, proposal: Proposal) -> tuple[tuple[MemberId, int], ...]:
    """Members that go before they dealt what they wrote to the seats there are then: their successors have to."""
    reseated = {change.committee for change in proposal.changes if isinstance(change, SetSeats)}
    is_done = proposal.standing is ProposalStanding.EXECUTED  # Then the epoch of now is the one that was proposed.
    gone = [MemberId(change.member) for change in proposal.changes if isinstance(change, RemoveMember)]
    counts = [(name, _behind(state, name, set() if is_done else reseated)) for name in gone]
    return tuple((name, count) for name, count in counts if count)


def _behind(state: State, author: MemberId, reseated: Set[CommitteeId]) -> int:
    """How many of an author's batches are dealt to an epoch that is over, or is about to be."""
    count = 0
    for (_, batch_id), batch in BATCHES.items(state, author):
        dealing, committee = dealing_of(state, author, batch_id), reads.committee_of(state, batch.committee)
        if dealing is not None and committee is not None:
            count += batch.committee in reseated or dealing.epoch < committee.epoch
    return count


def all_proposals(home: Home) -> list[Standing]:
    """Every proposal there ever was, the newest first."""
    found = [standing_of(home, proposal_id) for proposal_id, _ in reads.proposals(state_of(home))]
    return sorted(found, key=lambda one: (-one.proposal.height, one.proposal_id))


def adding(home: Home, name: str, *, jurisdiction: str, validator: bool, quota_bytes: int) -> AddMember:
    """Let an organisation in whose folder is here; its keys are made now unless it has some.

    Raises:
        ApartError: members are on machines of their own, where `salus init` makes keys.
        FolderError: the folder cannot be written.
    """
    if not isinstance(home.network, Network):
        raise ApartError(chain=home.network.genesis.chain)
    folder = home.folder / "members" / name / "keys"
    secrets = load_secrets(folder) if folder.is_dir() else make_secrets(folder)
    keys, endpoints = secrets.public, Endpoints()
    statement = joining(
        chain=home.network.genesis.chain,
        member=MemberId(name),
        keys=keys,
        jurisdiction=jurisdiction,
        endpoints=endpoints,
    )
    return AddMember(
        member=MemberId(name),
        keys=keys,
        jurisdiction=jurisdiction,
        endpoints=endpoints,
        validator=validator,
        quota_bytes=quota_bytes,
        proof=_proof(statement, secrets),
    )


def removing(home: Home, name: str, *, successor: str, seat_to: str | None, fewer_seats: bool) -> tuple[Change, ...]:
    """Let a member go: first its seats, then the member.

    Raises:
        UnknownMemberError: there is no such member.
        SeatsHeldError: it holds seats, and nothing was said of them.
    """
    version = entry_of(home, name).version
    seats: list[Change] = []
    for committee, entry in COMMITTEES.items(state_of(home)):
        held = [seat.member for seat in entry.seats]
        if MemberId(name) not in held:
            continue
        if seat_to is None and not fewer_seats:
            raise SeatsHeldError(member=name, committee=committee)
        moved = [MemberId(seat_to) if seat == name and seat_to else seat for seat in held]
        kept = tuple(seat for seat in moved if seat != name)
        seats.append(SetSeats(committee=committee, epoch=entry.epoch, seats=kept))
    return (*seats, RemoveMember(member=MemberId(name), version=version, successor=MemberId(successor)))


def rekeying(home: Home, name: str, duties: Sequence[str]) -> ReplaceKeys:
    """Give a member new keys for some duties; they wait in its folder until the members have decided.

    Raises:
        UnknownMemberError: nobody of this name runs here.
        FolderError: its folder cannot be written.
    """
    member, version = home.member(name), entry_of(home, name).version
    state = state_of(home)
    secrets = stage_secrets(
        member.folder / "keys", duties or PUBLIC_DUTIES, is_spent=lambda public: KEYS.has(state, digest(public))
    )
    keys = secrets.public
    statement = replacing(chain=home.network.genesis.chain, member=member.name, version=version, keys=keys)
    return ReplaceKeys(member=member.name, version=version, keys=keys, proof=_proof(statement, secrets))


def seating(home: Home, committee: str, names: Sequence[str]) -> SetSeats:
    """Seat a committee anew.

    Raises:
        UnknownCommitteeError: no committee's id, or more than one, begins so.
    """
    found = [(id, entry) for id, entry in COMMITTEES.items(state_of(home)) if id.hex().startswith(committee)]
    if len(found) != 1:
        raise UnknownCommitteeError(committee=committee, found=len(found))
    [(committee_id, entry)] = found
    return SetSeats(committee=committee_id, epoch=entry.epoch, seats=tuple(MemberId(name) for name in names))


def packing(home: Home, data: bytes) -> SetPack:
    """Put a pack in force; the file is kept in this folder, where the members that run here find it.

    Raises:
        MalformedError: it is no pack.
        FolderError: it cannot be kept.
    """
    pack = read_pack(data)
    root = pack_root(pack)
    before = PACKS.get(state_of(home), pack.jurisdiction)
    _keep_pack(home, root, data)
    return SetPack(jurisdiction=pack.jurisdiction, version=0 if before is None else before.version, root=root)


def _keep_pack(home: Home, root: Digest, data: bytes) -> None:
    try:
        folder = home.folder / PACKS_FOLDER
        folder.mkdir(exist_ok=True)
        (folder / f"{root.hex()}.json").write_bytes(data)
    except OSError as error:
        raise FolderError(reason=error.strerror or type(error).__name__) from None


def limiting(home: Home, **limits: int | None) -> SetParameters:
    """Change the limits that are named; the others stay."""
    chain = reads.chain_of(state_of(home))
    named = {name: value for name, value in limits.items() if value is not None}
    parameters: Parameters = replace(chain.parameters, **named)
    return SetParameters(version=chain.version, parameters=parameters)


def new_committee_id() -> CommitteeId:
    """An id for a new committee."""
    return os.urandom(PROPOSAL_ID_BYTES)


def proposal_named(home: Home, text: str) -> ProposalId:
    """A proposal's whole id. Raises as `vote`."""
    return _whole_id(home, text)


async def follow(home: Home) -> None:
    """Members of one process start, stop and change keys at once; processes of their own see to that themselves."""
    if isinstance(home.network, Network):
        await home.network.follow()


def _proof(statement: Digest, secrets: Secrets) -> KeyProof:
    return prove(statement, ledger=secrets.ledger, validator=secrets.validator, keeper=secrets.keeper, tls=secrets.tls)


def _whole_id(home: Home, text: str) -> ProposalId:
    wanted = text.strip().lower()
    found = [id for id, _ in reads.proposals(state_of(home)) if wanted and id.hex().startswith(wanted)]
    if not found:
        raise UnknownProposalError(proposal_id=text)
    if len(found) > 1:
        raise AmbiguousProposalError(proposal_id=text, found=len(found))
    return found[0]
