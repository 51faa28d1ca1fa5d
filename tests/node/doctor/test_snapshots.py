"""Snapshots that are damaged, deleted, or those of another state; and a validator's key that runs twice."""

import asyncio
import dataclasses
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from salus.cli.commands.doctor import examined
from salus.core.ids import MemberId
from salus.core.wire import decode, encode, replace
from salus.engines.follower import Follower
from salus.engines.snapshots import MANIFEST, Manifest, write_snapshot
from salus.node.doctor import copies
from salus.node.doctor.case import Case, cases_in, with_ledger
from salus.node.folder import found_apart, read_genesis, usual_names
from salus.node.site import PORTS, free_ports, local_site, read_site, write_site
from tests.faults.members import members
from tests.node.doctor.conftest import Codes
from tests.node.stage import HOSPITALS
from tests.support.apart import needs_cometbft

Found = Callable[[Path], Codes]
MERCY = MemberId("mercy")


@pytest.fixture
def kept(folder: Path) -> Path:
    """Every member has a snapshot of its newest block."""
    for name in HOSPITALS:
        place = folder / "members" / name
        ledger = Follower(MemberId(name), read_genesis(folder), place / "ledger")
        write_snapshot(place / "snapshots", ledger.moment, ledger.height)
        ledger.close()
    return folder


def of_mercy(folder: Path) -> Path:
    return next((folder / "members" / "mercy" / "snapshots").iterdir())


def test_snapshots_that_are_the_same_give_nothing(kept: Path, codes: Found) -> None:
    assert codes(kept) == set()


@pytest.mark.parametrize("name", ["000000", "manifest"])
@pytest.mark.parametrize("is_gone", [False, True])
def test_a_snapshot_that_is_damaged_is_found(kept: Path, codes: Found, name: str, is_gone: bool) -> None:
    path = of_mercy(kept) / name
    path.unlink() if is_gone else path.write_bytes(path.read_bytes()[:-1])
    assert codes(kept) == {("snapshot.damaged", "mercy")}


def test_a_snapshot_of_another_state_is_found(kept: Path, codes: Found) -> None:
    path = of_mercy(kept) / MANIFEST
    manifest = decode(Manifest, path.read_bytes())
    path.write_bytes(encode(replace(manifest, pieces=(*manifest.pieces, bytes(32)))))
    assert ("snapshot.differs", "st-luke") in codes(kept)


@contextmanager
def apart(folder: Path, every: int) -> Iterator[Case]:
    """Mercy, as if it made a snapshot every so many blocks."""
    case = next(one for one in cases_in(folder, is_up=False) if one.member == MERCY)
    site = dataclasses.replace(local_site(list(range(20_000, 20_000 + PORTS))), snapshot_every_blocks=every)
    with with_ledger(dataclasses.replace(case, site=site)) as opened:
        yield opened


def test_a_snapshot_that_is_due_and_was_deleted_is_found(kept: Path) -> None:
    height = int(of_mercy(kept).name)
    with apart(kept, every=height) as case:
        assert list(copies.check_snapshots(case)) == []
        shutil.rmtree(of_mercy(kept))
        assert list(copies.check_snapshots(case)) == []  # It was due just now.
    with apart(kept, every=height // 2) as case:
        assert [one.code for one in copies.check_snapshots(case)] == ["snapshot.missing"]
    with apart(kept, every=height + 1) as case:
        assert list(copies.check_snapshots(case)) == []


@needs_cometbft
async def test_a_validator_that_runs_twice_is_found_by_whom_light_clients_ask(tmp_path: Path) -> None:
    """The same member on two machines, cut off from each other: each signs blocks of its own."""
    one, other = tmp_path / "one", tmp_path / "other"
    found_apart(one, usual_names(1))
    shutil.copytree(one, other)
    place = other / "members" / "mercy"
    write_site(place, local_site(free_ports(PORTS)))
    theirs, own = read_site(place), read_site(one / "members" / "mercy")
    write_site(one / "members" / "mercy", dataclasses.replace(own, light=(own.rpc, theirs.rpc)))
    async with members(one, 1) as net, members(other, 1) as twin:
        for running in (net, twin):
            await running.start(("ledger",))
        for _ in range(60):
            result = await examined(one)
            forked = [found for found in result.findings if found.code == "ledger.forked"]
            if forked:
                break
            await asyncio.sleep(0.5)  # Their first blocks are the same; the second comes after a heartbeat of 15 s.
        assert theirs.rpc in forked[0].what
        assert len(forked) == 1
