"""How a ledger process is opened: with what its `member.toml` says."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from salus.core.ids import MemberId
from salus.engines.cometbft.unit import UnitSettings
from salus.node import parts
from salus.node.folder import found_apart, member_folder
from salus.node.site import read_site, write_site

MERCY = MemberId("mercy")


class OpenedError(Exception):
    """Far enough: with these settings."""

    def __init__(self, settings: UnitSettings) -> None:
        self.settings = settings


@pytest.mark.parametrize(("said", "kept"), [(0, None), (500, 500)])
async def test_a_ledger_keeps_as_many_blocks_as_its_site_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: int, kept: int | None
) -> None:
    found_apart(tmp_path, [MERCY])
    folder = member_folder(tmp_path, MERCY)
    write_site(folder, replace(read_site(folder), kept_blocks=said, snapshot_every_blocks=77))

    def opened(settings: UnitSettings) -> Any:
        raise OpenedError(settings)

    monkeypatch.setattr(parts, "LedgerUnit", opened)
    here: Any = None
    with pytest.raises(OpenedError) as far:
        await parts.run_ledger(here, tmp_path, MERCY, asyncio.Event())
    assert (far.value.settings.kept_blocks, far.value.settings.snapshot_every_blocks) == (kept, 77)
