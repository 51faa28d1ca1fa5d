"""`salus up`: keeps a network running and carries out the commands that reach its socket, several at a time."""

import asyncio
import contextlib
import json
import os
import signal
from pathlib import Path

from typer._click.exceptions import ClickException

from salus.cli.errors import AlreadyUpError, StoppingError
from salus.cli.home import Home
from salus.cli.operated import begin_log, operated
from salus.cli.output import PLAIN_WIDTH, Output, Screen
from salus.cli.running import parsed
from salus.cli.socket import REQUEST_BYTES_MAX, line_of, make_room, socket_path
from salus.cli.told import USAGE, tell
from salus.core.errors import SalusError
from salus.engines.lmdb_errors import FolderInUseError
from salus.node.folder import is_apart
from salus.node.observing.logs import say_error
from salus.node.settings import Settings

COMMANDS_S = 12.0  # That a command may still take when the network stops; less than a supervisor's patience.
ACCEPT_S = 0.05
INTERNAL = 70  # BSD's EX_SOFTWARE: a fault of ours, whose details stay in the network's own log.


class SocketSink:
    """Sends what a command prints to whoever asked."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    def write(self, data: bytes, *, is_error: bool = False) -> None:
        """See `Sink`."""
        self._writer.write(line_of(data, is_error=is_error))

    async def end(self, code: int) -> None:
        """Say that the command is over."""
        self._writer.write(json.dumps({"exit": code}).encode() + b"\n")
        await self._writer.drain()


async def keep_up(
    folder: Path, output: Output, settings: Settings | None = None, *, operator: int | None = None
) -> None:
    """Run the network until SIGINT or SIGTERM; then stop in order: commands, housekeeping, engine, stores.

    `operator` is the port where whoever runs it may look, for a network in one process; others name it themselves.

    Raises:
        AlreadyUpError: another process serves this folder.
        NoNetworkError: there is no network in it.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        async with Home.open(folder, settings) as home:
            log = begin_log(folder, apart=is_apart(folder))
            await home.network.tend()
            if home.network.failure is not None:
                raise home.network.failure
            path = socket_path(folder)
            server, running = await _listen(home, path)
            try:
                async with operated(home.network, log, operator):
                    _announce(home, path, output)
                    await _until_stopped(home, stop)
            finally:
                path.unlink(missing_ok=True)
                await asyncio.sleep(ACCEPT_S)  # Whoever had found it is let in.
                server.close()
                await _finished(running)
                await home.network.tend()
    except FolderInUseError:
        raise AlreadyUpError from None
    output.say("The network is down. Everything acknowledged is in its folder.")


async def _finished(running: set["asyncio.Task[None]"]) -> None:
    """Let commands under way end by themselves; those that take too long are told so, and may be given again."""
    if running:
        await asyncio.wait(running, timeout=COMMANDS_S)
    for task in list(running):
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def _listen(home: Home, path: Path) -> tuple[asyncio.Server, set["asyncio.Task[None]"]]:
    """Serve the socket. Whoever has the stores open is the only one: an older socket file was left by a crash."""
    running: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "A connection is served in a task."
        running.add(task)
        try:
            await _serve(home, reader, writer)
        finally:
            running.discard(task)
            writer.close()

    make_room(path)
    before = os.umask(0o177)
    try:
        server = await asyncio.start_unix_server(serve, str(path), limit=REQUEST_BYTES_MAX)
    finally:
        os.umask(before)
    return server, running


async def _until_stopped(home: Home, stop: asyncio.Event) -> None:
    """Wait for a signal, or for the engine to fail: a network that makes no blocks must not look alive."""
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await stop.wait()
        if home.network.failure is not None:
            raise home.network.failure


def _announce(home: Home, path: Path, output: Output) -> None:
    names = ", ".join(member.name for member in home.network.members)
    output.say(f"The network {home.network.genesis.chain} is up: {names}.")
    output.say(f"Other commands find it by its folder, {home.folder}. Ctrl-C stops it.")
    members = [member.name for member in home.network.members]
    output.result({"chain": home.network.genesis.chain, "members": members, "socket": str(path)})


async def _serve(home: Home, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    sink = SocketSink(writer)
    try:
        asked = json.loads(await reader.readline())
        argv = [str(word) for word in asked["argv"]]
        width = max(20, min(1_000, int(asked.get("width", PLAIN_WIDTH))))
        screen = Screen(bool(asked.get("terminal")), width, Path(str(asked.get("folder", "/"))))
    except (ValueError, KeyError, TypeError, AttributeError):
        with contextlib.suppress(ConnectionError):  # Of whoever only looked whether somebody listens.
            await sink.end(USAGE)
        return
    work = asyncio.create_task(_carried_out(home, argv, sink, screen))
    gone = asyncio.create_task(reader.read())  # Ends when the other side hangs up.
    stopping = None
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        stopping = StoppingError()
    if not work.done():
        work.cancel()
    gone.cancel()
    done = await asyncio.gather(work, return_exceptions=True)
    with contextlib.suppress(ConnectionError):
        if isinstance(done[0], int):
            await sink.end(done[0])
        elif stopping is not None:
            await sink.end(tell_error(stopping, Output(sink, screen, as_json="--json" in argv)))
        elif isinstance(done[0], Exception):  # Ours to mend: the network goes on, and says it in its log.
            sink.write(b"salus: the network met a fault of its own; see its log\n", is_error=True)
            await sink.end(INTERNAL)
            asyncio.get_running_loop().call_exception_handler({"message": "a command failed", "exception": done[0]})


async def _carried_out(home: Home, argv: list[str], sink: SocketSink, screen: Screen) -> int:
    from salus.cli.app import parse

    job = parsed(lambda: parse(argv))
    if job is None:
        return USAGE
    output = Output(sink, screen, as_json=job.as_json)
    try:
        await job.act(home, output)
    except SalusError as error:
        say_error(error, "refused")
        return tell_error(error, output)
    except ClickException as error:
        output.note(f"Error: {error.format_message()}")
        return USAGE
    return output.exit_code


def tell_error(error: SalusError, output: Output) -> int:
    """Show an error; its exit code."""
    told = tell(error)
    output.result(told.as_json)
    for line in told.lines:
        output.note(line)
    return told.exit_code
