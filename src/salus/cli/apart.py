"""`salus up` where members run apart: a ledger and a keeper process for each, and one for the gateways of this folder.

The process that a person started supervises: it restarts what ends, and stops all in order. What each said lies in
`logs/`.
"""

import asyncio
import os
import sys
from pathlib import Path

from salus.cli.joined import watch_joining
from salus.cli.operated import LOGS_FOLDER
from salus.cli.output import Output
from salus.cli.socket import RUN_FOLDER, socket_path
from salus.contracts.members.messages import Genesis
from salus.core.ids import MemberId
from salus.node.departing import DEPARTED
from salus.node.folder import member_folder, members_here, read_genesis
from salus.node.parts import KEEPER, LEDGER
from salus.node.processes import FOR_THE_OPERATOR, Program, Supervisor
from salus.node.site import host_and_port, read_site

GATEWAY = "gateway"
UP_S = 60.0  # For everything to serve, before it is said that something does not.
LOOK_EVERY_S = 0.05
_NOT_AGAIN = frozenset({DEPARTED, FOR_THE_OPERATOR})


async def keep_apart_up(folder: Path, output: Output) -> int:
    """Run the processes of every member that lives in a folder, until SIGINT or SIGTERM; the exit code.

    Raises:
        SupervisedError: another supervisor runs them already.
        NoNetworkError: there is no network in it.
        SiteError: a member's addresses cannot be read.
    """
    genesis = read_genesis(folder)
    members = members_here(folder, genesis)
    logs = folder / LOGS_FOLDER
    logs.mkdir(parents=True, exist_ok=True, mode=0o700)
    socket_path(folder).unlink(missing_ok=True)
    supervisor = Supervisor(programs_of(folder, members), folder / RUN_FOLDER, logs=logs)
    telling = asyncio.create_task(_tell(folder, genesis, members, supervisor, output))
    code = await supervisor.run()
    telling.cancel()
    await asyncio.gather(telling, return_exceptions=True)
    for name in members:
        if _has_left(supervisor, name):
            output.say(f"{name} has left the network; its successor answers for its records. Its folder stays.")
    output.say("The network is down. Everything acknowledged is in its folder.")
    return code


def programs_of(folder: Path, members: list[MemberId]) -> list[Program]:
    """What runs, in the order in which it starts. Each waits by itself for what it stands on."""
    place = ("--home", str(folder))
    parts = (sys.executable, "-m", "salus.node.parts")
    programs = [
        Program(name=f"{part}-{name}", argv=(*parts, part, *place, "--member", name), operator_codes=_NOT_AGAIN)
        for part in (LEDGER, KEEPER)
        for name in members
    ]
    gateway = (sys.executable, "-m", "salus.cli.main", GATEWAY, *place)
    return [*programs, Program(name=GATEWAY, argv=gateway, operator_codes=_NOT_AGAIN)]


async def _tell(
    folder: Path, genesis: Genesis, members: list[MemberId], supervisor: Supervisor, output: Output
) -> None:
    """Say what is where once everybody serves who is still a member."""
    try:
        async with asyncio.timeout(UP_S):
            members = await _until_up(folder, members, supervisor)
    except TimeoutError:
        output.note(f"Not every process serves yet; {folder / LOGS_FOLDER} says why. They go on being restarted.")
        return
    output.say(f"The network {genesis.chain} is up: {', '.join(members)}.")
    rows, told = [], []
    for name in members:
        site = read_site(member_folder(folder, name))
        rows.append([name, site.engine, site.rpc, site.keeper, site.gateway])
        told.append(
            {"member": name, "engine": site.engine, "rpc": site.rpc, "keeper": site.keeper, "gateway": site.gateway}
        )
    output.table(["member", "engine", "light clients", "keeper, vault", "gateway"], rows)
    output.say(f"Other commands find it by its folder, {folder}; logs are in {folder / LOGS_FOLDER}. Ctrl-C stops it.")
    output.result({"chain": genesis.chain, "members": told, "socket": str(socket_path(folder)), "pid": os.getpid()})
    await asyncio.gather(*(watch_joining(member_folder(folder, name), name, output) for name in members))


async def _until_up(folder: Path, members: list[MemberId], supervisor: Supervisor) -> list[MemberId]:
    """Wait for all processes but those of members that have left; who serves."""
    sites = {name: read_site(member_folder(folder, name)) for name in members}
    waited = [(name, address) for name, site in sites.items() for address in (site.keeper, site.gateway)]
    while waited or not socket_path(folder).exists():
        waited = [
            (name, address)
            for name, address in waited
            if not _has_left(supervisor, name) and not await listens(*host_and_port(address))
        ]
        await asyncio.sleep(LOOK_EVERY_S)
    return [name for name in members if not _has_left(supervisor, name)]


def _has_left(supervisor: Supervisor, member: MemberId) -> bool:
    return supervisor.running[f"{LEDGER}-{member}"].exit_code == DEPARTED


async def listens(host: str, port: int) -> bool:
    """Whether somebody can be reached there."""
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True
