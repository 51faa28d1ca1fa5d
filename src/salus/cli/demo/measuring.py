"""The demo's figures: latencies by the wall clock, bytes from the ledger, and the two checks over everything.

Every record is read back through the keepers, by a clinician of the hospital that wrote it: its own shortcut to its
own keys is not taken, all seats are asked, and `t` of them must answer truly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import ceil

from salus.cli.actions.reads import TREATMENT
from salus.cli.demo.kept import Kept
from salus.cli.home import Home
from salus.cli.identity import StaffName
from salus.cli.people import Patient, reader_of
from salus.contracts.cells.messages import Advance
from salus.contracts.consent import is_writer
from salus.contracts.records.header import RecordId
from salus.contracts.records.messages import Anchor
from salus.core.errors import SalusError
from salus.core.ids import Digest
from salus.core.wire import decode, encode
from salus.engines.receipts import Receipt, ReceiptChecker
from salus.engines.replica import Replica
from salus.keeper.answers import READS_PER_DAY
from salus.machine.admission import read
from salus.machine.block import ACCEPTED
from salus.node.folder import read_genesis
from salus.sdk.reader import Reader, Wanted, open_read
from salus.state.key_value import Prefixed
from salus.state.state import PAGES_PREFIX, VALUES_PREFIX

_READS_EACH = READS_PER_DAY // 2  # One person's share of the reading back, well within a keeper's daily quota.


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """What came back."""

    documents: int
    byte_equal: int


@dataclass(frozen=True, slots=True)
class Verified:
    """What receipts said offline."""

    receipts_checked: int
    failures: int


def percentiles(samples_ms: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile (nearest rank), in milliseconds."""
    if not samples_ms:
        return {"p50": 0.0, "p95": 0.0}
    ordered = sorted(samples_ms)
    return {f"p{part}": round(ordered[ceil(len(ordered) * part / 100) - 1], 1) for part in (50, 95)}


async def read_back(home: Home, kept: Kept) -> RoundTrip:
    """Ask the keepers for every record of every patient, and compare it with what was submitted."""
    left = dict(kept.digests)
    equal, reads = 0, 0
    for patient in home.people.patients():
        for member in home.network.members:
            if not kept.patients.get(patient.name) or not kept.patients[patient.name].by_author[member.name]:
                continue
            staff = StaffName(f"clinician-{1 + reads // _READS_EACH}", member.name)
            reads += 1
            for record, data in await _asked(home, patient, staff):
                equal += left.pop(record, None) == data
    return RoundTrip(len(kept.digests), equal)


async def _asked(home: Home, patient: Patient, staff: StaffName) -> list[tuple[RecordId, Digest]]:
    member = home.member(staff.member)
    if not _writes_about(home, patient, staff):
        return []
    person = reader_of(await home.people.staff(staff))
    wanted = Wanted(patient.wallet.subject, patient.wallet.committee, TREATMENT)
    opened = await open_read(member.gateway, Reader(person.key, person.credential_id, person.claims), wanted)
    view = await opened.ask()
    return [
        (one.header.record, sha256(one.data).digest())
        for one in view.records
        if one.header.record.author == staff.member
    ]


def _writes_about(home: Home, patient: Patient, staff: StaffName) -> bool:
    """Whether a person's hospital writes about a patient."""
    copy = home.member(staff.member).store.copy(patient.wallet.subject)
    return copy is not None and is_writer(copy[0], staff.member, home.member(staff.member).clock())


def verify_all(home: Home) -> Verified:
    """Check the receipt of every transaction, knowing the genesis file alone."""
    checker = ReceiptChecker(read_genesis(home.folder))
    replica = home.simulated.ledger
    checked = failures = 0
    for stored in replica.blocks():
        for result in stored.results:
            data = encode(replica.receipt(result.tx_id))
            checked += 1
            try:
                checker.check(decode(Receipt, data))
            except SalusError:
                failures += 1
    return Verified(checked, failures)


def bytes_for_records(replica: Replica) -> int:
    """Transactions that anchored batches, and what these take in the state with their part of the tree."""
    anchors = sum(len(tx) for tx, tags in _accepted(replica) if Anchor in tags)
    store = replica.values_and_tree
    values = [(key, len(key) + len(value)) for key, value in Prefixed(store, VALUES_PREFIX).scan(b"")]
    tree = sum(len(key) + len(page) for key, page in Prefixed(store, PAGES_PREFIX).scan(b""))
    batches = [size for key, size in values if key.startswith(b"records/")]
    return anchors + sum(batches) + tree * len(batches) // max(1, len(values))


def bytes_per_consent(replica: Replica) -> float:
    """The transaction of one change, on average: the state does not grow, since a cell is overwritten in place."""
    sizes = [len(tx) for tx, tags in _accepted(replica) if Advance in tags]
    return round(sum(sizes) / len(sizes), 1) if sizes else 0.0


def _accepted(replica: Replica) -> list[tuple[bytes, set[type]]]:
    found: list[tuple[bytes, set[type]]] = []
    for stored in replica.blocks():
        for tx, result in zip(stored.block.txs, stored.results, strict=True):
            if result.code == ACCEPTED:
                found.append((tx, {type(message) for message in read(tx).body.messages}))
    return found
