"""Writes `dealing.json` and `batch_roots.json`: bytes in and bytes out, for another implementation to compare with.

Run it once when a rule changes on purpose: `python tests/vectors/generate_crypto.py`. A test fails as long as what it
would write differs from what is kept. Inputs follow from labels, so nothing here is random.
"""

import json
from hashlib import sha256
from pathlib import Path

from salus.crypto.merkle import LEAVES, batch_root, dummy_leaf, levels, path, prove_many, root
from salus.crypto.shares import coefficients, deal_batch, threshold

FOLDER = Path(__file__).parent
COMMITTEES = (1, 2, 3, 4, 5, 6, 7, 13, 255)
RECORD_INDICES = (0, 1, 2, 511, 512, 1023)
SELECTIONS = ((0,), (1023,), (0, 1), (0, 1023), (1, 2, 511, 512), RECORD_INDICES, tuple(range(LEAVES)))
LEAF_COUNTS = (0, 1, 2, 3, 4, 5, 7, 8, 13)


def bytes_of(label: str) -> bytes:
    return sha256(label.encode()).digest()


def dealing() -> dict[str, object]:
    return {
        "about": "Shamir over GF(2^8), polynomial 0x11b; coefficients = SHAKE256(tag ‖ context ‖ key), 32 bytes for "
        "each power from 1 up; shares are by seat, the x of the polynomial, and hold 32 bytes for each key in order",
        "tag": b"salus.shares.coefficients/1\0".hex(),
        "cases": [dealing_case(seats) for seats in COMMITTEES],
    }


def dealing_case(seats: int) -> dict[str, object]:
    least = threshold(seats)
    keys = [bytes_of(f"key {seats} {number}") for number in range(2)]
    contexts = [f"context {seats} {number}".encode() for number in range(2)]
    blobs = deal_batch(keys, contexts, seats=seats, threshold=least)
    kept = range(1, seats + 1) if seats <= 13 else (1, seats)
    return {
        "seats": seats,
        "threshold": least,
        "keys": [key.hex() for key in keys],
        "contexts": [context.hex() for context in contexts],
        "coefficients": [
            coefficients(key, context, least).hex() if seats <= 13 else ""
            for key, context in zip(keys, contexts, strict=True)
        ],
        "shares": {str(seat): blobs[seat - 1].hex() for seat in kept},
    }


def batch_roots() -> dict[str, object]:
    seed = bytes_of("dummy seed")
    records = {index: bytes_of(f"leaf {index}") for index in RECORD_INDICES}
    leaves = [records.get(index) or dummy_leaf(seed, index) for index in range(LEAVES)]
    built = levels(leaves)
    return {
        "about": "Batches have 1,024 leaves; where `leaves` names none, the leaf is SHA-256(tag ‖ seed ‖ index in two "
        "bytes); inner = SHA-256(0x01 ‖ left ‖ right). A proof is the missing siblings, lowest level first, left to "
        "right. `trees` are RFC 6962 trees with the path of the last leaf, lowest sibling first",
        "tag": b"salus.batch.dummy/1\0".hex(),
        "seed": seed.hex(),
        "leaves": {str(index): leaf.hex() for index, leaf in records.items()},
        "root": batch_root(leaves).hex(),
        "proofs": [{"indices": list(chosen), "proof": prove_many(built, chosen).hex()} for chosen in SELECTIONS],
        "trees": [tree_case(count) for count in LEAF_COUNTS],
    }


def tree_case(count: int) -> dict[str, object]:
    leaves = [bytes_of(f"entry {number}")[:number] for number in range(count)]
    siblings = path(leaves, count - 1) if leaves else ()
    return {
        "leaves": [leaf.hex() for leaf in leaves],
        "root": root(leaves).hex(),
        "path": [one.hex() for one in siblings],
    }


def written() -> dict[str, str]:
    """What each file must hold."""
    made = {"dealing.json": dealing(), "batch_roots.json": batch_roots()}
    return {name: json.dumps(value, indent=1, ensure_ascii=False) + "\n" for name, value in made.items()}


if __name__ == "__main__":
    for name, text in written().items():
        (FOLDER / name).write_text(text)
