"""Dealing again to a new epoch: what waits, what is repeated, what is mended, and what readers make of two dealings."""

from pathlib import Path

import pytest

from salus.contracts.members.reads import former
from salus.contracts.records.reads import dealings_of
from salus.core.ids import MemberId
from salus.core.wire import replace
from salus.keeper.messages import Ask, Deposit, DepositRefused
from salus.sdk.author_store import OWN, Stage
from salus.sdk.errors import OwnStoreError, TooFewSeatsError
from salus.sdk.redealing import AT_ONCE_MAX
from salus.vault.messages import PutBlobs
from salus.vault.places import keepers_of
from tests.node.changing import assert_whole, dealt_again, in_force, joined, seated, share_roots
from tests.node.stage import HOSPITALS, data_of, permit, shown, stage
from tests.node.stage import Stage as Running

TURNED = ("northgate", "mercy", "st-luke", "lakeside")  # Nobody keeps the seat it had.
SEVEN = (*HOSPITALS, "southport", "eastbay", "westend")


def stages(on: Running, author: str = "mercy") -> list[tuple[int, int, Stage]]:
    """Epoch of each plan of an author's, and how far it has come."""
    store = on[author].store
    found = [(plan.epoch, stage) for stage in (Stage.FINAL, Stage.DURABLE) for plan in store.plans(stage)]
    return [(epoch, found.count((epoch, stage)), stage) for epoch, stage in sorted(set(found))]


async def test_where_no_committee_has_moved_on_nothing_is_done(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        await on.seal("mercy", wallet, "a")
        height = on.network.ledger.height
        assert (on["mercy"].redealer.behind(), await on["mercy"].redealer.work()) == ([], 0)
        assert on.network.ledger.height == height


async def test_dealing_again_is_done_once(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        batch_id = (await on.seal("mercy", wallet, "a")).records[0].batch_id
        await seated(on, *TURNED)
        assert [await on["mercy"].redealer.work() for _ in range(3)] == [1, 0, 0]
        assert [one.epoch for one in dealings_of(on.network.ledger.state, MemberId("mercy"), batch_id)] == [1, 2]
        assert stages(on) == [(2, 1, Stage.DURABLE)]
        await seated(on, *HOSPITALS)
        assert [await on["mercy"].redealer.work() for _ in range(2)] == [1, 0]
        assert in_force(on, "mercy", batch_id)[0] == 3
        assert_whole(await on.view("st-luke", await on.clinician("st-luke"), wallet), "a")


async def test_a_plan_takes_from_the_ledger_what_it_missed(tmp_path: Path) -> None:
    """A crash after the word was final, and before it was noted here."""
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        await on.seal("mercy", wallet, "a")
        before = on["mercy"].store.plans(Stage.DURABLE)[0]
        await seated(on, *TURNED)
        assert await on["mercy"].redealer.work() == 1
        on["mercy"].store.set_stage(before, Stage.DURABLE)
        on["mercy"].redealer._settled = None
        height = on.network.ledger.height
        assert await on["mercy"].redealer.work() == 0
        assert on.network.ledger.height == height
        assert await on["mercy"].author.work_outbox() == 1
        assert stages(on) == [(2, 1, Stage.DURABLE)]
        assert_whole(await on.view("st-luke", await on.clinician("st-luke"), wallet), "a")


async def test_too_few_keepers_leave_everything_as_it_was(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        batch_id = (await on.seal("mercy", wallet, "a")).records[0].batch_id
        await seated(on, *TURNED)
        on.network.switchboard.off_line.update((MemberId("lakeside"), MemberId("northgate")))
        assert await on["mercy"].redealer.work() == 0
        assert (in_force(on, "mercy", batch_id)[0], stages(on)) == (1, [(1, 1, Stage.DURABLE)])
        assert len(on["mercy"].redealer.behind()) == 1
        on.network.switchboard.off_line.clear()
        assert await on["mercy"].redealer.work() == 1


async def test_keepers_that_refuse_a_record_make_the_batch_wait_and_no_dummy_of_it(tmp_path: Path) -> None:
    """Unlike before a batch is final: what is on the ledger is dealt as it is, or not yet."""
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        sealed = await on.seal("mercy", wallet, "a", "b")
        index = sealed.records[0].index

        async def refuse(_sender: MemberId, _deposit: Deposit) -> DepositRefused:
            return DepositRefused(indices=(index,))

        for name in ("lakeside", "northgate"):
            on[name].door.answer(Deposit, refuse)
        await seated(on, *TURNED)
        assert await on["mercy"].redealer.work() == 0
        assert in_force(on, "mercy", sealed.records[0].batch_id)[0] == 1
        for name in ("lakeside", "northgate"):
            on[name].door.answer(Deposit, on[name].keeper.deposits.accept)
        assert await on["mercy"].redealer.work() == 1
        assert_whole(await on.view("st-luke", await on.clinician("st-luke"), wallet), "a", "b")


async def test_what_is_not_whole_is_said_and_the_rest_goes_on(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet, other = await on.patient("mercy"), await on.patient("mercy")
        lost = (await on.seal("mercy", wallet, "a")).records[0].batch_id
        kept = (await on.seal("mercy", other, "b")).records[0].batch_id
        with on["mercy"].store.commit("drill") as connection:
            connection.execute(OWN.delete().where(OWN.c.batch_id == lost))
        await seated(on, *TURNED)
        with pytest.raises(OwnStoreError):
            await on["mercy"].redealer.work()
        assert [in_force(on, "mercy", batch_id)[0] for batch_id in (lost, kept)] == [1, 2]


async def test_no_round_takes_more_than_its_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("salus.sdk.redealing.AT_ONCE_MAX", 2)
    assert AT_ONCE_MAX > 2
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        for source in "abc":
            await on.seal("mercy", wallet, source)
        await seated(on, *TURNED)
        assert [await on["mercy"].redealer.work() for _ in range(3)] == [2, 1, 0]


async def test_ciphertext_moves_to_the_vaults_that_are_to_keep_it_before_the_word_is_given(tmp_path: Path) -> None:
    """Mercy has no seat in the new committee, so its own vault serves nobody."""
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        sealed = await on.seal("mercy", wallet, *"abcdefgh")
        batch_id = sealed.records[0].batch_id
        await joined(on, "southport", "eastbay", "westend", "norwood")
        new = ("southport", "eastbay", "westend", "norwood")
        await seated(on, *new)
        honest = {name: on[name].vault.put for name in new}

        async def full(_sender: MemberId, _put: PutBlobs) -> object:
            raise TooFewSeatsError(answered=0, needed=1)

        for name in new:
            on[name].door.answer(PutBlobs, full)  # type: ignore[arg-type]
        assert await on["mercy"].redealer.work() == 0
        assert in_force(on, "mercy", batch_id)[0] == 1
        for name in new[:3]:
            on[name].door.answer(PutBlobs, honest[name])
        assert await on["mercy"].redealer.work() == 1  # Each blob has two places, and norwood's is the other one.
        assert stages(on) == [(2, 1, Stage.FINAL)]
        assert_whole(await on.view("st-luke", await on.clinician("st-luke"), wallet), *"abcdefgh")
        on["norwood"].door.answer(PutBlobs, honest["norwood"])
        assert await on["mercy"].author.work_outbox() == 1
        headers = [entry.header for entry in on["mercy"].store.own_by_subject(batch_id)[wallet.subject]]
        assert headers
        digests = on["mercy"].keeping.keeper.deposits.blobs_in(MemberId("mercy"), batch_id)
        for digest in digests or on["southport"].keeper.deposits.blobs_in(MemberId("mercy"), batch_id):
            for vault in keepers_of(digest, [MemberId(name) for name in new]):
                assert on[vault].blobs.read(MemberId("mercy"), batch_id, [digest]) != [None]


async def test_a_vault_without_a_seat_drops_what_it_need_not_keep_and_the_authors_keeps_it(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        batch_id = (await on.seal("mercy", wallet, *"abcdefgh")).records[0].batch_id
        await joined(on, "southport")
        await seated(on, "st-luke", "lakeside", "southport", "mercy")
        await dealt_again(on)

        def has(name: str) -> bool:
            return batch_id in {one for _, one, _ in on[name].blobs.packs()}

        assert has("northgate")
        await on.wait(3 * 3_600_000)
        await on.network.tend()
        assert [has(name) for name in ("northgate", "mercy", "southport")] == [False, True, True]
        assert_whole(await on.view("st-luke", await on.clinician("st-luke"), wallet), *"abcdefgh")


async def test_answers_from_both_sides_of_the_word_are_not_mixed_and_nobody_honest_is_named(tmp_path: Path) -> None:
    """Lakeside has not seen the word, northgate is away: three answers, of which no three are of one dealing."""
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        batch_id = (await on.seal("mercy", wallet, "a")).records[0].batch_id
        await seated(on, *TURNED)
        opened = await on.open("st-luke", await on.clinician("st-luke"), wallet)
        on.network.engine.hold(MemberId("lakeside"))
        assert await on["mercy"].redealer.work() == 1
        assert (in_force(on, "mercy", batch_id)[0], len(share_roots(on, "lakeside"))) == (2, 2)
        on.network.switchboard.off_line.add(MemberId("northgate"))
        with pytest.raises(TooFewSeatsError):  # At the height of the others lakeside does not answer.
            await opened.ask()
        await on.network.engine.release(MemberId("lakeside"))
        assert_whole(await opened.ask(), "a")


async def test_a_reader_asks_once_more_where_answers_lie_on_both_sides(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        await on.seal("mercy", wallet, "a")
        await seated(on, *TURNED)
        opened = await on.open("st-luke", await on.clinician("st-luke"), wallet)
        on.network.engine.hold(MemberId("lakeside"))
        assert await on["mercy"].redealer.work() == 1
        on.network.switchboard.off_line.add(MemberId("northgate"))
        honest = on["lakeside"].keeper.answers.answer
        asked: list[int] = []

        async def answer(sender: MemberId, ask: object) -> object:
            reply = await honest(sender, ask) if not asked else None  # type: ignore[arg-type]
            asked.append(1)
            await on.network.engine.release(MemberId("lakeside"))
            return reply or await honest(sender, ask)  # type: ignore[arg-type]

        on["lakeside"].door.answer(Ask, answer)  # type: ignore[arg-type]
        assert_whole(await opened.ask(), "a")
        assert len(asked) == 2


async def test_a_dealer_that_lied_at_the_new_epoch_is_named_and_old_shares_still_open_the_record(
    tmp_path: Path,
) -> None:
    """As long as one answer from before the word is among them, which it seldom is: shares of both are kept apart."""
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        await on.seal("mercy", wallet, "a")
        await seated(on, *TURNED)
        redealer = on["mercy"].redealer
        honest = redealer._dealt

        def lying(plan: object, entries: object, committee: object) -> object:
            return honest(plan, [replace(one, key=bytes(32)) for one in entries], committee)  # type: ignore

        redealer._dealt = lying  # type: ignore
        assert await redealer.work() == 1
        view = await on.view("st-luke", await on.clinician("st-luke"), wallet)
        assert [(one.member, one.what) for one in view.accusations] == [("mercy", "inconsistent_dealer")]
        assert (shown(view), [gap.reason for gap in view.gaps]) == ([], ["inconsistent_dealer"])
        own = await on["mercy"].reading(await on.clinician("mercy"), on.wanted(wallet)).read()
        assert shown(own.view) == [data_of("a")]


async def test_an_epoch_that_is_over_before_anybody_dealt_to_it_is_left_out(tmp_path: Path) -> None:
    """Mercy has no seat any more by then, and deals what it wrote all the same."""
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        other = await on.patient("lakeside", by="lakeside")
        await on.seal("mercy", wallet, "a")
        await on.seal("lakeside", other, "b")
        await joined(on, *SEVEN[4:])
        await seated(on, *SEVEN)
        await seated(on, *SEVEN[1:])
        await dealt_again(on)
        assert former(on.network.ledger.state, on.network.committee) == ()
        batches = {name: on[name].store.plans(Stage.DURABLE)[0].batch_id for name in ("mercy", "lakeside")}
        assert [in_force(on, name, batch_id)[0] for name, batch_id in batches.items()] == [3, 3]
        assert_whole(await on.view("st-luke", await on.clinician("st-luke"), wallet), "a")
