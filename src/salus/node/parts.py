"""The processes of a member that runs apart: `python -m salus.node.parts ledger|keeper --home FOLDER --member NAME`.

    ledger    CometBFT and the machine beside it as one unit; the way in for the other two
    keeper    keeper and vault, behind their door to other members
    gateway   is started by `salus`, which serves people's commands too: see `gateways.py`

Each runs until SIGTERM or SIGINT, stops in order, and ends with exit code 1 where what it stands on has failed, so that
whoever supervises it starts it again.
"""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from salus.core.errors import SalusError
from salus.core.ids import MemberId
from salus.engines.cometbft.config import EngineSettings
from salus.engines.cometbft.link import LinkServer
from salus.engines.cometbft.link import LINK_SOCKET
from salus.engines.cometbft.unit import LedgerUnit, UnitSettings
from salus.node.attached import attach
from salus.node.folder import member_folder, read_genesis
from salus.node.keys import load_secrets
from salus.node.settings import Settings, system_clock
from salus.node.site import read_site

FAILED = 1


async def run_ledger(home: Path, member: MemberId, stop: asyncio.Event) -> BaseException | None:
    """Order and apply transactions until told to stop; what failed, if something did."""
    folder = member_folder(home, member)
    site, secrets = read_site(folder), load_secrets(folder / "keys")
    engine = EngineSettings(listen=site.engine, peers=site.peers, rpc=f"tcp://{site.rpc}")
    settings = UnitSettings(
        member=member,
        folder=folder,
        genesis=read_genesis(home),
        validator_seed=secrets.validator.seed,
        clock=system_clock,
        engine=engine,
    )
    async with LedgerUnit(settings) as unit:
        return await _until(stop, unit.failed())


async def run_keeper(home: Path, member: MemberId, stop: asyncio.Event) -> BaseException | None:
    """Keep shares and ciphertext, and answer other members, until told to stop; what failed, if something did."""
    settings = Settings()
    attached = await attach(home, member, settings)
    try:
        side = attached.keeper_side()
        server = await attached.serve(side, attached.site.keeper)
        tending = asyncio.create_task(_tend_for_ever(side, settings.tend_every_s or 1.0))
        try:
            return await _until(stop, _ended(attached.following))
        finally:
            tending.cancel()
            await asyncio.gather(tending, return_exceptions=True)
            await server.stop()
            side.close()
    finally:
        await attached.close()
