"""A member's processes under one roof, with real ones: order, restarts, units, leftovers, exit codes."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from salus.node.processes import GAVE_UP, NOT_RUN, STOPPED, Patience, Program, SupervisedError, Supervisor

QUICK = Patience(ready_s=5, ask_s=0.01, stop_s=3, pause_s=0.05, pause_s_max=0.2, crashes_max=3)
TELLING = """
import os, signal, sys, time
name, folder = sys.argv[1:3]
def tell(what):
    with open(folder + "/told", "a") as file:
        file.write(what + " " + name + "\\n")
def end(*_):
    tell("ends")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
tell("begins")
open(folder + "/" + name + ".ready", "w").close()
while True:
    time.sleep(0.05)
"""


def program(folder: Path, name: str, **more: object) -> Program:
    """A program that tells when it begins and when it is asked to end."""

    async def ready() -> bool:
        return (folder / f"{name}.ready").exists()

    return Program(name, (sys.executable, "-SE", "-c", TELLING, name, str(folder)), ready=ready, **more)  # type: ignore[arg-type]


def failing(name: str, code: int = 1, **more: object) -> Program:
    """A program that ends at once."""
    return Program(name, ("/bin/sh", "-c", f"exit {code}"), **more)  # type: ignore[arg-type]


def told(folder: Path) -> list[str]:
    return (folder / "told").read_text().splitlines() if (folder / "told").exists() else []


async def until(check: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not check():
        assert time.monotonic() < end, "in vain"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def running(folder: Path, *programs: Program) -> AsyncIterator[tuple[Supervisor, "asyncio.Task[int]"]]:
    """A supervisor with all its programs up."""
    supervisor = Supervisor(programs, folder / "run", QUICK)
    task = asyncio.create_task(supervisor.run())
    here = supervisor.running.items()
    try:
        await until(lambda: all(one.is_up and (folder / f"{name}.ready").exists() for name, one in here))
        yield supervisor, task
    finally:
        supervisor.stop()
        await asyncio.wait_for(task, 20)


def pid_of(supervisor: Supervisor, name: str) -> int:
    process = supervisor.running[name].process
    assert process is not None
    return process.pid


async def test_a_second_supervisor_of_the_same_processes_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path, program(tmp_path, "a")):
        with pytest.raises(SupervisedError):
            await Supervisor([program(tmp_path, "a")], tmp_path / "run", QUICK).run()
        await until((tmp_path / "a.ready").exists)
        assert told(tmp_path) == ["begins a"]


async def test_each_is_started_when_the_one_before_is_ready_and_all_stop_in_reverse(tmp_path: Path) -> None:
    names = ("ledger", "keeper", "gateway")
    async with running(tmp_path, *(program(tmp_path, name) for name in names)) as (supervisor, task):
        await until(lambda: len(told(tmp_path)) == 3)
        for name in names:
            assert (tmp_path / "run" / f"{name}.pid").read_text().split()[0] == str(pid_of(supervisor, name))
        os.kill(os.getpid(), signal.SIGTERM)
        assert await asyncio.wait_for(task, 20) == STOPPED
    assert told(tmp_path) == [*(f"begins {name}" for name in names), *(f"ends {name}" for name in reversed(names))]
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["supervisor.lock"]


async def test_one_that_dies_is_started_again_and_the_others_do_not_notice(tmp_path: Path) -> None:
    async with running(tmp_path, *(program(tmp_path, name) for name in ("ledger", "keeper"))) as (supervisor, _):
        others, first = pid_of(supervisor, "ledger"), pid_of(supervisor, "keeper")
        os.kill(first, signal.SIGKILL)
        await until(lambda: told(tmp_path).count("begins keeper") == 2)
        assert pid_of(supervisor, "keeper") != first
        assert pid_of(supervisor, "ledger") == others
        assert (supervisor.running["keeper"].restarts, supervisor.running["ledger"].restarts) == (1, 0)
        assert "ends ledger" not in told(tmp_path)


async def test_programs_of_one_unit_end_and_begin_together(tmp_path: Path) -> None:
    programs = [program(tmp_path, name, unit="ledger") for name in ("application", "engine")]
    async with running(tmp_path, *programs, program(tmp_path, "keeper")) as (supervisor, _):
        os.kill(pid_of(supervisor, "application"), signal.SIGKILL)
        await until(lambda: told(tmp_path).count("begins engine") == 2)
        said = [line for line in told(tmp_path) if "keeper" not in line]
        assert said[:3] == ["begins application", "begins engine", "ends engine"]
        assert sorted(said[3:]) == ["begins application", "begins engine"]
        assert told(tmp_path).count("begins keeper") == 1


async def test_an_end_with_code_0_is_an_end_all_the_same(tmp_path: Path) -> None:
    async with running(tmp_path, program(tmp_path, "ledger")) as (supervisor, _):
        os.kill(pid_of(supervisor, "ledger"), signal.SIGTERM)
        await until(lambda: told(tmp_path).count("begins ledger") == 2)
        assert supervisor.running["ledger"].restarts == 1


async def test_pauses_before_restarts_grow(tmp_path: Path) -> None:
    moments: list[float] = []
    counting = Program("a", ("/bin/sh", "-c", f"echo >> {tmp_path}/count; exit 1"))
    supervisor = Supervisor([counting], tmp_path / "run", QUICK)
    task = asyncio.create_task(supervisor.run())
    for number in range(1, 6):
        await until(lambda number=number: _lines(tmp_path / "count") >= number)  # type: ignore[misc]
        moments.append(time.monotonic())
    supervisor.stop()
    assert await task == STOPPED  # It is not vital, so it does not end the whole.
    assert moments[-1] - moments[-2] > moments[1] - moments[0]
    assert moments[-1] - moments[0] > 0.75 * (0.05 + 0.1 + 0.2 + 0.2)


async def test_a_vital_one_that_cannot_be_kept_up_ends_the_whole(tmp_path: Path) -> None:
    programs = [program(tmp_path, "ledger"), failing("keeper", is_vital=True)]
    code = await asyncio.wait_for(Supervisor(programs, tmp_path / "run", QUICK).run(), 20)
    assert code == GAVE_UP
    assert told(tmp_path) == ["begins ledger", "ends ledger"]


async def test_what_asks_for_the_operator_is_not_started_again(tmp_path: Path) -> None:
    asking = failing("keeper", 6, operator_codes=frozenset({6}))
    async with running(tmp_path, program(tmp_path, "ledger")) as _:
        pass
    supervisor = Supervisor([program(tmp_path, "ledger"), asking], tmp_path / "run", QUICK)
    task = asyncio.create_task(supervisor.run())
    await until(lambda: supervisor.running["keeper"].exit_code == 6)
    await asyncio.sleep(0.3)
    assert supervisor.running["keeper"].restarts == 0
    assert supervisor.running["ledger"].is_up
    supervisor.stop()
    assert await task == STOPPED
    vital = Program("keeper", asking.argv, is_vital=True, operator_codes=asking.operator_codes)
    assert await Supervisor([vital], tmp_path / "run", QUICK).run() == GAVE_UP


async def test_the_whole_ends_when_nothing_is_left_to_be_kept_up(tmp_path: Path) -> None:
    gone = [failing(name, 3, operator_codes=frozenset({3})) for name in ("ledger", "keeper")]
    supervisor = Supervisor(gone, tmp_path / "run", QUICK)
    assert await asyncio.wait_for(supervisor.run(), 20) == STOPPED
    assert [one.restarts for one in supervisor.running.values()] == [0, 0]


async def test_a_program_that_is_not_there_is_tried_again_like_any_other(tmp_path: Path) -> None:
    missing = Program("keeper", (str(tmp_path / "missing"),), is_vital=True)
    supervisor = Supervisor([missing], tmp_path / "run", QUICK)
    assert await asyncio.wait_for(supervisor.run(), 20) == GAVE_UP
    assert supervisor.running["keeper"].exit_code == NOT_RUN


async def test_one_that_ignores_the_request_to_end_is_ended(tmp_path: Path) -> None:
    script = f"trap '' TERM; touch {tmp_path}/up; while true; do sleep 0.1; done"
    stubborn = Program("stubborn", ("/bin/sh", "-c", script))
    supervisor = Supervisor([stubborn], tmp_path / "run", Patience(stop_s=0.3))
    task = asyncio.create_task(supervisor.run())
    await until((tmp_path / "up").exists)
    supervisor.stop()
    assert await asyncio.wait_for(task, 20) == STOPPED
    assert supervisor.running["stubborn"].exit_code == -signal.SIGKILL


async def test_what_a_killed_supervisor_left_running_is_ended_first_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    left = await asyncio.create_subprocess_exec(*program(tmp_path, "ledger").argv)
    bystander = await asyncio.create_subprocess_exec("sleep", "60")
    await until((tmp_path / "ledger.ready").exists)
    (tmp_path / "ledger.ready").unlink()
    (tmp_path / "run" / "ledger.pid").write_text(f"{left.pid} {_ticks(left.pid)}\n")
    (tmp_path / "run" / "keeper.pid").write_text(f"{bystander.pid} 1\n")  # The id was given to another since.
    async with running(tmp_path, program(tmp_path, "ledger"), program(tmp_path, "keeper")):
        assert await asyncio.wait_for(left.wait(), 5) == 0
        await until(lambda: len(told(tmp_path)) == 4)
        assert told(tmp_path)[:3] == ["begins ledger", "ends ledger", "begins ledger"]
        assert bystander.returncode is None
    bystander.kill()
    await bystander.wait()


async def test_what_they_say_is_kept_where_asked(tmp_path: Path) -> None:
    saying = Program("saying", ("/bin/sh", "-c", "echo out; echo err >&2; exec sleep 60"))
    supervisor = Supervisor([saying], tmp_path / "run", QUICK, tmp_path / "logs")
    task = asyncio.create_task(supervisor.run())
    log = tmp_path / "logs" / "saying.log"
    await until(lambda: log.exists() and log.read_text() == "out\nerr\n")
    supervisor.stop()
    await task


def _ticks(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0
