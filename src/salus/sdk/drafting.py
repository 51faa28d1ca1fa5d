"""What sealing needs of arithmetic: ciphertext, headers, shares and roots of a batch, from chance that is drawn before.

Nothing here asks a store, a ledger, a clock or chance (but for the salt that a sealed document draws in its library),
so a batch can be drafted on another core. `author.py` draws, and keeps the plan; `dealing.py` deals it out.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

from salus.contracts.consent import padded as padded_explicit
from salus.contracts.records.batch import (
    DIGEST_BYTES,
    document_context,
    key_commitment,
    leaf_levels,
    row_levels,
    share_context,
    share_contexts_prefix,
    share_row,
)
from salus.contracts.records.header import Header, RecordId, leaf
from salus.core.ids import (
    BatchId,
    ChainId,
    CommitteeId,
    Digest,
    Epoch,
    FhirType,
    LeafIndex,
    MemberId,
    Salt,
    SubjectId,
    Token,
    Unsigned,
)
from salus.core.wire import Record, encode, reopen
from salus.crypto.digests import TOKEN_BYTES, Blinder
from salus.crypto.documents import seal_chunks
from salus.crypto.shares import deal_batch
from salus.vault.places import keepers_of

TERM_BUCKET = 8
CHANCE_BYTES = 64 + TOKEN_BYTES * TERM_BUCKET  # That one document needs.


class OwnEntry(Record, tag="o/1", frozen=True):
    """One own record: its key, and all that is needed to send it again."""

    index: LeafIndex
    key: Digest
    salt: Salt
    header: bytes


class Setting(Record, tag="draft.setting/1", frozen=True):
    """What all records of a batch are bound to."""

    chain: ChainId
    author: MemberId
    batch_id: BatchId
    committee: CommitteeId
    epoch: Epoch
    seats: Unsigned
    threshold: Unsigned
    dummy_seed: Digest


class ToSeal(Record, tag="draft.to_seal/1", frozen=True):
    """One document, its place in the batch, and the chance it is sealed with."""

    index: LeafIndex
    chance: bytes
    subject: SubjectId
    data: bytes
    fhir_type: FhirType
    terms: tuple[str, ...]
    explicit: tuple[str, ...]
    bits: Unsigned
    replaces: RecordId | None


class ToDraft(Record, tag="draft.to_draft/1", frozen=True):
    """A whole batch, and the keys under which its subjects' terms are blinded."""

    setting: Setting
    term_keys: dict[SubjectId, bytes]
    members: tuple[MemberId, ...]  # Of the committee, in the order of its seats: some of their vaults keep each blob.
    documents: tuple[ToSeal, ...]


class Drafted(Record, tag="draft.drafted/1", frozen=True):
    """What is to be kept and dealt."""

    contents: tuple[Digest, ...]  # SHA-256 of each document, in the order they were given.
    own: dict[SubjectId, tuple[OwnEntry, ...]]  # By rising index.
    blobs: dict[Digest, bytes]
    vaults: dict[Digest, list[MemberId]]
    root: Digest
    share_root: Digest
    shares: tuple[bytes, ...]  # Per seat, joined by rising index.
    hashes: tuple[bytes, ...]  # Per record, joined by seat.


class Tokens(dict[str, Token]):
    """A patient's terms as one author blinds them, each worked out once."""

    def __init__(self, term_key: bytes) -> None:
        super().__init__()
        self._blind = Blinder(term_key)

    def __missing__(self, term: str) -> Token:
        token = self[term] = self._blind(term)
        return token


def draft_batches(given: Sequence[bytes]) -> list[bytes]:
    """`Work`: an encoded `ToDraft` becomes an encoded `Drafted`."""
    return [encode(_drafted(reopen(ToDraft, one))) for one in given]


def _drafted(order: ToDraft) -> Drafted:
    tokens = {subject: Tokens(key) for subject, key in order.term_keys.items()}
    own: dict[SubjectId, list[OwnEntry]] = {}
    blobs: dict[Digest, bytes] = {}
    for document in sorted(order.documents, key=lambda one: one.index):
        entry, sealed = seal_one(order.setting, document, tokens[document.subject])
        own.setdefault(document.subject, []).append(entry)
        blobs.update(sealed)
    entries = by_index(own)
    shares, hashes = deal_entries(order.setting, entries)
    root, share_root = roots_of(entries, hashes, order.setting.dummy_seed)
    kept = {subject: tuple(theirs) for subject, theirs in own.items()}
    contents = tuple([sha256(document.data).digest() for document in order.documents])
    vaults = {blob: keepers_of(blob, order.members) for blob in blobs}
    return Drafted(contents, kept, blobs, vaults, root, share_root, tuple(shares), tuple(hashes))


def seal_one(setting: Setting, document: ToSeal, tokens: Tokens) -> tuple[OwnEntry, Mapping[Digest, bytes]]:
    """Seal one document. Of the chance, 32 bytes are its key, 32 the salt of its leaf, the rest fills its terms."""
    key, salt, filling = document.chance[:32], document.chance[32:64], document.chance[64:]
    record = RecordId(setting.author, setting.batch_id, document.index)
    sealed = seal_chunks(key, document_context(setting.chain, record), document.data)
    blobs = {sha256(blob).digest(): blob for blob in sealed}
    header = Header(
        subject=document.subject,
        record=record,
        replaces=document.replaces,
        blobs=tuple(blobs),
        size_bytes=len(document.data),
        key_com=key_commitment(chain=setting.chain, record=record, key=key),
        fhir_type=document.fhir_type,
        terms=_blinded(document.terms, filling, tokens),
        explicit=padded_explicit(tuple([tokens[term] for term in document.explicit])),
        bits=document.bits,
    )
    return OwnEntry(document.index, key, salt, encode(header)), blobs


def _blinded(terms: Sequence[str], filling: bytes, tokens: Tokens) -> tuple[Token, ...]:
    missing = -len(terms) % TERM_BUCKET if terms else TERM_BUCKET
    blinded = [tokens[term] for term in terms]
    # By chance: filling that repeats would give itself away, and the count.
    blinded += [filling[at : at + TOKEN_BYTES] for at in range(0, TOKEN_BYTES * missing, TOKEN_BYTES)]
    blinded.sort()
    return tuple(blinded)


def deal_entries(setting: Setting, entries: Sequence[OwnEntry]) -> tuple[list[bytes], list[bytes]]:
    """Shares per seat (32 bytes per entry, joined), and per entry the joined hashes of all seats' shares."""
    prefix = share_contexts_prefix(
        chain=setting.chain,
        author=setting.author,
        batch_id=setting.batch_id,
        committee=setting.committee,
        epoch=setting.epoch,
        seats=setting.seats,
        threshold=setting.threshold,
    )
    contexts = [share_context(prefix, entry.index) for entry in entries]
    keys = [entry.key for entry in entries]
    shares = deal_batch(keys, contexts, seats=setting.seats, threshold=setting.threshold)
    ends = range(0, DIGEST_BYTES * len(entries), DIGEST_BYTES)
    by_seat = [[sha256(blob[at : at + DIGEST_BYTES]).digest() for at in ends] for blob in shares]
    return shares, [b"".join(row) for row in zip(*by_seat, strict=True)]


def roots_of(entries: Sequence[OwnEntry], hashes: Sequence[bytes], dummy_seed: Digest) -> tuple[Digest, Digest]:
    """The roots over headers and over share hashes."""
    leaves = {entry.index: leaf(entry.salt, entry.header) for entry in entries}
    rows = {entry.index: share_row(one) for entry, one in zip(entries, hashes, strict=True)}
    return leaf_levels(leaves, dummy_seed)[-1], row_levels(rows, dummy_seed)[-1]


def by_index(own: Mapping[SubjectId, Iterable[OwnEntry]]) -> list[OwnEntry]:
    """All entries of a batch, by rising index."""
    return sorted([entry for entries in own.values() for entry in entries], key=lambda entry: entry.index)
