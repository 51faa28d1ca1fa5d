"""Proposals as members would make them: a joiner with keys of its own, and a council that decides on a ledger."""

from collections.abc import Sequence

from salus.contracts.members.messages import (
    AddMember,
    Change,
    Endpoints,
    MemberKeys,
    Propose,
    ReplaceKeys,
    SetSeats,
    Vote,
)
from salus.contracts.members.reads import committee_of, member_of, proposal_of
from salus.contracts.members.statements import joining, prove, replacing
from salus.contracts.members.tables import Member, Proposal
from salus.core.ids import Height, MemberId, ProposalId
from salus.crypto.digests import derive
from salus.machine.block import ACCEPTED
from salus.state.state import State
from tests.support.network import CHAIN, Ledger, Network, Party, party

JOINER = MemberId("southport")
SEED = b"joiner"
QUORUM = ("mercy", "st-luke", "lakeside")  # Of the usual four.


def joiner(name: str = JOINER, seed: bytes = SEED) -> Party:
    """An organisation that is no member yet."""
    return party(seed, MemberId(name))


def add(of: Party | None = None, *, keys: MemberKeys | None = None, by: Party | None = None) -> AddMember:
    """The change that lets it in; `keys` and `by` (whose signatures) for what must be refused."""
    one = of or joiner()
    signer, named = by or one, keys or one.public
    statement = joining(chain=CHAIN, member=one.member, keys=named, jurisdiction="us", endpoints=Endpoints())
    return AddMember(
        member=one.member,
        keys=named,
        jurisdiction="us",
        endpoints=Endpoints(),
        validator=True,
        quota_bytes=1 << 20,
        proof=prove(statement, ledger=signer.ledger, validator=signer.validator, keeper=signer.keeper, tls=signer.tls),
    )


def rekey(member: str, to: Party, *, version: int = 0, by: Party | None = None) -> ReplaceKeys:
    """The change that gives a member all keys of `to`."""
    signer = by or to
    statement = replacing(chain=CHAIN, member=MemberId(member), version=version, keys=to.public)
    proof = prove(statement, ledger=signer.ledger, validator=signer.validator, keeper=signer.keeper, tls=signer.tls)
    return ReplaceKeys(member=MemberId(member), version=version, keys=to.public, proof=proof)


def seats(net: Network, *names: str, epoch: int = 1) -> SetSeats:
    """The change that seats the first committee anew."""
    return SetSeats(committee=net.committee, epoch=epoch, seats=tuple(MemberId(name) for name in names))


def proposal_id(*path: str | int) -> ProposalId:
    """An id that follows from its path."""
    return derive(SEED, "proposal", *path, length=16)


def propose(id: ProposalId, *changes: Change, activate_at: Height = 0) -> Propose:
    return Propose(proposal_id=id, changes=changes, activate_at=activate_at)


def approve(id: ProposalId) -> Vote:
    return Vote(proposal_id=id, approve=True)


def reject(id: ProposalId) -> Vote:
    return Vote(proposal_id=id, approve=False)


def decide(
    ledger: Ledger, *changes: Change, name: str = "", by: Sequence[str] = QUORUM, activate_at: Height = 0
) -> Proposal:
    """Propose and vote, a block each; the proposal as it stands then."""
    id = proposal_id(name, ledger.height)
    assert ledger.send(by[0], propose(id, *changes, activate_at=activate_at)) == ACCEPTED
    for member in by[1:]:
        assert ledger.send(member, approve(id)) == ACCEPTED
    return standing(ledger.state, id)


def standing(state: State, id: ProposalId) -> Proposal:
    found = proposal_of(state, id)
    assert found is not None
    return found


def entry(state: State, member: str) -> Member:
    found = member_of(state, MemberId(member))
    assert found is not None
    return found


def epoch(state: State, net: Network) -> int:
    committee = committee_of(state, net.committee)
    assert committee is not None
    return committee.epoch


def with_party(net: Network, *joined: Party, without: Sequence[str] = ()) -> Network:
    """The same network for whoever signs: with these parties, and without those."""
    parties = tuple(one for one in net.parties if one.member not in {*without, *(j.member for j in joined)})
    return replace_parties(net, (*parties, *joined))


def replace_parties(net: Network, parties: tuple[Party, ...]) -> Network:
    return Network(seed=net.seed, parties=parties, genesis=net.genesis, committee=net.committee)
