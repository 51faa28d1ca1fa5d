"""Every command on a real network, for people and for programs."""

import json
import re
from pathlib import Path

import pytest

from salus.cli.main import main
from tests.cli.conftest import Shell

READ = ("read", "--as", "patient:1")


def test_an_error_is_one_json_document_too(shell: Shell) -> None:
    code, out, err = shell.run("log", "--as", "patient:2", "--json")
    assert code == 3
    assert json.loads(out)["error"]["code"] == "cli.custodial"
    assert err == ""


def test_an_error_never_shows_a_traceback(shell: Shell) -> None:
    code, out, err = shell.run("log", "--as", "patient:2")
    assert (code, out) == (3, "")
    assert err.startswith("salus: ")
    assert "Traceback" not in err


def test_a_damaged_folder_is_an_integrity_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    home = ["--home", str(tmp_path / "n")]
    assert main(["new", *home]) == 0
    (tmp_path / "n" / "members" / "mercy" / "keys" / "keeper").write_bytes(b"short")
    assert main(["patient", "list", *home]) == 6
    assert "[node.key_file]" in capfd.readouterr().err


def test_a_bad_file_is_reported_and_the_rest_taken_in(shell: Shell) -> None:
    bundles = shell.folder / "bundles"
    bundles.mkdir()
    (bundles / "bad.json").write_text("{")
    patient = {"resourceType": "Patient", "id": "p9", "birthDate": "1990-01-01"}
    (bundles / "good.json").write_text(json.dumps(patient))
    code, out, _ = shell.run("import", str(bundles), "--json")
    report = json.loads(out.splitlines()[-1])
    assert code == 1
    assert report["records_sealed"] == 1
    assert [(one["file"], one["reason"]) for one in report["troubles"] if one["reason"] == "fhir.not_json"] == [
        ("bad.json", "fhir.not_json")
    ]


def test_what_was_not_taken_in_and_what_is_in_doubt_is_told_in_sentences(shell: Shell) -> None:
    bundles = shell.folder / "doubtful"
    bundles.mkdir()
    (bundles / "bad.json").write_text("{")
    seen = {"resourceType": "Observation", "id": "o8", "status": "final", "code": {"text": "x"}}
    seen |= {"subject": {"reference": "Patient/p8"}, "encounter": {"reference": "Encounter/nowhere"}}
    entries = [{"resource": {"resourceType": "Patient", "id": "p8"}}, {"resource": seen}]
    (bundles / "doubtful.json").write_text(
        json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries})
    )
    code, _, err = shell.run("import", str(bundles))
    assert code == 1
    assert "not taken in: bad.json, file: " in err
    assert " [fhir.not_json]" in err
    assert "A reference leads to nothing that is here; it stays as it is. [fhir.dangling_reference]" in err


def test_a_read_is_shown_as_data(shell: Shell) -> None:
    record = shell.json(*READ, "--type", "DocumentReference")
    documents = record["documents"]
    assert isinstance(documents, list)
    assert {one["type"] for one in documents} == {"DocumentReference"}
    assert record["gaps"] == record["accusations"] == record["absent"] == []
    assert documents == sorted(documents, key=lambda one: one["date"], reverse=True)


def test_a_document_comes_byte_for_byte(shell: Shell) -> None:
    from salus.cli import sample

    source = f"DocumentReference/{sample.DISCHARGE_LETTER}"
    code, out, _ = shell.run(*READ, "--document", source)
    assert code == 0
    assert out in (sample.FOLDER / "adult.json").read_text()
    (one,) = [one for one in shell.json(*READ)["documents"] if one["source"] == source]  # type: ignore[attr-defined]
    for given in (one["id"], one["id"][: len("mercy/") + 9]):
        code, again, err = shell.run(*READ, "--type", "DocumentReference", "--document", given)
        assert code == 0 or "cli.ambiguous_document" in err
        assert code == 3 or again == out


@pytest.mark.parametrize(
    ("document", "code"), [("DocumentReference/none", "cli.unknown_document"), ("mercy/", "cli.unknown_document")]
)
def test_a_document_that_is_not_there_is_refused(shell: Shell, document: str, code: str) -> None:
    exit_code, _, err = shell.run(*READ, "--document", document)
    assert exit_code == 3
    assert f"[{code}]" in err


def test_a_bundle_holds_every_document_byte_for_byte(shell: Shell) -> None:
    from salus.cli import sample

    code, out, _ = shell.run(*READ, "--bundle")
    bundle = json.loads(out)
    assert code == 0
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "collection")
    given = (sample.FOLDER / "adult.json").read_text()
    resources = re.findall(r'"resource":(\{.*?)\}(?:,\n\{"fullUrl":"urn:salus:|\n\]\}\n)', out, re.DOTALL)
    assert len(resources) == len(bundle["entry"]) > 150
    assert all(resource in given for resource in resources)


def test_a_piped_table_is_plain(shell: Shell) -> None:
    code, out, _ = shell.run(*READ)
    assert code == 0
    assert "\x1b" not in out
    assert not re.search(r"[─│┃━]", out)


def test_consents_change_and_are_explained(shell: Shell) -> None:
    acting = ("--as", "patient:1")
    granted = shell.json("consent", "grant", *acting, "--to", "northgate", "--for", "TREAT", "--except", "HIV")
    assert granted["patient"] == 1
    denied = shell.json("consent", "deny", *acting, "--only", "genetics")
    assert denied["height"] > granted["height"]  # type: ignore[operator]
    shown = shell.json("consent", "show", *acting)
    assert [one["effect"] for one in shown["rules"]] == ["permit", "deny"]  # type: ignore[attr-defined]
    why = shell.json("consent", "why", *acting, "--reader", "clinician@northgate")
    codes = {reason["code"] for group in why["groups"] for reason in group["reasons"]}  # type: ignore[attr-defined]
    assert {"patient_permits", "patient_denies"} <= codes
    one = shell.json(*READ, "--type", "Immunization")["documents"][0]  # type: ignore[index]
    single = shell.json("consent", "why", *acting, "--reader", "clinician@northgate", "--document", one["id"])
    assert [group["records"] for group in single["groups"]] == [1]  # type: ignore[attr-defined]
    revoked = shell.json("consent", "revoke", *acting, "--rule", "2", "--rule", "1")
    assert len(revoked["rules"]) == 2  # type: ignore[arg-type]
    assert shell.json("consent", "show", *acting)["rules"] == []


def test_a_custodian_explains_its_own_records_alone(shell: Shell) -> None:
    why = shell.json("consent", "why", "--as", "patient:2", "--reader", "clinician@mercy")
    assert why["is_whole"] is False
    assert {group["author"] for group in why["groups"]} == {"lakeside"}  # type: ignore[attr-defined]


def test_a_record_is_frozen_and_thawed(shell: Shell) -> None:
    assert shell.json("consent", "freeze", "--as", "patient:1")["status"] == "frozen"
    assert shell.json("consent", "show", "--as", "patient:1")["status"] == "frozen"
    assert shell.json("consent", "thaw", "--as", "patient:1")["status"] == "live"


def test_the_log_gathers_the_entries_of_one_request(shell: Shell) -> None:
    words = ("break-glass", "--as", "emergency@mercy", "--patient", "1", "--reason", "no pulse")
    opened = shell.json(*words)["documents"]
    log = shell.json("log", "--as", "patient:1")
    (use,) = [one for one in log["uses"] if one["reason"] == "no pulse"]  # type: ignore[attr-defined]
    assert (use["person"], use["purpose"], use["times"]) == ("emergency@mercy", "BTG", 1)
    assert use["released"] == sorted(one["id"] for one in opened)  # type: ignore[attr-defined]
    assert use["logged_by"] == ["lakeside", "mercy", "northgate", "st-luke"]
    assert log["faults"] == []


def test_a_fourth_broken_glass_needs_a_second_person(shell: Shell) -> None:
    words = ("break-glass", "--as", "emergency@st-luke", "--patient", "1", "--reason", "no pulse")
    for _ in range(3):
        shell.json(*words)
    code, _, err = shell.run(*words)
    assert code == 3
    assert "[keeper.quota]" in err
    assert "--second" in err
    assert shell.json(*words, "--second", "emergency-2@st-luke")["documents"]


def test_new_patients_are_listed_with_who_keeps_their_keys(shell: Shell) -> None:
    new = shell.json("patient", "new", "--writer", "mercy", "--writer", "st-luke", "--name", "Noor")
    kept = shell.json("patient", "new", "--writer", "mercy", "--custodian", "mercy")
    listed = {one["patient"]: one for one in shell.json("patient", "list")["patients"]}  # type: ignore[attr-defined]
    assert listed[new["patient"]] == new
    assert (listed[new["patient"]]["custodian"], listed[kept["patient"]]["custodian"]) == (None, "mercy")
    linked = shell.json("patient", "link", "--as", f"patient:{new['patient']}", "--to", "lakeside")
    taken = shell.json("patient", "link", "--as", "clerk@lakeside", "--code", str(linked["code"]))
    assert taken == {"member": "lakeside", "patient": new["patient"]}


def test_a_custodian_without_another_writer_finds_no_witness(shell: Shell) -> None:
    kept = shell.json("patient", "new", "--writer", "mercy", "--custodian", "mercy")
    words = ("--evidence", "identity.txt", "--witness", "st-luke")
    code, _, err = shell.run("patient", "claim", "--as", f"patient:{kept['patient']}", *words)
    assert code == 3
    assert "may: nobody" in err


def test_a_misfiled_document_is_moved(shell: Shell) -> None:
    from salus.cli import sample

    document = f"DocumentReference/{sample.MISFILED_RADIOGRAPH}"
    words = ("--document", document, "--from", "patient:1", "--to", "patient:2")
    moved = shell.json("misfiled", "--as", "clerk@mercy", *words)
    assert moved["tx_id"]
    again = shell.json("misfiled", "--as", "clerk@mercy", *words)
    assert (again["withdrawn"], again["sealed"], again["tx_id"]) == (moved["withdrawn"], moved["sealed"], None)


def test_the_ledger_is_shown_and_holds_no_persons_data(shell: Shell) -> None:
    shown = shell.json("ledger", "show", "--count", "3")
    blocks = shown["blocks"]
    assert isinstance(blocks, list)
    assert len(blocks) == 3
    one = blocks[0]
    assert shell.json("ledger", "show", "--block", str(one["height"]))["blocks"] == [one]
    tx_id = one["transactions"][0]["tx_id"]
    assert shell.json("ledger", "show", "--tx", tx_id[:12])["blocks"] == [one]
    assert set(one["transactions"][0]) == {"tx_id", "sponsor", "messages", "result", "size_bytes"}


def test_every_members_ledger_is_worked_out_again(shell: Shell) -> None:
    checked = shell.json("ledger", "check", "--member", "mercy", "--member", "northgate")
    assert checked["is_sound"] is True
    assert [one["member"] for one in checked["members"]] == ["mercy", "northgate"]  # type: ignore[attr-defined]


def test_a_receipt_is_checked_without_the_network(shell: Shell, tmp_path: Path) -> None:
    tx_id = shell.json("ledger", "show", "--count", "1")["blocks"][0]["transactions"][0]["tx_id"]  # type: ignore[index]
    written = shell.json("receipt", tx_id, "-o", str(tmp_path / "one.receipt"))
    assert written["tx_id"] == tx_id
    genesis = tmp_path / "genesis"
    genesis.write_bytes((shell.folder / "network" / "genesis").read_bytes())
    code, out, _ = _verify(shell, tmp_path / "one.receipt", genesis)
    assert code == 0
    assert json.loads(out)["holds"] is True
    data = bytearray((tmp_path / "one.receipt").read_bytes())
    for place in range(0, len(data), 97):
        changed = bytes(data[:place]) + bytes([data[place] ^ 1]) + bytes(data[place + 1 :])
        (tmp_path / "bad.receipt").write_bytes(changed)
        assert _verify(shell, tmp_path / "bad.receipt", genesis)[0] in (3, 4)


def test_a_receipt_of_another_network_does_not_hold(shell: Shell, tmp_path: Path) -> None:
    tx_id = shell.json("ledger", "show", "--count", "1")["blocks"][0]["transactions"][0]["tx_id"]  # type: ignore[index]
    shell.json("receipt", tx_id, "-o", str(tmp_path / "one.receipt"))
    assert main(["new", "--home", str(tmp_path / "other")]) == 0
    shell.capture()
    code, out, _ = _verify(shell, tmp_path / "one.receipt", tmp_path / "other")
    assert code == 3
    assert json.loads(out)["error"]["code"] == "engine.receipt"
    assert _verify(shell, tmp_path / "one.receipt", tmp_path / "one.receipt")[0] == 4


def _verify(shell: Shell, receipt: Path, genesis: Path) -> tuple[int, str, str]:
    code = main(["verify", str(receipt), "--genesis", str(genesis), "--json"])
    out, err = shell.capture()
    return code, out.decode(), err.decode()
