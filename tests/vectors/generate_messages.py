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
from salus.contracts.members.messages import (
    AnnounceTls,
    Cancel,
    Endpoints,
    Misbehaviour,
    Move,
    NewCommittee,
    Offence,
    Parameters,
    Reinstate,
    RemoveMember,
    RotateGateway,
    RotateTls,
    SetPack,
    SetParameters,
    SetQuota,
    SetValidator,
    Upgrade,
)
from salus.contracts.reads.messages import LogKind, LogRoot
from salus.contracts.records.messages import FirstSupersede, FirstWithdraw, Supersede, Withdraw
from salus.core.ids import HOUR_MS, MINUTE_MS, MemberId
from salus.core.wire import Struct, decode, encode, replace
from salus.crypto.digests import digest
from salus.crypto.hpke import OpeningKey
from salus.crypto.signatures import SigningKey
from salus.machine.block import header_id, header_of, outcome_leaf
from salus.machine.transaction import AnyMessage, Body, Tx, transaction_id
from tests.support.governance import add, approve, joiner, proposal_id, propose, reject, rekey, seats, with_party
from tests.support.network import BLOCK_MS, STARTED, Ledger, network

FILE = Path(__file__).with_name("messages.json")
NET = network(4)
CELL, OTHER, CREDENTIAL, OLD, NEW, REQUEST = (
    NET.id16(name) for name in ("cell", "other", "credential", "old", "new", "request")
)
UNTIL = STARTED + 10 * BLOCK_MS + MINUTE_MS

Step = tuple[AnyMessage, tuple[SigningKey, ...], str]

MANY, LEAVING, CANCELLED, OPEN = (proposal_id(name) for name in ("many", "leaving", "cancelled", "open"))
NORTHGATE = MemberId("northgate")
STAYING = ("mercy", "st-luke", "lakeside")
TLS = SigningKey(digest(b"mercy's next tls key"))
SHOWN = {5: (Misbehaviour(validator=NORTHGATE, offence=Offence.DUPLICATE_VOTE, height=2),)}  # By height.


def governing() -> list[list[Step]]:
    """Every kind of change, proposed and voted on by members, and what each changes alone."""
    quota = SetQuota(member=NORTHGATE, version=0, quota_bytes=65_536)
    many = (
        Reinstate(member=NORTHGATE, version=0),
        SetValidator(member=NORTHGATE, version=1, validator=False),
        rekey("northgate", joiner("northgate"), version=2),
        replace(quota, version=3),
        NewCommittee(committee=NET.id16("second"), seats=(MemberId("mercy"),)),
        SetPack(jurisdiction="us", version=1, root=digest(b"another pack")),
        SetParameters(version=0, parameters=Parameters(messages_max=32)),
        Upgrade(rules=2, from_height=1_000_000),
        Cancel(proposal_id=CANCELLED),
        add(),
    )
    leaving = (
        seats(NET, *STAYING, epoch=2),
        RemoveMember(member=NORTHGATE, version=4, successor=MemberId("mercy")),
    )
    moved = Move(version=0, endpoints=Endpoints(keeper="mercy.example:7443"))
    return [
        [  # Northgate is suspended in this block, by `SHOWN`.
            (propose(CANCELLED, quota), (), "mercy"),
            (propose(MANY, *many), (), "mercy"),
            (approve(MANY), (), "st-luke"),
            (approve(MANY), (), "northgate"),  # Refused: suspended.
            (moved, (), "mercy"),
            (AnnounceTls(version=1, key=TLS.public), (TLS,), "mercy"),
            (RotateTls(version=2), (), "mercy"),
            (RotateGateway(version=3, key=OpeningKey(digest(b"mercy's next gateway key")).public), (), "mercy"),
        ],
        [(approve(MANY), (), "lakeside")],
        [
            (propose(LEAVING, *leaving), (), "mercy"),
            *((approve(LEAVING), (), member) for member in ("st-luke", "lakeside", "southport")),
            (propose(OPEN, replace(quota, version=4)), (), "st-luke"),
            (reject(OPEN), (), "mercy"),
        ],
        [
            (NET.attest("mercy", OLD, good_until=UNTIL, holders=STAYING, epoch=3), (), "lakeside"),  # Refused: not its.
            (NET.attest("mercy", OLD, good_until=UNTIL, holders=STAYING, epoch=3), (), "mercy"),
        ],
    ]


def steps() -> list[list[Step]]:
    """The messages of each block, with the keys that sign beside the sponsor, and the sponsor."""
    return [[(*step, "mercy") for step in block] for block in _documents()] + governing()


def _documents() -> list[list[tuple[AnyMessage, tuple[SigningKey, ...]]]]:
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
            (
                NET.anchor(
                    "mercy", NEW, good_until=UNTIL, supersedes=(Supersede(OLD, 7, 0), FirstSupersede(OLD, 5, 1))
                ),
                (),
            ),
            (Revoke(credential_id=CREDENTIAL, version=0), ()),
        ],
        [],
        [
            (NET.thaw(CELL, 2), (NET.owner(CELL, 2),)),
            (NET.close(OTHER, 0), (NET.owner(OTHER, 0),)),
            (FirstWithdraw(batch_id=OLD, index=5), ()),
            (Withdraw(batch_id=OLD, index=7), ()),
            (Withdraw(batch_id=OLD, index=7), ()),  # Refused: withdrawn already.
            (NET.freeze(CELL, 3), ()),  # Refused: the owner did not sign.
        ],
    ]


def vectors() -> dict[str, Any]:
    """All vectors, as plain data."""
    ledger = Ledger(with_party(NET, joiner()))
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
    made = [ledger.tx(sponsor, message, witnesses=keys, valid_until=UNTIL) for message, keys, sponsor in steps]
    txs += made
    applied = ledger.block(*made, misbehaviour=SHOWN.get(ledger.height + 1, ()))
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
    kinds = {type(message): message for block in steps() for message, *_ in block}
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
