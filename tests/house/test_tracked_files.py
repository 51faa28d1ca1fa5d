"""No file of the repository names a package registry, a place on somebody's machine, or a secret.

The patterns are put together from pieces, so that this file does not contain what it looks for.
"""

import re
import subprocess
from pathlib import Path

import pytest

from tools.check_quiet import ROOT

HOSTS = [
    r"py" + r"pi\.org",
    r"python" + r"hosted\.org",
    r"npm" + r"js\.(?:org|com)",
    r"crates" + r"\.io",
    r"proxy\.go" + r"lang\.org",
    r"repo1?\.ma" + r"ven\.",
    r"deb\.deb" + r"ian\.org",
    r"arti" + r"factory",
    r"--index" + r"-url \S",
    r"--extra-index" + r"-url",
]
PATTERNS = {
    "package registry": re.compile("|".join(HOSTS)),
    "machine path": re.compile(r"(?<![\w.}])/(?:root|home|work|Users|mnt|opt/wheels)" r"/[\w.]|[A-Z]:\\Users"),
    "private key": re.compile(r"-----BEGIN (?:[A-Z]+ )?PRIVATE" r" KEY-----"),
    "access key": re.compile(r"\b(?:AK" r"IA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}|xox[abprs]-[0-9A-Za-z-]{10,})"),
    "password in an address": re.compile(r"[a-z][a-z0-9+]*://[^/\s:@\"'<>]+:[^/\s@\"'<>{}]+@"),
    "password": re.compile(
        r"(?i)\b(?:password|passwd|api_key|secret_key|auth_token)\s*[=:]\s*[\"'][^\"'\s{}<>]{6,}[\"']"
    ),
}

PLANTED = [
    ("package registry", "see https://" + "py" + "pi.org/simple"),
    ("package registry", "-i x --extra-index" + "-url y"),
    ("machine path", "cd /ro" + "ot/project"),
    ("machine path", "open('/ho" + "me/someone/file')"),
    ("private key", "-----BEGIN PRIVATE" + " KEY-----"),
    ("access key", "AK" + "IA" + "A" * 16),
    ("password in an address", "postgres" + "://me:hunter2" + "@db"),
    ("password", "pass" + "word = 'correct-horse'"),
]


def offences(text: str) -> list[tuple[str, int]]:
    """What is wrong with a text, and on which lines."""
    lines = enumerate(text.splitlines(), start=1)
    return [(kind, number) for number, line in lines for kind, pattern in PATTERNS.items() if pattern.search(line)]


def tracked_files() -> list[Path]:
    """All files that are in the repository or would be added to it."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize(("kind", "text"), PLANTED)
def test_an_offence_is_found(kind: str, text: str) -> None:
    assert kind in [found for found, _ in offences(text)]


def test_no_file_names_a_registry_a_machine_path_or_a_secret() -> None:
    found = []
    for file in tracked_files():
        text = file.read_bytes().decode("utf-8", errors="replace")
        found += [f"{file.relative_to(ROOT)}:{line}: {kind}" for kind, line in offences(text)]
    assert found == []


def test_lock_files_pin_everything_by_digest() -> None:
    for name in ("runtime.txt", "dev.txt"):
        text = (ROOT / "requirements" / name).read_text(encoding="utf-8").replace("\\\n", " ")
        pinned = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
        assert pinned
        assert [line[:40] for line in pinned if "==" not in line or "--hash=sha256:" not in line] == []


def test_both_lock_files_agree() -> None:
    runtime, development = (pins(ROOT / "requirements" / name) for name in ("runtime.txt", "dev.txt"))
    assert runtime.items() <= development.items()


def pins(file: Path) -> dict[str, str]:
    """The version of each package that a lock file names."""
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", file.read_text(encoding="utf-8"), flags=re.MULTILINE))
