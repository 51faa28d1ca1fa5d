"""`read`: a patient's unified view at one of four members that all wrote it, request to verified plaintext.

Counted are the records of the other three alone; the reader's own third comes on top, opened with its own keys. Three
series: a first read (a fresh request on the ledger each time), at two sizes, and again on the open request.
Floor: the digest and the decryption of the very same blobs, with all keys at hand.
"""

import asyncio
from functools import partial
from hashlib import sha256
from pathlib import Path

from salus.cli.bench.figures import RUNS_MIN, Figure, Options, Outcome, Stopwatch, at_most, median_ms, percentiles
from salus.cli.bench.stage import Patient, Stage, everything, stage
from salus.contracts.records.batch import document_context
from salus.contracts.records.header import Header
from salus.core.ids import ChainId
from salus.core.wire import reopen
from salus.crypto.documents import open_chunks
from salus.node.gateway_side import GatewaySide
from salus.node.hosted import Hosted
from salus.node.network import Network

NAME = "read"
TARGETS = {
    "first_1000_p95_ms": at_most(200),
    "first_100_p95_ms": at_most(50),
    "again_1000_p95_ms": at_most(15),
}
WARM_UP = 3
_FLOOR_RUNS = 5


def measure(options: Options) -> Outcome:
    """Both sizes, one after the other; `short` takes three runs of a tenth."""
    return asyncio.run(_measure(options.folder, options.short))


async def _measure(folder: Path | None, short: bool) -> Outcome:
    runs = 3 if short else RUNS_MIN + 10
    figures: dict[str, Figure] = {}
    floors: dict[str, Figure] = {}
    async with stage(folder) as scene:
        for name, size in (("100", 10 if short else 100), ("1000", 100 if short else 1000)):
            patient = await patient_of(scene, size)
            figures |= await read_times(scene, patient, size, runs, name)
            floors[f"bare_{name}_p50_ms"] = median_ms(partial(_open, _bare(scene, patient)), _FLOOR_RUNS)
    figures["floor_ratio_1000"] = round(float(figures["first_1000_p50_ms"]) / float(floors["bare_1000_p50_ms"]), 1)
    return Outcome(NAME, figures, TARGETS, floors)


async def patient_of(scene: Stage[Hosted], foreign: int) -> Patient:
    """A patient with this many records of others than the reader's member, and a third as many of its own."""
    reading, *others = scene.network.members
    patient = await scene.patient(everything(reading.name))
    each = -(-foreign // len(others))
    for number, author in enumerate(others):
        count = min(each, foreign - number * each)
        await scene.seal(author, scene.documents(patient.subject, count))
    await scene.seal(reading, scene.documents(patient.subject, each))
    return patient


async def read_times(scene: Stage[Hosted], patient: Patient, foreign: int, runs: int, name: str) -> dict[str, Figure]:
    """How long such a view takes, by a fresh request and again on the open one."""
    member = scene.network.members[0]
    reader = await scene.reader(member)
    first, again = Stopwatch(), Stopwatch()
    for number in range(runs + WARM_UP):
        opened = member.reading(reader, patient.wanted)
        with first.lap():
            unified = await opened.read()
        found = [record for record in unified.view.records if not record.is_own]
        assert len(found) == foreign, "The view is not whole."
        assert unified.view.gaps == [], "The view has gaps."
        assert unified.view.accusations == [], "Somebody lied."
        with again.lap():
            once_more = await opened.read()
        assert once_more.from_memory, f"Run {number} asked the keepers again."
    laps = slice(WARM_UP, None)
    return percentiles(f"first_{name}", first.samples_ms[laps]) | percentiles(f"again_{name}", again.samples_ms[laps])


Blob = tuple[bytes, bytes, tuple[bytes, ...], Header]  # Key, context, ciphertext, header.


def _bare(scene: Stage[Network], patient: Patient) -> list[Blob]:
    """All that is needed to open every record of the patient, from the stores of their authors."""
    chain = scene.network.genesis.chain
    return [blob for member in scene.network.members for blob in _bare_of(member, patient, chain)]


def _bare_of(member: GatewaySide, patient: Patient, chain: ChainId) -> list[Blob]:
    blobs: list[Blob] = []
    for batch_id, entries in member.store.own_of_subject(patient.subject):
        for entry in entries:
            header = reopen(Header, entry.header)
            parts = member.blobs.read(member.name, batch_id, list(header.blobs))
            whole = tuple(part for part in parts if part is not None)
            blobs.append((entry.key, document_context(chain, header.record), whole, header))
    return blobs


def _open(blobs: list[Blob]) -> None:
    for key, context, parts, header in blobs:
        assert tuple(sha256(part).digest() for part in parts) == header.blobs
        open_chunks(key, context, parts, header.size_bytes)
