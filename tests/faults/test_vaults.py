"""Vaults that are gone: what others hold is read, what nobody holds any more is a gap and not left out.

A vault lives in its keeper's process; to kill only the vault is to take away the folder that it reads.
"""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from salus.core.ids import MemberId
from salus.node.folder import member_folder
from tests.faults.members import Members
from tests.faults.people import observations, reading
from tests.faults.stage import Stage, long, staged
from tests.support.apart import needs_cometbft

pytestmark = needs_cometbft

WRITTEN = 8  # Each lies in two of four vaults by chance, and in its author's.


def vault_of(net: Members, name: str) -> Path:
    """Where a member's packs are."""
    return member_folder(net.folder, MemberId(name)) / "vault"


@contextmanager
def without_vault(net: Members, name: str) -> Iterator[None]:
    """A member whose keeper answers and whose vault finds nothing."""
    path = vault_of(net, name)
    assert packs_in(path), "It held something."
    away = path.rename(path.with_name("vault.away"))
    try:
        yield
    finally:
        away.rename(path)


async def test_documents_that_no_vault_gives_are_gaps_and_come_back_with_one(tmp_path: Path) -> None:
    async with staged(tmp_path) as on:
        for number in range(WRITTEN):
            await on.write(f"more-{number}", "lakeside")
        everything = await on.person.record(on.person.name, via="mercy")
        assert observations(everything) == on.sources
        with without_vault(on.net, "northgate"):
            record = await read_once(on)
            assert observations(record) == on.sources, "One vault is spared: f of them may be gone."
            assert record["gaps"] == []
        with ExitStack() as gone:
            for name in ("northgate", "lakeside", "st-luke"):
                gone.enter_context(without_vault(on.net, name))
            record = await read_once(on)
            assert record["gaps"], "Eight times by chance it would be mercy's too."
            assert {gap["reason"] for gap in record["gaps"]} == {"blob_missing"}
            assert record["documents"], "What mercy's vault holds is read."
            assert len(record["documents"]) + len(record["gaps"]) == len(everything["documents"])
            assert record["accusations"] == [], "To have lost something is no lie."
        record = await read_once(on)
        assert (observations(record), record["gaps"]) == (on.sources, [])


async def read_once(on: Stage) -> dict[str, Any]:
    """The patient's record through mercy, as it is now."""
    answer = await on.client.once("read", *reading(on.person, on.person.name, "mercy"), "--json")
    return answer.json


@long
async def test_a_keeper_that_is_killed_and_has_lost_its_vault_begins_another_and_costs_no_document(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path) as on:
        vault = vault_of(on.net, "northgate")
        await on.net.kill("keeper", "northgate")
        assert packs_in(vault)
        shutil.rmtree(vault)
        await on.net.up("northgate")
        await on.write("later", "mercy", "northgate")
        assert await on.person.seen(on.person.name, via="mercy") == on.sources
        assert packs_in(vault), "What is new lies there again."
        await on.check()


def packs_in(vault: Path) -> list[Path]:
    """All packs of a vault."""
    return [path for path in vault.rglob("packs/*/*") if path.is_file()]
