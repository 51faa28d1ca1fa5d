"""A member's way onto the ledger: sign with the ledger key, submit, wait until final."""

from salus.core.clock import Clock
from salus.core.ids import ChainId, Digest, Height, MemberId, PublicKey
from salus.core.wire import Message
from salus.crypto.signatures import SigningKey
from salus.engines.engine import Engine
from salus.machine.block import ACCEPTED
from salus.machine.sponsor import VALID_MS
from salus.machine.transaction import Body, sign
from salus.machine.view import View
from salus.sdk.errors import LedgerRefusedError

OWN_VIEW_WAIT_S = 1.0


class LedgerSponsor:
    """Satisfies `machine.sponsor.Sponsor`."""

    def __init__(
        self, member: MemberId, chain: ChainId, key: SigningKey, engine: Engine, view: View, clock: Clock
    ) -> None:
        self._member = member
        self._chain = chain
        self._key = key
        self._engine = engine
        self._view = view
        self._clock = clock

    async def __call__(self, *messages: Message, witnesses: tuple[SigningKey, ...] = ()) -> tuple[Digest, Height]:
        """See `Sponsor`. Waits a moment for the member's own view to follow."""
        now = max(self._clock(), self._view.time)
        body = Body(chain=self._chain, valid_until=now + VALID_MS, messages=messages, sponsor=self._member)  # type: ignore[arg-type]
        signer = self._key.public
        done = await self._engine.submit(sign(body, self._key, *witnesses))
        if done.code != ACCEPTED and await self._is_another(signer, done.height):
            done = await self._engine.submit(sign(body, self._key, *witnesses))
        if done.code != ACCEPTED:
            raise LedgerRefusedError(done.code)
        await self._view.reached(done.height, OWN_VIEW_WAIT_S)
        return done.tx_id, done.height

    async def _is_another(self, signer: PublicKey, height: Height) -> bool:
        """Whether the member's key was replaced by the time that a transaction was refused."""
        await self._view.reached(height, OWN_VIEW_WAIT_S)
        return self._key.public != signer
