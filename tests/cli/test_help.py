"""Help: every command has it, with examples that parse; it comes fast, because little is loaded for it."""

import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from salus.cli.app import app
from salus.cli.main import main
from salus.cli.running import parsed

PASSED_ON = {"demo", "drill", "bench", "simulate-scale"}  # They bring their own help and examples.


def _commands() -> Iterator[tuple[str, str]]:
    """Every command's words and help."""
    yield from _within(typer.main.get_group(app), "")


def _within(group: Any, words: str) -> Iterator[tuple[str, str]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _within(command, f"{words}{name} ")
        elif not command.hidden:
            yield f"{words}{name}", command.help or ""


AT_ONCE = {
    "new",
    "up",
    "verify",
    "doctor",
    "init",
    "join",
    "backup",
    "restore",
    "recovery-key",
}  # Other tests run them.
COMMANDS = dict(_commands())
EXAMPLES = [line.strip() for text in COMMANDS.values() for line in text.splitlines() if line.startswith("  salus ")]


def test_all_the_commands_are_there() -> None:
    wanted = ["demo", "up", "import", "read", "misfiled", "break-glass", "log", "receipt", "verify", "drill", "bench"]
    groups = {
        "patient": "new link claim list",
        "consent": "grant deny revoke show why",
        "ledger": "show check",
    }
    wanted += [f"{group} {name}" for group, names in groups.items() for name in names.split()]
    assert not set(wanted) - set(COMMANDS)


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - PASSED_ON))
def test_every_command_has_help_with_examples(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--help"]) == 0
    said = capfd.readouterr().out
    assert f"Usage: salus {command}" in said
    assert f"  salus {command}" in said.split("Examples:")[1]
    assert "--json" in said


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_a_command_line_that_parses(example: str, capfd: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(example.split(" > ")[0])[1:]
    if words[0] in AT_ONCE or words[1:2] in (["snapshots"], ["snapshot"]):
        return
    codes: list[int] = []
    job = parsed(lambda: codes.append(main(words)))
    assert job is not None, capfd.readouterr().err
    assert codes == [0]


@pytest.mark.parametrize("words", [["--help"], ["consent", "grant", "--help"], ["pateint"]])
def test_help_and_slips_load_nothing_heavy(words: list[str]) -> None:
    script = (
        "import sys; from salus.cli.main import main; code = main(sys.argv[1:]); "
        "heavy = {'sqlalchemy', 'lmdb', 'cryptography', 'nacl', 'rich.console', 'salus.node'} & set(sys.modules); "
        "print(sorted(heavy)); sys.exit(bool(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout.splitlines()[-1]


def test_an_unknown_option_is_told_with_those_that_are_close(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["consent", "grant", "--excpet", "PSY"]) == 2
    assert "--except" in capfd.readouterr().err


def test_no_words_at_all_show_the_help(capfd: pytest.CaptureFixture[str]) -> None:
    main([])
    said = capfd.readouterr()
    assert "Start here:" in said.out + said.err
