"""The order of the acts, and the figures that the demo ends with."""

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from salus.cli.actions.reads import TREATMENT
from salus.cli.demo import consenting, measuring, proving
from salus.cli.demo.cast import Cast, chosen
from salus.cli.demo.consenting import Timings
from salus.cli.demo.kept import Kept
from salus.cli.demo.telling import Teller, counted, joined
from salus.cli.home import Home
from salus.cli.importing import ImportReport, import_folder
from salus.sdk.reader import Wanted

ROUNDS = 10  # Grants and revocations that the percentiles are taken from.
_TROUBLES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Played:
    """What the demo found."""

    figures: dict[str, object]
    broken: tuple[str, ...]


async def play(home: Home, data: Path, teller: Teller, rounds: int = ROUNDS) -> Played:
    """Tell the story on a fresh network, and measure over so many rounds of grant, read, revoke."""
    kept, timings = Kept(), Timings()
    report = await _import(home, data, kept, teller)
    cast = chosen(home, kept)
    if cast is None:
        teller.say("With one member, or no patient, there is nobody to share with; the story ends here.")
    else:
        await consenting.view_and_claim(home, cast, teller)
        height = await consenting.grant(home, cast, teller, timings)
        await consenting.refusal(home, cast, teller)
        await proving.correction(home, cast, kept, teller)
        await consenting.revocation(home, cast, teller, timings)
        await consenting.break_glass(home, cast, teller)
        await proving.liar(home, cast, teller)
        await proving.absence(home, cast, teller)
        await proving.receipt(home, height, teller, home.folder)
        await _rounds(home, cast, timings, rounds)
    figures = await _measure(home, report, kept, cast, timings, teller)
    return Played(figures, tuple(teller.broken))


async def _import(home: Home, data: Path, kept: Kept, teller: Teller) -> ImportReport:
    names = [member.name for member in home.network.members]
    teller.act(f"{counted(len(names), 'hospital')} that do not trust each other take in what they know")
    with teller.output.progress("documents sealed") as progress:
        report = await import_folder(
            home,
            data,
            on_progress=lambda at: progress.at(at.records_sealed, f"{at.files_done} of {at.files} files", at.documents),
            on_imported=kept.take,
            witnesses=min(1, len(names) - 1),
        )
    teller.say(
        f"{counted(report.resources_in, 'resource')} of {counted(report.patients, 'patient')} in "
        f"{counted(report.files, 'file')}, {report.bytes_in / 1e6:.1f} MB; "
        f"{report.directory_entries:,} that belong to no patient went to the members' directories."
    )
    teller.say(
        f"{counted(report.records_sealed, 'record')} sealed in {counted(report.batches, 'batch', 'batches')} and "
        f"{report.seconds:.1f} s ({report.sealed_per_s:,.0f} a second); "
        f"{report.records_durable:,} are held by all keepers."
    )
    shares = [f"{count:,} by {name}" for name, count in sorted(report.by_member.items(), key=lambda one: -one[1])]
    if shares:
        teller.say(f"Written: {joined(shares)}. Each is encrypted under a key of its own, split among all hospitals.")
    if report.rewritten:
        teller.say(f"In {report.rewritten:,} documents a conditional reference was resolved; all others are untouched.")
    for trouble in report.problems[:_TROUBLES_SHOWN]:
        teller.say(f"Not taken in: {trouble.file}, {trouble.place}: {trouble.reason} ({trouble.count})")
    teller.hold(report.is_whole, f"everything is taken in ({counted(len(report.problems), 'problem')})")
    return report


async def _measure(
    home: Home, report: ImportReport, kept: Kept, cast: Cast | None, timings: Timings, teller: Teller
) -> dict[str, object]:
    teller.act("Measured here")
    per_record = measuring.bytes_for_records(home.simulated.members[0].replica) / max(1, report.records_sealed)
    back = await measuring.read_back(home, kept)
    proof = measuring.verify_all(home)
    replica = home.simulated.members[0].replica
    figures: dict[str, object] = {
        "members": report.members,
        "patients": report.patients,
        "resources_in": report.resources_in,
        "records_sealed": report.records_sealed,
        "records_durable": report.records_durable,
        "sealed_per_s": round(report.sealed_per_s, 1),
        "unified_read_ms": measuring.percentiles(timings.unified_read),
        "grant_to_read_ms": measuring.percentiles(timings.grant_to_read),
        "revoke_to_refusal_ms": measuring.percentiles(timings.revoke_to_refusal),
        "ledger_bytes_per_record": round(per_record, 2),
        "ledger_bytes_per_consent": measuring.bytes_per_consent(replica),
        "verify": {"receipts_checked": proof.receipts_checked, "failures": proof.failures},
        "roundtrip": {"documents": back.documents, "byte_equal": back.byte_equal},
    }
    if cast is not None:
        teller.say(f"A unified view of {counted(cast.size, 'record')}: {_spread(timings.unified_read)}.")
        teller.say(f"From a grant to the first read under it: {_spread(timings.grant_to_read)}.")
        teller.say(f"From a revocation to a refusal by every keeper: {_spread(timings.revoke_to_refusal)}.")
    per_consent = figures["ledger_bytes_per_consent"]
    teller.say(f"The ledger grew by {per_record:.1f} bytes a record and {per_consent} bytes a change of consent.")
    teller.say(f"{counted(proof.receipts_checked, 'receipt')} checked offline, {proof.failures} failed.")
    teller.say(f"{back.byte_equal:,} of {back.documents:,} documents came back from the keepers, byte for byte.")
    teller.hold(proof.failures == 0, "every receipt verifies")
    teller.hold(back.byte_equal == back.documents, "every document comes back byte for byte")
    return figures


async def _rounds(home: Home, cast: Cast, timings: Timings, rounds: int) -> None:
    """Grant, read, revoke, again and again: a percentile of one says nothing."""
    for _ in range(rounds):
        await consenting.granted(home, cast, timings)
        member, reader = await home.reader(cast.clinician)
        wallet = cast.patient.wallet
        started = perf_counter()
        await member.reading(reader, Wanted(wallet.subject, wallet.committee, TREATMENT)).read()
        timings.unified_read.append((perf_counter() - started) * 1_000)
        await consenting.revoked(home, cast, timings)


def _spread(samples_ms: list[float]) -> str:
    found = measuring.percentiles(samples_ms)
    return f"{found['p50']:.0f} ms (95 % below {found['p95']:.0f} ms)"
