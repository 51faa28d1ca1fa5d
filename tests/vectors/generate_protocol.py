"""Writes `headers.json`, `answers.json`, `repairs.json`: bytes in and bytes out, for another implementation to compare.

Run it once when a rule changes on purpose: `python tests/vectors/generate_protocol.py`. A test fails as long as what it
would write differs from what is kept. Inputs follow from labels, so nothing here is random.
"""

import json
from hashlib import sha256
from pathlib import Path

from salus.contracts.reads.opening import RepairOpening, repair_commitment, repair_to_sign
from salus.contracts.records.batch import (
    document_context,
    key_commitment,
    leaf_levels,
    repair_seed,
    row_levels,
    share_context,
    share_contexts_prefix,
    share_row,
)
from salus.contracts.records.header import Header, RecordId, leaf
from salus.core.ids import ChainId, FhirType, MemberId
from salus.core.wire import encode
from salus.crypto.digests import blind
from salus.crypto.hpke import OpeningKey
from salus.crypto.merkle import path, prove_many, root
from salus.crypto.shares import deal_batch, threshold
from salus.crypto.signatures import SigningKey
from salus.keeper.answers import padded
from salus.keeper.messages import (
    Answer,
    AnswerHead,
    BatchProof,
    Entry,
    Item,
    RepairHead,
    RepairPart,
    RepairShares,
    Witness,
    head_statement,
    repair_shares_statement,
    repair_statement,
)
from salus.keeper.repairs import indices_of

FOLDER = Path(__file__).parent
CHAIN, AUTHOR = ChainId("vectors"), MemberId("mercy")
BATCH, COMMITTEE, SUBJECT = (sha256(label).digest()[:16] for label in (b"batch", b"committee", b"subject"))
SEATS, EPOCH = 4, 0
INDICES = (3, 511, 1023)


def bytes_of(label: str) -> bytes:
    return sha256(label.encode()).digest()


def header_of(index: int) -> Header:
    record = RecordId(AUTHOR, BATCH, index)
    term_key = bytes_of("term key")
    terms = sorted(blind(term_key, term) for term in (f"code:{index}", "date:2020", "label:PSY"))
    return Header(
        subject=SUBJECT,
        record=record,
        replaces=RecordId(AUTHOR, bytes_of("older")[:16], 7) if index == 511 else None,
        blobs=(bytes_of(f"blob {index}"),),
        size_bytes=1000 + index,
        key_com=key_commitment(chain=CHAIN, record=record, key=bytes_of(f"key {index}")),
        fhir_type=FhirType("Observation"),
        terms=tuple(terms),
        explicit=(blind(term_key, "label:PSY"),) if index == 1023 else (),
        bits=index % 16,
    )


def headers() -> dict[str, object]:
    return {
        "about": "A header, its leaf SHA-256(salt ‖ header), its key commitment and the context its document is bound "
        "to; terms are the first 16 bytes of HMAC-SHA-256 under the author's key for the subject, sorted",
        "chain": CHAIN,
        "term_key": bytes_of("term key").hex(),
        "token_of_label_psy": blind(bytes_of("term key"), "label:PSY").hex(),
        "headers": [header_case(index) for index in INDICES],
    }


def header_case(index: int) -> dict[str, object]:
    header, key, salt = header_of(index), bytes_of(f"key {index}"), bytes_of(f"salt {index}")
    return {
        "author": AUTHOR,
        "batch_id": BATCH.hex(),
        "index": index,
        "key": key.hex(),
        "salt": salt.hex(),
        "document_context": document_context(CHAIN, header.record).hex(),
        "key_com": header.key_com.hex(),
        "header": encode(header).hex(),
        "leaf": leaf(salt, encode(header)).hex(),
    }


def answers() -> dict[str, object]:
    """What seat 2 of 4 answers about two of three records of a batch."""
    seed = bytes_of("dummy seed")
    prefix = share_contexts_prefix(
        chain=CHAIN,
        author=AUTHOR,
        batch_id=BATCH,
        committee=COMMITTEE,
        epoch=EPOCH,
        seats=SEATS,
        threshold=threshold(SEATS),
    )
    keys = [bytes_of(f"key {index}") for index in INDICES]
    contexts = [share_context(prefix, index) for index in INDICES]
    shares = deal_batch(keys, contexts, seats=SEATS, threshold=threshold(SEATS))
    hashes = [b"".join(sha256(blob[32 * at : 32 * at + 32]).digest() for blob in shares) for at in range(len(keys))]
    leaves = leaf_levels({i: leaf(bytes_of(f"salt {i}"), encode(header_of(i))) for i in INDICES}, seed)
    rows = row_levels({i: share_row(one) for i, one in zip(INDICES, hashes, strict=True)}, seed)
    released = INDICES[:2]
    items = tuple(
        encode(
            Item(
                header=encode(header_of(index)),
                salt=bytes_of(f"salt {index}"),
                share=shares[1][32 * at : 32 * at + 32],
                share_hashes=hashes[at],
                obligations=("NORDSCLCD",) if at else (),
            )
        )
        for at, index in enumerate(released)
    )
    head = AnswerHead(
        chain=CHAIN,
        request_id=bytes_of("request")[:16],
        committee=COMMITTEE,
        epoch=EPOCH,
        seat=2,
        height=12,
        policy=bytes_of("policy"),
        items=len(items),
        root=root(items),
        log_number=5,
        log_entry=bytes_of("log entry"),
    )
    key = SigningKey(bytes_of("keeper"))
    proof = BatchProof(AUTHOR, BATCH, prove_many(leaves, released), prove_many(rows, released))
    answer = Answer(head=head, signature=key.sign(head_statement(head)), items=items, proofs=(proof,))
    return {
        "about": "An answer of one seat before it is sealed to the reply key: the head is what is signed, its root is "
        "the RFC 6962 root over the items; `padded` is eight bytes of length, the answer, zeros. `batch_root` and "
        "`share_root` stand on the ledger. `item_paths` show one item without the rest",
        "batch_root": leaves[-1].hex(),
        "share_root": rows[-1].hex(),
        "keeper_key": key.public.hex(),
        "keys": {str(index): one.hex() for index, one in zip(INDICES, keys, strict=True)},
        "head": encode(head).hex(),
        "head_statement": head_statement(head).hex(),
        "items": [item.hex() for item in items],
        "item_paths": [[one.hex() for one in path(items, at)] for at in range(len(items))],
        "answer": encode(answer).hex(),
        "padded_size": len(padded(encode(answer))),
        "padded_sha256": sha256(padded(encode(answer))).hexdigest(),
    }


def repairs() -> dict[str, object]:
    """A successor asks about the batch of `answers`, and deals two of its patients' records to five seats."""
    seed = bytes_of("dummy seed")
    opening = RepairOpening(
        chain=CHAIN,
        request_id=bytes_of("request")[:16],
        salt=bytes_of("salt"),
        member="lakeside",
        author=AUTHOR,
        batch_id=BATCH,
        reply_key=OpeningKey(bytes_of("reply key")).public,
    )
    successor, keeper = SigningKey(bytes_of("successor")), SigningKey(bytes_of("keeper"))
    leaves = leaf_levels({i: leaf(bytes_of(f"salt {i}"), encode(header_of(i))) for i in INDICES}, seed)
    indices = indices_of([INDICES])
    head = RepairHead(
        chain=CHAIN,
        request_id=opening.request_id,
        author=AUTHOR,
        batch_id=BATCH,
        committee=COMMITTEE,
        epoch=EPOCH,
        seat=2,
        height=12,
        indices=indices,
        root=root([b"a holding"]),
    )
    keys = [bytes_of(f"key {index}") for index in INDICES]
    seats, epoch = SEATS + 1, EPOCH + 1
    prefix = share_contexts_prefix(
        chain=CHAIN,
        author=AUTHOR,
        batch_id=BATCH,
        committee=COMMITTEE,
        epoch=epoch,
        seats=seats,
        threshold=threshold(seats),
    )
    contexts = [share_context(prefix, index) for index in INDICES]
    shares = deal_batch(keys, contexts, seats=seats, threshold=threshold(seats))
    hashes = [b"".join(sha256(blob[32 * at : 32 * at + 32]).digest() for blob in shares) for at in range(len(keys))]
    rows_seed = repair_seed(BATCH, epoch, keys)
    rows = row_levels({i: share_row(one) for i, one in zip(INDICES, hashes, strict=True)}, rows_seed)
    entries = tuple(
        Entry(index, bytes_of(f"salt {index}"), encode(header_of(index)), shares[0][32 * at : 32 * at + 32], hashes[at])
        for at, index in enumerate(INDICES)
    )
    sent = RepairShares(
        chain=CHAIN,
        dealer="lakeside",
        author=AUTHOR,
        batch_id=BATCH,
        committee=COMMITTEE,
        epoch=epoch,
        seat=1,
        root=leaves[-1],
        share_root=rows[-1],
        dummy_seed=rows_seed,
        parts=(RepairPart(entries, prove_many(leaves, INDICES)),),
        witnesses=(Witness(head, keeper.sign(repair_statement(head))),),
    )
    return {
        "about": "What a successor asks about a departed author's batch, what a keeper of before signs of its records "
        "(indices of two bytes each), and what seat 1 of 5 gets at the next epoch. The dummies' seed of the share rows "
        "follows from the keys",
        "opening": encode(opening).hex(),
        "commitment": repair_commitment(opening).hex(),
        "to_sign": repair_to_sign(opening).hex(),
        "keeper_key": keeper.public.hex(),
        "successor_key": successor.public.hex(),
        "head": encode(head).hex(),
        "head_statement": repair_statement(head).hex(),
        "dummy_seed": rows_seed.hex(),
        "share_root": rows[-1].hex(),
        "shares": encode(sent).hex(),
        "shares_statement": repair_shares_statement(encode(sent)).hex(),
        "shares_signature": successor.sign(repair_shares_statement(encode(sent))).hex(),
    }


def written() -> dict[str, str]:
    """What each file must hold."""
    made = {"headers.json": headers(), "answers.json": answers(), "repairs.json": repairs()}
    return {name: json.dumps(value, indent=1, ensure_ascii=False) + "\n" for name, value in made.items()}


if __name__ == "__main__":
    for name, text in written().items():
        (FOLDER / name).write_text(text)
