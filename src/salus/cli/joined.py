"""What `salus up` tells of a member that is still on its way in: how far it has caught up, and when it is a member."""

import asyncio
from pathlib import Path

from salus.cli.output import Output, Progress
from salus.core.errors import UnavailableError
from salus.engines.cometbft.link import LINK_SOCKET, LinkEngine, Status
from salus.engines.cometbft.receipts import read_receipt

LOOK_EVERY_S = 0.5


async def watch_joining(folder: Path, name: str, output: Output) -> None:
    """Tell how a member catches up, then that it has been let in; nothing of one that was there all along."""
    ledger = LinkEngine(folder / LINK_SOCKET, read_receipt)
    try:
        status = await _status(ledger)
        if status.catching_up:
            with output.progress(f"{name} catches up with the others") as progress:
                while status.catching_up:
                    _show(progress, status)
                    await asyncio.sleep(LOOK_EVERY_S)
                    status = await _status(ledger)
            output.say(f"{name} holds all blocks up to {status.height}.")
        if not status.is_member:
            output.say(f"{name} waits for the members to let it in; it follows the ledger meanwhile.")
            while not status.is_member:
                await asyncio.sleep(LOOK_EVERY_S)
                status = await _status(ledger)
            output.say(f"{name} is a member now.")
    finally:
        await ledger.close()


def _show(progress: Progress, status: Status) -> None:
    if status.pieces:
        progress.at(status.pieces_done, "pieces of a snapshot", status.pieces)
    else:
        progress.at(status.height, f"block {status.height}, {status.peers} others reached")


async def _status(ledger: LinkEngine) -> Status:
    """Where it stands, as soon as it answers."""
    while True:
        try:
            return await ledger.status()
        except UnavailableError:
            await asyncio.sleep(LOOK_EVERY_S)
