"""Receipts of the CometBFT engine: the proof of a final transaction, checked offline knowing the genesis alone.

Header H names the transactions, header H+1 their results and the state after them, and holds H as the block before;
validators sign H+1. A receipt proves what it says if these validators are trusted: those of the genesis, or others to
whom a chain of light blocks leads from there, or from a checkpoint that the founding members signed.

A verdict never changes: how old a genesis or checkpoint may be is counted up to the block it vouches for, not to now.
No byte can be changed: all votes are verified, and what is shown has one form.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated

from msgspec import Meta

from salus.contracts.members.messages import Genesis
from salus.core.ids import DAY_MS, ChainId, Digest, MemberId, Unsigned
from salus.core.wire import Record, decode
from salus.crypto.digests import digest
from salus.crypto.merkle import inner_digest, leaf_digest
from salus.engines.cometbft.blocks import Header, LightBlock, address_of, header_hash, is_well_formed, result_leaf
from salus.engines.cometbft.checkpoints import SignedCheckpoint, check_checkpoints, trusted_checkpoint
from salus.engines.cometbft.light import (
    MS_NS,
    Policy,
    Trusted,
    TrustExpiredError,
    check_votes,
    trusted,
    trusted_genesis,
    verify,
)
from salus.engines.receipts import ReceiptError
from salus.machine.block import ACCEPTED
from salus.machine.transaction import Body, Tx
from salus.state.proofs import Proof
from salus.state.proofs import verify as is_under

REFUSED_CODE = 1  # `ExecTxResult.code` of whatever a rule refused; its `data` is the rule's code.
# How long a genesis or checkpoint vouches for later blocks; and more than two thirds of those trusted must have signed,
# so that receipts are no easier to forge where validators change than where they do not.
POLICY = Policy(period_ns=365 * DAY_MS * MS_NS, level=(2, 3))
PROOFS_REMEMBERED = 4_096  # By a `CometReceiptChecker`; a few kilobytes each.

Siblings = Annotated[tuple[Digest, ...], Meta(max_length=63)]


class StateEntry(Record, tag="engine.state_entry/1", frozen=True):
    """What the state after the transaction's block says of one key; None if it says nothing."""

    key: bytes
    value: bytes | None
    proof: Proof


class CometReceipt(Record, tag="engine.comet_receipt/1", frozen=True):
    """What a party keeps of a final transaction.

    Transaction and result stand at the same place of two trees of the same shape: `turns` says of each sibling, the
    lowest bit for the first, whether it stands to the left.
    """

    tx: bytes
    code: str  # `ACCEPTED`, or that of the rule that refused.
    turns: Unsigned
    tx_siblings: Siblings
    result_siblings: Siblings
    header: Header  # Of the transaction's block.
    proof: LightBlock  # The next block.
    entries: tuple[StateEntry, ...]
    since: tuple[LightBlock, ...]  # From what is trusted up to the proof, where validators have changed.
    checkpoints: tuple[SignedCheckpoint, ...]  # Where the genesis is too old to vouch for the first of these.


def read_receipt(data: bytes) -> CometReceipt:
    """A receipt's bytes.

    Raises:
        MalformedError: they are none.
    """
    return decode(CometReceipt, data)


def check_comet_receipt(receipt: CometReceipt, genesis: Genesis, checkpoints: Sequence[SignedCheckpoint] = ()) -> Body:
    """Raise unless the receipt proves its transaction's result on this network; return what the transaction asked.

    Given checkpoints are believed instead of the genesis and of the receipt's own, once they are verified.

    Raises, in this order:
        ReceiptError: another chain, or two headers of which the second does not name the first.
        ReceiptError: a path that does not lead to the headers.
        CheckpointError: a checkpoint that not enough members signed.
        ReceiptError, LightBlockError, TooFewTrustedError, TrustExpiredError: the next block does not follow from what
            is trusted.
        MalformedError: the transaction inside is not one.
    """
    return CometReceiptChecker(genesis, checkpoints).check(receipt)


class CometReceiptChecker:
    """Checks many receipts of one network: blocks that were seen with the same votes are not verified again."""

    def __init__(self, genesis: Genesis, checkpoints: Sequence[SignedCheckpoint] = ()) -> None:
        """Take what is believed.

        Raises:
            CheckpointError: a given checkpoint does not hold.
        """
        self._genesis = genesis
        self._given = tuple(checkpoints)
        if self._given:
            check_checkpoints(self._given, genesis)
        # Only what was proven is remembered: an error passes through the cache and leaves nothing.
        self._check_final = lru_cache(PROOFS_REMEMBERED)(self._final)

    def check(self, receipt: CometReceipt) -> Body:
        """As `check_comet_receipt`."""
        _check_headers(receipt, self._genesis.chain)
        _check_paths(receipt)
        self._check_final(receipt.checkpoints, receipt.since, receipt.proof)
        return decode(Body, decode(Tx, receipt.tx).body)

    def _final(self, carried: tuple[SignedCheckpoint, ...], since: tuple[LightBlock, ...], proof: LightBlock) -> None:
        if carried:
            check_checkpoints(carried, self._genesis)
        checkpoints = self._given or carried
        start = trusted_checkpoint(checkpoints[-1].checkpoint) if checkpoints else trusted_genesis(self._genesis)
        follow(start, (*since, proof))


def follow(start: Trusted, blocks: Sequence[LightBlock]) -> Trusted:
    """Believe one block after the other, and answer the last. How old trust is counts from the start to each block.

    Blocks before the start are passed over, but for their votes; the block of the start itself may follow.

    Raises:
        ReceiptError: the last one is older than the start; or another block at the start's height.
        LightBlockError, TooFewTrustedError, TrustExpiredError: as `light.verify`.
    """
    believed = start
    for block in blocks:
        if block.header.height < start.height:
            check_votes(block)
            continue
        if block.header.height == start.height:
            check_votes(block)
            if believed is not start or header_hash(block.header) != start.header or not is_well_formed(block.header):
                raise ReceiptError(reason="another block than the trusted one", height=block.header.height)
        else:
            if start.time + POLICY.period_ns <= block.header.time:
                raise TrustExpiredError(height=start.height)
            verify(believed, block, POLICY, block.header.time)
        believed = trusted(block)
    if not blocks or believed.height != blocks[-1].header.height:
        raise ReceiptError(reason="older than what is trusted", trusted_height=start.height)
    return believed


def result_leaf_of(code: str) -> bytes:
    """The leaf of our result: CometBFT sees 0 or 1, and the code itself as data."""
    return result_leaf(0 if code == ACCEPTED else REFUSED_CODE, code.encode())


def signers(receipt: CometReceipt, genesis: Genesis) -> tuple[str, ...]:
    """Who signed the proof: members by name, validators that joined later by address."""
    names: dict[bytes, MemberId] = {address_of(one.keys.validator): one.member for one in genesis.members}
    return tuple(names.get(vote.validator, MemberId(vote.validator.hex())) for vote in receipt.proof.votes)


def _check_headers(receipt: CometReceipt, chain: ChainId) -> None:
    header, proof = receipt.header, receipt.proof.header
    if header.chain != chain or not is_well_formed(header):
        raise ReceiptError(reason="another chain", height=header.height)
    if proof.height != header.height + 1 or proof.previous.header != header_hash(header):
        raise ReceiptError(reason="the next header does not name this one", height=header.height)


def _check_paths(receipt: CometReceipt) -> None:
    header, proof = receipt.header, receipt.proof.header
    turns = receipt.turns
    if turns >> len(receipt.tx_siblings) or len(receipt.tx_siblings) != len(receipt.result_siblings):
        raise ReceiptError(reason="transaction and result are not at one place", height=header.height)
    if _root_above(digest(receipt.tx), turns, receipt.tx_siblings) != header.data:
        raise ReceiptError(reason="the transaction's path does not lead to the header", height=header.height)
    if _root_above(result_leaf_of(receipt.code), turns, receipt.result_siblings) != proof.last_results:
        raise ReceiptError(reason="the result's path does not lead to the next header", height=header.height)
    if not all(is_under(proof.app_hash, entry.key, entry.value, entry.proof) for entry in receipt.entries):
        raise ReceiptError(reason="an entry is not in the state after this block", height=header.height)


def _root_above(leaf: bytes, turns: int, siblings: Sequence[Digest]) -> Digest:
    node = leaf_digest(leaf)
    for height, sibling in enumerate(siblings):
        node = inner_digest(sibling, node) if turns >> height & 1 else inner_digest(node, sibling)
    return node
