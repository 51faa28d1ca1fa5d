"""A process that seals batch after batch in a network's folder, and says on its output what was acknowledged.

Run as `python sealing_process.py FOLDER WALLET CLOCK_MS`; it goes on until it is killed.
"""

import asyncio
import sys
from pathlib import Path

from salus.core.wire import decode
from salus.sdk.wallet import Wallet
from tests.node.stage import Clock, documents, stage


async def main(folder: Path, wallet: Wallet, now_ms: int) -> None:
    async with stage(folder, clock=Clock(now_ms)) as on:
        print("up", flush=True)
        for number in range(10_000):
            sources = [f"{now_ms}-{number}-{place}" for place in range(3)]
            await on["mercy"].author.seal(documents(wallet, *sources))
            print(*sources, flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), decode(Wallet, bytes.fromhex(sys.argv[2])), int(sys.argv[3])))
