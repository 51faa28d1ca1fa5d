"""A network that `salus up` runs: its processes are found by their pid files, and come back by themselves."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from salus.cli.socket import RUN_FOLDER, socket_path
from salus.core.ids import MemberId
from salus.node.folder import member_folder
from salus.node.site import host_and_port, read_site

BACK_S = 90.0  # A process that ended several times in a row is started again after half a minute.
LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class Supervised:
    """The processes of a folder."""

    folder: Path

    def process_id(self, name: str) -> int | None:
        """Of `keeper-mercy`, `ledger-mercy` or `gateway`; None while it has not been started again."""
        try:
            return int((self.folder / RUN_FOLDER / f"{name}.pid").read_text().split()[0])
        except (OSError, IndexError):
            return None

    async def kill(self, name: str) -> None:
        """SIGKILL, and wait until its supervisor has noticed."""
        before = self.process_id(name)
        assert before is not None, f"{name} does not run."
        os.kill(before, signal.SIGKILL)
        await until(lambda: self.process_id(name) != before)

    @contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """SIGSTOP for the length of a block: whoever is asked instead is needed."""
        process_id = self.process_id(name)
        assert process_id is not None, f"{name} does not run."
        os.kill(process_id, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(process_id, signal.SIGCONT)

    async def keeper_serves(self, member: MemberId) -> None:
        """Until a member's keeper can be reached."""
        address = host_and_port(read_site(member_folder(self.folder, member)).keeper)
        await _reached(lambda: asyncio.open_connection(*address))

    async def gateway_serves(self) -> None:
        """Until commands reach the gateways."""
        await _reached(lambda: asyncio.open_unix_connection(str(socket_path(self.folder))))

    def said(self, name: str) -> str:
        """A process's log."""
        return (self.folder / "logs" / f"{name}.log").read_text()


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something, within bounds."""
    async with asyncio.timeout(BACK_S):
        while True:
            if holds():
                return
            await asyncio.sleep(LOOK_S)


async def _reached(connect: Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]) -> None:
    async with asyncio.timeout(BACK_S):
        while True:
            try:
                _, writer = await connect()
            except OSError:
                await asyncio.sleep(LOOK_S)
                continue
            writer.close()
            return
