"""Networks of two and four members on disk, folders of bundles written as bytes."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from salus.cli.home import Home, found_home
from salus.node.settings import Settings

Write = Callable[..., Path]


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    found_home(tmp_path / "network", 4)
    async with Home.open(tmp_path / "network", Settings(tend_every_s=None)) as opened:
        yield opened


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes files into a folder to import; returns the folder."""

    def written(folder: str = "in", **files: bytes) -> Path:
        (tmp_path / folder).mkdir(exist_ok=True)
        for name, data in files.items():
            (tmp_path / folder / f"{name}.json").write_bytes(data)
        return tmp_path / folder

    return written
