"""A genesis from public keys alone: the usual network, in which every member validates and keeps.

Whoever makes keys (a wizard, a demo, a test) calls this; nothing here draws at random.
"""

from collections.abc import Iterable, Mapping, Sequence

from salus.contracts.members.messages import (
    Endpoints,
    FoundingCommittee,
    FoundingMember,
    FoundingPack,
    Genesis,
    MemberKeys,
    Parameters,
)
from salus.contracts.members.transitions import SEATS_MAX
from salus.core.ids import MIB_BYTES, ChainId, CommitteeId, Digest, MemberId, TimeMs
from salus.crypto.digests import tagged

QUOTA_BYTES = MIB_BYTES  # A quarter of the default block, so that four members share one evenly.


def first_committee(chain: ChainId) -> CommitteeId:
    """The id of a network's first committee: fixed by the chain's name."""
    return tagged("members.first_committee", chain.encode())[:16]


def founding(
    *,
    chain: ChainId,
    time: TimeMs,
    keys: Mapping[MemberId, MemberKeys],
    jurisdiction: str,
    packs: Mapping[str, Digest],
    jurisdictions: Mapping[MemberId, str] | None = None,
    quota_bytes: int = QUOTA_BYTES,
    parameters: Parameters | None = None,
    endpoints: Mapping[MemberId, Endpoints] | None = None,
) -> Genesis:
    """Members in the order given, all validating; one committee of the first thirteen, in the same order.

    `jurisdictions` names members whose place differs from `jurisdiction`.
    """
    places = jurisdictions or {}
    members = tuple(
        FoundingMember(
            member=member,
            keys=of,
            jurisdiction=places.get(member, jurisdiction),
            validator=True,
            quota_bytes=quota_bytes,
            endpoints=(endpoints or {}).get(member, Endpoints()),
        )
        for member, of in keys.items()
    )
    return Genesis(
        chain=chain,
        time=time,
        members=members,
        committees=(_committee(chain, [founder.member for founder in members]),),
        packs=tuple(_packs(packs.items())),
        parameters=parameters or Parameters(),
    )


def _committee(chain: ChainId, members: Sequence[MemberId]) -> FoundingCommittee:
    return FoundingCommittee(committee=first_committee(chain), seats=tuple(members[:SEATS_MAX]))


def _packs(roots: Iterable[tuple[str, Digest]]) -> Iterable[FoundingPack]:
    return (FoundingPack(jurisdiction=jurisdiction, root=root) for jurisdiction, root in sorted(roots))
