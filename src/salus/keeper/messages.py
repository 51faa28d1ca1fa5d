"""What may be asked of a keeper, and what it answers. The same bytes travel in process and over HTTP.

Whatever is sealed opens for one seat alone, or for the single-use reply key alone; its `info` names chain and purpose.
"""

from typing import Annotated

from msgspec import Meta

from salus.contracts.consent.policy import PolicySet
from salus.contracts.credentials.claims import Claims
from salus.core.ids import (
    BatchId,
    CellId,
    ChainId,
    CommitteeId,
    CredentialId,
    Digest,
    Epoch,
    Height,
    LeafIndex,
    Name,
    PublicKey,
    Purpose,
    RequestId,
    Salt,
    Sealed,
    SealedShares,
    SealingKey,
    Seat,
    Signature,
    SubjectId,
    TimeMs,
    Unsigned,
    Version,
)
from salus.core.wire import Record, encode
from salus.crypto.digests import tagged
from salus.crypto.merkle import LEAVES
from salus.crypto.shares import SEATS_MAX

# Sealing a batch.


class Entry(Record, tag="e/1", frozen=True):
    """One record for one seat."""

    index: LeafIndex
    salt: Salt
    header: bytes  # An encoded `records.header.Header`.
    share: bytes  # 32 bytes.
    share_hashes: bytes  # SHA-256 of every seat's share, in the order of seats.


class BatchShares(Record, tag="keeper.batch_shares/1", frozen=True):
    """What one seat gets of a batch."""

    chain: ChainId
    author: Name
    batch_id: BatchId
    committee: CommitteeId
    epoch: Epoch
    seat: Seat
    root: Digest
    share_root: Digest
    dummy_seed: Digest
    entries: tuple[Entry, ...]  # By rising index.


class Signed(Record, tag="keeper.signed/1", frozen=True):
    """Bytes and the signature of whoever vouches for them."""

    body: bytes
    signature: Signature


class Deposit(Record, tag="keeper.deposit/1", frozen=True):
    """An envelope: a `Signed` `BatchShares`, sealed to one seat."""

    seat: Seat
    sealed: SealedShares


class Deposited(Record, tag="keeper.deposited/1", frozen=True):
    """The shares are durable here until `good_until`; the signature is over `records.statements.deposited`."""

    seat: Seat
    good_until: TimeMs
    signature: Signature


class DepositRefused(Record, tag="keeper.deposit_refused/1", frozen=True):
    """These indices may not be sealed by this author; the rest may, with dummies in their places."""

    indices: tuple[LeafIndex, ...]


# Policies.


class Cosignature(Record, tag="keeper.cosignature/1", frozen=True):
    """A second writer's word, by its ledger key over `widening`, that a custodian may widen."""

    member: Name
    signature: Signature


class PolicyDeposit(Record, tag="keeper.policy_deposit/1", frozen=True):
    """A policy version for one seat, before its cell advances to it. `evidence`: digest of what a custodian saw."""

    policy: PolicySet
    evidence: Digest | None
    cosignature: Cosignature | None


class SealedPolicy(Record, tag="keeper.sealed_policy/1", frozen=True):
    """A `PolicyDeposit`, sealed to one seat."""

    seat: Seat
    sealed: Sealed


class PolicyHeld(Record, tag="keeper.policy_held/1", frozen=True):
    """The version is durable here. Signed over `cells.statements.held`; a first version needs no signature."""

    seat: Seat
    signature: Signature | None


class FirstPolicies(Record, tag="keeper.first_policies/1", frozen=True):
    """First versions for cells that are yet to be created: an import opens some dozens at a time."""

    policies: tuple[PolicySet, ...]


class SealedFirstPolicies(Record, tag="keeper.sealed_first_policies/1", frozen=True):
    """A `FirstPolicies`, sealed to one seat."""

    seat: Seat
    sealed: Sealed


class FirstPoliciesHeld(Record, tag="keeper.first_policies_held/1", frozen=True):
    """Durable here, but for those refused: their place in what was sent, and the code. `create` needs no receipt."""

    seat: Seat
    refused: tuple[tuple[Unsigned, str], ...]


class PolicyWanted(Record, tag="keeper.policy_wanted/1", frozen=True):
    """One keeper asks another for the policy behind a cell's commitment."""

    committee: CommitteeId
    epoch: Epoch  # At which the asker sits there, or sat and serves still.
    seat: Seat  # The asker's.
    cell_id: CellId
    commitment: Digest


class PolicyFound(Record, tag="keeper.policy_found/1", frozen=True):
    """The policy, sealed to the asker's seat; empty where it is not held."""

    sealed: bytes


class WideningNotice(Record, tag="keeper.widening_notice/1", frozen=True):
    """A keeper tells a writer that a custodian widens a policy: when it began to wait, and what stands for it."""

    cell_id: CellId
    commitment: Digest  # Of the wider version.
    version: Version
    custodian: Name
    evidence: Digest
    cosigner: Name | None  # The second writer, who spares it the wait.
    noticed: TimeMs  # Block time.


# Dealing a departed author's batch again.


class RepairAsking(Record, tag="keeper.repair_asking/1", frozen=True):
    """A successor asks for a batch's shares."""

    opening: bytes  # An encoded `reads.opening.RepairOpening`.
    signature: Signature  # By the successor's ledger key, over `reads.opening.repair_to_sign`.
    at_height: Height  # Answer no older than this.


class RepairAsk(Record, tag="keeper.repair_ask/1", frozen=True):
    """A `RepairAsking`, sealed to one seat."""

    committee: CommitteeId
    epoch: Epoch  # At which the batch was dealt last.
    seat: Seat  # The asked one's, at that epoch.
    sealed: Sealed


class RepairHead(Record, tag="keeper.repair_head/1", frozen=True):
    """What a keeper signs of its answer, and to other keepers: these are the batch's records, no more and no fewer."""

    chain: ChainId
    request_id: RequestId
    author: Name
    batch_id: BatchId
    committee: CommitteeId
    epoch: Epoch
    seat: Seat
    height: Height
    indices: bytes  # Two bytes each, rising: of every patient whose cell is not closed.
    root: Digest  # Over the holdings (RFC 6962).


class RepairAnswer(Record, tag="keeper.repair_answer/1", frozen=True):
    """What the successor opens."""

    head: RepairHead
    signature: Signature
    holdings: tuple[bytes, ...]  # Encoded `checking.Holding`s, one for each patient.


class RepairPart(Record, tag="keeper.repair_part/1", frozen=True):
    """One patient's records for one seat, and their path to the batch's root: nobody has the dummies' seed any more."""

    entries: tuple[Entry, ...]  # By rising index.
    leaf_proof: bytes


class Witness(Record, tag="keeper.witness/1", frozen=True):
    """A keeper of before says which records there are, so that none can be left out."""

    head: RepairHead
    signature: Signature


class RepairShares(Record, tag="keeper.repair_shares/1", frozen=True):
    """What one seat gets of a departed author's batch, dealt again by its successor."""

    chain: ChainId
    dealer: Name
    author: Name
    batch_id: BatchId
    committee: CommitteeId
    epoch: Epoch
    seat: Seat
    root: Digest
    share_root: Digest
    dummy_seed: Digest  # Of share rows alone.
    parts: Annotated[tuple[RepairPart, ...], Meta(max_length=LEAVES)]
    # More than may lie, of those to whom it was dealt before.
    witnesses: Annotated[tuple[Witness, ...], Meta(max_length=SEATS_MAX)]


class RepairDeposit(Record, tag="keeper.repair_deposit/1", frozen=True):
    """A `Signed` `RepairShares`, sealed to one seat."""

    seat: Seat
    sealed: SealedShares


# Reading.


class Person(Record, tag="keeper.person/1", frozen=True):
    """How a person with a credential shows it: its claims, and their own signature over what they ask."""

    credential_id: CredentialId
    claims: Claims
    signature: Signature


class Asking(Record, tag="keeper.asking/1", frozen=True):
    """A request opened: by whom it is signed, and for break-glass beyond a quota, by which second person."""

    opening: bytes  # An encoded `reads.opening.Opening`.
    signature: Signature  # By the opening's key, over `reads.opening.to_sign`.
    claims: Claims | None  # Of the opening's credential; none for a device of the patient or a proxy.
    second: Person | None
    at_height: Height  # Answer no older than this.
    watch: bool  # Tell this request's member when something new lies here.


class Ask(Record, tag="keeper.ask/1", frozen=True):
    """An `Asking`, sealed to one seat."""

    committee: CommitteeId
    epoch: Epoch  # At which the asked one sits there, or sat and serves still.
    seat: Seat
    sealed: Sealed


class Item(Record, tag="i/1", frozen=True):
    """One permitted record."""

    header: bytes
    salt: Salt
    share: bytes
    share_hashes: bytes
    obligations: tuple[str, ...]


class BatchProof(Record, tag="keeper.batch_proof/1", frozen=True):
    """Paths of all permitted records of one batch, to its root and to its share root."""

    author: Name
    batch_id: BatchId
    leaf_proof: bytes
    row_proof: bytes


class AnswerHead(Record, tag="keeper.answer_head/1", frozen=True):
    """What a keeper signs of an answer: bound to request, height and policy, so that a lie can be shown to anyone."""

    chain: ChainId
    request_id: RequestId
    committee: CommitteeId
    epoch: Epoch
    seat: Seat
    height: Height
    policy: Digest  # The commitment it decided under; NO_DIGEST where it knows no such subject.
    items: Unsigned
    root: Digest  # Over the items (RFC 6962), so that one can be shown without the rest.
    log_number: Unsigned  # Of the entry this answer left in the keeper's log; 0 where it knows no such subject.
    log_entry: Digest  # That entry's, as `log_entry_digest`: who answers and keeps no such entry has lied.


class Answer(Record, tag="keeper.answer/1", frozen=True):
    """What the reader opens."""

    head: AnswerHead
    signature: Signature
    items: tuple[bytes, ...]  # Encoded `Item`s.
    proofs: tuple[BatchProof, ...]


class SealedAnswer(Record, tag="keeper.sealed_answer/1", frozen=True):
    """An `Answer`, padded, sealed to the request's reply key."""

    sealed: bytes


class SomethingNew(Record, tag="keeper.something_new/1", frozen=True):
    """A watched request may have more to show: ask again."""

    request_id: RequestId


class Noted(Record, tag="keeper.noted/1", frozen=True):
    """Nothing to say but that it arrived."""


# The log.


class LogEntry(Record, tag="keeper.log_entry/1", frozen=True):
    """One use of a subject's records, as the patient sees it."""

    number: Unsigned  # In this log.
    subject_number: Unsigned  # In this log, of this subject.
    time: TimeMs  # The logging member's own clock.
    height: Height
    where: Name  # Whose log this is.
    request_id: RequestId
    member: Name
    credential_id: CredentialId | None
    handle: bytes | None  # Of the device or proxy.
    kind: str
    purpose: Purpose
    reason: str
    released: tuple[tuple[str, bytes, bytes], ...]  # Author, batch id, two-byte indices.
    withheld: tuple[tuple[str, Unsigned], ...]  # Reason code, how many records.
    previous: Digest  # Head of this subject's chain before this entry.


class LogAsking(Record, tag="keeper.log_asking/1", frozen=True):
    """The patient asks for their log; signed by a device of the policy in force. `nonce` and `time` make it single."""

    chain: ChainId
    subject: SubjectId
    key: PublicKey
    time: TimeMs
    reply_key: SealingKey
    after: Unsigned  # Entries with a higher subject number only.


class LogAsk(Record, tag="keeper.log_ask/1", frozen=True):
    """A `Signed` `LogAsking`, sealed to one seat."""

    committee: CommitteeId
    seat: Seat
    sealed: Sealed


class LogTold(Record, tag="keeper.log_told/1", frozen=True):
    """Entries of one subject, and the proof of its last number and head in the log's latest root."""

    where: Name
    entries: tuple[bytes, ...]  # Encoded `LogEntry`s, by rising subject number.
    subject_key: Digest  # The subject's key in the map.
    anchored: bytes  # The encoded (number, head) that the root covers; empty if none yet.
    proof: bytes  # An encoded `state.proofs.Proof`.
    root: Digest


class SealedLog(Record, tag="keeper.sealed_log/1", frozen=True):
    """A `LogTold`, sealed to the asker's reply key."""

    sealed: bytes


# What is signed and sealed, with its purpose.


def info(chain: ChainId, what: str) -> bytes:
    """HPKE's `info`: an envelope of one kind never opens as another, nor on another chain."""
    return tagged("keeper.info", chain.encode(), what.encode())


def batch_statement(body: bytes) -> Digest:
    """What an author signs of a seat's shares."""
    return tagged("keeper.batch_shares", body)


def repair_shares_statement(body: bytes) -> Digest:
    """What a successor signs of a seat's shares."""
    return tagged("keeper.repair_shares", body)


def repair_statement(head: RepairHead) -> Digest:
    """What a keeper signs of an answer to a successor."""
    return tagged("keeper.repair", encode(head))


def head_statement(head: AnswerHead) -> Digest:
    """What a keeper signs of an answer."""
    return tagged("keeper.answer", encode(head))


def widening_statement(chain: ChainId, policy_commitment: Digest, evidence: Digest) -> Digest:
    """What a second writer signs for a custodian's widening."""
    return tagged("keeper.widening", chain.encode(), policy_commitment, evidence)


def log_statement(body: bytes) -> Digest:
    """What a patient's device signs to see the log."""
    return tagged("keeper.log_asking", body)


def log_entry_digest(entry: bytes) -> Digest:
    """The head of a subject's chain after this entry."""
    return tagged("keeper.log_entry", entry)
