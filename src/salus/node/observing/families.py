"""Every figure that a process of a member shows: its name, what it means, and by what it is divided.

`docs/runbook.md`, the dashboard and the alert rules name figures from this table; a test compares them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

GAUGE, COUNTER, HISTOGRAM = "gauge", "counter", "histogram"


@dataclass(frozen=True, slots=True)
class Family:
    """One figure."""

    kind: str
    says: str
    labels: tuple[str, ...] = ("member", "part")


def _gauge(says: str, *labels: str) -> Family:
    return Family(GAUGE, says, ("member", "part", *labels))


def _counter(says: str, *labels: str) -> Family:
    return Family(COUNTER, says, ("member", "part", *labels))


FAMILIES: Mapping[str, Family] = {
    # The process.
    "salus_build_info": Family(GAUGE, "Always 1; the version is a label.", ("part", "version")),
    "salus_ready": _gauge("Whether a check of readiness holds.", "check"),
    "salus_errors_total": Family(
        COUNTER, "Errors told in the log, or withheld from it for repeating.", ("part", "family", "code")
    ),
    "salus_log_fields_dropped_total": Family(COUNTER, "Fields that the log may not have, left out.", ("part",)),
    "salus_scrape_faults_total": Family(COUNTER, "Figures that could not be worked out.", ("part",)),
    # The ledger as this process sees it.
    "salus_height": _gauge("Height of the newest final block seen here."),
    "salus_view_age_seconds": _gauge("This machine's clock minus the time of the newest final header seen here."),
    "salus_members": _gauge("Members of the network, by the ledger."),
    # Ordering.
    "salus_engine_answers": _gauge("Whether the ordering engine answers."),
    "salus_engine_catching_up": _gauge("Whether the ordering engine is still fetching blocks."),
    "salus_engine_peers": _gauge("Engines of other members that this one is connected to."),
    "salus_queue_transactions": _gauge("Transactions in the engine's pool that wait for a block."),
    "salus_queue_waiting": _gauge("Submissions of this process that wait for an answer."),
    "salus_finality_seconds": Family(HISTOGRAM, "From submission to final, of accepted transactions."),
    "salus_submissions_total": _counter("Submitted transactions, by `ok` or the code of a refusal or error.", "code"),
    # What others ask.
    "salus_requests_total": _counter(
        "Requests at the door, by type, and `ok` or the code of an error.", "request", "code"
    ),
    "salus_request_seconds": Family(HISTOGRAM, "How long the door took to answer."),
    "salus_refusals_total": _counter("Requests that were answered with an error, by its code.", "code"),
    "salus_refusals_last_minute": _gauge("Requests that were answered with an error in the last minute."),
    "salus_wire_answers_total": _counter("What became of requests before, or at, the door.", "code"),
    "salus_wire_attempts_total": _counter("Attempts to call others that failed, by how.", "code"),
    "salus_peer_away": _gauge("Whether a part of a peer is left alone because it failed several times.", "peer"),
    # Keepers and gateways.
    "salus_open_requests": _gauge("Open requests to read for which something may be fetched here."),
    "salus_log_entries": _gauge("Number of the newest entry of the access log."),
    "salus_log_root_age_seconds": _gauge(
        "How long the oldest entry has waited for a root on the ledger; 0 if none waits."
    ),
    "salus_log_root_overdue": _gauge("Whether an entry has waited so long that only break-glass is answered."),
    "salus_outbox_batches": _gauge("Batches on their way, by how far they are: planned, final.", "stage"),
    "salus_outbox_age_seconds": _gauge("Age of the oldest final batch that some seat still lacks; 0 if none."),
    "salus_store_reconciled": _gauge("Whether the store's holder may serve from it."),
    # The machine beneath.
    "salus_store_bytes": _gauge("Bytes on disk.", "store"),
    "salus_disk_free_bytes": _gauge("Bytes free where the member's folder lies."),
    "salus_disk_bytes": _gauge("Bytes in all where the member's folder lies."),
    # Keys.
    "salus_key_age_seconds": _gauge("Since a key was made.", "key"),
    "salus_certificate_renewal_seconds": _gauge("Until the own certificate is renewed; negative if that is overdue."),
}
