"""A network for the commands: founded once a module, with the sample in it and one patient who keeps their own keys."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from salus.cli import sample
from salus.cli.main import main


@dataclass(frozen=True, slots=True)
class Shell:
    """A folder with a network, and a way to give commands in it."""

    folder: Path
    capture: Callable[[], tuple[bytes, bytes]]

    def run(self, *words: str) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        code = main([*words, "--home", str(self.folder / "network")])
        out, err = self.capture()
        return code, out.decode(), err.decode()

    def json(self, *words: str) -> dict[str, object]:
        """The JSON result of a command that must succeed: its last line."""
        code, out, err = self.run(*words, "--json")
        assert code == 0, err
        result = json.loads(out.splitlines()[-1])
        assert isinstance(result, dict)
        return result


@pytest.fixture(scope="module")
def network_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sample's two patients; the first has claimed their record."""
    folder = tmp_path_factory.mktemp("cli")
    home = ["--home", str(folder / "network"), "--json"]
    evidence = folder / "identity.txt"
    evidence.write_text("seen at the desk")
    assert main(["new", *home]) == 0
    assert main(["import", str(sample.FOLDER), *home]) == 0
    assert (
        main(["patient", "claim", "--as", "patient:1", "--evidence", str(evidence), "--witness", "mercy", *home]) == 0
    )
    return folder


@pytest.fixture
def shell(network_folder: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Shell:
    """Commands in that folder."""
    monkeypatch.chdir(network_folder)
    capfdbinary.readouterr()
    return Shell(network_folder, lambda: tuple(capfdbinary.readouterr()))  # type: ignore[arg-type,return-value]
