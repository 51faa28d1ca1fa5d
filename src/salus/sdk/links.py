"""What ties a member to a patient it may write about: the subject's handle, cell, committee, and the member's term key.

A link travels from the wallet (or custodian) to the member, sealed to it, with the policy that names it a writer. The
code the patient shows decides which waiting link is theirs.
"""

from salus.contracts.consent import PolicySet
from salus.core.ids import CellId, ChainId, CommitteeId, Digest, MemberId, PublicKey, Sealed, Signature, SubjectId
from salus.core.wire import Record, encode
from salus.crypto.digests import tagged


class Link(Record, tag="link/1", frozen=True):
    """A writer's tie to a patient."""

    subject: SubjectId
    cell: CellId
    committee: CommitteeId
    term_key: bytes  # `k[subject, author]` for new records.


class LinkPackage(Record, tag="link.package/1", frozen=True):
    """What is sealed to a member: its link, and the policy version that names it."""

    link: Link
    policy: PolicySet


class SendLink(Record, tag="link.send/1", frozen=True):
    """A sealed `LinkPackage`, waiting for the code that the patient shows at the desk."""

    code: Digest  # Of the one-time code.
    sealed: Sealed


class SendPolicy(Record, tag="link.policy/1", frozen=True):
    """A sealed `PolicySet`, newly in force, for a writer: what decides there when it is offline."""

    sealed: Sealed


class NewTermKey(Record, tag="link.new_term_key/1", frozen=True):
    """After a claim: a writer's link with the key for new records, signed by a device of the policy in force."""

    link: Link
    device: PublicKey
    signature: Signature  # Over `term_key_statement`.


class SendTermKey(Record, tag="link.term_key/1", frozen=True):
    """A sealed `NewTermKey`, for a writer that has a link already."""

    sealed: Sealed


class Received(Record, tag="link.received/1", frozen=True):
    """It arrived."""


def code_digest(chain: ChainId, code: str) -> Digest:
    """What a member learns of a code before the patient shows it."""
    return tagged("link.code", chain.encode(), code.strip().upper().encode())


def term_key_statement(chain: ChainId, writer: MemberId, link: Link) -> Digest:
    """What a patient's device signs of a writer's new link. One seed has one, so an old one cannot come back."""
    return tagged("link.term_key", chain.encode(), writer.encode(), encode(link))
