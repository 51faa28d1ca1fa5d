"""`log`: a patient's log, united from all keepers and checked against the roots on the ledger.

Every keeper's log holds 100,000 entries of about 1,000 patients. A use leaves an entry at each keeper, so the patient's
1,000 entries come in equal parts from all of them; a patient with 1,000 uses, an entry of each at every keeper, is
reported beside it. Floor: unwrapping and reading the same rows, without envelope, chain or proof.
"""

import asyncio
import os
import random
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from salus.cli.bench.figures import RUNS_MIN, Figure, Options, Outcome, Stopwatch, at_most, median_ms, percentiles
from salus.cli.bench.stage import MEMBERS, TREAT, Patient, Stage, ground, running
from salus.core.ids import NO_DIGEST, Digest, MemberId, SubjectId
from salus.core.wire import encode, reopen
from salus.keeper.access_log import row_of
from salus.keeper.messages import LogEntry, log_entry_digest
from salus.keeper.store import LOG, SubjectStore, sqlite_engine, upsert
from salus.node.keys import load_secrets
from salus.node.network import Network
from salus.node.settings import system_clock
from salus.sdk.patient_log import read_log

NAME = "log"
TARGETS = {"entries_1000_p95_ms": at_most(30)}
_SEED = 7
_OTHERS = 1_000  # Patients whose entries make up the rest.
_WARM_UP = 3
_FLOOR_RUNS = 5
_ROWS_AT_ONCE = 10_000
_CLINICIAN = bytes(16)

Figures = dict[str, Figure]


def measure(options: Options) -> Outcome:
    """`short` fills logs of a fiftieth, with a tenth of the patient's entries, and takes three runs."""
    return asyncio.run(_measure(options.folder, options.short))


async def _measure(folder: Path | None, short: bool) -> Outcome:
    total, united, runs = (2_000, 100, 3) if short else (100_000, 1_000, RUNS_MIN + 10)
    figures: Figures = {"entries_per_keeper": total}
    floors: Figures = {}
    with ground(folder) as place:
        async with running(place) as scene:
            patients = {united: await scene.patient(), united * MEMBERS: await scene.patient()}
        shares = {patient.subject: count // MEMBERS for count, patient in patients.items()}
        for name in scene.names:
            _fill(place, name, total, shares)
        async with running(place) as scene:
            await scene.network.tend()
            for count, patient in patients.items():
                series = f"entries_{10 * count if short else count}"
                figures |= await _read(scene, patient, count, runs, series)
                floors[f"bare_{series}_p50_ms"] = _bare(scene, patient)
    return Outcome(NAME, figures, TARGETS, floors)


async def _read(scene: Stage[Network], patient: Patient, count: int, runs: int, name: str) -> Figures:
    gateway = scene.network.members[0].gateway
    watch = Stopwatch()
    for _ in range(runs + _WARM_UP):
        with watch.lap():
            log = await read_log(
                gateway, patient.subject, scene.network.committee, writers=(), device=patient.wallet.device_key()
            )
        assert len(log.entries) == log.anchored == count, "The log is not whole."
        assert not log.faults, "The log is not clean."
    return percentiles(name, watch.samples_ms[_WARM_UP:])


def _bare(scene: Stage[Network], patient: Patient) -> float:
    logs = [member.keeper.log for member in scene.network.members]

    def work() -> None:
        for log in logs:
            for data in log.entries(patient.subject):
                reopen(LogEntry, data)

    return median_ms(work, _FLOOR_RUNS)


def _fill(place: Path, name: MemberId, total: int, shares: Mapping[SubjectId, int]) -> None:
    """Write a keeper's log as it would have written it itself, entry by entry, but made durable only now and then."""
    folder = place / "members" / name
    store = SubjectStore(sqlite_engine(folder / "keeper.db"), load_secrets(folder / "keys").keeper_kek)
    subjects = iter(_order(total, shares))
    heads: dict[SubjectId, tuple[int, Digest]] = {}
    first = 1
    while chosen := list(islice(subjects, _ROWS_AT_ONCE)):
        with store.commit("bench.fill") as connection:
            numbered = enumerate(chosen, first)
            upsert(connection, LOG, [_row(store, name, number, subject, heads) for number, subject in numbered])
        first += len(chosen)
    store.close()


def _order(total: int, shares: Mapping[SubjectId, int]) -> list[SubjectId]:
    """Whose each entry is: those asked for, and others', mixed."""
    drawn = random.Random(_SEED)
    others = [drawn.randbytes(16) for _ in range(_OTHERS)]
    wanted = [subject for subject, count in shares.items() for _ in range(count)]
    order = wanted + drawn.choices(others, k=total - len(wanted))
    drawn.shuffle(order)
    return order


def _row(
    store: SubjectStore, name: MemberId, number: int, subject: SubjectId, heads: dict[SubjectId, tuple[int, Digest]]
) -> dict[str, object]:
    """The next entry of a subject: one clinician saw thirty records of three authors."""
    before, previous = heads.get(subject, (0, NO_DIGEST))
    entry = LogEntry(
        number=number,
        subject_number=before + 1,
        time=system_clock(),
        height=number,
        where=name,
        request_id=os.urandom(16),
        member=name,
        credential_id=_CLINICIAN,
        handle=None,
        kind="clinician",
        purpose=TREAT,
        reason="",
        released=tuple((author, os.urandom(16), os.urandom(20)) for author in ("lakeside", "mercy", "st-luke")),
        withheld=(("default_denies", 2),),
        previous=previous,
    )
    heads[subject] = (before + 1, log_entry_digest(encode(entry)))
    return row_of(store, store.tag(subject), _CLINICIAN, entry)
