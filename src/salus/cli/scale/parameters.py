"""What everything takes, how much of it there is, and what it costs. `costs` are measured, the rest is assumed.

What was measured stands in `figures.json`, with the machine and the measurements it came from. Whoever knows better
says so: `--set name=value`, for both.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from importlib.resources import files
from math import ceil, log
from typing import Any

from salus.core.errors import MalformedError
from salus.crypto.shares import faulty, quorum

FIGURES_FILE = "figures.json"


class ParameterError(MalformedError):
    """There is no such parameter, or it is no positive number."""

    code = "cli.scale_parameter"


@dataclass(frozen=True, slots=True)
class Costs:
    """Processor time in microseconds on one core, and bytes. Measured."""

    seal_us: float  # A record at its author.
    deposit_us: float  # A record at one keeper.
    answer_us: float  # A record that one keeper releases.
    view_us: float  # A foreign record that a reader checks and opens, with the answers of all seats.
    message_us: float  # A message over mutual TLS, at each of its ends.
    machine_us: float  # A transaction in a member's machine: CheckTx, FinalizeBlock, Commit.
    engine_us: float  # A transaction in a member's ordering engine.
    block_machine_us: float  # A block in a member's machine, besides its transactions.
    block_engine_us: float  # A block in a member's ordering engine, besides its transactions and votes.
    vote_us: float  # A validator's vote in a member's ordering engine: a signature, passed on to peers.
    anchor_bytes: float  # A transaction with the receipts of four seats, in a block.
    small_tx_bytes: float  # A read request, a log root, a consent's new commitment.
    state_bytes: float  # What a transaction leaves in the ledger's store: block, index, state and tree.
    blob_bytes: float  # A record's ciphertext, padded.
    holding_bytes: float  # A record in one keeper's store.
    index_bytes: float  # A record in its author's own store.


@dataclass(frozen=True, slots=True)
class Assumed:
    """The network and what its people do."""

    hospitals: int = 100
    committee: int = 4  # Seats for each patient; a hospital's patients spread over committees alike.
    validators: int = 0  # 0: all members up to a hundred.
    patients: int = 50_000  # For each hospital.
    encounters: float = 5.0  # For each patient and year: visits, stays, results that come in.
    writes: int = 3  # For each encounter: moments at which documents are sealed.
    documents: int = 6  # For each write.
    view: int = 300  # Records of others that one unified view shows.
    consents: float = 0.5  # Changes for each patient and year.
    hours: float = 2_500.0  # Of a year, in which encounters happen.
    peak: float = 2.0  # The busiest hour over those hours' mean.
    delay_ms: float = 15.0  # One way between two members: a country, or a few.
    gossip_peers: int = 10  # Of a member's ordering engine.
    batch_ms: float = 100.0  # How long a live write waits for others.
    block_ms: float = 50.0  # What a block takes besides messages between validators and the machine's work.
    block_bytes: float = 4_194_304.0
    log_root_s: float = 60.0  # How often a keeper that was used anchors its log.
    cores: int = 4  # Of a member's machine, for keeper and gateway; the ledger has one of its own.
    core_year: float = 300.0  # A core with its memory, rented for a year, in euros.
    terabyte_year: float = 250.0  # Of durable storage.
    years_kept: float = 10.0

    @property
    def ordering(self) -> int:
        """How many validate."""
        return min(self.hospitals, self.validators or 100)

    @property
    def copies(self) -> int:
        """Vaults that keep a record: f+1 seats and its author."""
        return faulty(self.committee) + 2

    @property
    def quorum(self) -> int:
        """Receipts that a batch needs."""
        return quorum(self.committee)

    @property
    def hops(self) -> int:
        """Steps by which gossip reaches every validator."""
        return max(1, ceil(log(max(2, self.ordering)) / log(self.gossip_peers)))

    @property
    def encounters_per_s(self) -> float:
        """At each hospital, in the busiest hour."""
        return self.patients * self.encounters * self.peak / (self.hours * 3600.0)

    @property
    def consents_per_s(self) -> float:
        """At each hospital, in the busiest hour."""
        return self.patients * self.consents * self.peak / (self.hours * 3600.0)


def shipped_costs() -> Costs:
    """Those of the machine that the project was measured on last."""
    return costs_from({name: one["value"] for name, one in _figures()["costs"].items()})


def shipped_sources() -> dict[str, str]:
    """Where each of them comes from: a figure of `salus bench`, mostly."""
    return {name: one["from"] for name, one in _figures()["costs"].items()}


def shipped_machine() -> str:
    """What it was measured on, and when."""
    machine: str = _figures()["machine"]
    return machine


def _figures() -> Any:
    return json.loads(files(__package__).joinpath(FIGURES_FILE).read_text())


def costs_from(given: Mapping[str, float], base: Costs | None = None) -> Costs:
    """Costs by name, over others.

    Raises:
        ParameterError: a name that is none, a figure that is no positive number, or one that is missing.
    """
    try:
        return replace(base, **checked(Costs, given)) if base else Costs(**checked(Costs, given))
    except TypeError:
        raise ParameterError(reason="missing") from None


def assumed_from(given: Mapping[str, float]) -> Assumed:
    """Assumptions, some of them one's own. Raises ParameterError as `costs_from`."""
    return replace(Assumed(), **checked(Assumed, given))


def split(given: Mapping[str, float]) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """What concerns costs, and the rest."""
    named = {field.name for field in fields(Costs)}
    mine = {name: value for name, value in given.items() if name in named}
    return mine, {name: value for name, value in given.items() if name not in named}


def checked(kind: type[Costs] | type[Assumed], given: Mapping[str, float]) -> dict[str, Any]:
    """Values for the fields of a kind, of its types."""
    types = {field.name: field.type for field in fields(kind)}
    found: dict[str, Any] = {}
    for name, value in given.items():
        if name not in types or isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise ParameterError(parameter=name)
        found[name] = int(value) if types[name] is int else float(value)
    return found
