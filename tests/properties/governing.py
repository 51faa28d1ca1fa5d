"""Changes of every kind for whatever the state is, by parties whose every key is known."""

from salus.contracts.members.messages import (
    Cancel,
    Change,
    NewCommittee,
    Parameters,
    Reinstate,
    RemoveMember,
    SetPack,
    SetParameters,
    SetQuota,
    SetValidator,
    Upgrade,
)
from salus.contracts.members.reads import chain_of, committee_of, member_of
from salus.contracts.members.tables import AUTHORSHIPS, CHAIN, COMMITTEES, MEMBERS, PACKS, RULES
from salus.core.ids import MemberId
from salus.crypto.digests import digest
from salus.state.state import State
from tests.support.governance import add, joiner, proposal_id, rekey
from tests.support.governance import seats as seats_of
from tests.support.network import NAMES, network

NET = network(4, quota_bytes=9_000, parameters=Parameters(lane_bytes=1_500, messages_max=4))
PROPOSALS = [proposal_id("random", number) for number in range(4)]
JOINERS = ("southport", "eastbay")
PARTIES = [*NET.parties, *(joiner(name, seed) for name in (*NAMES, *JOINERS) for seed in (b"one", b"two"))]
HOLDERS = {party.ledger.public: party for party in PARTIES}
KINDS = tuple(
    "add remove leave validator reinstate rekey quota committee seats pack limits upgrade cancel".split()  # noqa: SIM905
)


def change(state: State, kind: str, member: str, other: str, off: int, height: int) -> list[Change]:
    """Changes of one kind, for the versions that are current, or `off` beside them."""
    name, entry = MemberId(member), member_of(state, MemberId(member))
    version = off + (0 if entry is None else entry.version)
    committee, pack, chain = committee_of(state, NET.committee), PACKS.get(state, "us"), chain_of(state)
    assert committee is not None
    assert pack is not None
    epoch = committee.epoch + off
    staying = [seat.member for seat in committee.seats if seat.member != name]
    keys = joiner(member, (b"one", b"two")[version % 2])
    removal = RemoveMember(member=name, version=version, successor=MemberId(other))
    made: dict[str, list[Change]] = {
        "add": [add(joiner(member, b"one"))],
        "remove": [removal],
        "leave": [seats_of(NET, *staying, epoch=epoch), removal],
        "validator": [SetValidator(member=name, version=version, validator=entry is None or not entry.validator)],
        "reinstate": [Reinstate(member=name, version=version)],
        "rekey": [rekey(member, keys, version=version)],
        "quota": [SetQuota(member=name, version=version, quota_bytes=20_000)],
        "committee": [NewCommittee(committee=NET.id16("committee", other), seats=(name,))],
        "seats": [seats_of(NET, *staying, member, epoch=epoch)],
        "pack": [SetPack(jurisdiction="us", version=pack.version + off, root=digest(member.encode()))],
        "limits": [SetParameters(version=chain.version + off, parameters=Parameters())],
        "upgrade": [Upgrade(rules=2, from_height=height + 1_000)],
        "cancel": [Cancel(proposal_id=PROPOSALS[version % len(PROPOSALS)])],
    }
    return made[kind]


def decided(state: State) -> object:
    """All that members decide on, and nothing of what each may change alone."""
    entries = [
        (name, entry.version, entry.validator, entry.quota_bytes, entry.jurisdiction, entry.keys.ledger)
        for name, entry in MEMBERS.items(state)
    ]
    tables = (COMMITTEES, PACKS, CHAIN, RULES, AUTHORSHIPS)
    return entries, [list(table.items(state)) for table in tables]
