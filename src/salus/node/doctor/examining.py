"""All checks over all members of a folder. One that cannot be made says so, and the others go on."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from salus.core.clock import Clock
from salus.core.errors import SalusError
from salus.node.doctor import copies, engine, folders, keys, sealing, standing, stores, wire
from salus.node.doctor.case import AsyncCheck, Case, Check, cases_in, with_ledger
from salus.node.first_light import is_of_first_light
from salus.node.observing.asking import Asked
from salus.node.observing.findings import Finding, Severity, found
from salus.node.observing.judging import Status, Whose
from salus.node.settings import system_clock

BEFORE: Sequence[Check] = (  # Of what lies in the folder; before anything is opened.
    folders.check_rights,
    folders.check_room,
    keys.check_files,
    stores.check_ledger_file,
    stores.check_databases,
    stores.check_vault,
    engine.check_binary,
)
OPENED: Sequence[Check] = (  # With the member's copy of the ledger open.
    keys.check_against_ledger,
    keys.check_node_key,
    copies.check_root,
    copies.check_time,
    copies.check_snapshots,
    standing.check_membership,
    standing.check_votes,
    standing.check_rules,
    standing.check_packs,
    sealing.check_outbox,
    sealing.check_packs_of_batches,
    sealing.check_vault_sample,
)
ASKING: Sequence[AsyncCheck] = (engine.check_engine, engine.check_witnesses, wire.check_peers)  # Of what runs.
_ORDER = {severity: at for at, severity in enumerate(Severity)}


@dataclass(frozen=True, slots=True)
class Examined:
    """What was found, the worst first."""

    members: tuple[str, ...]
    is_up: bool
    findings: tuple[Finding, ...]

    @property
    def is_well(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


async def examine(
    folder: Path, asked: Asked | None = None, status: Status | None = None, clock: Clock = system_clock
) -> Examined:
    """Examine every member that lives in a folder.

    What its processes said of themselves is handed in: `asked` where they run apart, `status` of a network in one
    process; neither where nothing runs.

    Raises:
        NoNetworkError: there is no network in it.
        NotANetworkError: its genesis cannot be read.
    """
    if asked is not None and asked.is_up:
        status = asked.status
    if is_of_first_light(folder):
        return Examined((), False, (found("network.older"),))
    cases = cases_in(folder, is_up=status is not None, clock=clock)
    findings = list(status.wrong if status is not None else ())
    with ExitStack() as stack:
        opened: list[Case] = []
        for case in cases:
            before = [one for check in BEFORE for one in _made(check, case)]
            findings += before
            opened.append(case if _is_ledger_unfit(before) else _opened(case, stack))
        for case in opened:
            findings += [one for check in OPENED for one in _made(check, case)]
            findings += _made(_of_addresses({} if asked is None else asked.away), case)
        findings += copies.compare(opened)
        findings += copies.compare_snapshots(opened)
        for case in opened:
            for told in await asyncio.gather(*(_asked(check, case) for check in ASKING)):
                findings += told
    return Examined(tuple(case.member for case in cases), status is not None, tuple(_sifted(findings)))


def _of_addresses(away: Mapping[Whose, int]) -> Check:
    def check_addresses(case: Case) -> Iterator[Finding]:
        return wire.check_addresses(case, away)

    return check_addresses


def _opened(case: Case, stack: ExitStack) -> Case:
    """With its ledger open until the stack ends, if it opens; why it does not was found before."""
    try:
        return stack.enter_context(with_ledger(case))
    except SalusError:
        return case


def _made(check: Check, case: Case) -> Iterator[Finding]:
    """What a check finds. Whatever goes wrong in it is a finding too: nobody asks a doctor on a good day."""
    try:
        yield from check(case)
    except Exception as error:
        yield _not_made(check.__name__, case, error)


async def _asked(check: AsyncCheck, case: Case) -> list[Finding]:
    """What a check finds that asks others."""
    findings: list[Finding] = []
    try:
        async for one in check(case):
            findings.append(one)
    except Exception as error:
        findings.append(_not_made(check.__name__, case, error))
    return findings


def _not_made(name: str, case: Case, error: Exception) -> Finding:
    """Told by code or kind: an error's own text may say anything."""
    said = error.code if isinstance(error, SalusError) else type(error).__name__
    return found("doctor.not_checked", case.member, check=name.removeprefix("check_"), error=said)


def _is_ledger_unfit(findings: Iterable[Finding]) -> bool:
    """Whether a copy of the ledger is not to be opened."""
    return any(one.part == "ledger" and one.code.startswith("store.") for one in findings)


def _sifted(findings: Iterable[Finding]) -> list[Finding]:
    """Each once, the worst first; what a closer look explains is not said twice."""
    unique = list(dict.fromkeys(findings))
    explained = {(one.member, one.part) for one in unique if one.code == "port.taken"}
    silent = [one for one in unique if one.code == "process.silent" and (one.member, one.part) in explained]
    lacks = {one.member for one in unique if one.code == "outbox.lacks"}
    stuck = [one for one in unique if one.code == "outbox.stuck" and one.member in lacks]
    left = [one for one in unique if one not in (*silent, *stuck)]
    return sorted(left, key=lambda one: (_ORDER[Severity(one.severity)], one.code, one.member))
