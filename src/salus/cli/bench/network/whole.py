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

    @property
    def pids(self) -> list[int]:
        """Of all its processes and their children, but this one with the gateways."""
        own = [one.process.pid for one in self.supervisor.running.values() if one.process is not None]
        return [pid for one in own for pid in (one, *children_of(one))]

    def processor_s(self) -> float:
        """Processor time that all of it has used, here and in workers that have ended as well."""
        workers = resource.getrusage(resource.RUSAGE_CHILDREN)
        return processor_s(self.pids) + time.process_time() + workers.ru_utime + workers.ru_stime

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
    used = network.processor_s()
    report = await import_folder(network.home, charts)
    used = network.processor_s() - used
    assert report.is_whole, "Something was not taken in."
    figures: Figures = {
        "records_per_s": round(report.sealed_per_s),
        "records": report.records_sealed,
        "records_cpu_s_per_1000": round(1_000 * used / report.records_sealed, 2),
    }
    bare_per_s, bare_us = sealing.bare(charts, report.records_sealed)
    return figures, {"bare_records_per_s": bare_per_s, "bare_records_cpu_s_per_1000": round(bare_us / 1_000, 3)}


async def viewed(network: Whole, records: int, runs: int) -> Figures:
    """A unified view by one member of what the three others wrote, from a fresh request to verified plaintext."""
    scene = network.scene
    patient = await reading.patient_of(scene, records)
    used = network.processor_s()
    figures = await reading.read_times(scene, patient, records, runs, "1000")
    return figures | {"first_1000_cpu_ms": _each_ms(network.processor_s() - used, runs + reading.WARM_UP)}


async def consented(network: Whole, runs: int) -> Figures:
    """A grant until the first document is read; a revocation until every seat refuses."""
    grant, revoke, used = Stopwatch(), Stopwatch(), network.processor_s()
    await consenting.turns(network.scene, runs, grant, revoke)
    both_ms = _each_ms(network.processor_s() - used, runs + consenting.WARM_UP)
    return (
        percentiles("grant", grant.samples_ms) | percentiles("revoke", revoke.samples_ms) | {"consent_cpu_ms": both_ms}
    )


def _each_ms(processor_s: float, runs: int) -> float:
    """Of everybody's processor time, for one run."""
    return round(1_000 * processor_s / runs, 1)


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
    began, used = time.perf_counter(), network.processor_s()
    await asyncio.sleep(seconds)
    used = network.processor_s() - used
    return {"idle_cpu_percent": round(100 * used / (time.perf_counter() - began), 1)}
