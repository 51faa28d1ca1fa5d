"""How fast receipts of the CometBFT engine are checked offline, from bytes to a verdict. For `salus bench verify`."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from salus.contracts.cells.messages import Close
from salus.contracts.members.founding import founding
from salus.contracts.members.messages import Genesis, MemberKeys
from salus.core.ids import SECOND_MS, ChainId, MemberId
from salus.core.wire import decode, encode, replace
from salus.crypto.digests import derive, digest
from salus.crypto.hpke import OpeningKey
from salus.crypto.lasting import LastingSigningKey
from salus.crypto.merkle import root
from salus.crypto.signatures import SigningKey
from salus.engines.cometbft.blocks import (
    BLOCK_VERSION,
    BlockId,
    Header,
    LightBlock,
    Vote,
    address_of,
    founders,
    header_hash,
    signed_bytes,
    transactions_root,
    validators_hash,
)
from salus.engines.cometbft.light import MS_NS
from salus.engines.cometbft.receipts import CometReceipt, CometReceiptChecker, result_leaf_of
from salus.engines.receipts import path_of
from salus.machine.block import ACCEPTED
from salus.machine.transaction import Body, sign

RECEIPTS_PER_BLOCK = 64
_CHAIN = ChainId("bench")
_SEED = b"salus bench"


def measure_comet_verify(receipts: int) -> dict[str, float]:
    """Receipts per second of CPU time, with four validators' votes each, the checker made once.

    Answers {comet_receipts_per_s (`RECEIPTS_PER_BLOCK` of one block each), comet_receipts_of_own_blocks_per_s (each
    under other headers, so that all four votes are verified), comet_receipt_bytes}.
    """
    bench = _bench()
    blocks = -(-receipts // RECEIPTS_PER_BLOCK)
    shared = [data for number in range(blocks) for data in _receipts(bench, number, RECEIPTS_PER_BLOCK)]
    own = [data for number in range(receipts) for data in _receipts(bench, number, 1)]
    return {
        "comet_receipts_per_s": round(_rate(bench.genesis, shared)),
        "comet_receipts_of_own_blocks_per_s": round(_rate(bench.genesis, own)),
        "comet_receipt_bytes": len(shared[0]),
    }


@dataclass(frozen=True, slots=True)
class _Bench:
    genesis: Genesis
    ledger: SigningKey
    validators: tuple[SigningKey, ...]


def _bench() -> _Bench:
    keys = [tuple(SigningKey(derive(_SEED, one, duty)) for duty in ("ledger", "validator")) for one in range(4)]
    sealing = OpeningKey(derive(_SEED, "sealing")).public
    named = {
        MemberId(f"member-{number}"): MemberKeys(
            ledger=ledger.public,
            validator=validator.public,
            keeper=ledger.public,
            sealing=sealing,
            gateway=sealing,
            tls=ledger.public,
            checkpoint=LastingSigningKey(ledger.seed).public,
        )
        for number, (ledger, validator) in enumerate(keys)
    }
    genesis = founding(chain=_CHAIN, time=SECOND_MS, keys=named, jurisdiction="us", packs={})
    return _Bench(genesis, keys[0][0], tuple(validator for _, validator in keys))


def _receipts(bench: _Bench, number: int, txs: int) -> Iterator[bytes]:
    """The receipts of one block of so many transactions."""
    made = [_tx(bench, number, index) for index in range(txs)]
    results = [result_leaf_of(ACCEPTED)] * txs
    header = _header(bench, 2 * number + 1, data=transactions_root(made))
    named = BlockId(header_hash(header), 1, digest(b"parts"))
    proof = _signed(bench, _header(bench, 2 * number + 2, previous=named, last_results=root(results)))
    hashes = [digest(tx) for tx in made]
    for index, tx in enumerate(made):
        turns, siblings = path_of(hashes, index)
        _, result_siblings = path_of(results, index)
        yield encode(
            CometReceipt(tx, ACCEPTED, turns, siblings, result_siblings, header, proof, (), since=(), checkpoints=())
        )


def _tx(bench: _Bench, number: int, index: int) -> bytes:
    cell_id = derive(_SEED, number, index, length=16)
    message = Close(cell_id=cell_id, version=0, owner_key=bench.ledger.public)
    body = Body(chain=_CHAIN, valid_until=1, messages=(message,), sponsor=MemberId("member-0"))
    return sign(body, bench.ledger)


def _header(bench: _Bench, height: int, **fields: object) -> Header:
    named = validators_hash(founders(bench.genesis))
    empty = Header(
        block_version=BLOCK_VERSION,
        app_version=1,
        chain=_CHAIN,
        height=height,
        time=(height + 1) * SECOND_MS * MS_NS,
        previous=BlockId(b"", 0, b""),
        last_commit=digest(b"commit"),
        data=root([]),
        validators=named,
        next_validators=named,
        consensus=digest(b"consensus"),
        app_hash=digest(b"state"),
        last_results=root([]),
        evidence=root([]),
        proposer=address_of(bench.validators[0].public),
    )
    return replace(empty, **fields)


def _signed(bench: _Bench, header: Header) -> LightBlock:
    block = LightBlock(header, 0, 1, digest(b"parts"), votes=(), validators=founders(bench.genesis))
    votes = []
    for key in bench.validators:
        vote = Vote(address_of(key.public), header.time + 1, bytes(64))
        votes.append(replace(vote, signature=key.sign(signed_bytes(block, vote))))
    return replace(block, votes=tuple(sorted(votes, key=lambda vote: vote.validator)))


def _rate(genesis: Genesis, receipts: Sequence[bytes]) -> float:
    checker = CometReceiptChecker(genesis)
    began = time.process_time()
    for data in receipts:
        checker.check(decode(CometReceipt, data))
    return len(receipts) / (time.process_time() - began)
