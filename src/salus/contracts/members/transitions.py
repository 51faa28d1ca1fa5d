"""How the network starts. What becomes of proposals is in `governing.py`, `executing.py` and `changing.py`."""

from collections.abc import Hashable, Iterable
from typing import TypeVar

from salus.contracts.members.errors import (
    AlreadyFoundedError,
    CommitteeSizeError,
    CommitteeTwiceError,
    KeyTwiceError,
    MemberTwiceError,
    NoValidatorError,
    PackTwiceError,
    SeatTwiceError,
    UnknownHolderError,
    UnsoundKeyError,
)
from salus.contracts.members.messages import (
    Committee,
    FoundingCommittee,
    FoundingMember,
    Genesis,
    MemberKeys,
    SeatHolder,
)
from salus.contracts.members.tables import (
    CHAIN,
    COMMITTEES,
    KEYS,
    MEMBERS,
    PACKS,
    RULES,
    Chain,
    KeyOwner,
    Member,
    PackRoot,
    Rules,
)
from salus.core.ids import MemberId, PublicKey
from salus.crypto.digests import digest
from salus.crypto.signatures import is_sound
from salus.state.state import State

T = TypeVar("T", bound=Hashable)

CHAIN_KEY = "chain"  # The one entry of its table.
SEATS_MAX = 13
FIRST_RULES = 1  # The version of the rules that every network starts with.


def genesis(state: State, genesis: Genesis) -> None:
    """Found the network: its members, their committees at epoch 1, the packs in force and the limits.

    Raises, in this order:
        NoValidatorError: no member validates.
        MemberTwiceError: two members have one name.
        KeyTwiceError: one key stands twice, among members or among one member's duties.
        UnsoundKeyError: a signing key is not a canonical Ed25519 key of full order.
        CommitteeTwiceError: two committees have one id.
        CommitteeSizeError: a committee has no seat, or more than `SEATS_MAX`.
        UnknownHolderError: a seat's holder is not a member.
        SeatTwiceError: one member has two seats of a committee.
        PackTwiceError: two packs are for one jurisdiction.
        AlreadyFoundedError: the state already belongs to a chain.
    """
    _check_members(genesis.members)
    keys_of = {founder.member: founder.keys for founder in genesis.members}
    _check_committees(genesis.committees, keys_of)
    if (jurisdiction := first_repeated(pack.jurisdiction for pack in genesis.packs)) is not None:
        raise PackTwiceError(jurisdiction=jurisdiction)
    if CHAIN.has(state, CHAIN_KEY):
        raise AlreadyFoundedError(chain=genesis.chain)
    chain = Chain(version=0, chain=genesis.chain, started=genesis.time, parameters=genesis.parameters)
    CHAIN.put(state, CHAIN_KEY, chain)
    RULES.put(state, 0, Rules(rules=FIRST_RULES))
    for founder in genesis.members:
        MEMBERS.put(state, founder.member, _admitted(founder))
        remember_keys(state, founder.member, duties(founder.keys))
    for founding in genesis.committees:
        seats = tuple(seated(member, keys_of[member]) for member in founding.seats)
        COMMITTEES.put(state, founding.committee, Committee(epoch=1, seats=seats))
    for pack in genesis.packs:
        PACKS.put(state, pack.jurisdiction, PackRoot(version=1, root=pack.root))


def duties(keys: MemberKeys) -> tuple[bytes, ...]:
    """All public keys of a member."""
    return (keys.ledger, keys.validator, keys.keeper, keys.sealing, keys.gateway, keys.tls, keys.checkpoint)


def signing_keys(keys: MemberKeys) -> tuple[PublicKey, ...]:
    """Those that sign, in the order of `KeyProof`."""
    return (keys.ledger, keys.validator, keys.keeper, keys.tls)


def remember_keys(state: State, member: MemberId, keys: Iterable[bytes]) -> None:
    """Note whose these keys are, for good."""
    for key in keys:
        KEYS.put(state, digest(key), KeyOwner(member=member))


def seated(member: MemberId, keys: MemberKeys) -> SeatHolder:
    """A member on a seat, under the keys that it has."""
    return SeatHolder(member=member, key=keys.keeper, sealing=keys.sealing)


def first_repeated(items: Iterable[T]) -> T | None:
    """The first item that was there before, or None."""
    seen: set[T] = set()
    for item in items:
        if item in seen:
            return item
        seen.add(item)
    return None


def _check_members(members: tuple[FoundingMember, ...]) -> None:
    if not any(founder.validator for founder in members):
        raise NoValidatorError(members=len(members))
    if (member := first_repeated(founder.member for founder in members)) is not None:
        raise MemberTwiceError(member=member)
    if (key := first_repeated(key for founder in members for key in duties(founder.keys))) is not None:
        raise KeyTwiceError(key=key[:32])
    for founder in members:
        for signing in signing_keys(founder.keys):
            if not is_sound(signing):
                raise UnsoundKeyError(member=founder.member, key=signing)


def _check_committees(committees: tuple[FoundingCommittee, ...], keys_of: dict[MemberId, MemberKeys]) -> None:
    if (committee := first_repeated(founding.committee for founding in committees)) is not None:
        raise CommitteeTwiceError(committee=committee)
    for founding in committees:
        if not 1 <= len(founding.seats) <= SEATS_MAX:
            raise CommitteeSizeError(committee=founding.committee, seats=len(founding.seats))
        for member in founding.seats:
            if member not in keys_of:
                raise UnknownHolderError(committee=founding.committee, member=member)
        if (member_twice := first_repeated(founding.seats)) is not None:
            raise SeatTwiceError(committee=founding.committee, member=member_twice)


def _admitted(founder: FoundingMember) -> Member:
    return Member(
        version=0,
        own_version=0,
        keys=founder.keys,
        tls_next=None,
        jurisdiction=founder.jurisdiction,
        validator=founder.validator,
        quota_bytes=founder.quota_bytes,
        endpoints=founder.endpoints,
    )
