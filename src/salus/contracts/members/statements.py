"""The bytes that a member's new keys sign before the ledger takes them."""

from salus.contracts.members.messages import Endpoints, KeyProof, MemberKeys
from salus.core.ids import ChainId, Digest, MemberId, Version
from salus.core.wire import encode
from salus.crypto.digests import tagged
from salus.crypto.signatures import SigningKey


def joining(*, chain: ChainId, member: MemberId, keys: MemberKeys, jurisdiction: str, endpoints: Endpoints) -> Digest:
    """What an organisation signs that wants to be a member: on this chain, under this name, with these keys."""
    return tagged("members.joining", encode((chain, member, keys, jurisdiction, endpoints)))


def replacing(*, chain: ChainId, member: MemberId, version: Version, keys: MemberKeys) -> Digest:
    """What a member's keys sign that are to be its keys after this version of its entry."""
    return tagged("members.replacing", encode((chain, member, version, keys)))


def prove(
    statement: Digest, *, ledger: SigningKey, validator: SigningKey, keeper: SigningKey, tls: SigningKey
) -> KeyProof:
    """All four signatures over a statement."""
    return KeyProof(
        ledger=ledger.sign(statement),
        validator=validator.sign(statement),
        keeper=keeper.sign(statement),
        tls=tls.sign(statement),
    )
