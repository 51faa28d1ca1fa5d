"""Nothing of a patient is on the ledger, in a log or in a message; and the search finds it where it is."""

import pytest

from salus.cli.drill import secrecy
from salus.cli.drill.pooling import everything_of
from salus.cli.drill.searching import ledger_rows, shared_labels, windows, words_found
from salus.cli.drill.world import DOCUMENTS_A, new_world
from tests.drill.families import check_table, names_in, outcome_without, outcomes_of
from tests.drill.guards_keepers import GUARDS

NAMES = names_in((secrecy,))
SIXTEEN = bytes(range(16))


def test_every_search_has_its_guard_in_the_table() -> None:
    check_table(NAMES, GUARDS)


def test_every_field_and_word_that_the_ledger_carries_has_a_reason() -> None:
    assert all(len(reason) > 10 for reason in [*secrecy.CARRIED.values(), *secrecy.PUBLIC_WORDS.values()])


def test_a_value_is_found_inside_a_longer_one_and_zeros_are_nobodys() -> None:
    assert shared_labels([b"x" + SIXTEEN + b"y"], [("held", b"ab" + SIXTEEN), ("other", SIXTEEN[::-1])]) == {"held"}
    assert list(windows(bytes(64))) == []


def test_a_word_is_found_and_a_short_one_only_as_a_whole_string() -> None:
    assert words_found([b"..Ashdown..", b"\xa5Maria"], ["Ashdown", "Maria", "Nora"]) == {"Ashdown", "Maria"}
    assert words_found([b"...Maria..."], ["Maria"]) == set()


async def test_every_row_of_every_database_is_opened_for_the_search() -> None:
    async with new_world() as world:
        await secrecy._lived(world, await world.new_patient(DOCUMENTS_A))
        labels = {label for member in world.network.members for label, _ in everything_of(member)}
    secret = {
        "Header.subject",
        "Header.terms",
        "Header.blobs",
        "Entry.salt",
        "Entry.share",
        "OwnEntry.key",
        "Link.term_key",
    }
    assert secret | {"LogEntry.reason", "PolicySet.salt", "PolicySet.memo", "Device.key", "subjects.key"} <= labels


async def test_what_the_ledger_carries_by_design_is_no_longer_than_what_is_found() -> None:
    async with new_world() as world:
        await secrecy._lived(world, await world.new_patient(DOCUMENTS_A))
        rows = ledger_rows(world)
        found = {label for member in world.network.members for label in shared_labels(rows, everything_of(member))}
    assert secrecy.CARRIED.keys() - found <= {"Reader.credential"}, "a reason for what is not there"


async def test_no_search_finds_anything() -> None:
    outcomes = await outcomes_of(NAMES)
    assert {name: outcome.result for name, outcome in outcomes.items()} == dict.fromkeys(NAMES, "refused")


@pytest.mark.parametrize("name", NAMES)
async def test_a_search_finds_what_is_there_without_the_guard(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = await outcome_without(name, GUARDS, monkeypatch)
    assert outcome.result == "SUCCEEDED", outcome.evidence
