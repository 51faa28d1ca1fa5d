"""The machine as CometBFT's application: what ABCI 2.0 asks, answered from one member's replica.

FinalizeBlock applies a block inside an open write transaction; Commit makes it durable with one fsync. A crash between
the two leaves nothing, and CometBFT hands the block over again. Checks and queries see the last committed block, never
half of one. Whatever fails in a check or query is told and answered with a code, since anybody's transaction may lead
there; what fails in a block is raised, and ends the process. Each member keeps its own header chain beside CometBFT's:
`salus ledger check` and views need nothing else.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from salus.contracts.members.messages import Misbehaviour, Offence
from salus.contracts.members.reads import parameters_of, validator_at, validators
from salus.core.clock import Clock
from salus.core.errors import IntegrityError, SalusError
from salus.core.ids import Height, PublicKey, TimeMs
from salus.core.wire import encode
from salus.engines.cometbft import abci_pb2 as abci
from salus.engines.cometbft.checking import Checker
from salus.engines.cometbft.founding import founding_state, is_founding_state
from salus.engines.cometbft.proposing import is_sensible, proposal
from salus.engines.cometbft.server import EngineLostError, reply
from salus.engines.replica import Replica
from salus.machine.block import ACCEPTED, Block, Result, header_id
from salus.machine.machine import Machine
from salus.state.state import State

STATE_PATH: Final = "/state"
PROOF_TYPE: Final = "salus/state"
REFUSED: Final = 1  # The code of all refusals; which rule it was stands in `data`.
POWER: Final = 1  # Of each validator.

_OFFENCES: Final = {
    abci.DUPLICATE_VOTE: Offence.DUPLICATE_VOTE,
    abci.LIGHT_CLIENT_ATTACK: Offence.LIGHT_CLIENT_ATTACK,
}


class NotOurGenesisError(IntegrityError):
    """CometBFT starts from another genesis than this member's."""

    code = "engine.not_our_genesis"


class FaultError(IntegrityError):
    """A check or query failed in a way that nobody foresaw; the log says where. Please report it."""

    code = "engine.fault"


class Application:
    """Answers one CometBFT. Satisfies `server.Application`. Not for two threads."""

    def __init__(self, replica: Replica, machine: Machine, clock: Clock, version: str = "") -> None:
        self._replica = replica
        self._clock = clock
        self._version = version
        self._checker = Checker(replica, machine, clock)
        self._announce: Callable[[], None] = _nobody
        self._checked: Callable[[bytes, str], None] = _not_ours
        self._told: Callable[[BaseException], None] = _unheard
        self._retain: Callable[[], Height] = _keep_all
        self._answers: dict[str, Callable[[abci.Request], bytes]] = {
            "check_tx": self._check_tx,
            "flush": _always(abci.Response(flush=abci.Empty())),
            "echo": lambda request: reply(abci.Response(echo=request.echo)),
            "info": self._info,
            "init_chain": self._init_chain,
            "query": self._query,
            "prepare_proposal": self._prepare_proposal,
            "process_proposal": self._process_proposal,
            "finalize_block": self._finalize_block,
            "commit": self._commit,
        }

    def on_final(self, announce: Callable[[], None]) -> None:
        """Call this after each commit."""
        self._announce = announce

    def on_checked(self, checked: Callable[[bytes, str], None]) -> None:
        """Call this with each new transaction that was checked, and the code."""
        self._checked = checked

    def on_fault(self, told: Callable[[BaseException], None]) -> None:
        """Call this with what failed in a check or query and was nobody's refusal."""
        self._told = told

    def retain(self, retain: Callable[[], Height]) -> None:
        """Ask this after each commit from which height on CometBFT must keep its blocks; 0 for all."""
        self._retain = retain

    def also(self, kind: str, answer: Callable[[abci.Request], bytes]) -> None:
        """Let somebody else answer requests of this kind, such as those for snapshots."""
        self._answers[kind] = answer

    def answer(self, request: abci.Request) -> bytes:
        """See `server.Application`."""
        answer = self._answers.get(request.WhichOneof("value") or "")
        if answer is None:
            raise EngineLostError(reason="no such request")
        return answer(request)

    def _info(self, _request: abci.Request) -> bytes:
        replica = self._replica
        info = abci.Info(data="salus", version=self._version, last_block_height=replica.height)
        if replica.height:
            info.last_block_app_hash = replica.header.app_hash
        return reply(abci.Response(info=info))

    def _init_chain(self, request: abci.Request) -> bytes:
        asked, replica = request.init_chain, self._replica
        if asked.chain_id != replica.chain or asked.initial_height != 1 or replica.height != 0:
            raise NotOurGenesisError(height=replica.height, initial_height=asked.initial_height)
        if not is_founding_state(asked.app_state_bytes, replica.genesis):
            raise NotOurGenesisError(app_state_bytes=len(asked.app_state_bytes))
        answer = abci.InitChainResponse(app_hash=replica.header.app_hash)
        keys = founding_state(replica.genesis).validators
        answer.validators.extend(abci.ValidatorUpdate(pub_key=abci.PublicKey(ed25519=key), power=POWER) for key in keys)
        return reply(abci.Response(init_chain=answer))

    def _check_tx(self, request: abci.Request) -> bytes:
        asked = request.check_tx
        tx, is_new = asked.tx, asked.type != abci.RECHECK
        code = ACCEPTED
        try:
            (self._checker.check if is_new else self._checker.recheck)(tx)
        except Exception as error:
            code = self._code(error)
        if is_new:
            self._checked(tx, code)
        if code == ACCEPTED:
            return _MAY_WAIT
        return reply(abci.Response(check_tx=abci.CheckTxResponse(code=REFUSED, data=code.encode())))

    def _query(self, request: abci.Request) -> bytes:
        """A value of the state, or its absence, with the proof against the newest root."""
        asked, replica = request.query, self._replica
        answer = abci.QueryResponse(key=asked.data, height=replica.height)
        if asked.path != STATE_PATH or asked.height not in (0, replica.height) or not asked.data:
            answer.code, answer.log = REFUSED, "only /state, at the newest height"
            return reply(abci.Response(query=answer))
        try:
            state = State(replica.values_and_tree.moment())
            answer.value = state.get(asked.data) or b""
            if asked.prove:
                proof = abci.ProofOp(type=PROOF_TYPE, key=asked.data, data=encode(state.prove(asked.data)))
                answer.proof_ops.ops.append(proof)
        except Exception as error:
            answer.ClearField("value")
            answer.code, answer.log = REFUSED, self._code(error)
        return reply(abci.Response(query=answer))

    def _prepare_proposal(self, request: abci.Request) -> bytes:
        asked = request.prepare_proposal
        time = self._block_time(asked.time)
        txs = proposal(self._replica.state, asked.txs, size_bytes_max=asked.max_tx_bytes, time=time, now=self._clock())
        return reply(abci.Response(prepare_proposal=abci.PrepareProposalResponse(txs=txs)))

    def _process_proposal(self, request: abci.Request) -> bytes:
        sensible = is_sensible(parameters_of(self._replica.state), request.process_proposal.txs)
        return _SENSIBLE if sensible else _NONSENSE

    def _finalize_block(self, request: abci.Request) -> bytes:
        asked, replica = request.finalize_block, self._replica
        self._checker.let_go()
        replica.abandon()
        before = replica.header
        block = Block(
            chain=replica.chain,
            height=asked.height,
            time=self._block_time(asked.time),
            previous=header_id(before),
            txs=tuple(asked.txs),
            misbehaviour=tuple(_misbehaviour(replica.state, asked.misbehavior)),
        )
        replica.prepare(block)
        results, header, after = replica.prepared
        answer = abci.FinalizeBlockResponse(app_hash=header.app_hash)
        answer.tx_results.extend(map(_outcome, results))
        if header.validators != before.validators:
            answer.validator_updates.extend(_updates(replica.state, after))
        return reply(abci.Response(finalize_block=answer))

    def _commit(self, _request: abci.Request) -> bytes:
        """Keep the prepared block. CometBFT's own commit proves that it is final, so it needs no votes."""
        _, header, _ = self._replica.prepared
        stored = self._replica.finalise(header, votes=())
        self._checker.let_go()  # Of the moment before, which a check between the two has taken.
        for tx in stored.block.txs:  # CometBFT keeps its mempool closed meanwhile, and takes them out of it.
            self._checker.forget(tx)
        self._announce()
        retain = self._retain()
        if not retain:
            return _KEPT
        return reply(abci.Response(commit=abci.CommitResponse(retain_height=retain)))

    def _code(self, error: Exception) -> str:
        """What to answer instead of a check or query."""
        if isinstance(error, SalusError):
            return error.code
        self._told(error)
        return FaultError.code

    def _block_time(self, time: abci.Time) -> TimeMs:
        """CometBFT's time in milliseconds, the same everywhere; it never goes back."""
        return max(time.seconds * 1_000 + time.nanos // 1_000_000, self._replica.time)


def _outcome(result: Result) -> abci.ExecTxResult:
    if result.code == ACCEPTED:
        return _ACCEPTED_RESULT
    return abci.ExecTxResult(code=REFUSED, data=result.code.encode())


def _misbehaviour(state: State, evidence: Iterable[abci.Misbehavior]) -> Iterator[Misbehaviour]:
    """Evidence that CometBFT has checked, against the members whose keys they were."""
    for shown in evidence:
        offence = _OFFENCES.get(shown.type)
        member = validator_at(state, shown.validator.address)
        if offence is not None and member is not None:
            yield Misbehaviour(validator=member, offence=offence, height=shown.height)


def _updates(before: State, after: State) -> list[abci.ValidatorUpdate]:
    """Who validates newly, and who no longer: with no power."""
    was, now = _keys(before), _keys(after)
    changed = [(key, 0) for key in was if key not in now] + [(key, POWER) for key in now if key not in was]
    return [abci.ValidatorUpdate(pub_key=abci.PublicKey(ed25519=key), power=power) for key, power in sorted(changed)]


def _keys(state: State) -> dict[PublicKey, None]:
    return {key: None for _, key in validators(state)}


def _always(response: abci.Response) -> Callable[[abci.Request], bytes]:
    """An answer that never varies, encoded once."""
    encoded = reply(response)
    return lambda _request: encoded


def _nobody() -> None:
    """Nobody waits for blocks."""


def _not_ours(_tx: bytes, _code: str) -> None:
    """Nobody here submits."""


def _unheard(_: BaseException) -> None:
    """Nobody keeps a log."""


def _keep_all() -> Height:
    """CometBFT keeps all its blocks."""
    return 0


_ACCEPTED_RESULT: Final = abci.ExecTxResult(code=0, data=ACCEPTED.encode())
_MAY_WAIT: Final = reply(abci.Response(check_tx=abci.CheckTxResponse()))
_SENSIBLE: Final = reply(
    abci.Response(process_proposal=abci.ProcessProposalResponse(status=abci.ProcessProposalResponse.ACCEPT))
)
_NONSENSE: Final = reply(
    abci.Response(process_proposal=abci.ProcessProposalResponse(status=abci.ProcessProposalResponse.REJECT))
)
_KEPT: Final = reply(abci.Response(commit=abci.CommitResponse()))
