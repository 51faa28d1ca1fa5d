"""What a command prints: sentences and tables for people, one JSON document for programs; plain when piped.

A command says its result once, as data (`result`), and once for people (`say`, `table`); `--json` keeps the first and
drops the rest. Where the bytes go is a `Sink`: this process's own streams, or a socket to the process that asked.
"""

import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Protocol, TextIO, cast

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_WIDTH = 200  # Of what is piped: lines are not broken for a screen that is not there.
_PLAIN_PROGRESS_S = 5.0
_NEVER_BROKEN = frozenset({"id", "transaction", "member", "part"})  # People copy these, or look for them.


class Sink(Protocol):
    """Takes bytes for standard output or standard error, in order."""

    def write(self, data: bytes, *, is_error: bool = False) -> None:
        """Pass bytes on."""


class OwnStreams:
    """This process's own streams."""

    def write(self, data: bytes, *, is_error: bool = False) -> None:
        """See `Sink`."""
        stream = sys.stderr if is_error else sys.stdout
        stream.flush()
        buffer = getattr(stream, "buffer", None)
        if buffer is None:
            stream.write(data.decode(errors="replace"))
        else:
            buffer.write(data)
        stream.flush()


class Kept:
    """Keeps what is written, for whoever reads it in this process."""

    def __init__(self) -> None:
        self.out = bytearray()
        self.errors = bytearray()

    def write(self, data: bytes, *, is_error: bool = False) -> None:
        """See `Sink`."""
        (self.errors if is_error else self.out).extend(data)


class Nowhere:
    """For a process that nobody watches: its log says what there is to say."""

    def write(self, data: bytes, *, is_error: bool = False) -> None:
        """See `Sink`."""


@dataclass(frozen=True, slots=True)
class Screen:
    """Where the person sits who asked."""

    is_terminal: bool = False
    width: int = PLAIN_WIDTH
    folder: Path = Path()  # Relative paths that they type begin here.


class Progress:
    """How far a long piece of work is: a bar on a terminal's standard error, a line every few seconds elsewhere."""

    def __init__(self, output: "Output", label: str, total: int) -> None:
        self._output = output
        self._label = label
        self._total = total
        self._told = monotonic()

    def at(self, done: int, note: str = "", total: int | None = None) -> None:
        """Show that so much is done."""
        self._total = total or self._total
        if monotonic() - self._told >= _PLAIN_PROGRESS_S:
            self._told = monotonic()
            self._output.note(f"{self._label}: {done} of {self._total}{'; ' + note if note else ''}")


class _Bar(Progress):
    def __init__(self, output: "Output", label: str, total: int, console: "Console") -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        super().__init__(output, label, total)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.bars = Bars(*columns, TextColumn("{task.fields[note]}"), console=console, transient=True)
        self._task = self.bars.add_task(label, total=total or None, note="")

    def at(self, done: int, note: str = "", total: int | None = None) -> None:
        self._total = total or self._total
        self.bars.update(self._task, completed=done, note=note, total=self._total or None)


class Output:
    """One command's voice."""

    def __init__(self, sink: Sink, screen: Screen, *, as_json: bool) -> None:
        self._sink = sink
        self.screen = screen
        self.as_json = as_json
        self.exit_code = 0  # What the command ends with if nothing is raised.

    def path(self, typed: Path) -> Path:
        """A path as the person meant it who typed it."""
        return self.screen.folder / typed

    def say(self, text: str = "") -> None:
        """A line for people."""
        if not self.as_json:
            self._sink.write(f"{text}\n".encode())

    def note(self, text: str) -> None:
        """A line beside the result: progress, a warning."""
        if not self.as_json:
            self._sink.write(f"{text}\n".encode(), is_error=True)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
        """A table for people."""
        if self.as_json:
            return
        from rich import box
        from rich.table import Table
        from rich.text import Text

        lines = box.SIMPLE_HEAD if self.screen.is_terminal else None
        shown = Table(box=lines, title=title or None, title_justify="left", show_edge=False, pad_edge=False)
        for column in columns:
            shown.add_column(column, overflow="fold", no_wrap=column in _NEVER_BROKEN)
        for row in rows:
            shown.add_row(*(Text(cell) for cell in row))
        console = self._console(is_error=False)
        console.print(shown)

    def result(self, value: object) -> None:
        """The result as JSON, in one line; for people it was said already."""
        if self.as_json:
            import orjson

            self._sink.write(orjson.dumps(value) + b"\n")

    def raw(self, data: bytes) -> None:
        """A document's bytes, as they are."""
        self._sink.write(data)

    @contextmanager
    def progress(self, label: str, total: int = 0) -> Iterator[Progress]:
        """Show progress while the block runs; silent with `--json`."""
        if not self.as_json and self.screen.is_terminal:
            bar = _Bar(self, label, total, self._console(is_error=True))
            with bar.bars:
                yield bar
        else:
            yield Progress(self, label, total)

    def _console(self, *, is_error: bool) -> "Console":
        from rich.console import Console

        return Console(
            file=cast(TextIO, _Stream(self._sink, is_error)),
            force_terminal=self.screen.is_terminal,
            width=self.screen.width,
            highlight=False,
            legacy_windows=False,
        )


class _Stream(io.TextIOBase):
    """A text stream over a sink."""

    def __init__(self, sink: Sink, is_error: bool) -> None:
        self._sink = sink
        self._is_error = is_error

    def write(self, text: str) -> int:
        if text:
            self._sink.write(text.encode(), is_error=self._is_error)
        return len(text)


def own_screen() -> Screen:
    """The screen of this process."""
    import shutil

    is_terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if is_terminal else PLAIN_WIDTH
    return Screen(is_terminal, width, Path.cwd())


def counted(count: int, what: str) -> str:
    """`1 gap`, `2 gaps`."""
    return f"{count} {what}{'' if count == 1 else 's'}"
