"""Four members in processes of their own sign a checkpoint, and receipts of a network that is a year old hold by it."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

from salus.core.ids import DAY_MS, MemberId
from salus.node.checkpoints import kept_checkpoints
from salus.node.folder import found_apart, member_folder, usual_names
from salus.node.settings import system_clock
from tests.faults.client import Client
from tests.faults.members import GATEWAY, Members, members
from tests.support.apart import needs_cometbft

pytestmark = needs_cometbft

AGE_MS = 400 * DAY_MS


async def test_members_sign_a_checkpoint_by_themselves_and_it_proves_what_an_old_genesis_cannot(
    tmp_path: Path,
) -> None:
    found_apart(tmp_path, usual_names(4), clock=lambda: system_clock() - AGE_MS)
    async with members(tmp_path) as net:
        await net.start(("ledger", GATEWAY))
        early = await a_receipt(net, "early")
        await net.start(("keeper",))
        folders = [member_folder(tmp_path, MemberId(name)) for name in net.names]
        async with asyncio.timeout(60.0):
            while not all(any(kept_checkpoints(folder)) for folder in folders):  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        heights = {next(kept_checkpoints(folder)).checkpoint.height for folder in folders}
        assert len(heights) == 1, "One gathered, the others took it over."
        late = await a_receipt(net, "late")
        shown = await Client(tmp_path).done("checkpoint", "-o", str(tmp_path / "signed"))
        assert (shown["height"], shown["members"]) == (heights.pop(), 4)
        assert len(shown["signed_by"]) >= 3
    assert early is None, "The genesis is too old, and there was no checkpoint yet."
    assert late is not None
    assert verified(tmp_path, late)["holds"] is True
    assert verified(tmp_path, late, "--checkpoint", str(tmp_path / "signed"))["holds"] is True
    assert "error" in verified(tmp_path, late, "--checkpoint", str(late))


async def a_receipt(net: Members, name: str) -> Path | None:
    """The receipt of a new transaction; None where the network cannot give one."""
    client = Client(net.folder)
    await client.done("rotate", "gateway", "--as", "st-luke")
    shown = await client.done("ledger", "show", "--count", "1")
    tx_id = shown["blocks"][0]["transactions"][0]["tx_id"]
    path = net.folder / f"{name}.receipt"
    answer = await client.once("receipt", tx_id, "-o", str(path), "--json")
    return path if answer.code == 0 else None


def verified(folder: Path, receipt: Path, *more: str) -> dict[str, object]:
    """What `salus verify` says, in a process of its own that knows the genesis alone."""
    words = ("verify", str(receipt), "--genesis", str(folder / "genesis"), *more, "--json")
    done = subprocess.run([sys.executable, "-m", "salus.cli.main", *words], capture_output=True, check=False)
    said: dict[str, object] = json.loads(done.stdout)
    return said
