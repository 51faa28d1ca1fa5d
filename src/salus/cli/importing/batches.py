"""Sealing what an import found: batches across patients, several in flight, nothing twice.

Documents of one member gather until there are 1,024 of them, or they are large, or the first has waited two seconds
and there is room for one more batch in flight.
Before that they are compared with what was sealed of the same source: the same bytes are left alone, other bytes
supersede. Two versions of one source never travel in one batch: the first must be final to be superseded.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from salus.cli.importing.report import Imported, ImportReport, OnImported, Trouble
from salus.contracts.records.header import LEAVES_PER_BATCH
from salus.core.errors import SalusError
from salus.core.ids import MIB_BYTES, MemberId, SubjectId
from salus.engines.agreement import NotFinalError
from salus.node.gateway_side import GatewaySide
from salus.node.hosted import Hosted
from salus.sdk.author import NewDocument
from salus.sdk.errors import NothingToSealError

BATCH_BYTES_MAX = 24 * MIB_BYTES  # Beyond it a batch goes with fewer documents.
WAIT_S_MAX = 2.0
LOOK_AGAIN_S = 0.1  # For room, once a batch has waited long enough.
IN_FLIGHT = 4  # Batches, over all members: one waits for disks while another is encrypted.

Source = tuple[SubjectId, str]


@dataclass(frozen=True, slots=True)
class Incoming:
    """A document on its way, and where it came from."""

    file: str
    local: str
    document: NewDocument


@dataclass(slots=True)
class _Line:
    """What one member is about to seal."""

    member: GatewaySide
    waiting: list[Incoming] = field(default_factory=list)
    size_bytes: int = 0
    sources: set[Source] = field(default_factory=set)  # Waiting, or in a batch that is not final yet.
    sealing: set[asyncio.Task[None]] = field(default_factory=set)
    timer: asyncio.TimerHandle | None = None


class Batches:
    """The sealing half of one import."""

    def __init__(self, network: Hosted, report: ImportReport, on_imported: OnImported | None) -> None:
        self._lines = {member.name: _Line(member) for member in network.members}
        self._report = report
        self._on_imported = on_imported
        self._room = asyncio.Semaphore(IN_FLIGHT)

    async def add(self, name: MemberId, incoming: Iterable[Incoming]) -> None:
        """Take documents of one member; waits while too many batches are in flight."""
        line = self._lines[name]
        part: list[Incoming] = []
        for one in incoming:
            part.append(one)
            if len(part) == LEAVES_PER_BATCH:
                await self._add(line, part)
                part = []
        await self._add(line, part)

    async def finish(self) -> None:
        """Seal what is left, and wait until everything is final."""
        for line in self._lines.values():
            await self._settle(line)

    async def stop(self) -> None:
        """Let batches that are under way become whole, and start no other."""
        for line in self._lines.values():
            line.waiting.clear()
            await self._settle(line)

    async def _add(self, line: _Line, part: list[Incoming]) -> None:
        keys = [(one.document.subject, one.document.source) for one in part]
        if len(set(keys)) < len(keys) or not line.sources.isdisjoint(keys):
            for one in part:  # A second version of something in this import: in order, each final before the next.
                if (one.document.subject, one.document.source) in line.sources:
                    await self._settle(line)
                await self._take(line, [one])
            return
        await self._take(line, part)

    async def _take(self, line: _Line, part: list[Incoming]) -> None:
        sealed = line.member.author.sealed_before([one.document for one in part])
        unfinished = line.member.author.unfinished()
        for incoming, (older, is_same) in zip(part, sealed, strict=True):
            one = incoming
            if is_same and older is not None and older.batch_id in unfinished:
                self._refuse([one], NotFinalError.code)  # Its plan goes on by itself, or with the next import.
                continue
            if is_same:
                self._report.repeated += 1
                continue
            if older is not None:
                one = replace(one, document=replace(one.document, replaces=older))
            line.waiting.append(one)
            line.sources.add((one.document.subject, one.document.source))
            line.size_bytes += len(one.document.data)
            if len(line.waiting) == LEAVES_PER_BATCH or line.size_bytes >= BATCH_BYTES_MAX:
                await self._launch(line)
        if line.waiting and line.timer is None:
            line.timer = asyncio.get_running_loop().call_later(WAIT_S_MAX, self._overdue, line)

    def _overdue(self, line: _Line) -> None:
        """Seal what has waited long enough; where too many batches are in flight, it fills up meanwhile."""
        if self._room.locked():
            line.timer = asyncio.get_running_loop().call_later(LOOK_AGAIN_S, self._overdue, line)
            return
        line.timer = None
        task = asyncio.get_running_loop().create_task(self._launch(line))
        line.sealing.add(task)
        task.add_done_callback(line.sealing.discard)

    async def _settle(self, line: _Line) -> None:
        await self._launch(line)
        while line.sealing:
            await asyncio.gather(*line.sealing)

    async def _launch(self, line: _Line) -> None:
        if line.timer is not None:
            line.timer.cancel()
            line.timer = None
        if not line.waiting:
            return
        batch, line.waiting, line.size_bytes = line.waiting, [], 0
        await self._room.acquire()
        task = asyncio.get_running_loop().create_task(self._seal(line, batch))
        line.sealing.add(task)
        task.add_done_callback(line.sealing.discard)

    async def _seal(self, line: _Line, batch: list[Incoming]) -> None:
        report = self._report
        try:
            sealed = await line.member.author.seal([one.document for one in batch])
        except SalusError as error:
            self._refuse(batch, error.code)
            return
        finally:
            self._room.release()
            line.sources.difference_update((one.document.subject, one.document.source) for one in batch)
        report.batches += 1
        report.records_sealed += len(sealed.records)
        report.by_member[line.member.name] += len(sealed.records)
        report.records_durable += len(sealed.records) if sealed.is_durable else 0
        report.changed += sum(batch[place].document.replaces is not None for place in sealed.records)
        left_out = [one for place, one in enumerate(batch) if place not in sealed.records]
        self._refuse(left_out, NothingToSealError.code)
        if self._on_imported is not None:
            for place, record in sealed.records.items():
                one = batch[place]
                self._on_imported(Imported(line.member.name, one.local, record, one.document))

    def _refuse(self, batch: list[Incoming], code: str) -> None:
        self._report.refused += len(batch)
        self._report.troubles += [Trouble(one.file, one.document.source, code) for one in batch]
