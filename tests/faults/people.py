"""Patients of a network under test: their charts come in small bundles, their wallets are their own."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from tests.cli_demo.bundles import chart
from tests.faults.client import Client

AGAIN_MAX = 60
AGAIN_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class Person:
    """A patient, and what their next documents are called."""

    folder: Path
    client: Client
    number: int

    @property
    def name(self) -> str:
        """As commands take it."""
        return f"patient:{self.number}"

    def bundle(self, label: str, at: tuple[str, ...], documents: int = 1) -> tuple[Path, list[str]]:
        """A file with new observations at these hospitals, and the sources that they will have."""
        chart_of = f"p{self.number}"
        visits = {place: [f"{label}-{place}-{index}" for index in range(documents)] for place in at}
        path = self.folder / "bundles" / f"{chart_of}-{label}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(chart(chart_of, *visits.items()).replace(b"visit-", f"visit-{label}-".encode()))
        sources = [f"Observation/{name}" for names in visits.values() for name in names]
        return path, sources

    async def seen(self, as_: str, via: str | None = None) -> set[str]:
        """The observations that somebody is shown, none of them twice, and nothing left out."""
        return observations(await self.record(as_, via))

    async def record(self, as_: str, via: str | None = None) -> dict[str, object]:
        """The record as somebody is shown it; asked again where it was stale, or had gaps."""
        for _ in range(AGAIN_MAX):
            record: dict[str, object] = await self.client.done("read", *reading(self, as_, via))
            if not record["is_stale"] and not record["gaps"]:
                return record
            await asyncio.sleep(AGAIN_PAUSE_S)
        raise AssertionError(f"not whole in time: {record}")


def reading(person: Person, as_: str, via: str | None = None) -> tuple[str, ...]:
    """The words of a read."""
    return ("--as", as_, "--patient", str(person.number), *(("--via", via) if via else ()))


def observations(record: dict[str, object]) -> set[str]:
    """The observations in a record; each once."""
    documents: list[dict[str, str]] = record["documents"]  # type: ignore[assignment]
    found = [document["source"] for document in documents if document["type"] == "Observation"]
    assert len(found) == len(set(found)), f"Shown twice: {found}"
    return set(found)


async def admitted(folder: Path, client: Client, number: int, at: tuple[str, ...]) -> tuple[Person, set[str]]:
    """A patient with one document at each of these hospitals, who keeps their own keys."""
    person = Person(folder, client, number)
    path, sources = person.bundle("first", at)
    await client.imported(path)  # On a busy machine a member may see the block that opens the cell too late.
    evidence = folder / "identity.txt"
    evidence.write_text("seen at the desk\n")
    listed = (await client.done("patient", "list"))["patients"]
    writers = next(patient["writers"] for patient in listed if patient["patient"] == number)
    custodian = next(patient["custodian"] for patient in listed if patient["patient"] == number)
    witness = next(writer for writer in writers if writer != custodian)
    await client.done("patient", "claim", "--as", person.name, "--evidence", str(evidence), "--witness", witness)
    return person, set(sources)
