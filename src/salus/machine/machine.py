"""Applies a block: decode, authenticate, route, write, hash.

The same blocks give the same bytes on every member. Engines order and store blocks; this room neither knows how nor
where. Read `admission.py` for what a transaction must be, `routes.py` for who answers its messages.
"""

from typing import Final

from salus.contracts import members
from salus.contracts.members.messages import Genesis
from salus.contracts.members.tables import Chain, Member
from salus.contracts.reads import prune
from salus.core.context import Context, Verify
from salus.core.errors import MalformedError, RefusalError
from salus.core.ids import NO_DIGEST, Digest, Height, MemberId, PublicKey, TimeMs
from salus.crypto import signatures
from salus.machine.admission import Submitted, authenticate, read
from salus.machine.block import ACCEPTED, Applied, Block, Result, outcome_root, validators_digest
from salus.machine.errors import ForeignBlockError, OverLaneError, OverQuotaError
from salus.machine.routes import ROUTES
from salus.state.state import State


class Machine:
    """The rules of the ledger, over whatever state it is given. Holds nothing but its way to verify signatures."""

    def __init__(self, verify: Verify = signatures.verify) -> None:
        self.verify: Final = verify

    def genesis(self, state: State, genesis: Genesis) -> Digest:
        """Found the network and commit; return the first `app_hash`. Raises as `members.genesis` does."""
        members.genesis(state, genesis)
        return state.commit()

    def apply(self, state: State, block: Block) -> Applied:
        """Apply every transaction, forget what is due, and commit. A block without transactions changes nothing.

        A transaction that a rule refuses leaves its code and nothing else. Any other error passes through, and the
        state with its half of a block must then be thrown away; the caller's write transaction does that.

        Raises:
            NotFoundedError: the state has no genesis.
            ForeignBlockError: the block is of another chain.
        """
        chain = members.chain_of(state)
        if block.chain != chain.chain:
            raise ForeignBlockError(chain=chain.chain, height=block.height)
        quotas = _Quotas(chain)
        results = tuple(self._result(state, chain, block, data, quotas) for data in block.txs)
        if block.txs:
            prune(state, block.time)
        return Applied(
            results=results,
            outcome_root=outcome_root(results, block.txs),
            app_hash=state.commit(),
            validators=validators_digest(state),
        )

    def check(self, state: State, data: bytes, time: TimeMs) -> None:
        """Whether a transaction would be accepted alone in a block at this time; writes nothing.

        Raises:
            MalformedError: the bytes are no transaction.
            RefusalError: what `apply` would refuse it with, quotas apart.
        """
        submitted = read(data)
        chain = members.chain_of(state)
        mark = state.savepoint()
        try:
            _, signers = authenticate(state, chain, submitted, time, self.verify)
            self._run(state, submitted, signers, height=0, time=time)
        finally:
            state.rollback(mark)

    def _result(self, state: State, chain: Chain, block: Block, data: bytes, quotas: "_Quotas") -> Result:
        """What becomes of one transaction: all of its messages, or none."""
        try:
            submitted = read(data)
        except MalformedError as error:
            return Result(tx_id=NO_DIGEST, code=error.code)
        mark = state.savepoint()
        try:
            sponsor, signers = authenticate(state, chain, submitted, block.time, self.verify)
            quotas.take(submitted, sponsor)
            self._run(state, submitted, signers, height=block.height, time=block.time)
        except RefusalError as refusal:
            state.rollback(mark)
            return Result(tx_id=submitted.tx_id, code=refusal.code)
        return Result(tx_id=submitted.tx_id, code=ACCEPTED)

    def _run(
        self, state: State, submitted: Submitted, signers: frozenset[PublicKey], *, height: Height, time: TimeMs
    ) -> None:
        body = submitted.body
        ctx = Context(
            chain=body.chain,
            height=height,
            time=time,
            valid_until=body.valid_until,
            sponsor=body.sponsor,
            signers=signers,
            verify=self.verify,
        )
        for message in body.messages:
            ROUTES[type(message)](state, ctx, message)


class _Quotas:
    """Bytes that each member has sponsored in one block. What a contract refuses counts too: it filled the block."""

    def __init__(self, chain: Chain) -> None:
        self._lane_bytes = chain.parameters.lane_bytes
        self._quota: dict[MemberId, int] = {}
        self._lane: dict[MemberId, int] = {}

    def take(self, submitted: Submitted, sponsor: Member) -> None:
        """Count a transaction.

        Raises:
            OverLaneError: it only freezes, thaws or advances, and the sponsor's lane is full.
            OverQuotaError: it does anything else, and the sponsor's quota is used up.
        """
        member = submitted.body.sponsor
        if submitted.is_lane:
            taken = self._lane.get(member, 0) + submitted.size_bytes
            if taken > self._lane_bytes:
                raise OverLaneError(sponsor=member, limit_bytes=self._lane_bytes)
            self._lane[member] = taken
            return
        taken = self._quota.get(member, 0) + submitted.size_bytes
        if taken > sponsor.quota_bytes:
            raise OverQuotaError(sponsor=member, limit_bytes=sponsor.quota_bytes)
        self._quota[member] = taken
