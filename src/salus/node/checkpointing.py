"""A member's part in checkpoints: with the first block of a day, members sign it, and each keeps what they signed.

Whoever finds that one is due waits a moment by chance, asks all others for signatures over its own newest block, and
offers the result to them: so mostly one gathers, and the others only check. Each signs what its own CometBFT and its
own ledger hold, and nothing else. It signs with its key, and for as long as no checkpoint names that one, with the key
before: those whom the checkpoint before names must sign the next.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from pathlib import Path

from salus.contracts.members.reads import member_of, members_of
from salus.core.clock import Clock
from salus.core.errors import SalusError, UnavailableError
from salus.core.ids import DAY_MS, SECOND_MS, Height, LastingKey, LastingSignature, MemberId, TimeMs
from salus.core.transport import Door, Transport, ask
from salus.core.wire import Record
from salus.crypto.lasting import LastingSigningKey
from salus.engines.cometbft.checkpoints import (
    Checkpoint,
    CheckpointError,
    CheckpointFile,
    CheckpointSignature,
    SignedCheckpoint,
    Signer,
    check_checkpoint,
    check_checkpoints,
    checkpoint_keys,
    checkpoint_of,
    gather,
    is_due,
    keys_named,
    sign_checkpoint,
)
from salus.engines.cometbft.collect import light_block
from salus.engines.cometbft.light import MS_NS, check_votes
from salus.engines.cometbft.rpc import CometRpc
from salus.engines.engine import Ledger
from salus.node.checkpoints import checkpoints_to, keep_checkpoint, kept_checkpoints
from salus.node.keys import KEYS_FOLDER, forget_signer_before, signer_before

SPREAD_MS = 10 * SECOND_MS  # By chance, so that not all gather at once.
AGAIN_MS = 60 * SECOND_MS  # After an attempt that too few answered.
OWN_VIEW_WAIT_S = 2.0


class SignatureWanted(Record, tag="checkpoint.signature_wanted/1", frozen=True):
    """Sign the block at this height, as you hold it."""

    height: Height


class Signatures(Record, tag="checkpoint.signatures/1", frozen=True):
    """By the key in force, and by the one before where that may be needed."""

    signatures: tuple[LastingSignature, ...]


class CheckpointOffered(Record, tag="checkpoint.offered/1", frozen=True):
    """What enough members signed."""

    signed: SignedCheckpoint


class CheckpointTaken(Record, tag="checkpoint.taken/1", frozen=True):
    """It is kept, or a newer one is."""


class ChainWanted(Record, tag="checkpoint.chain_wanted/1", frozen=True):
    """Give the way from the genesis to your newest checkpoint; the answer is a `CheckpointFile`."""


class NoCheckpointError(UnavailableError):
    """The block is not here yet, or the ordering engine does not tell it: ask again later."""

    code = "node.no_checkpoint"


class Checkpointing:
    """One member's part. For one event loop."""

    def __init__(
        self,
        folder: Path,
        ledger: Ledger,
        transport: Transport,
        rpc: CometRpc,
        key: Callable[[], LastingSigningKey],
        clock: Clock,
    ) -> None:
        """Read the newest checkpoint in the member's folder. Raises KeptCheckpointError where it is damaged."""
        self._folder = folder
        self._ledger = ledger
        self._transport = transport
        self._rpc = rpc
        self._key = key
        self._clock = clock
        self._newest = next(kept_checkpoints(folder), None)
        self._not_before: TimeMs | None = None

    def open_door(self, door: Door) -> None:
        """Let the member's door lead here."""
        door.answer(SignatureWanted, self._sign)
        door.answer(CheckpointOffered, self._take)
        door.answer(ChainWanted, self._tell)

    def close(self) -> None:
        """Ask the ordering engine no more."""
        self._rpc.close()

    async def tend(self) -> bool:
        """Gather a checkpoint where one is due; whether one was kept.

        Raises:
            SalusError: the own block or folder cannot be read.
        """
        now = self._clock()
        if not is_due(self._last_ms, self._ledger.time):
            self._not_before = None
        elif self._not_before is None:
            self._not_before = now + random.randrange(SPREAD_MS)
        elif now >= self._not_before:
            self._not_before = now + AGAIN_MS
            return await self._gathered() or await self._fetched()
        return False

    @property
    def _last_ms(self) -> TimeMs:
        return self._ledger.genesis.time if self._newest is None else self._newest.checkpoint.time // MS_NS

    @property
    def _signers(self) -> tuple[Mapping[MemberId, LastingKey], int]:
        """Whose signatures count for the next one, and of how many."""
        if self._newest is None:
            return checkpoint_keys(self._ledger.genesis), len(self._ledger.genesis.members)
        keys = keys_named(self._newest.checkpoint)
        return keys, len(keys)

    @property
    def _peers(self) -> list[MemberId]:
        return [member for member in members_of(self._ledger.state) if member != self._ledger.member]

    async def _gathered(self) -> bool:
        checkpoint = await self._own(self._ledger.height)
        keys, members = self._signers
        asked = [self._signed_by(peer, checkpoint.height) for peer in self._peers]
        found = [one for some in await asyncio.gather(*asked) for one in some]
        found += [CheckpointSignature(self._ledger.member, one) for one in self._by_own_keys(checkpoint)]
        signed = gather(checkpoint, found, keys)
        try:
            check_checkpoint(signed, checkpoint.chain, keys, members)
        except CheckpointError:
            return False
        self._keep(signed)
        await asyncio.gather(*(self._offer(peer, signed) for peer in self._peers))
        return True

    async def _fetched(self) -> bool:
        """Take over what others have: a member that was away for long may not know who signs by now."""
        for peer in random.sample(self._peers, len(self._peers)):
            try:
                told = await ask(self._transport, peer, ChainWanted(), CheckpointFile)
                check_checkpoints(told.checkpoints, self._ledger.genesis)
                newest = told.checkpoints[-1].checkpoint
                if newest.height > self._height and newest == await self._own(newest.height, newest.members):
                    for signed in told.checkpoints:
                        self._keep(signed)
                    return True
            except SalusError:
                continue  # Another one may have it.
        return False

    async def _signed_by(self, peer: MemberId, height: Height) -> list[CheckpointSignature]:
        try:
            said = await ask(self._transport, peer, SignatureWanted(height=height), Signatures)
        except SalusError:
            return []  # Two thirds are enough.
        return [CheckpointSignature(peer, one) for one in said.signatures]

    async def _offer(self, peer: MemberId, signed: SignedCheckpoint) -> None:
        try:
            await ask(self._transport, peer, CheckpointOffered(signed=signed), CheckpointTaken)
        except SalusError:
            return  # It gathers by itself, or asks for it.

    async def _sign(self, _sender: MemberId, wanted: SignatureWanted) -> Signatures:
        """Sign a recent block for another member.

        Raises:
            NoCheckpointError: it is not here, or older than a day: who the members were then is not known here.
        """
        checkpoint = await self._own(wanted.height)
        if self._clock() - checkpoint.time // MS_NS > DAY_MS:
            raise NoCheckpointError(height=wanted.height)
        return Signatures(signatures=self._by_own_keys(checkpoint))

    async def _take(self, _sender: MemberId, offered: CheckpointOffered) -> CheckpointTaken:
        """Keep what others gathered, if it is due here and what this member would sign itself.

        Raises:
            CheckpointError: too few signed it, or it says something else.
            NoCheckpointError: as `_own`.
        """
        checkpoint = offered.signed.checkpoint
        if not is_due(self._last_ms, checkpoint.time // MS_NS) or checkpoint.height <= self._height:
            return CheckpointTaken()
        if checkpoint != await self._own(checkpoint.height):
            raise CheckpointError(reason="another block, or other members", height=checkpoint.height)
        keys, members = self._signers
        check_checkpoint(offered.signed, self._ledger.chain, keys, members)
        self._keep(offered.signed)
        return CheckpointTaken()

    async def _tell(self, _sender: MemberId, _wanted: ChainWanted) -> CheckpointFile:
        chain = checkpoints_to(self._folder, self._ledger.genesis, self._height)
        if not chain:
            raise NoCheckpointError(height=0)
        return CheckpointFile(checkpoints=chain)

    @property
    def _height(self) -> Height:
        return 0 if self._newest is None else self._newest.checkpoint.height

    async def _own(self, height: Height, members: tuple[Signer, ...] = ()) -> Checkpoint:
        """What this member says of a block; of these members, where they were named already.

        Raises:
            NoCheckpointError: the block is not here, or the engine does not tell it.
            CheckpointError: the engine tells another state than this member's ledger has.
            LightBlockError: its votes do not hold.
        """
        if height < 2 or not await self._ledger.reached(height, OWN_VIEW_WAIT_S):
            raise NoCheckpointError(height=height)
        block = await light_block(self._rpc, height)
        check_votes(block)
        if block.header.app_hash != self._ledger.block(height - 1).header.app_hash:
            raise CheckpointError(reason="the engine has another state", height=height)
        state = self._ledger.state
        entries = {name: member_of(state, name) for name in members_of(state)}
        named = {signer.member: signer.key for signer in members} or {
            name: entry.keys.checkpoint for name, entry in entries.items() if entry is not None
        }
        return checkpoint_of(block, named)

    def _by_own_keys(self, checkpoint: Checkpoint) -> tuple[LastingSignature, ...]:
        before = signer_before(self._folder / KEYS_FOLDER)
        keys = [self._key()] if before is None else [self._key(), before]
        return tuple(sign_checkpoint(key, checkpoint) for key in keys)

    def _keep(self, signed: SignedCheckpoint) -> None:
        keep_checkpoint(self._folder, signed)
        self._not_before = None
        if signed.checkpoint.height > self._height:
            self._newest = signed
        if keys_named(signed.checkpoint).get(self._ledger.member) == self._key().public:
            forget_signer_before(self._folder / KEYS_FOLDER)
