"""Writes `receipts.json`: a genesis, receipts that prove something under it, and receipts that must be refused.

Run it from the root of the repository after a change of rules, which needs a note of kind `rules`:
`python -m tests.vectors.generate_receipts`. Bytes are hexadecimal.
"""

import json
from pathlib import Path
from typing import Any

from salus.core.wire import encode
from salus.engines.receipts import Receipt
from tests.engines.receipt_cases import NET, OTHER, cases, handed_cases, history, made

FILE = Path(__file__).with_name("receipts.json")


def vectors() -> dict[str, Any]:
    """All vectors, as plain data."""
    return {
        "about": "Receipts as bytes, and what whoever has the genesis alone must say of them.",
        "genesis": encode(NET.genesis).hex(),
        "other_genesis": encode(OTHER.genesis).hex(),  # Under which all of these are refused.
        "valid": [_proven(receipt) for receipt in (*made(), *history()[0])],
        "refused": [{"why": why, "bytes": encode(receipt).hex()} for why, receipt in (*cases(), *handed_cases())],
        "malformed": _malformed(encode(made()[0])),
    }


def _proven(receipt: Receipt) -> dict[str, Any]:
    header = receipt.header
    return {
        "bytes": encode(receipt).hex(),
        "tx_id": receipt.result.tx_id.hex(),
        "code": receipt.result.code,
        "height": header.height,
        "time": header.time,
        "outcome_root": header.outcome_root.hex(),
    }


def _malformed(data: bytes) -> list[dict[str, str]]:
    cases = {
        "nothing": b"",
        "a trailing byte": data + b"\0",
        "cut short": data[:-1],
        "another tag": data.replace(b"engine.receipt/2", b"engine.receipt/9"),
    }
    return [{"why": why, "bytes": changed.hex()} for why, changed in cases.items()]


if __name__ == "__main__":
    FILE.write_text(json.dumps(vectors(), indent=1, ensure_ascii=False) + "\n")
