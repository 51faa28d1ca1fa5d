"""What the ledger keeps of members: public organisations, their keys, quotas and committees."""

from typing import Final

from salus.contracts.members.messages import Committee, Endpoints, MemberKeys, Parameters
from salus.core.ids import ChainId, CommitteeId, Digest, MemberId, TimeMs, Unsigned, Version
from salus.core.wire import Record
from salus.state.keys import Bytes, Text
from salus.state.table import Table


class Member(Record, tag="members.member/1", frozen=True):
    """An organisation in the network."""

    version: Version
    keys: MemberKeys
    jurisdiction: str
    validator: bool
    quota_bytes: Unsigned
    endpoints: Endpoints


class Chain(Record, tag="members.chain/1", frozen=True):
    """The network itself: one entry."""

    chain: ChainId
    started: TimeMs
    parameters: Parameters


class PackRoot(Record, tag="members.pack_root/1", frozen=True):
    """The pack in force in a jurisdiction."""

    root: Digest


MEMBERS: Final = Table[MemberId, Member]("members/member/", Member, Text())
COMMITTEES: Final = Table[CommitteeId, Committee]("members/committee/", Committee, Bytes(16))
PACKS: Final = Table[str, PackRoot]("members/pack/", PackRoot, Text())
CHAIN: Final = Table[str, Chain]("members/chain/", Chain, Text())
