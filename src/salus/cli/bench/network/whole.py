"""What people feel of four members whose ledgers and keepers are processes, supervised as `salus up` does it.

The gateways are in this process, as they would be in that of `salus gateway`; every call to a keeper or another gateway
goes over mutual TLS.
"""

import asyncio
import os
import resource
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from salus.cli import sample
from salus.cli.apart import GATEWAY, listens, programs_of
from salus.cli.bench import consenting, reading, sealing
from salus.cli.bench.figures import Figure, Stopwatch, percentiles
from salus.cli.bench.network.processes import children_of, processor_s, until
from salus.cli.bench.stage import Stage
from salus.cli.home import Home, found_home
from salus.cli.importing import import_folder
from salus.cli.operated import LOGS_FOLDER
from salus.cli.socket import RUN_FOLDER
from salus.core.errors import SalusError
from salus.core.ids import MemberId
from salus.engines.cometbft.link import LINK_SOCKET, LinkEngine, Status
from salus.engines.cometbft.receipts import read_receipt
from salus.node.folder import member_folder, members_here, read_genesis
from salus.node.hosted import Hosted
from salus.node.processes import Supervisor
from salus.node.site import host_and_port, read_site

Figures = dict[str, Figure]
Used = dict[str, float]

_SETTLED_S = 4.0  # After which the last block's proof block has been made, and nobody has anything to do.


@dataclass(frozen=True, slots=True)
class Whole:
    """A network that runs, with what supervises its processes."""

    home: Home
    supervisor: Supervisor

    @property
    def scene(self) -> Stage[Hosted]:
        """As the other measurements see it."""
        return Stage(self.home.network, self.home.folder)

    def processor_s(self) -> Used:
        """Processor time used so far by each part of all members. Gateways: here, and in workers that have ended."""
        workers = resource.getrusage(resource.RUSAGE_CHILDREN)
        return {
            "gateway": time.process_time() + workers.ru_utime + workers.ru_stime,
            **{part: processor_s(self._pids(part)) for part in ("keeper", "ledger")},
        }

    def _pids(self, part: str) -> list[int]:
        running = [one.process for name, one in self.supervisor.running.items() if name.startswith(f"{part}-")]
        return [pid for one in running if one is not None for pid in (one.pid, *children_of(one.pid))]

    def pid_of(self, part: str, member: MemberId) -> int:
        """Of a member's process."""
        process = self.supervisor.running[f"{part}-{member}"].process
        assert process is not None, "It has been started."
        return process.pid


@asynccontextmanager
async def whole(folder: Path) -> AsyncIterator[Whole]:
    """A new network, running until the end of the block."""
    found_home(folder, apart=True)
    members = members_here(folder, read_genesis(folder))
    path = f"PYTHONPATH={os.pathsep.join(sys.path)}"
    programs = [
        replace(program, argv=("env", path, *program.argv))
        for program in programs_of(folder, members)
        if program.name != GATEWAY
    ]
    supervisor = Supervisor(programs, folder / RUN_FOLDER, logs=folder / LOGS_FOLDER)
    running = asyncio.create_task(supervisor.run())
    try:
        await until(lambda: _serve(folder, members))
        async with Home.open(folder) as home:
            yield Whole(home, supervisor)
    finally:
        supervisor.stop()
        await running


async def _serve(folder: Path, members: Sequence[MemberId]) -> bool:
    """Whether the keepers of these members do."""
    sites = [read_site(member_folder(folder, name)) for name in members]
    return all([await listens(*host_and_port(site.keeper)) for site in sites])


async def sealed(network: Whole, charts: Path, patients: int) -> tuple[Figures, Figures]:
    """Charts from files to sealed records that are durable at all members, with all that an import does; and bare."""
    sealing.write_charts(sample.FOLDER, charts, patients)
    before = network.processor_s()
    report = await import_folder(network.home, charts)
    used = since(before, network)
    assert report.is_whole, "Something was not taken in."
    each = {part: 1_000 * seconds / report.records_sealed for part, seconds in used.items()}
    figures: Figures = {
        "records_per_s": round(report.sealed_per_s),
        "records": report.records_sealed,
        "records_cpu_s_per_1000": round(sum(each.values()), 3),
        **{f"records_{part}_cpu_s_per_1000": round(seconds, 3) for part, seconds in each.items()},
    }
    bare_per_s, bare_us = sealing.bare(charts, report.records_sealed)
    return figures, {"bare_records_per_s": bare_per_s, "bare_records_cpu_s_per_1000": round(bare_us / 1_000, 3)}


async def viewed(network: Whole, records: int, runs: int) -> Figures:
    """A unified view by one member of what the three others wrote, from a fresh request to verified plaintext."""
    scene = network.scene
    patient = await reading.patient_of(scene, records)
    before = network.processor_s()
    figures = await reading.read_times(scene, patient, records, runs, "1000")
    each = _each_ms(since(before, network), runs + reading.WARM_UP)
    parts = {f"first_1000_{part}_cpu_ms": round(milliseconds, 1) for part, milliseconds in each.items()}
    return figures | {"first_1000_cpu_ms": round(sum(each.values()), 1)} | parts


async def consented(network: Whole, runs: int) -> Figures:
    """A grant until the first document is read; a revocation until every seat refuses."""
    grant, revoke, before = Stopwatch(), Stopwatch(), network.processor_s()
    await consenting.turns(network.scene, runs, grant, revoke)
    both_ms = sum(_each_ms(since(before, network), runs + consenting.WARM_UP).values())
    return (
        percentiles("grant", grant.samples_ms)
        | percentiles("revoke", revoke.samples_ms)
        | {"consent_cpu_ms": round(both_ms, 1)}
    )


def since(before: Used, network: Whole) -> Used:
    """What each part has used since."""
    return {part: seconds - before[part] for part, seconds in network.processor_s().items()}


def _each_ms(used: Used, runs: int) -> Used:
    """Of one run."""
    return {part: 1_000 * seconds / runs for part, seconds in used.items()}


async def returned(network: Whole) -> Figures:
    """A member's processes are killed under load, and started again by the supervisor, until it has caught up."""
    *others, gone = (member.name for member in network.home.network.members)
    load = asyncio.create_task(_load(network.scene))
    for part in ("ledger", "keeper"):
        pid = network.pid_of(part, gone)
        for one in (*children_of(pid), pid):
            os.kill(one, signal.SIGKILL)
    began = time.perf_counter()
    folder = network.home.folder
    links = [LinkEngine(member_folder(folder, name) / LINK_SOCKET, read_receipt) for name in (gone, *others)]
    try:
        await until(lambda: _is_level(links))
        await until(lambda: _serve(folder, (gone,)))
        return {"return_s": round(time.perf_counter() - began, 1)}
    finally:
        load.cancel()
        await asyncio.gather(load, *(link.close() for link in links), return_exceptions=True)


async def _load(scene: Stage[Hosted]) -> None:
    """New patients, one after the other, for ever."""
    while True:
        with suppress(SalusError):
            await scene.patient()


async def _is_level(links: list[LinkEngine]) -> bool:
    """Whether the first of them takes part, and stands where the others stood just before."""
    said: list[Status] = []
    try:
        for link in reversed(links):
            said.append(await link.status())
    except SalusError:
        return False
    *others, own = said
    return not own.catching_up and own.peers == len(others) and own.height >= max(one.height for one in others)


async def idled(network: Whole, seconds: float) -> Figures:
    """Processor time of everybody while nobody does anything, as a part of one core."""
    await asyncio.sleep(_SETTLED_S)
    began, before = time.perf_counter(), network.processor_s()
    await asyncio.sleep(seconds)
    used = sum(since(before, network).values())
    return {"idle_cpu_percent": round(100 * used / (time.perf_counter() - began), 1)}
