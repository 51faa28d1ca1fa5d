"""Proof that a snapshot's root is the one that the members signed: checked offline, knowing the genesis alone.

On the embedded engine the validators sign the very header that the snapshot begins with. Between machines they sign
CometBFT's next header, which names the root; light blocks lead there from the genesis, or from a checkpoint.
"""

from collections.abc import Sequence
from typing import Any, Final

from salus.contracts.members.messages import Genesis
from salus.core.errors import MalformedError
from salus.core.wire import Record, decode
from salus.engines.cometbft.blocks import LightBlock
from salus.engines.cometbft.checkpoints import SignedCheckpoint, check_checkpoints, trusted_checkpoint
from salus.engines.cometbft.light import trusted_genesis
from salus.engines.cometbft.receipts import follow
from salus.engines.receipts import Handover, ReceiptChecker, ReceiptError, Vote, check_votes, keys_of
from salus.machine.block import Header

PROOF_FILE: Final = "proof"


class SignedHeader(Record, tag="engine.snapshot_signed/1", frozen=True):
    """Who signed the snapshot's own header, and how they came to validate."""

    votes: tuple[Vote, ...]
    handovers: tuple[Handover, ...]


class NextBlock(Record, tag="engine.snapshot_next/1", frozen=True):
    """CometBFT's block after the snapshot's height, and those that lead to it."""

    block: LightBlock
    since: tuple[LightBlock, ...]


Proof = SignedHeader | NextBlock
_PROOF: Final[Any] = Proof  # `decode` takes a union as well, which a type of types cannot say.


def read_proof(data: bytes) -> Proof:
    """A proof's bytes.

    Raises:
        MalformedError: they are none.
    """
    proof: Proof = decode(_PROOF, data)
    return proof


def check_proof(proof: Proof, header: Header, genesis: Genesis, checkpoints: Sequence[SignedCheckpoint] = ()) -> None:
    """Raise unless the members of this network signed that the state at this height has this header's root.

    Raises, in this order:
        MalformedError: another chain.
        ReceiptError: handovers, or votes, that do not hold; or a block of another height, or of another root.
        CheckpointError: a checkpoint that not enough members signed.
        ReceiptError, LightBlockError, TooFewTrustedError, TrustExpiredError: the block does not follow from what is
            trusted.
    """
    if header.chain != genesis.chain:
        raise MalformedError(reason="another chain")
    if isinstance(proof, SignedHeader):
        validators = ReceiptChecker(genesis).validators_after(proof.handovers)
        if proof.handovers and proof.handovers[-1].header.height >= header.height:
            raise ReceiptError(reason="a handover that does not come before the header", height=header.height)
        check_votes(header, proof.votes, keys_of(validators))
        return
    shown = proof.block.header
    if shown.height != header.height + 1 or shown.app_hash != header.app_hash:
        raise ReceiptError(reason="the next block names another root", height=header.height)
    if checkpoints:
        check_checkpoints(checkpoints, genesis)
    start = trusted_checkpoint(checkpoints[-1].checkpoint) if checkpoints else trusted_genesis(genesis)
    follow(start, (*proof.since, proof.block))
