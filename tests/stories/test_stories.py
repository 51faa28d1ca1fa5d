"""Runs the stories of this folder: scripts of `salus` commands with what they must say, against a fresh network.

    # a remark
    $ salus patient new --writer mercy       a command; it must end with exit code 0,
    ! 3                                      or with this one
    patient:{number} is new;*                a line that must come next, others between are passed over; `*` is anything
    - northgate*                             a line that must not come at all

A name in braces is bound by the first line that meets it and stands for that text from there on. `{sample}` is the
folder of the shipped sample. Each story happens twice: on the embedded engine, and between members that run apart,
where `salus new` starts them.
"""

import re
import shlex
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from salus.cli import sample
from salus.cli.main import main
from tests.support.apart import apart, needs_cometbft

ENGINES = ("embedded", pytest.param("cometbft", marks=needs_cometbft))
STORIES = sorted(Path(__file__).parent.glob("*.story"))
_NAME = re.compile(r"\{([a-z_]+)\}")


@dataclass(slots=True)
class Step:
    """One command and what it must say."""

    line: int
    command: str
    code: int = 0
    wanted: list[tuple[int, str]] = field(default_factory=list)
    unwanted: list[tuple[int, str]] = field(default_factory=list)


def steps(text: str) -> Iterator[Step]:
    """The steps of a story."""
    step: Step | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("$ "):
            if step is not None:
                yield step
            step = Step(number, line[2:])
        elif step is None or not line.strip() or line.startswith("#"):
            continue
        elif line.startswith("! "):
            step.code = int(line[2:])
        elif line.startswith("- "):
            step.unwanted.append((number, line[2:]))
        else:
            step.wanted.append((number, line))
    if step is not None:
        yield step


def pattern(line: str, names: dict[str, str]) -> re.Pattern[str]:
    """A line of a story as a regular expression; names that are not bound yet become groups."""
    parts: list[str] = []
    for index, part in enumerate(_NAME.split(line)):
        if index % 2 == 0:
            parts.append(".*".join(re.escape(piece) for piece in part.split("*")))
        else:
            parts.append(re.escape(names[part]) if part in names else rf"(?P<{part}>\S+)")
    return re.compile(r"\s*" + "".join(parts).replace(r"\ ", r"\s+") + r"\s*")


def check(step: Step, said: list[str], names: dict[str, str]) -> None:
    """Every wanted line, in order; no unwanted one."""
    shown = "\n".join(said)
    rest = iter(said)
    for number, wanted in step.wanted:
        found = next((match for line in rest if (match := pattern(wanted, names).fullmatch(line))), None)
        assert found is not None, f"line {number}, `{wanted}`, does not come after `{step.command}`:\n{shown}"
        names.update(found.groupdict())
    for number, unwanted in step.unwanted:
        came = [line for line in said if pattern(unwanted, names).fullmatch(line)]
        assert not came, f"line {number}, `{unwanted}`, came after `{step.command}`:\n{shown}"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("story", STORIES, ids=[story.stem for story in STORIES])
def test_the_story_happens_as_told(
    story: Path, engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SALUS_HOME", str(tmp_path / "network"))
    names = {"sample": str(sample.FOLDER)}
    running = False
    with ExitStack() as stack:
        for step in steps(story.read_text()):
            command = _NAME.sub(lambda found: names.get(found[1], found[0]), step.command)
            words = shlex.split(command)
            if words[0] == "write":
                Path(words[1]).write_text(" ".join(words[2:]) + "\n")
                continue
            assert words[0] == "salus", f"line {step.line}: a story has `salus` commands, and `write FILE TEXT`."
            is_start = words[1] == "new" and engine == "cometbft"
            code = main([*words[1:], *(["--engine", engine] if is_start else [])])
            said = [line for text in capfd.readouterr() for line in text.splitlines()]
            assert code == step.code, f"line {step.line}, `{command}`, ended with {code}:\n" + "\n".join(said)
            check(step, said, names)
            if is_start and not running and (tmp_path / "network" / "genesis").exists():
                running = bool(stack.enter_context(apart(tmp_path / "network")))
