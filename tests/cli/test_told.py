"""Every error leaves the program in one way: a sentence, what to do, an exit code by its family."""

import importlib
import pkgutil

import pytest

import salus
from salus.cli.errors import CustodialError, WordError
from salus.cli.told import BY_FAMILY, EXITS, REASONS, TO_DO, by_code, every_error, family_of, reason, tell
from salus.core.errors import IntegrityError, RefusalError, SalusError
from salus.core.transport import PeerRefusalError
from salus.fhir import errors
from salus.sdk.errors import LedgerRefusedError


def _loaded() -> list[type[SalusError]]:
    for module in pkgutil.walk_packages(salus.__path__, "salus."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return [kind for kind in dict.fromkeys(every_error()) if kind.__module__.startswith("salus.")]


def test_every_error_has_a_family_an_exit_code_and_a_sentence() -> None:
    for kind in _loaded():
        assert any(issubclass(kind, family) for family in EXITS), kind
        family, exit_code = family_of(kind)
        assert family in BY_FAMILY
        assert 3 <= exit_code <= 6
        assert (kind.__doc__ or "").strip(), kind


def test_the_four_families_have_four_exit_codes_of_their_own() -> None:
    assert {family.__name__: code for family, (_, code) in EXITS.items()} == {
        "RefusalError": 3,
        "MalformedError": 4,
        "UnavailableError": 5,
        "IntegrityError": 6,
    }


def test_every_piece_of_advice_belongs_to_an_error_that_exists() -> None:
    codes = {kind.code for kind in _loaded()}
    assert not set(TO_DO) - codes


def test_every_error_of_the_commands_themselves_says_what_to_do() -> None:
    own = {kind.code for kind in _loaded() if kind.__module__ == "salus.cli.errors"}
    assert not own - set(TO_DO)


def test_everything_an_import_notes_is_told_in_a_sentence() -> None:
    noted = {value for value in vars(errors).values() if isinstance(value, str) and value.startswith("fhir.")}
    assert noted == set(REASONS)
    _loaded()
    assert reason("fhir.not_json").endswith(".")
    assert reason("fhir.no_patient") == REASONS["fhir.no_patient"]
    assert reason("nobody.knows") == "nobody.knows"


def test_no_two_errors_share_a_code() -> None:
    by_codes: dict[str, set[type[SalusError]]] = {}
    for kind in _loaded():
        if "code" in vars(kind):
            by_codes.setdefault(kind.code, set()).add(kind)
    assert not {code: kinds for code, kinds in by_codes.items() if len(kinds) > 1}


def test_what_a_peer_said_counts_more_than_that_it_refused() -> None:
    _loaded()
    told = tell(PeerRefusalError("keeper.widening_waits", peer="mercy"))
    assert told.code == "keeper.widening_waits"
    assert told.exit_code == 3
    assert "peer" not in told.facts
    assert "--witness" in told.to_do


def test_what_the_ledger_said_counts_more_than_that_it_refused() -> None:
    _loaded()
    assert tell(LedgerRefusedError("cells.frozen")).code == "cells.frozen"


def test_a_code_that_nobody_knows_is_told_as_it_came() -> None:
    told = tell(LedgerRefusedError("tomorrow.new"))
    assert told.code == "sdk.ledger_refused"
    assert told.facts["said"] == "tomorrow.new"


def test_an_error_without_a_family_is_an_alarm() -> None:
    assert family_of(SalusError) == ("integrity", 6)


@pytest.mark.parametrize(
    ("error", "code"),
    [(CustodialError(number=1), 3), (WordError(what="date", given="x"), 4), (IntegrityError(), 6), (RefusalError(), 3)],
)
def test_the_exit_code_follows_the_family(error: SalusError, code: int) -> None:
    assert tell(error).exit_code == code


def test_an_error_is_shown_to_programs_as_data() -> None:
    shown = tell(CustodialError(number=7)).as_json["error"]
    assert isinstance(shown, dict)
    assert (shown["code"], shown["family"], shown["facts"]) == ("cli.custodial", "refused", {"number": "7"})


def test_a_code_is_found_by_its_name() -> None:
    assert by_code("cli.custodial") is CustodialError
    assert by_code("cli.nothing_of_the_kind") is None
