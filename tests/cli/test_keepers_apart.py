"""A committee changes between members that run apart: authors deal again by themselves, and what they wrote is read."""

import json
import time
from pathlib import Path

import pytest

import salus
from salus.cli.main import main
from tests.support.apart import apart, needs_cometbft

pytestmark = needs_cometbft

SAMPLE = Path(salus.__file__).parent / "cli" / "sample"
DEALT_AGAIN_S = 120.0


def test_authors_deal_again_to_other_keepers_by_themselves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "network"

    def said(*words: str) -> dict[str, object]:
        code = main([*words, "--home", str(folder), "--json"])
        out = capsys.readouterr().out
        assert code == 0, out
        return dict(json.loads(out.strip().splitlines()[-1]))

    def committee() -> dict[str, object]:
        found = said("members")["committees"]
        assert isinstance(found, list)
        return dict(found[0])

    def shown() -> list[str]:
        """Whose documents St Luke's sees of the patient's, one by one; nothing is missing and nobody is named."""
        read = said("read", "--as", "clinician@st-luke", "--patient", "1")
        assert (read["gaps"], read["accusations"]) == ([], [])
        documents = read["documents"]
        assert isinstance(documents, list)
        return sorted(str(one["author"]) + str(one["id"]) for one in documents)

    said("new", "--engine", "cometbft")
    with apart(folder):
        said("import", str(SAMPLE))
        evidence = tmp_path / "identity.txt"
        evidence.write_text("seen at the desk")
        said("patient", "claim", "--as", "patient:1", "--evidence", str(evidence), "--witness", "mercy")
        said("consent", "grant", "--as", "patient:1", "--to", "st-luke", "--for", "TREAT")
        before = shown()
        assert len({one[:5] for one in before}) == 4, "Of four hospitals."
        id = str(committee()["id"])
        seats = [word for name in ("northgate", "mercy", "st-luke", "lakeside") for word in ("--seat", name)]
        proposal = str(said("propose", "seats", id, *seats, "--as", "mercy")["id"])
        for member in ("st-luke", "lakeside"):
            said("vote", proposal, "--as", member)
        until = time.monotonic() + DEALT_AGAIN_S
        while (now := committee())["behind"] and time.monotonic() < until:
            time.sleep(0.5)
        assert now == {"id": id, "epoch": 2, "behind": {}}
        assert shown() == before

        # One of them leaves, seat and all: what it wrote is its successor's to deal, which the patient can see.
        leaving = str(said("leave", "--successor", "lakeside", "--fewer-seats", "--as", "northgate")["id"])
        for member in ("mercy", "st-luke"):
            said("vote", leaving, "--as", member)
        assert committee()["epoch"] == 3
        until = time.monotonic() + DEALT_AGAIN_S
        while (now := committee())["behind"] and time.monotonic() < until:
            time.sleep(0.5)
        assert now == {"id": id, "epoch": 3, "behind": {}}
        assert shown() == before
        uses = said("log", "--as", "patient:1")["uses"]
        assert isinstance(uses, list)
        repairs = [use for use in uses if use["kind"] == "repair"]
        assert {(use["member"], use["purpose"], use["person"]) for use in repairs} == {
            ("lakeside", "REPAIR", "successor of an author")
        }
        dealt = {record for use in repairs for record in use["released"]}
        assert dealt
        assert all(record.startswith("northgate/") for record in dealt)
