"""Fetching ciphertext: a vault that answers late holds nobody up and is not accused; the first good answer counts."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from salus.contracts.records.header import Header
from salus.core.ids import MemberId
from salus.core.transport import PeerUnavailableError
from salus.core.wire import reopen
from salus.node.member import Member
from salus.sdk.wallet import Wallet
from salus.vault.messages import Blobs, GetBlobs
from salus.vault.places import preference
from tests.node.stage import Stage, data_of, permit, shown, stage

FAR_S = 3_600.0  # No call ends by itself within a test.
PATIENCE_S = 30  # Whoever waited for a vault that is held back would wait longer.


async def begun(on: Stage, *sources: str) -> Wallet:
    """A patient of lakeside that st-luke may read, on a line where no call times out."""
    wallet = await on.patient("lakeside", rules=(permit("st-luke"),), by="lakeside")
    await on.seal("lakeside", wallet, *sources)
    on.network.switchboard.timeout_s = FAR_S
    return wallet


def held_back(vault: Member, until: asyncio.Event, asked: asyncio.Event | None = None) -> None:
    """Let a vault answer readers only once `until` is set, and tell when it was `asked`."""
    honest = vault.vault.get

    async def get(sender: MemberId, get: GetBlobs) -> Blobs:
        if asked is not None:
            asked.set()
        await until.wait()
        return await honest(sender, get)

    vault.door.answer(GetBlobs, get)


def answering(vault: Member, answer: Callable[[Blobs], Blobs]) -> None:
    """Let a vault change what it serves."""
    honest = vault.vault.get

    async def get(sender: MemberId, get: GetBlobs) -> Blobs:
        return answer(await honest(sender, get))

    vault.door.answer(GetBlobs, get)


def places_of(on: Stage, wallet: Wallet) -> list[Member]:
    """The vaults of a patient's only record, in the order in which readers ask them; its author last."""
    [(_, [entry])] = on["lakeside"].store.own_of_subject(wallet.subject)
    [blob] = reopen(Header, entry.header).blobs
    first, second = preference(blob, [member.name for member in on.network.members])[:2]
    return [on[name] for name in dict.fromkeys((first, second, MemberId("lakeside")))]


async def test_a_vault_that_does_not_answer_holds_up_no_view_and_is_not_accused(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await begun(on, *map(str, range(64)))  # So many that some lie first at any vault.
        reader, asked = await on.clinician("st-luke"), asyncio.Event()
        held_back(on["mercy"], asyncio.Event(), asked)
        async with asyncio.timeout(PATIENCE_S):
            view = await on.view("st-luke", reader, wallet)
        assert asked.is_set()
        assert (len(view.records), view.gaps, view.accusations, view.notices) == (64, [], [], [])


async def test_a_late_answer_that_comes_first_after_all_is_taken(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await begun(on, "a")
        reader, go, asked = await on.clinician("st-luke"), asyncio.Event(), asyncio.Event()
        first, *others = places_of(on, wallet)
        held_back(first, go)
        for other in others:
            held_back(other, asyncio.Event(), asked)
        async with asyncio.timeout(PATIENCE_S):
            viewing = asyncio.create_task(on.view("st-luke", reader, wallet))
            await asked.wait()
            go.set()
            view = await viewing
        assert (shown(view), view.gaps, view.accusations) == ([data_of("a")], [], [])


async def test_a_lie_told_in_time_is_named_though_another_vault_is_silent(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await begun(on, *map(str, range(64)))
        reader = await on.clinician("st-luke")
        held_back(on["mercy"], asyncio.Event())
        answering(on["northgate"], lambda told: Blobs(blobs=tuple(blob and bytes(len(blob)) for blob in told.blobs)))
        async with asyncio.timeout(PATIENCE_S):
            view = await on.view("st-luke", reader, wallet)
        assert (len(view.records), view.gaps) == (64, [])
        assert {(one.member, one.what) for one in view.accusations} == {("northgate", "bad_blob")}


async def test_a_record_that_only_a_silent_vault_might_have_is_a_gap_when_its_time_is_up(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await begun(on, "a")
        reader = await on.clinician("st-luke")
        first, *others = places_of(on, wallet)
        held_back(first, asyncio.Event())
        for other in others:
            answering(other, lambda told: Blobs(blobs=(None,) * len(told.blobs)))
        on.network.switchboard.timeout_s = 0.5
        view = await on.view("st-luke", reader, wallet)
        assert (shown(view), [gap.reason for gap in view.gaps], view.accusations) == ([], ["blob_missing"], [])
        assert {one.member for one in view.notices} == {other.name for other in others}


async def test_vaults_that_went_away_after_their_keepers_answered_are_asked_once_more(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await begun(on, "a")
        gone: list[MemberId] = []

        def before(_from: MemberId, to: MemberId, data: bytes) -> float:
            if b"vault.get" in data[:40] and len(gone) < len(places_of(on, wallet)):
                gone.append(to)
                raise PeerUnavailableError(peer=to)
            return 0.0

        on.network.switchboard.before = before
        view = await on.view("st-luke", await on.clinician("st-luke"), wallet)
        assert (shown(view), view.gaps, view.absent) == ([data_of("a")], [], ())
        assert set(gone) == {vault.name for vault in places_of(on, wallet)}


async def test_a_policy_that_changes_before_the_ciphertext_is_fetched_leaves_no_gap(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await begun(on, "a", "b")
        changing, changes = asyncio.Lock(), [wallet]

        def in_between(vault: Member) -> None:
            honest = vault.vault.get

            async def get(sender: MemberId, get: GetBlobs) -> Blobs:
                async with changing:
                    if len(changes) < 4:
                        rules = (permit("st-luke"), *(permit("northgate") for _ in changes))
                        changes.append(await on.change(changes[-1], by="lakeside", rules=rules))
                        await on.settled()
                return await honest(sender, get)

            vault.door.answer(GetBlobs, get)

        for member in on.network.members:
            in_between(member)
        view = await on.view("st-luke", await on.clinician("st-luke"), wallet)
        assert (shown(view), view.gaps, len(changes)) == ([data_of("a"), data_of("b")], [], 4)


async def test_a_revocation_before_the_ciphertext_is_fetched_leaves_nothing(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await begun(on, "a")
        may_answer, asked = asyncio.Event(), asyncio.Event()
        for member in on.network.members:
            held_back(member, may_answer, asked)
        viewing = asyncio.create_task(on.view("st-luke", await on.clinician("st-luke"), wallet))
        await asked.wait()
        await on.change(wallet, by="lakeside", rules=())
        await on.settled()
        may_answer.set()
        view = await viewing
        assert (view.records, view.gaps) == ([], [])
