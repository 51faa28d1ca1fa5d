"""A day of traffic at a network that is up, by `salus` commands; and everything that is then said of it anywhere."""

import json
import lzma
import os
import re
import signal
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest
import sqlalchemy as sa

from salus.cli import sample
from salus.cli.drill.secrecy import _strings, sample_documents, sample_words
from salus.cli.main import main
from salus.cli.told import BY_FAMILY, TO_DO
from salus.fhir.document import prepare_file
from salus.fhir.references import directory_of
from salus.node.folder import member_folder, members_here, read_genesis
from salus.node.keys import load_secrets
from salus.node.site import read_site
from salus.node.stores import gateway_store
from salus.sdk.author_store import LINKS

REASON = "found unconscious beside Exampleton station by her sister"
NAME_IN_BAD_FILE = "Wilhelmina Featherstonehaugh"
BORN_IN_BAD_FILE = "1931-04-17"
DATA = Path(os.environ.get("SALUS_TEST_DATA") or Path(__file__).parents[2].parent / "shared" / "data")
BUNDLE = "synthea-r4-2020/Alfredo_Alaniz_538a9a4e-8437-47d3-8c01-1a17dca8f0be.json.xz"
ERRORS = Path(__file__).resolve().parents[2] / "docs" / "reference" / "errors.md"
OF_COMETBFT = b"stopped"  # What its log says at its end.
PAGES = ("/metrics", "/status", "/traces", "/readyz", "/healthz", "/openapi.json")
_WORD = re.compile(rb"[A-Za-z0-9_.:/@+=-]+")


class Day:
    """What was done, and what the people who did it were told when it failed."""

    def __init__(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.told: list[bytes] = []
        self.codes: set[str] = set()
        self._capfd = capfd

    def do(self, *words: str) -> tuple[int, str]:
        """Carry out a command; its exit code and what it printed."""
        self._capfd.readouterr()
        code = main([*words, "--home", str(self.folder)])
        said = self._capfd.readouterr()
        self.told.append(said.err.encode())
        self.codes.update(re.findall(r"\[([a-z_]+\.[a-z_]+)\]", said.err))
        return code, said.out


def short_day(day: Day) -> None:
    """A patient, a record, a read, an emergency, two refusals."""
    day.do("import", str(sample.FOLDER))
    day.do("read", "--as", "clinician@mercy", "--patient", "1")
    day.do("break-glass", "--as", "emergency@lakeside", "--patient", "1", "--reason", REASON)
    day.do("break-glass", "--as", "clinician@lakeside", "--patient", "1", "--reason", REASON)
    day.do("read", "--as", "clinician@lakeside", "--patient", "99")


def long_day(day: Day, place: Path) -> None:
    """Imports good and bad, many readers, every kind of refusal, emergencies, changes of consent, a frozen record."""
    bundles = place / "bundles"
    bundles.mkdir()
    (bundles / "one.json").write_bytes(lzma.decompress((DATA / BUNDLE).read_bytes()))
    bad = place / "bad"
    bad.mkdir()
    patient = {"resourceType": "Patient", "name": [{"text": NAME_IN_BAD_FILE}], "birthDate": BORN_IN_BAD_FILE}
    (bad / "cut.json").write_text(json.dumps({"resourceType": "Bundle", "entry": [{"resource": patient}]})[:-9])
    (bad / "wrong.json").write_text(json.dumps(patient).replace("Patient", NAME_IN_BAD_FILE))
    short_day(day)
    day.do("import", str(bundles))
    assert day.do("import", str(bad))[0] == 1
    day.do("patient", "new", "--writer", "mercy", "--writer", "st-luke")
    own = str(max(patient["patient"] for patient in json.loads(day.do("patient", "list", "--json")[1])["patients"]))
    for who in ("clinician@mercy", "clinician@st-luke", "researcher@northgate", "clerk@mercy", "auditor@lakeside"):
        for number in ("1", "2", own):
            day.do("read", "--as", who, "--patient", number)
    day.do("read", "--as", "clinician@mercy", "--patient", "1", "--reason", REASON, "--history")
    day.do("read", "--as", "patient:1")
    day.do("read", "--as", f"patient:{own}")
    day.do("break-glass", "--as", "emergency@mercy", "--patient", own, "--reason", "  ")
    for _ in range(5):
        day.do("break-glass", "--as", "emergency@northgate", "--patient", own, "--reason", REASON)
    day.do("consent", "deny", "--as", f"patient:{own}", "--to", "st-luke")
    day.do("consent", "freeze", "--as", f"patient:{own}")
    day.do("read", "--as", "clinician@mercy", "--patient", own)
    day.do("consent", "grant", "--as", f"patient:{own}", "--to", "lakeside")
    day.do("consent", "thaw", "--as", f"patient:{own}")
    day.do("consent", "freeze", "--as", "patient:1")
    day.do("log", "--as", f"patient:{own}")
    day.do("read", "--as", "clinician@mercy", "--patient", "1", "--document", "Observation/nothing-of-the-kind")


def kill(folder: Path, name: str) -> None:
    """End one process of a network at once; its supervisor starts it again."""
    os.kill(int((folder / "run" / f"{name}.pid").read_text().split()[0]), signal.SIGKILL)


def ports_of(folder: Path) -> list[int]:
    """The operators' ports of all processes here."""
    names = members_here(folder, read_genesis(folder))
    sites = [read_site(member_folder(folder, name)) for name in names]
    ports = [port for site in sites for port in (site.ledger_operator, site.keeper_operator)]
    return [*ports, sites[0].gateway_operator]


def pages(ports: list[int]) -> dict[str, bytes]:
    """Everything that operators may read, by port and path; processes that are being started again are waited for."""
    found: dict[str, bytes] = {}
    with httpx.Client(trust_env=False, timeout=10.0) as client:
        for port in ports:
            for path in PAGES:
                found[f"{port}{path}"] = _page(client, f"http://127.0.0.1:{port}{path}")
    return found


def _page(client: httpx.Client, url: str) -> bytes:
    give_up = time.monotonic() + 30
    while True:
        try:
            return client.get(url).content
        except httpx.TransportError:
            assert time.monotonic() < give_up, url
            time.sleep(0.2)


def files(folder: Path) -> dict[str, bytes]:
    """Every log there is. What lies under `data` is CometBFT's database: the ledger, whose search is the drill's."""
    found = (path for path in sorted(folder.rglob("*.log")) if "data" not in path.relative_to(folder).parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def command_lines(process_id: int) -> dict[str, bytes]:
    """The command line and environment of a process and of all that came from it."""
    parents = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            status = (place / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(place.name)] = int(status[1])
    found: dict[str, bytes] = {}
    for one in parents:
        line, seen = one, 0
        while line in parents and line != process_id and seen < 32:
            line, seen = parents[line], seen + 1
        if line == process_id:
            for name in ("cmdline", "environ"):
                found[f"{one}/{name}"] = Path(f"/proc/{one}/{name}").read_bytes()
    return found


def needles(folder: Path) -> set[bytes]:
    """All that must not be said, of everybody whose record came in: words, dates, codes, ids, reasons, handles."""
    documents = sample_documents()
    words = sample_words(documents) | {REASON, NAME_IN_BAD_FILE, BORN_IN_BAD_FILE, "Featherstonehaugh", "Exampleton"}
    prepared = prepare_file("one", lzma.decompress((DATA / BUNDLE).read_bytes()), directory_of([]))
    for document in prepared.documents:
        words.update(document.terms)
        words.update(word for word in _strings(msgspec.json.decode(document.raw)) if len(word) >= 5)
    return {word.encode() for word in words} | {form for secret in handles(folder) for form in forms(secret)}


def handles(folder: Path) -> Iterator[bytes]:
    """Every patient's handle, and every batch's id, from the gateways' own stores, once nobody else has them open."""
    for name in members_here(folder, read_genesis(folder)):
        place = member_folder(folder, name)
        store = gateway_store(place, load_secrets(place / "keys"))
        try:
            for row in store.connection.execute(sa.select(LINKS)):
                link = store._link(row)
                assert link is not None
                yield link.subject
            for stage in (1, 2, 3):
                yield from (plan.batch_id for plan in store.plans(stage))  # type: ignore[arg-type]
        finally:
            store.close()


def forms(secret: bytes) -> tuple[bytes, ...]:
    """As bytes, and as a log or a page would write them."""
    return secret, secret.hex().encode(), b64encode(secret).rstrip(b"=")


def found_in(said: dict[str, bytes], hidden: set[bytes], public: set[bytes]) -> set[tuple[str, bytes]]:
    """Which of the needles stand where. A single word must stand alone; numbers are looked for in text alone."""
    found: set[tuple[str, bytes]] = set()
    single = {needle for needle in hidden if _WORD.fullmatch(needle)}
    longer = hidden - single
    for place, data in said.items():
        text = _without_figures(place, data)
        found |= {(place, word) for word in set(_WORD.findall(text)) & single}
        found |= {(place, needle) for needle in longer if needle in text}
    return {(place, needle) for place, needle in found if needle not in public}


def words_of(said: dict[str, bytes]) -> set[bytes]:
    """All single words that tell of nobody: said before anybody is a patient, or by the program of itself."""
    own = [ERRORS.read_bytes(), *(text.encode() for text in (*TO_DO.values(), *BY_FAMILY.values())), OF_COMETBFT]
    texts = [_without_figures(place, data) for place, data in said.items()]
    return {word for text in (*texts, *own) for word in _WORD.findall(text)}


def _without_figures(place: str, data: bytes) -> bytes:
    """The text of a page or log: without values, times and ids of traces, in which digits stand by chance."""
    if place.endswith("/metrics"):
        return b"\n".join(line.rpartition(b" ")[0] for line in data.splitlines())
    if place.endswith(("/traces", ".log")):
        return re.sub(rb'"(time|trace|span|parent|began_ms|took_ms|port)":("[^"]*"|[0-9.e+-]+|null)', b"", data)
    return data
