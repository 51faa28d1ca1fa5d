"""Who is a member, as the ledger has it: validators, suspensions and why, seats, who left, which rules are in force."""

from dataclasses import dataclass

from salus.cli.actions.governance import state_of
from salus.cli.home import Home
from salus.contracts.members import reads
from salus.contracts.members.tables import AUTHORSHIPS, COMMITTEES
from salus.core.ids import CommitteeId, Epoch, Height, MemberId
from salus.state.state import State

_ID_SHOWN = 8


@dataclass(frozen=True, slots=True)
class MemberLine:
    """One member."""

    name: str
    jurisdiction: str
    validates: str
    quota_bytes: int
    seats: tuple[str, ...]  # Such as `3f9a41c2/1`: committee and seat.
    suspended: str  # Why, and since when; empty where it is not.
    evidence: tuple[dict[str, object], ...]
    keys: dict[str, str]  # The signing ones, whole; of the others the first bytes.


@dataclass(frozen=True, slots=True)
class CommitteeLine:
    """One committee: its epoch, and how many batches are dealt to earlier ones still, by epoch."""

    id: str
    epoch: Epoch
    behind: tuple[tuple[Epoch, int], ...]


@dataclass(frozen=True, slots=True)
class Members:
    """All of them, and what they decided on besides."""

    members: tuple[MemberLine, ...]
    committees: tuple[CommitteeLine, ...]
    departed: tuple[tuple[str, str], ...]
    rules: tuple[tuple[Height, int], ...]
    limits: dict[str, int]

    @property
    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {
            "members": [{field: getattr(one, field) for field in MemberLine.__slots__} for one in self.members],
            "committees": [
                {"id": one.id, "epoch": one.epoch, "behind": {str(epoch): count for epoch, count in one.behind}}
                for one in self.committees
            ],
            "departed": [{"member": gone, "successor": successor} for gone, successor in self.departed],
            "rules": [{"from_height": since, "version": version} for since, version in self.rules],
            "limits": self.limits,
        }


def shown_members(home: Home) -> Members:
    """Everything that `salus members` shows."""
    state = state_of(home)
    limits = reads.parameters_of(state)
    return Members(
        members=tuple(_line(state, name) for name in reads.members_of(state)),
        committees=tuple(_committee(state, id) for id, _ in COMMITTEES.items(state)),
        departed=tuple((gone, authorship.successor) for gone, authorship in AUTHORSHIPS.items(state)),
        rules=tuple((since, entry.rules) for since, entry in reads.rules_ahead(state)),
        limits={name: getattr(limits, name) for name in limits.__struct_fields__},
    )


def _committee(state: State, id: CommitteeId) -> CommitteeLine:
    committee = reads.committee_of(state, id)
    assert committee is not None, "It was just listed."
    behind = tuple((epoch, reads.dealt_at(state, id, epoch)) for epoch, _ in reads.former(state, id))
    return CommitteeLine(id=id.hex(), epoch=committee.epoch, behind=behind)


def _line(state: State, name: MemberId) -> MemberLine:
    entry = reads.member_of(state, name)
    assert entry is not None, "It was just listed."
    validates = "yes" if name in dict(reads.validators(state)) else "no"
    seats = [
        f"{committee.hex()[:_ID_SHOWN]}/{seat}"
        for committee, seated in COMMITTEES.items(state)
        if (seat := reads.seat_of(seated, name)) is not None
    ]
    why = reads.suspension_of(state, name)
    return MemberLine(
        name=name,
        jurisdiction=entry.jurisdiction,
        validates=validates,
        quota_bytes=entry.quota_bytes,
        seats=tuple(seats),
        suspended="" if why is None else f"{why.offence.value} at block {why.height}, since block {why.since}",
        evidence=tuple(
            {"offence": shown.offence.value, "height": height, "reported": shown.reported}
            for height, shown in reads.evidence_of(state, name)
        ),
        keys={duty: getattr(entry.keys, duty)[:32].hex() for duty in entry.keys.__struct_fields__},
    )
