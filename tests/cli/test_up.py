"""`salus up`: other commands reach it, it stops in order, and what a crash leaves behind stops nobody."""

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import salus
from salus.cli import serving
from salus.cli.main import main
from salus.cli.output import Output, OwnStreams, own_screen
from salus.cli.socket import PATH_BYTES_MAX, socket_path

WAIT_S = 30.0
SAMPLE = Path(salus.__file__).parent / "cli" / "sample"


@contextmanager
def up(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A network that is up in a process of its own."""
    command = [sys.executable, "-m", "salus.cli.main", "up", "--home", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + WAIT_S
            while not answers(folder):
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < deadline, "it did not come up"
                time.sleep(0.05)
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def answers(folder: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(str(socket_path(folder)))
        except OSError:
            return False
    return True


def _answers_in_time(folder: Path) -> bool:
    deadline = time.monotonic() + WAIT_S
    while not answers(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    return answers(folder)


def asked(folder: Path, request: bytes) -> list[dict[str, object]]:
    """What the socket answers to these bytes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(WAIT_S)
        connection.connect(str(socket_path(folder)))
        connection.sendall(request)
        with connection.makefile("rb") as lines:
            return [json.loads(line) for line in lines]


def test_a_network_that_is_up_serves_and_stops_in_order(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "network"
    home = ["--home", str(folder)]
    with up(folder) as process:
        path = socket_path(folder)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert main(["patient", "new", "--writer", "mercy", *home]) == 0
        assert capfd.readouterr().out.startswith("patient:1 is new;")
        assert main(["patient", "list", "--json", *home]) == 0
        assert json.loads(capfd.readouterr().out)["patients"][0]["patient"] == 1

        # Refusals, slips and unknown words are told as elsewhere.
        assert main(["read", "--as", "patient:9", *home]) == 3
        assert "[cli.unknown_patient]" in capfd.readouterr().err
        assert main(["read", "--as", "clinician@mercy", *home]) == 2
        assert "--patient 1" in capfd.readouterr().err

        # A second process on the folder.
        assert main(["up", *home]) == 5
        assert "[cli.already_up]" in capfd.readouterr().err

        # Bytes that are no request, and a command that is no network's.
        for request in (b"\n", b"[]\n", b'{"argv": 3}\n', b'{"argv": ["verify", "x"]}\n', b'{"argv": ["nothing"]}\n'):
            assert asked(folder, request)[-1] == {"exit": 2}, request
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as gone:
            gone.connect(str(path))
            gone.sendall(b'{"argv": ["ledger", "check"]}\n')
        assert main(["patient", "list", *home]) == 0

        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=WAIT_S)
        assert process.returncode == 0, err
        assert "The network is down." in out
        assert not path.exists()
    capfd.readouterr()
    assert main(["patient", "list", "--json", *home]) == 0  # The folder survives, and opens without it.
    assert json.loads(capfd.readouterr().out)["patients"][0]["patient"] == 1


def test_what_is_under_way_when_it_is_stopped_is_carried_out(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "network"
    argv = ["import", str(SAMPLE), "--json"]
    with up(folder) as process, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(WAIT_S)
        connection.connect(str(socket_path(folder)))
        connection.sendall(json.dumps({"argv": argv, "folder": "/"}).encode() + b"\n")
        time.sleep(0.5)  # It has been read by now, and takes longer.
        process.send_signal(signal.SIGTERM)
        with connection.makefile("rb") as lines:
            answer = [json.loads(line) for line in lines]
        assert process.wait(WAIT_S) == 0
    assert answer[-1] == {"exit": 0}, answer
    assert main(["import", str(SAMPLE), "--json", "--home", str(folder)]) == 0
    assert json.loads(capfd.readouterr().out)["records_sealed"] == 0  # All of it is here already.


def test_what_takes_too_long_when_it_is_stopped_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(serving, "COMMANDS_S", 0.1)

    async def never(*_: object) -> int:
        await asyncio.sleep(WAIT_S)
        return 0

    monkeypatch.setattr(serving, "_carried_out", never)

    async def stopped(folder: Path) -> list[dict[str, object]]:
        keeping = asyncio.create_task(serving.keep_up(folder, Output(OwnStreams(), own_screen(), as_json=False)))
        assert await asyncio.to_thread(_answers_in_time, folder)
        reader, writer = await asyncio.open_unix_connection(str(socket_path(folder)))
        writer.write(b'{"argv": ["patient", "list"]}\n')
        await writer.drain()
        await asyncio.sleep(0.2)
        os.kill(os.getpid(), signal.SIGTERM)
        lines = [json.loads(line) async for line in reader]
        writer.close()
        await keeping
        return lines

    folder = tmp_path / "network"
    assert main(["new", "--members", "1", "--home", str(folder)]) == 0
    lines = asyncio.run(stopped(folder))
    assert lines[-1] == {"exit": 5}
    assert "[cli.stopping]" in "".join(str(line.get("err", "")) for line in lines)


def test_a_socket_that_a_crash_left_behind_stops_nobody(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "network"
    with up(folder) as process:
        process.kill()
        process.wait()
    assert socket_path(folder).exists()
    assert main(["patient", "new", "--writer", "mercy", "--home", str(folder)]) == 0
    with up(folder) as process:
        assert main(["patient", "list", "--home", str(folder)]) == 0
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT_S) == 0


def test_a_folder_with_a_long_path_has_its_socket_elsewhere_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 20) / ("er" * 20) / "network"
    path = socket_path(folder)
    assert len(os.fsencode(path)) <= PATH_BYTES_MAX
    assert not path.is_relative_to(folder)
    with up(folder) as process:
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert main(["patient", "list", "--home", str(folder)]) == 0
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT_S) == 0
    assert not path.exists()


async def test_a_command_whose_network_goes_away_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "network"
    folder.mkdir()

    async def vanish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.close()

    server = await asyncio.start_unix_server(vanish, str(socket_path(folder)))
    async with server:
        code = await asyncio.to_thread(main, ["patient", "list", "--home", str(folder)])
    assert code == 5
    assert "[cli.connection_lost]" in capfd.readouterr().err


def test_ctrl_c_ends_a_command_without_a_traceback(tmp_path: Path) -> None:
    folder = tmp_path / "network"
    assert main(["new", "--home", str(folder)]) == 0
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with server:
        server.bind(str(socket_path(folder)))
        server.listen()
        command = [sys.executable, "-m", "salus.cli.main", "patient", "list", "--home", str(folder)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            connection, _ = server.accept()  # It waits for an answer that never comes.
            with connection:
                process.send_signal(signal.SIGINT)
                _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 130
    assert err.strip() == "salus: stopped; what was acknowledged is kept"


def test_an_engine_that_a_network_was_not_made_for_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = ["--home", str(tmp_path / "network")]
    assert main(["new", *home]) == 0
    assert main(["up", "--engine", "cometbft", *home]) == 3
    assert "[cli.other_engine]" in capsys.readouterr().err
