"""Writes `messages.json`: what every message, transaction and block is as bytes, and what a small history comes to.

Run it from the root of the repository after a change of rules, which needs a note of kind `rules`:
`python -m tests.vectors.generate_messages`. Bytes are hexadecimal; a field named `fields` lists values in their order.
"""

import json
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec

from salus.contracts.credentials.messages import Revoke
from salus.contracts.reads.messages import LogKind, LogRoot
from salus.contracts.records.messages import Supersede, Withdraw
from salus.core.ids import HOUR_MS, MINUTE_MS
from salus.core.wire import Struct, decode, encode, replace
from salus.crypto.digests import digest
from salus.crypto.signatures import SigningKey
from salus.machine.block import header_id, header_of, outcome_leaf
from salus.machine.transaction import AnyMessage, Body, Tx, transaction_id
from tests.support.network import BLOCK_MS, STARTED, Ledger, network

FILE = Path(__file__).with_name("messages.json")
NET = network(4)
CELL, OTHER, CREDENTIAL, OLD, NEW, REQUEST = (
    NET.id16(name) for name in ("cell", "other", "credential", "old", "new", "request")
)
UNTIL = STARTED + 10 * BLOCK_MS + MINUTE_MS

Step = tuple[AnyMessage, tuple[SigningKey, ...]]


def steps() -> list[list[Step]]:
    """The messages of each block, with the owner's keys that sign beside mercy."""
    expires = STARTED + 3 * BLOCK_MS
    return [
        [
            (NET.create(CELL), ()),
            (NET.create(OTHER), ()),
            (NET.issue(CREDENTIAL, expires=STARTED + HOUR_MS), ()),
            (NET.anchor("mercy", OLD, good_until=UNTIL), ()),
            (NET.request(REQUEST, expires=expires), ()),
            (LogRoot(log=LogKind.KEEPER, version=0, root=digest(b"log")), ()),
        ],
        [
            (NET.advance(CELL, 0), (NET.owner(CELL, 0),)),
            (NET.freeze(CELL, 1), (NET.owner(CELL, 1),)),
            (NET.anchor("mercy", NEW, good_until=UNTIL, supersedes=(Supersede(OLD, 7, 0),)), ()),
            (Revoke(credential_id=CREDENTIAL, version=0), ()),
        ],
        [],
        [
            (NET.thaw(CELL, 2), (NET.owner(CELL, 2),)),
            (NET.close(OTHER, 0), (NET.owner(OTHER, 0),)),
            (Withdraw(batch_id=OLD, index=7), ()),
            (Withdraw(batch_id=OLD, index=7), ()),  # Refused: withdrawn already.
            (NET.freeze(CELL, 3), ()),  # Refused: the owner did not sign.
        ],
    ]


def vectors() -> dict[str, Any]:
    """All vectors, as plain data."""
    ledger = Ledger(NET)
    founded = ledger.app_hash
    txs: list[bytes] = []
    blocks = [_block(ledger, block, txs) for block in steps()]
    first = decode(Tx, txs[0])
    return {
        "about": "Canonical bytes of messages, transactions and blocks; and the roots they lead to.",
        "messages": _messages(),
        "transactions": [_transaction(tx) for tx in txs],
        "not_transactions": _not_transactions(first),
        "genesis": {"bytes": encode(NET.genesis).hex(), "app_hash": founded.hex()},
        "blocks": blocks,
    }


def _block(ledger: Ledger, steps: list[Step], txs: list[bytes]) -> dict[str, Any]:
    made = [ledger.tx("mercy", message, witnesses=keys, valid_until=UNTIL) for message, keys in steps]
    txs += made
    applied = ledger.block(*made)
    block = ledger.blocks[-1]
    header = header_of(block, applied)
    return {
        "bytes": encode(block).hex(),
        "results": [{"tx_id": result.tx_id.hex(), "code": result.code} for result in applied.results],
        "outcome_leaves": [outcome_leaf(tx, done).hex() for tx, done in zip(made, applied.results, strict=True)],
        "outcome_root": applied.outcome_root.hex(),
        "app_hash": applied.app_hash.hex(),
        "validators": applied.validators.hex(),
        "header": encode(header).hex(),
        "header_id": header_id(header).hex(),
    }


def _messages() -> list[dict[str, Any]]:
    kinds = {type(message): message for block in steps() for message, _ in block}
    return [
        {"tag": kind.__struct_config__.tag, "fields": _plain(kinds[kind]), "bytes": encode(kinds[kind]).hex()}
        for kind in sorted(kinds, key=lambda kind: str(kind.__struct_config__.tag))
    ]


def _transaction(data: bytes) -> dict[str, Any]:
    tx = decode(Tx, data)
    return {"bytes": data.hex(), "body": tx.body.hex(), "tx_id": transaction_id(tx.body).hex()}


def _not_transactions(tx: Tx) -> list[dict[str, str]]:
    body = decode(Body, tx.body)
    wide = encode(replace(body, valid_until=1)).replace(b"\x01\x91", b"\xcc\x01\x91", 1)
    cases = {
        "nothing": b"",
        "a trailing byte": encode(tx) + b"\0",
        "cut short": encode(tx)[:-1],
        "a body with a trailing byte": encode(replace(tx, body=tx.body + b"\0")),
        "an integer in two bytes that fits in one": encode(replace(tx, body=wide)),
        "no messages": encode(replace(tx, body=encode(replace(body, messages=())))),
        "an unknown tag": encode(replace(tx, body=tx.body.replace(b"cells.create/1", b"cells.create/9"))),
        "a signature of 63 bytes": encode(replace(tx, signature=bytes(63))),
        "a name in capitals": encode(replace(tx, body=encode(replace(body, sponsor="Mercy")))),
    }
    return [{"why": why, "bytes": data.hex()} for why, data in cases.items()]


def _plain(value: object) -> Any:
    if isinstance(value, Struct):
        return {field: _plain(getattr(value, field)) for field in value.__struct_fields__}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    return value.hex() if isinstance(value, bytes) else msgspec.to_builtins(value)


if __name__ == "__main__":
    FILE.write_text(json.dumps(vectors(), indent=1, ensure_ascii=False) + "\n")
