"""A peer in a process of its own that is killed, or stopped, in the middle of a call."""

import asyncio
import signal
import sys

import pytest

from salus.core.transport import PeerUnavailableError, ask
from salus.node.http.client import Calling
from tests.node.http.wires import ANNA, BEN, Question, Reply, Wire, wire
from tools.check_quiet import ROOT

PEER = """
import asyncio, sys
from salus.core.transport import Door
from salus.crypto.signatures import SigningKey
from salus.node.http.server import Server
from salus.node.http.trust import Pins, Trust
from tests.node.http.wires import ANNA, BEN, CHAIN, HOST, Question, Reply, clock

async def main():
    seed, anna, port = bytes.fromhex(sys.argv[1]), bytes.fromhex(sys.argv[2]), int(sys.argv[3])
    ben = SigningKey(seed)
    keys = {ANNA: (anna,), BEN: (ben.public,)}
    door = Door()
    async def answer(_sender, question):
        print("asked", question.number, flush=True)
        if question.number == 13:
            await asyncio.sleep(60)
        return Reply(number=2 * question.number)
    door.answer(Question, answer)
    pins = Pins(lambda: tuple(keys), lambda name: keys.get(name, ()), lambda: 1)
    server = Server(door, CHAIN, Trust(BEN, ben, pins, clock))
    await server.start(HOST, port)
    print("port", server.port, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def peer(on: Wire, port: int = 0) -> asyncio.subprocess.Process:
    """Ben, apart; his port is known when this returns."""
    argv = (on.secrets[BEN].seed.hex(), on.secrets[ANNA].public.hex(), str(port))
    paths = f"{ROOT / 'src'}:{ROOT}"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PEER, *argv, stdout=asyncio.subprocess.PIPE, env={"PYTHONPATH": paths}, cwd=ROOT
    )
    on.ports[BEN] = int((await said(process)).split()[1])
    return process


async def said(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), 60)).decode()


async def test_a_peer_killed_during_a_call_is_away_at_once_and_found_again_when_it_is_back() -> None:
    async with wire() as on:
        process = await peer(on)
        transport = on.transport(ANNA, calling=Calling(timeout_s=8))
        assert await ask(transport, BEN, Question(number=1), Reply) == Reply(number=2)
        assert await said(process) == "asked 1\n"
        asking = asyncio.create_task(ask(transport, BEN, Question(number=13), Reply))
        assert await said(process) == "asked 13\n"
        process.kill()
        begun = asyncio.get_running_loop().time()
        with pytest.raises(PeerUnavailableError):
            await asking
        assert asyncio.get_running_loop().time() - begun < 5  # Not when its time was up.
        await process.wait()
        back = await peer(on, on.ports[BEN])
        try:
            assert await ask(transport, BEN, Question(number=2), Reply) == Reply(number=4)
        finally:
            back.kill()
            await back.wait()


async def test_a_peer_that_stands_still_is_away_when_the_time_is_up_and_answers_when_it_goes_on() -> None:
    async with wire() as on:
        process = await peer(on)
        try:
            transport = on.transport(ANNA, calling=Calling(timeout_s=1))
            process.send_signal(signal.SIGSTOP)
            with pytest.raises(PeerUnavailableError):
                await ask(transport, BEN, Question(number=1), Reply)
            process.send_signal(signal.SIGCONT)
            patient = on.transport(ANNA, calling=Calling(timeout_s=10))
            assert await ask(patient, BEN, Question(number=2), Reply) == Reply(number=4)
        finally:
            process.kill()
            await process.wait()
