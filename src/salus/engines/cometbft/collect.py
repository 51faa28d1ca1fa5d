"""Light blocks and receipts from a running CometBFT, over its RPC.

A receipt needs the block after the transaction's, so that collecting one waits for it. What the node answers is not
believed: a receipt is checked as its holder would check it before it is handed out.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from salus.contracts.members.messages import Genesis
from salus.core.errors import UnavailableError
from salus.core.ids import Digest, Height
from salus.core.wire import replace
from salus.crypto.digests import digest
from salus.engines.cometbft.blocks import Header, LightBlock, Validator, in_order
from salus.engines.cometbft.checkpoints import SignedCheckpoint, trusted_checkpoint
from salus.engines.cometbft.client import Fetch, follow
from salus.engines.cometbft.headers import (
    UnreadableBlockError,
    as_shape,
    number,
    read_header,
    read_light_block,
    read_validators,
    unbase64,
)
from salus.engines.cometbft.light import bisection, trusted_genesis, valid_votes
from salus.engines.cometbft.receipts import POLICY, CometReceipt, StateEntry, check_comet_receipt, result_leaf_of
from salus.engines.cometbft.receipts import follow as believe
from salus.engines.receipts import path_of

PAGE = 100  # Validators that CometBFT lists at once, at most.
PAGES_MAX = 100
WAIT_S = 30.0  # Longer than a heartbeat.
POLL_S = 0.05


class NoSuchTransactionError(UnavailableError):
    """The block does not hold this transaction, or the engine keeps its results no more."""

    code = "engine.no_such_transaction"


class NoProofError(UnavailableError):
    """The block after the transaction's did not come in time: a receipt needs it."""

    code = "engine.no_proof"


class Rpc(Protocol):
    """CometBFT's RPC, such as `rpc.CometRpc`."""

    async def call(self, method: str, timeout_s: float = ..., **parameters: object) -> Any:
        """The result of a call, as plain data.

        Raises:
            UnavailableError: no answer, or an error.
        """


class _Commit(msgspec.Struct, frozen=True):
    signed_header: Any


class _SyncInfo(msgspec.Struct, frozen=True):
    latest_block_height: str
    earliest_block_height: str = "0"


class _Status(msgspec.Struct, frozen=True):
    sync_info: _SyncInfo


class _ValidatorsPage(msgspec.Struct, frozen=True):
    validators: list[Any]
    total: str


class _Data(msgspec.Struct, frozen=True):
    txs: list[str] | None


class _Block(msgspec.Struct, frozen=True):
    header: Any
    data: _Data


class _BlockAnswer(msgspec.Struct, frozen=True):
    block: _Block


class TxResult(msgspec.Struct, frozen=True):
    """What became of a transaction, as CometBFT tells it."""

    code: int
    data: str | None = None
    gas_wanted: str = "0"
    gas_used: str = "0"


class _Results(msgspec.Struct, frozen=True):
    txs_results: list[TxResult] | None


async def light_block(rpc: Rpc, height: Height) -> LightBlock:
    """A block as the node tells it, without votes that do not hold.

    Raises:
        UnavailableError: the node is away, or has no such block.
        UnreadableBlockError: what it answers is no block of this height.
    """
    commit = as_shape(_Commit, await rpc.call("commit", height=str(height)))
    block = read_light_block(commit.signed_header, await _validators(rpc, height))
    if block.header.height != height:
        raise UnreadableBlockError(reason="another height", height=height)
    return replace(block, votes=valid_votes(block))


def source(rpc: Rpc) -> Fetch:
    """What a node tells a light client: the block at a height, or its newest where that is lower."""

    async def fetch(height: Height) -> LightBlock:
        try:
            return await light_block(rpc, height)
        except UnavailableError:
            status = as_shape(_Status, await rpc.call("status"))
            newest = number(status.sync_info.latest_block_height)
            if newest >= height:
                raise
            return await light_block(rpc, newest)

    return fetch


async def transactions(rpc: Rpc, height: Height) -> tuple[Header, tuple[bytes, ...]]:
    """A block's header and transactions, as the node tells them. Raises as `light_block`."""
    shown = as_shape(_BlockAnswer, await rpc.call("block", height=str(height))).block
    return read_header(shown.header), tuple(unbase64(tx) for tx in shown.data.txs or ())


async def results(rpc: Rpc, height: Height) -> tuple[TxResult, ...]:
    """What became of a block's transactions, as the node tells it. Raises as `light_block`."""
    return tuple(as_shape(_Results, await rpc.call("block_results", height=str(height))).txs_results or ())


async def proof_block(rpc: Rpc, height: Height, wait_s: float = WAIT_S) -> LightBlock:
    """The block after this height, waited for.

    Raises:
        NoProofError: it did not come in time, or the node was away all the while.
        NoSuchTransactionError: the node has dropped it.
        UnreadableBlockError: what it answers is no block of this height.
    """
    try:
        async with asyncio.timeout(wait_s):
            while True:
                try:
                    return await light_block(rpc, height + 1)
                except UnavailableError:
                    await _check_kept(rpc, height + 1)
                    await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise NoProofError(height=height + 1) from None


async def collect(
    rpc: Rpc,
    genesis: Genesis,
    height: Height,
    tx_hash: Digest,
    *,
    checkpoints: Sequence[SignedCheckpoint] = (),
    entries: tuple[StateEntry, ...] = (),
    wait_s: float = WAIT_S,
) -> CometReceipt:
    """The receipt of the transaction of this SHA-256 in the block at this height, checked.

    Where validators have changed since the genesis (or the last checkpoint), it carries the blocks that lead to them.

    Raises:
        NoProofError: the next block did not come in time.
        UnavailableError: the node is away, or has no such block.
        NoSuchTransactionError: the transaction is not in it, or the node has dropped the block.
        UnreadableBlockError: what the node answers is not what was asked for.
        ReceiptError, LightBlockError, CheckpointError and others: the receipt does not hold (`check_comet_receipt`).
    """
    proof = await proof_block(rpc, height, wait_s)
    await _check_kept(rpc, height)
    header, txs = await transactions(rpc, height)
    codes = [unbase64(result.data) for result in await results(rpc, height)]
    hashes = [digest(tx) for tx in txs]
    if tx_hash not in hashes or len(codes) != len(txs):
        raise NoSuchTransactionError(height=height)
    index = hashes.index(tx_hash)
    said = [_text(code) for code in codes]
    turns, tx_siblings = path_of(hashes, index)
    receipt = CometReceipt(
        tx=txs[index],
        code=said[index],
        turns=turns,
        tx_siblings=tx_siblings,
        result_siblings=path_of([result_leaf_of(code) for code in said], index)[1],
        header=header,
        proof=proof,
        entries=entries,
        since=await leading_to(rpc, genesis, proof, checkpoints),
        checkpoints=tuple(checkpoints),
    )
    check_comet_receipt(receipt, genesis)
    return receipt


async def _check_kept(rpc: Rpc, height: Height) -> None:
    """Raises NoSuchTransactionError where the node says that it keeps this block no more."""
    try:
        status = as_shape(_Status, await rpc.call("status"))
    except UnavailableError:
        return
    if height < number(status.sync_info.earliest_block_height):
        raise NoSuchTransactionError(height=height)


async def leading_to(
    rpc: Rpc, genesis: Genesis, proof: LightBlock, checkpoints: Sequence[SignedCheckpoint] = ()
) -> tuple[LightBlock, ...]:
    """The blocks that lead from the genesis, or from the last checkpoint, to one that is to be believed.

    Raises:
        UnavailableError, UnreadableBlockError: as `light_block`.
        LightBlockError and others: it does not follow.
    """
    start = trusted_checkpoint(checkpoints[-1].checkpoint) if checkpoints else trusted_genesis(genesis)
    own: tuple[LightBlock, ...] = ()
    if checkpoints and proof.header.validators != start.next_validators:
        own = (await light_block(rpc, start.height),)
        start = believe(start, own)
    if proof.header.height <= start.height:
        return own
    trace = await follow(bisection(start, proof, POLICY, proof.header.time), lambda height: light_block(rpc, height))
    return own + trace[:-1]


async def _validators(rpc: Rpc, height: Height) -> tuple[Validator, ...]:
    found: list[Validator] = []
    for page in range(1, PAGES_MAX + 1):
        answer = await rpc.call("validators", height=str(height), page=str(page), per_page=str(PAGE))
        shown = as_shape(_ValidatorsPage, answer)
        found += read_validators(shown.validators)
        if len(found) >= number(shown.total) or not shown.validators:
            break
    return in_order(found)


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise UnreadableBlockError(reason="a result that is not ours") from None
