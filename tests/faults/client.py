"""People's commands, sent to the gateway process as `salus` sends them, many at a time, and repeated where told to.

An answer with exit code 5 (unavailable) or a lost connection says what to do: wait a little, then try the same again.
"""

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from salus.cli.errors import ConnectionLostError
from salus.cli.output import Screen
from salus.cli.socket import forwarded, socket_path

LINE_BYTES_MAX = 16 << 20
UNAVAILABLE = 5
LOST = 75  # BSD's EX_TEMPFAIL: no answer came.
PAUSE_S = 0.2
PAUSE_S_MAX = 2.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """What `--json` printed."""
        said: dict[str, Any] = json.loads(self.out)
        return said

    @property
    def error(self) -> str:
        """The code of the error it ended with; empty if it did not."""
        try:
            return str(self.json["error"]["code"])
        except (ValueError, KeyError):
            return ""


@dataclass(frozen=True, slots=True)
class Kept:
    """What a command said, for who reads it later. Satisfies `Sink`."""

    out: bytearray = field(default_factory=bytearray)
    err: bytearray = field(default_factory=bytearray)

    def write(self, data: bytes, *, is_error: bool = False) -> None:
        """See `Sink`."""
        (self.err if is_error else self.out).extend(data)


@dataclass(frozen=True, slots=True)
class Client:
    """Sends commands to the network of one folder."""

    folder: Path

    async def once(self, *argv: str, timeout_s: float = 120.0) -> Answer:
        """Give a command once."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._asked(argv)
        except (OSError, TimeoutError):
            return Answer(LOST, "", "no answer came")

    async def typed(self, *argv: str) -> Answer:
        """Give a command once, through `salus`'s own client: it waits for a network that is supervised, no more."""
        kept, screen = Kept(), Screen(folder=self.folder)
        try:
            code = await asyncio.to_thread(forwarded, self.folder, argv, kept, screen)
        except ConnectionLostError:
            code = LOST
        return Answer(LOST if code is None else code, kept.out.decode(), kept.err.decode())

    async def __call__(self, *argv: str, patience_s: float = 90.0) -> Answer:
        """Give a command, again and again while what it needs is away."""
        clock = asyncio.get_running_loop().time
        give_up, pause_s = clock() + patience_s, PAUSE_S
        while True:
            answer = await self.once(*argv, "--json")
            if answer.code not in (UNAVAILABLE, LOST) or clock() > give_up:
                return answer
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_S_MAX)

    async def done(self, *argv: str, patience_s: float = 90.0) -> Any:
        """What a command printed that must succeed."""
        answer = await self(*argv, patience_s=patience_s)
        assert answer.code == 0, f"{' '.join(argv)} ended with {answer.code}: {answer.out} {answer.err}"
        return answer.json

    async def imported(self, path: Path, patience_s: float = 90.0) -> Any:
        """Take a bundle in, again and again until all of it is there: to repeat it is harmless."""
        clock = asyncio.get_running_loop().time
        give_up = clock() + patience_s
        while True:
            answer = await self("import", str(path), patience_s=patience_s)
            if answer.code == 0:
                return answer.json
            assert clock() < give_up, f"not imported: {answer.code} {answer.out} {answer.err}"
            await asyncio.sleep(PAUSE_S)

    async def _asked(self, argv: tuple[str, ...]) -> Answer:
        reader, writer = await asyncio.open_unix_connection(str(socket_path(self.folder)), limit=LINE_BYTES_MAX)
        said: dict[str, list[str]] = {"out": [], "err": []}
        try:
            writer.write(json.dumps({"argv": argv, "folder": str(self.folder)}).encode() + b"\n")
            async for line in reader:
                told = json.loads(line)
                for stream in said:
                    said[stream].append(told.get(stream, ""))
                if "exit" in told:
                    return Answer(int(told["exit"]), "".join(said["out"]), "".join(said["err"]))
        finally:
            writer.close()
        return Answer(LOST, "", "the connection was lost")
