"""Writes `comet_receipts.json`: a genesis, receipts of the CometBFT engine that prove something, and such that do not.

Run it from the root of the repository after a change of rules, which needs a note of kind `rules`:
`python -m tests.vectors.generate_comet_receipts`. Bytes are hexadecimal.
"""

import json
from pathlib import Path
from typing import Any

from salus.core.errors import SalusError
from salus.core.wire import encode
from salus.engines.cometbft.blocks import founders, header_hash, signed_bytes, validators_hash
from salus.engines.cometbft.receipts import CometReceipt, check_comet_receipt
from tests.engines.cometbft.receipt_cases import NET, OTHER, cases, made, with_entries

FILE = Path(__file__).with_name("comet_receipts.json")


def vectors() -> dict[str, Any]:
    """All vectors, as plain data."""
    return {
        "about": "Receipts of the CometBFT engine as bytes, and what whoever has the genesis alone must say of them.",
        "genesis": encode(NET.genesis).hex(),
        "genesis_validators_hash": validators_hash(founders(NET.genesis)).hex(),
        "other_genesis": encode(OTHER.genesis).hex(),  # Under which all of these are refused.
        "valid": [_proven(receipt) for receipt in (*made(), with_entries("d", "nowhere"))],
        "refused": [{"why": why, "code": _refused(one), "bytes": encode(one).hex()} for why, one in cases()],
        "malformed": _malformed(encode(made()[0])),
    }


def _proven(receipt: CometReceipt) -> dict[str, Any]:
    proof = receipt.proof
    return {
        "bytes": encode(receipt).hex(),
        "code": receipt.code,
        "height": receipt.header.height,
        "header_hash": header_hash(receipt.header).hex(),
        "proof_hash": header_hash(proof.header).hex(),
        "first_vote_signs": signed_bytes(proof, proof.votes[0]).hex(),
    }


def _refused(receipt: CometReceipt) -> str:
    try:
        check_comet_receipt(receipt, NET.genesis)
    except SalusError as error:
        return error.code
    raise AssertionError("a receipt that must be refused was accepted")


def _malformed(data: bytes) -> list[dict[str, str]]:
    changed = {
        "nothing": b"",
        "a trailing byte": data + b"\0",
        "cut short": data[:-1],
        "another tag": data.replace(b"engine.comet_receipt/1", b"engine.comet_receipt/9"),
    }
    return [{"why": why, "bytes": one.hex()} for why, one in changed.items()]


if __name__ == "__main__":
    FILE.write_text(json.dumps(vectors(), indent=1, ensure_ascii=False) + "\n")
