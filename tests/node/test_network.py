"""A whole network in one process: any number of members, in and out of order."""

from pathlib import Path

import pytest

from salus.crypto.shares import faulty, threshold
from salus.engines.lmdb_errors import FolderInUseError
from salus.keeper import releasing
from salus.node.folder import NoNetworkError, NotANetworkError, found, read_genesis, usual_names
from salus.node.keys import FolderError, KeyFileError
from salus.node.network import Network
from salus.sdk.errors import TooFewSeatsError
from tests.node.stage import Clock, data_of, permit, shown, stage
from tests.sdk.test_reader import LIES, kept_proof, lying


def test_a_folder_without_a_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoNetworkError):
        Network(tmp_path)


def test_a_damaged_genesis_is_refused(tmp_path: Path) -> None:
    found(tmp_path, usual_names(1))
    (tmp_path / "genesis").write_bytes(b"\x93")
    with pytest.raises(NotANetworkError):
        read_genesis(tmp_path)


def test_a_folder_is_not_founded_twice(tmp_path: Path) -> None:
    genesis = found(tmp_path, usual_names(1))
    with pytest.raises(FolderError):
        found(tmp_path, usual_names(1))
    assert read_genesis(tmp_path) == genesis


def test_a_lost_key_file_is_named_and_leaves_the_folder_free(tmp_path: Path) -> None:
    found(tmp_path, usual_names(2))
    key = tmp_path / "members" / "st-luke" / "keys" / "keeper-kek"
    kept = key.read_bytes()
    key.unlink()
    with pytest.raises(KeyFileError):
        Network(tmp_path)
    key.write_bytes(kept)
    Network(tmp_path).close()


async def test_a_second_process_is_kept_out(tmp_path: Path) -> None:
    async with stage(tmp_path, 1):
        with pytest.raises(FolderInUseError):
            Network(tmp_path)


@pytest.mark.parametrize("members", range(1, 14))
async def test_any_number_of_members_seals_reads_grants_and_revokes(tmp_path: Path, members: int) -> None:
    async with stage(tmp_path, members) as on:
        author, other = on.network.members[0].name, on.network.members[-1].name
        reader = await on.clinician(other)
        wallet = await on.patient(author)
        sealed = await on.seal(author, wallet, "a", "b")
        assert sealed.is_durable
        before = await on.view(other, reader, wallet)
        assert shown(before) == ([data_of("a"), data_of("b")] if members == 1 else [])  # Its own, or nothing yet.
        granted = await on.change(wallet, author, rules=(permit(other),))
        view = await on.view(other, reader, granted)
        assert shown(view) == [data_of("a"), data_of("b")]
        assert (view.accusations, view.gaps, view.notices, view.answered) == ([], [], [], members)
        await on.change(granted, author, rules=())
        after = await on.view(other, reader, wallet)
        assert shown(after) == shown(before)
        assert len({member.replica.header for member in on.network.members}) == 1


@pytest.mark.parametrize("members", range(4, 14))
async def test_as_many_keepers_as_may_lie_are_named_and_cost_the_reader_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: int
) -> None:
    monkeypatch.setattr(releasing, "_proof", kept_proof(releasing._proof))
    async with stage(tmp_path, members) as on:
        author, other = "mercy", "st-luke"
        wallet = await on.patient(author, rules=(permit(other),))
        reader = await on.clinician(other)
        await on.seal(author, wallet, "a", "b")
        liars = [member.name for member in on.network.members[-faulty(members) :]]
        for number, liar in enumerate(liars):
            lying(on[liar], LIES[(members + number) % len(LIES)][2])
        view = await on.view(other, reader, wallet)
        assert shown(view) == [data_of("a"), data_of("b")]
        assert {one.member for one in view.accusations} == set(liars)
        assert (view.gaps, view.absent) == ([], ())


@pytest.mark.parametrize("members", [4, 7, 10, 13])
async def test_as_many_members_as_may_fail_can_be_down(tmp_path: Path, members: int) -> None:
    async with stage(tmp_path, members) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        reader = await on.clinician("st-luke")
        await on.seal("mercy", wallet, "a")
        for number in range((members - 1) // 3):
            await on.network.take_down(usual_names(members)[-1 - number])
        view = await on.view("st-luke", reader, wallet)
        assert shown(view) == [data_of("a")]
        assert view.answered == members - (members - 1) // 3 >= threshold(members)
        assert len(view.absent) == (members - 1) // 3


async def test_too_few_keepers_show_nothing(tmp_path: Path) -> None:
    async with stage(tmp_path, 4) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        reader = await on.clinician("st-luke")
        await on.seal("mercy", wallet, "a")
        opened = await on.open("st-luke", reader, wallet)
        for name in ("lakeside", "northgate"):
            on.network.switchboard.off_line.add(name)  # type: ignore[arg-type]
        with pytest.raises(TooFewSeatsError):
            await opened.ask()


async def test_a_network_that_was_closed_goes_on_where_it_was(tmp_path: Path) -> None:
    clock = Clock()
    async with stage(tmp_path, 4, clock=clock) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        reader = await on.clinician("st-luke")
        await on.seal("mercy", wallet, "a")
        height = on.network.engine.newest().height
    async with stage(tmp_path, 4, clock=clock) as on:
        assert on.network.engine.newest().height > height
        assert shown(await on.view("st-luke", reader, wallet)) == [data_of("a")]


async def test_a_member_that_was_away_catches_up(tmp_path: Path) -> None:
    async with stage(tmp_path, 4) as on:
        await on.network.take_down("northgate")
        await on.patient("mercy")
        behind = on["northgate"].replica.height
        await on.network.bring_back("northgate")
        await on.settled()
        assert on["northgate"].replica.header == on["mercy"].replica.header
        assert on["northgate"].replica.height > behind
