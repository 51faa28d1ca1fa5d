"""Applies a block: decode, authenticate, route, write, hash.

The same blocks give the same bytes on every member. Engines order and store blocks; this room neither knows how nor
where. Read `admission.py` for what a transaction must be, `routes.py` for who answers its messages.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from salus.contracts import members
from salus.contracts.members import Moment
from salus.contracts.members.messages import Genesis
from salus.contracts.members.tables import Chain, Member
from salus.core.context import Context, Verify
from salus.core.errors import MalformedError, RefusalError
from salus.core.ids import NO_DIGEST, Digest, Height, MemberId, PublicKey, TimeMs, Version
from salus.crypto import signatures
from salus.machine.admission import Submitted, authenticate, read
from salus.machine.block import ACCEPTED, Applied, Block, Result, outcome_root, validators_digest
from salus.machine.errors import ForeignBlockError, OverLaneError, OverQuotaError, UnknownRulesError
from salus.machine.routes import RULES, Rules
from salus.state.state import State


@dataclass(frozen=True, slots=True)
class InForce:
    """What holds for every transaction at a height: the network with its limits, and the rules."""

    chain: Chain
    rules: Rules
    height: Height


class Machine:
    """The rules of the ledger, over whatever state it is given. Holds nothing but its way to verify signatures.

    `rules` are the versions that this program knows.
    """

    def __init__(self, verify: Verify = signatures.verify, rules: Mapping[Version, Rules] = RULES) -> None:
        self.verify: Final = verify
        self._rules: Final = rules

    def genesis(self, state: State, genesis: Genesis) -> Digest:
        """Found the network and commit; return the first `app_hash`. Raises as `members.genesis` does."""
        members.genesis(state, genesis)
        return state.commit()

    def apply(self, state: State, block: Block) -> Applied:
        """Apply evidence, every transaction and what is due, and commit. A block without the first two changes nothing.

        A transaction that a rule refuses leaves its code and nothing else. Any other error passes through, and the
        state with its half of a block must then be thrown away; the caller's write transaction does that.

        Raises:
            NotFoundedError: the state has no genesis.
            ForeignBlockError: the block is of another chain.
            UnknownRulesError: the rules in force at this height are not known here.
        """
        chain = members.chain_of(state)
        if block.chain != chain.chain:
            raise ForeignBlockError(chain=chain.chain, height=block.height)
        rules = self._rules_at(state, block.height)
        for shown in block.misbehaviour:
            members.suspend(state, shown, height=block.height)
        quotas = _Quotas(chain)
        results = tuple(self._result(state, chain, rules, block, data, quotas) for data in block.txs)
        if block.txs:
            moment = Moment(chain=block.chain, height=block.height, time=block.time, verify=self.verify)
            for close in rules.closing:
                close(state, moment)
        return Applied(
            results=results,
            outcome_root=outcome_root(results, block.txs),
            app_hash=state.commit(),
            validators=validators_digest(state),
        )

    def check(self, state: State, data: bytes, time: TimeMs, height: Height = 0) -> None:
        """Whether a transaction would be accepted alone in a block at this time and height; writes nothing.

        At height 0 the first rules are in force, and no height that a message names has passed.

        Raises:
            MalformedError: the bytes are no transaction.
            RefusalError: what `apply` would refuse it with, quotas apart.
            UnknownRulesError: the rules in force at this height are not known here.
        """
        self.check_under(self.in_force(state, height), state, data, time)

    def in_force(self, state: State, height: Height) -> InForce:
        """What `check_under` needs to know of a committed state, for all transactions that are checked against it.

        Raises:
            NotFoundedError: the state has no genesis.
            UnknownRulesError: the rules in force at this height are not known here.
        """
        return InForce(chain=members.chain_of(state), rules=self._rules_at(state, height), height=height)

    def check_under(self, in_force: InForce, state: State, data: bytes, time: TimeMs) -> None:
        """As `check`, where many transactions meet the same state."""
        submitted = _read(data, in_force.rules)
        mark = state.savepoint()
        try:
            _, signers = authenticate(state, in_force.chain, submitted, time, self.verify)
            self._run(state, in_force.rules, submitted, signers, height=in_force.height, time=time)
        finally:
            state.rollback(mark)

    def _rules_at(self, state: State, height: Height) -> Rules:
        version = members.rules_at(state, height)
        rules = self._rules.get(version)
        if rules is None:
            raise UnknownRulesError(rules=version, height=height)
        return rules

    def _result(self, state: State, chain: Chain, rules: Rules, block: Block, data: bytes, quotas: "_Quotas") -> Result:
        """What becomes of one transaction: all of its messages, or none."""
        try:
            submitted = _read(data, rules)
        except MalformedError as error:
            return Result(tx_id=NO_DIGEST, code=error.code)
        mark = state.savepoint()
        try:
            sponsor, signers = authenticate(state, chain, submitted, block.time, self.verify)
            quotas.take(submitted, sponsor)
            self._run(state, rules, submitted, signers, height=block.height, time=block.time)
        except RefusalError as refusal:
            state.rollback(mark)
            return Result(tx_id=submitted.tx_id, code=refusal.code)
        return Result(tx_id=submitted.tx_id, code=ACCEPTED)

    def _run(
        self,
        state: State,
        rules: Rules,
        submitted: Submitted,
        signers: frozenset[PublicKey],
        *,
        height: Height,
        time: TimeMs,
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
            rules.routes[type(message)](state, ctx, message)


def _read(data: bytes, rules: Rules) -> Submitted:
    """Read a transaction. A message that only later rules know is no message under these, as for older programs.

    Raises:
        MalformedError: the bytes are not the one encoding of a transaction under these rules.
    """
    submitted = read(data)
    for message in submitted.body.messages:
        if type(message) not in rules.routes:
            raise MalformedError(reason="not a message under the rules in force")
    return submitted


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
