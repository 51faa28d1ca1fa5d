"""Folders to examine: a small network with sealed records, at rest, copied anew for each test."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from salus.cli.commands.doctor import examined
from salus.node.doctor.examining import Examined
from tests.node.stage import permit, stage

Codes = set[tuple[str, str]]
"""Code and member of each finding."""


@pytest.fixture(scope="session")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four members in one process, and records of a patient by two of them; at rest."""
    folder = tmp_path_factory.mktemp("doctor") / "network"
    asyncio.run(_seal(folder))
    return folder


async def _seal(folder: Path) -> None:
    async with stage(folder) as on:
        wallet = await on.patient("mercy", "st-luke", rules=(permit("lakeside"),))
        await on.seal("mercy", wallet, "a", "b", "c")
        await on.seal("st-luke", wallet, *(f"d{number}" for number in range(16)))
        await on.network.tend()


@pytest.fixture
def folder(sealed: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(sealed, tmp_path / "network"))


@pytest.fixture
def codes() -> Callable[[Path], Codes]:
    """What `salus doctor` finds."""
    return lambda folder: codes_of(asyncio.run(examined(folder)))


def codes_of(result: Examined) -> Codes:
    """Each finding's code and member."""
    return {(one.code, one.member) for one in result.findings}
