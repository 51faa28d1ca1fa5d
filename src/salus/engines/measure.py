"""How fast the ledger is: figures and their floors, taken in one run. For `salus bench`; nothing else calls it.

`measure_ledger` sends signed transactions through `submit` into durable blocks; `measure_verify` checks receipts
offline. How the cost of a block grows with the state is in `growth.py`.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from itertools import count
from pathlib import Path
from statistics import quantiles
from typing import TypeVar

from salus.contracts.cells.messages import Close, Create
from salus.contracts.members.founding import first_committee, founding
from salus.contracts.members.messages import Genesis, MemberKeys
from salus.core.ids import HOUR_MS, MIB_BYTES, NO_DIGEST, CellId, ChainId, MemberId, TimeMs
from salus.core.wire import decode, encode
from salus.crypto import merkle, signatures
from salus.crypto.digests import derive, digest
from salus.crypto.hpke import OpeningKey
from salus.crypto.lasting import LastingSigningKey
from salus.crypto.signatures import SigningKey
from salus.engines.embedded import EmbeddedEngine
from salus.engines.lmdb_store import LmdbStore
from salus.engines.receipts import Receipt, ReceiptChecker, Vote, path_of, validators_of
from salus.engines.replica import Replica
from salus.machine.admission import remembering
from salus.machine.block import ACCEPTED, Header, Result, header_id, outcome_leaf, validators_digest_of
from salus.machine.machine import Machine
from salus.machine.transaction import AnyMessage, Body, sign, transaction_id

Figures = dict[str, float]

CALLERS = 2_000  # Submit at once, each its next transaction when the last one is final.
RECEIPTS_PER_BLOCK = 64
_CHAIN = ChainId("bench")
_SEED = b"salus bench"
_QUOTA_BYTES = 4 * MIB_BYTES  # One sponsor may fill a block: the figure is the engine's, not a quota's.
_WARM_S = 1.0
_FLOOR_BLOCKS = 10

T = TypeVar("T")


def measure_ledger(folder: Path, seconds: float, *, members: int = 1, signatures: int = 1) -> Figures:
    """Transactions per second through `submit`, each durable at every member, by one sponsor.

    One signature: a new cell each. Two: a cell closed each, signed by its owner too. Transactions are signed
    beforehand. Answers {members, signatures, txs_per_s, txs, refused, blocks, txs_per_block, submit_ms_p50,
    submit_ms_p95, tx_bytes, store_bytes_per_tx, floor_verify_per_s (Ed25519 by two threads, nothing else),
    floor_store_per_s (the same bytes, as many to a block, put and made durable for each member)}.
    """
    return asyncio.run(_measured(folder, seconds, members, signatures))


async def _measured(folder: Path, seconds: float, members: int, signed_by: int) -> Figures:
    bench = _Bench(folder, members)
    await bench.engine.start()
    try:
        probe = await _driven(bench.engine, iter(bench.creates(count(1 << 40))), _WARM_S)
        wanted = int(1.5 * len(probe) / _WARM_S * seconds) + CALLERS
        numbers = range(wanted)
        if signed_by == 1:
            txs = list(bench.creates(numbers))
        else:
            await _driven(bench.engine, bench.creates(numbers), None)
            txs = list(bench.closes(numbers))
        first, size = bench.engine.newest().height, bench.size_bytes()
        began = time.perf_counter()
        took = await _driven(bench.engine, iter(txs), seconds)
        elapsed = time.perf_counter() - began
    finally:
        await bench.engine.stop()
    blocks = bench.engine.newest().height - first
    refused = sum(1 for _, code in took if code != ACCEPTED)
    grown = bench.size_bytes() - size
    bench.close()
    per_block = max(1, len(took) // blocks)
    waits = quantiles((1_000 * wait_s for wait_s, _ in took), n=20)
    return {
        "members": members,
        "signatures": signed_by,
        "txs_per_s": round((len(took) - refused) / elapsed),
        "txs": len(took),
        "refused": refused,
        "blocks": blocks,
        "txs_per_block": per_block,
        "submit_ms_p50": round(waits[9], 1),
        "submit_ms_p95": round(waits[18], 1),
        "tx_bytes": len(txs[0]),
        "store_bytes_per_tx": round(grown / len(took)),
        "floor_verify_per_s": round(_floor_verify() / signed_by),
        "floor_store_per_s": round(_floor_store(folder / "floor", txs[:per_block], members)),
    }


class _Bench:
    """Members whose keys follow from a seed, on folders of their own."""

    def __init__(self, folder: Path, members: int) -> None:
        self._keys = {MemberId(f"member-{number}"): _Keys(number) for number in range(members)}
        self.genesis = _genesis(self._keys)
        machine = Machine(remembering(signatures.verify))
        self._stores = {name: LmdbStore(folder / name) for name in self._keys}
        self._replicas = {name: Replica(name, self.genesis, self._stores[name], machine) for name in self._keys}
        validators = {name: keys.validator for name, keys in self._keys.items()}
        self.engine = EmbeddedEngine(self._replicas, validators, machine, _now_ms)
        self._sponsor, self._key = next((name, keys.ledger) for name, keys in self._keys.items())

    def creates(self, numbers: "Sequence[int] | count[int]") -> Iterator[bytes]:
        for number in numbers:
            cell_id = _cell_id(number)
            yield self._signed(
                Create(
                    cell_id=cell_id,
                    committee=first_committee(_CHAIN),
                    commitment=digest(cell_id),
                    owner=digest(_owner(number).public),
                    recovery=NO_DIGEST,
                )
            )

    def closes(self, numbers: Sequence[int]) -> Iterator[bytes]:
        for number in numbers:
            owner = _owner(number)
            yield self._signed(Close(cell_id=_cell_id(number), version=0, owner_key=owner.public), owner)

    def size_bytes(self) -> int:
        return max(store.size_bytes() for store in self._stores.values())

    def close(self) -> None:
        for replica in self._replicas.values():
            replica.close()

    def _signed(self, message: AnyMessage, *witnesses: SigningKey) -> bytes:
        body = Body(chain=_CHAIN, valid_until=_now_ms() + HOUR_MS // 2, messages=(message,), sponsor=self._sponsor)
        return sign(body, self._key, *witnesses)


class _Keys:
    """A member's keys."""

    def __init__(self, number: int) -> None:
        self.ledger, self.validator, self.keeper, self.tls = (
            SigningKey(derive(_SEED, number, duty)) for duty in ("ledger", "validator", "keeper", "tls")
        )
        self.sealing = OpeningKey(derive(_SEED, number, "sealing")).public
        self.gateway = OpeningKey(derive(_SEED, number, "gateway")).public
        self.checkpoint = LastingSigningKey(derive(_SEED, number, "checkpoint")).public

    @property
    def public(self) -> MemberKeys:
        return MemberKeys(
            ledger=self.ledger.public,
            validator=self.validator.public,
            keeper=self.keeper.public,
            sealing=self.sealing,
            gateway=self.gateway,
            tls=self.tls.public,
            checkpoint=self.checkpoint,
        )


def _genesis(keys: Mapping[MemberId, _Keys]) -> Genesis:
    return founding(
        chain=_CHAIN,
        time=_now_ms(),
        keys={name: of.public for name, of in keys.items()},
        jurisdiction="us",
        packs={},
        quota_bytes=_QUOTA_BYTES,
    )


async def _driven(engine: EmbeddedEngine, txs: Iterator[bytes], seconds: float | None) -> list[tuple[float, str]]:
    """Let many callers submit, each one after the other, until time or transactions run out: waits and codes."""
    took: list[tuple[float, str]] = []
    until = float("inf") if seconds is None else time.perf_counter() + seconds

    async def calls() -> None:
        for tx in txs:
            began = time.perf_counter()
            answer = await engine.submit(tx)
            ended = time.perf_counter()
            took.append((ended - began, answer.code))
            if ended > until:
                return

    await asyncio.gather(*(calls() for _ in range(CALLERS)))
    return took


def measure_verify(receipts: int) -> Figures:
    """Receipts per second, checked offline from their bytes, with four validators' votes each.

    Answers {receipts_per_s (`RECEIPTS_PER_BLOCK` of one block each, the checker made once),
    receipts_of_own_blocks_per_s (each under another header, so that all four votes are verified),
    receipts_of_own_blocks_by_two_threads_per_s, receipt_bytes, floor_verify_per_s (Ed25519 by two threads)}.
    """
    keys = {MemberId(f"member-{number}"): _Keys(number) for number in range(4)}
    genesis = _genesis(keys)
    blocks = -(-receipts // RECEIPTS_PER_BLOCK)
    shared = [data for height in range(blocks) for data in _receipts(genesis, keys, height, RECEIPTS_PER_BLOCK)]
    own = [data for height in range(receipts) for data in _receipts(genesis, keys, height, RECEIPTS_PER_BLOCK, 1)]
    return {
        "receipts_per_s": round(_rate(shared, ReceiptChecker(genesis))),
        "receipts_of_own_blocks_per_s": round(_rate(own, ReceiptChecker(genesis))),
        "receipts_of_own_blocks_by_two_threads_per_s": round(_rate(own, ReceiptChecker(genesis), threads=2)),
        "receipt_bytes": len(shared[0]),
        "floor_verify_per_s": round(_floor_verify()),
    }


def _receipts(
    genesis: Genesis, keys: Mapping[MemberId, _Keys], height: int, txs: int, wanted: int | None = None
) -> Iterator[bytes]:
    """The receipts of one block of so many transactions, or the first of them."""
    name, sponsor = next(iter(keys.items()))
    made = []
    for index in range(txs if wanted is None else 1):
        cell_id = derive(_SEED, height, index, length=16)
        message = Close(cell_id=cell_id, version=0, owner_key=sponsor.ledger.public)
        made.append(sign(Body(chain=_CHAIN, valid_until=1, messages=(message,), sponsor=name), sponsor.ledger))
    made += made[:1] * (txs - len(made))
    results = [Result(tx_id=transaction_id(tx), code=ACCEPTED) for tx in made]
    leaves = [outcome_leaf(tx, result) for tx, result in zip(made, results, strict=True)]
    header = _header(genesis, height, leaves)
    votes = tuple(Vote(validator=name, signature=of.validator.sign(header_id(header))) for name, of in keys.items())
    for index in range(txs if wanted is None else wanted):
        turns, siblings = path_of(leaves, index)
        yield encode(Receipt(made[index], results[index], turns, siblings, header, votes))


def _header(genesis: Genesis, height: int, leaves: Sequence[bytes]) -> Header:
    return Header(
        chain=_CHAIN,
        height=height,
        time=genesis.time + height,
        previous=NO_DIGEST,
        outcome_root=merkle.root(leaves),
        app_hash=NO_DIGEST,
        validators=validators_digest_of(validators_of(genesis)),
    )


def _rate(receipts: Sequence[bytes], checker: ReceiptChecker, threads: int = 1) -> float:
    """Receipts per second, from bytes to a verdict."""

    def check(part: Sequence[bytes]) -> None:
        for data in part:
            checker.check(decode(Receipt, data))

    return _per_second(check, receipts, threads)


def _floor_verify(count: int = 8_000) -> float:
    """Ed25519 verifications per second by two threads, and nothing else."""
    key = SigningKey(derive(_SEED, "floor"))
    signed = [(message, key.sign(message)) for message in (number.to_bytes(32, "big") for number in range(count))]

    def verify(part: Sequence[tuple[bytes, bytes]]) -> None:
        for message, signature in part:
            signatures.verify(key.public, message, signature)

    return _per_second(verify, signed, threads=2)


def _floor_store(folder: Path, txs: Sequence[bytes], members: int) -> float:
    """The same bytes per second, put under random keys and made durable block by block, for each member in turn."""
    with LmdbStore(folder) as store:
        began = time.perf_counter()
        for block in range(_FLOOR_BLOCKS * members):
            with store.write():
                for number, tx in enumerate(txs):
                    store.put(sha256(b"%d %d" % (block, number)).digest(), tx)
        return _FLOOR_BLOCKS * len(txs) / (time.perf_counter() - began)


def _per_second(work: Callable[[Sequence[T]], None], items: Sequence[T], threads: int) -> float:
    with ThreadPoolExecutor(threads) as pool:
        began = time.perf_counter()
        list(pool.map(work, [items[start::threads] for start in range(threads)]))
        return len(items) / (time.perf_counter() - began)


def _cell_id(number: int) -> CellId:
    return sha256(b"cell%d" % number).digest()[:16]


def _owner(number: int) -> SigningKey:
    return SigningKey(sha256(b"owner%d" % number).digest())


def _now_ms() -> TimeMs:
    return time.time_ns() // 1_000_000
