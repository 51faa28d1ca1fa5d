"""`seal`: patients' charts from files to sealed, durable records of four members, with all that an import does.

The input is the shipped sample, or a folder of FHIR R4 bundles, repeated under fresh patients as often as it takes.
Floor: parsing, encrypting and hashing the same bytes on one core, and nothing else. Where others use the machine too,
compare processor time, which does not count waiting.
"""

import asyncio
import gc
import json
import resource
import tempfile
import time
import uuid
from collections.abc import Iterator
from hashlib import sha256
from itertools import count, islice
from pathlib import Path

import msgspec
import orjson

from salus.cli import sample
from salus.cli.bench.figures import Figure, Options, Outcome, at_least, at_most
from salus.cli.home import Home, found_home
from salus.cli.importing import ImportReport, import_folder
from salus.cli.importing.reading import WORKERS
from salus.crypto.documents import seal_chunks
from salus.fhir.folder import files_of, read_file

NAME = "seal"
TARGETS = {"records_per_s": at_least(5_000), "peak_rss_mib": at_most(1024)}
_PATIENTS_SHORT = 4
_FLOOR_DOCUMENTS = 20_000
_KIB_PER_MIB = 1024
_US_PER_S = 1_000_000
_WHO = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


class _Entry(msgspec.Struct):
    resource: msgspec.Raw


class _Frame(msgspec.Struct):
    """A bundle, its resources unread."""

    entry: tuple[_Entry, ...] = ()


_frames = msgspec.json.Decoder(_Frame)


def measure(options: Options) -> Outcome:
    """The whole import, in a temporary folder that holds input and network."""
    with tempfile.TemporaryDirectory(prefix="salus-bench-", dir=options.folder) as name:
        charts = Path(name) / "charts"
        charts.mkdir()
        written = write_charts(options.data or sample.FOLDER, charts, patients_of(options))
        worked = _cpu_s()
        report = asyncio.run(_imported(Path(name) / "network", charts))
        worked = _cpu_s() - worked
        bare_per_s, bare_cpu_us = bare(charts, min(report.records_sealed, _FLOOR_DOCUMENTS))
    assert report.is_whole, "Something was not taken in."
    rate = round(report.sealed_per_s)
    figures: dict[str, Figure] = {
        "patients": written,
        "resources_in": report.resources_in,
        "records_sealed": report.records_sealed,
        "records_durable": report.records_durable,
        "batches": report.batches,
        "seconds": round(report.seconds, 1),
        "records_per_s": rate,
        "mib_per_s": round(report.bytes_in / report.seconds / _KIB_PER_MIB**2, 2),
        "peak_rss_mib": peak_rss_mib(),
        "cpu_us_per_record": round(worked / max(1, report.records_sealed) * _US_PER_S, 1),  # Of all cores together.
        "floor_ratio": round(bare_per_s / max(1, rate), 1),
    }
    return Outcome(NAME, figures, TARGETS, {"bare_records_per_s": bare_per_s, "bare_cpu_us_per_record": bare_cpu_us})


def patients_of(options: Options) -> int:
    """How many patients to import."""
    return min(options.patients, _PATIENTS_SHORT) if options.short else options.patients


def peak_rss_mib() -> int:
    """The most memory that this process ever held, and all its workers if each held as much as the largest, in MiB."""
    own, largest = (resource.getrusage(who).ru_maxrss for who in _WHO)  # Linux counts it in KiB.
    return (own + WORKERS * largest) // _KIB_PER_MIB


def _cpu_s() -> float:
    """Processor time of this process and of workers that have ended."""
    used = [resource.getrusage(who) for who in _WHO]
    return sum(one.ru_utime + one.ru_stime for one in used)


def write_charts(source: Path, charts: Path, patients: int) -> int:
    """Write the source's charts, in turn and under fresh patients, until there are enough; how many patients.

    Files without a patient (organisations, practitioners) are written once.
    """
    files = [
        (file.path.name.removesuffix(".xz").removesuffix(".gz"), read_file(file.path)) for file in files_of(source)
    ]
    ids = {name: patient_ids(data) for name, data in files}
    written = 0
    for name, data in files:
        if not ids[name]:
            (charts / name).write_bytes(data)
    for round_number in count():
        for name, data in files:
            if written >= patients or not ids[name]:
                continue
            (charts / f"{round_number:05d}-{name}").write_bytes(_under_fresh(data, ids[name]))
            written += len(ids[name])
        if written >= patients or not any(ids.values()):
            return written
    raise AssertionError("Counting has no end.")


def patient_ids(data: bytes) -> list[str]:
    """Ids of the patients in a bundle."""
    entries = json.loads(data).get("entry", ())
    resources = (entry.get("resource", {}) for entry in entries)
    return [str(one["id"]) for one in resources if one.get("resourceType") == "Patient"]


def _under_fresh(data: bytes, ids: list[str]) -> bytes:
    for one in ids:
        data = data.replace(one.encode(), str(uuid.uuid4()).encode())
    return data


async def _imported(place: Path, charts: Path) -> ImportReport:
    found_home(place)
    async with Home.open(place) as home:
        return await import_folder(home, charts)


def bare(charts: Path, wanted: int) -> tuple[int, float]:
    """Documents that one core parses, encrypts and hashes in a second; and how much of the core each takes, in µs."""
    gc.collect()
    done, began, worked = 0, time.perf_counter(), time.process_time()
    for raw in islice(_documents(charts), wanted):
        orjson.loads(raw)
        for chunk in seal_chunks(bytes(32), b"bench", raw):
            sha256(chunk).digest()
        done += 1
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - worked
    return round(done / seconds), round(cpu_s / done * _US_PER_S, 1)


def _documents(charts: Path) -> Iterator[bytes]:
    """The very bytes that an import seals, cut from their bundles."""
    for path in sorted(charts.iterdir()):
        yield from (bytes(entry.resource) for entry in _frames.decode(path.read_bytes()).entry)
