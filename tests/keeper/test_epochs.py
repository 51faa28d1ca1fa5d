"""A keeper at a committee's new epoch: what it takes, serves, fetches and destroys, and what it refuses."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from salus.contracts.records.statements import deposited
from salus.core.errors import SalusError
from salus.core.ids import HOUR_MS, MemberId
from salus.core.wire import replace
from salus.crypto.signatures import verify
from salus.keeper.epochs import _done
from salus.keeper.errors import DepositConflictError, NotSeatedError, PolicyMissingError
from salus.keeper.messages import Deposited, PolicyWanted
from salus.keeper.store import BATCHES, POLICIES
from salus.sdk import consent
from salus.sdk.author_store import Plan
from salus.sdk.dealing import by_index
from tests.keeper.forging import Genuine, altered, dealt, envelope
from tests.keeper.test_answers import asked
from tests.node.changing import assert_whole, dealt_again, in_force, joined, seated, share_roots
from tests.node.stage import HOSPITALS, Stage, documents, permit, shown, stage

pytestmark = pytest.mark.usefixtures("kept_on")

TURNED = ("northgate", "mercy", "st-luke", "lakeside")  # Nobody keeps the seat it had.


def again(on: Stage, batch_id: bytes, seat: int = 1) -> Genuine:
    """A seat's shares of a final batch of mercy's, dealt to the committee's epoch; nothing is sent."""
    author = on["mercy"].author
    found = author._store.plan(batch_id)
    assert found is not None
    committee = author._gateway.committee(found[0].committee)
    own = author._store.own_by_subject(batch_id)
    plan: Plan = replace(found[0], epoch=committee.epoch)
    root, share_root = author._roots(plan, own, committee)
    assert root == plan.root
    return dealt(on, "mercy", replace(plan, share_root=share_root), by_index(own), seat)


def waiting(on: Stage, member: str) -> set[bytes]:
    """Share roots of dealings that wait for the ledger."""
    rows = on[member].keeper._store.connection.execute(sa.select(BATCHES.c.share_root).where(BATCHES.c.good_until > 0))
    return {bytes(one) for one in rows.scalars()}


async def test_a_batch_dealt_again_is_taken_beside_the_old_dealing_and_not_served_yet(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        batch_id = (await on.seal("mercy", wallet, "a")).records[0].batch_id
        await on.network.tend()
        await seated(on, *HOSPITALS)
        sent = again(on, batch_id)
        reply = await on["mercy"].keeper.deposits.accept("mercy", envelope(on, sent))  # type: ignore[arg-type]
        assert isinstance(reply, Deposited)
        shares = sent.shares
        statement = deposited(
            chain=shares.chain,
            author=shares.author,
            batch_id=batch_id,
            root=shares.root,
            share_root=shares.share_root,
            committee=shares.committee,
            epoch=2,
            good_until=reply.good_until,
        )
        assert verify(on["mercy"].secrets.public.keeper, statement, reply.signature)
        _, old = in_force(on, "mercy", batch_id)
        assert share_roots(on, "mercy") == {old, shares.share_root}
        reader = await on.clinician("st-luke")
        opened = await on.open("st-luke", reader, wallet)
        answer = await asked(on, opened, reader)
        assert len(answer.items) == 1  # And it is the old one, or the reader would name mercy:
        assert_whole(await opened.ask(), "a")


async def test_what_no_quorum_took_in_time_is_dropped_and_the_old_dealing_stays(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        batch_id = (await on.seal("mercy", wallet, "a")).records[0].batch_id
        await on["mercy"].keeping.tend()
        await seated(on, *HOSPITALS)
        sent = again(on, batch_id)
        await on["mercy"].keeper.deposits.accept("mercy", envelope(on, sent))  # type: ignore[arg-type]
        assert waiting(on, "mercy") == {sent.shares.share_root}
        await on.wait(3 * HOUR_MS, tending=False)
        await on["mercy"].keeping.tend()
        assert share_roots(on, "mercy") == {in_force(on, "mercy", batch_id)[1]}
        assert_whole(await on.view("st-luke", await on.clinician("st-luke"), wallet), "a")


async def test_no_other_dealing_of_a_batch_is_taken_than_fits_the_ledger(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        batch_id = (await on.seal("mercy", wallet, "a", "b")).records[0].batch_id
        accept = on["mercy"].keeper.deposits.accept
        before = again(on, batch_id)
        await seated(on, *HOSPITALS)
        with pytest.raises(NotSeatedError):
            await accept("mercy", envelope(on, before))  # type: ignore[arg-type]
        found = on["mercy"].author._store.plan(batch_id)
        assert found is not None
        fewer = by_index(on["mercy"].store.own_by_subject(batch_id))[:1]
        own = {wallet.subject: fewer}
        plan = replace(found[0], epoch=2)
        root, share_root = on["mercy"].author._roots(plan, own, on["mercy"].gateway.committee(plan.committee))
        changed = replace(plan, root=root, share_root=share_root)
        with pytest.raises(DepositConflictError):  # A record left out: its headers lead to another root.
            await accept("mercy", envelope(on, dealt(on, "mercy", changed, fewer)))  # type: ignore[arg-type]
        right = again(on, batch_id)
        await on["mercy"].redealer.work()
        other = altered_keys(on, right)
        with pytest.raises(DepositConflictError):
            await accept("mercy", envelope(on, other))  # type: ignore[arg-type]
        assert isinstance(await accept("mercy", envelope(on, right)), Deposited)  # type: ignore[arg-type]


def altered_keys(on: Stage, sent: Genuine) -> Genuine:
    """The same records dealt under other keys, sound in itself."""
    author = on["mercy"].author
    found = author._store.plan(sent.shares.batch_id)
    assert found is not None
    committee = author._gateway.committee(found[0].committee)
    entries = [replace(one, key=bytes(32)) for one in by_index(author._store.own_by_subject(sent.shares.batch_id))]
    plan = replace(found[0], epoch=committee.epoch)
    subject = next(iter(author._store.own_by_subject(sent.shares.batch_id)))
    _, share_root = author._roots(plan, {subject: entries}, committee)
    made = dealt(on, "mercy", replace(plan, share_root=share_root), entries)
    return altered(made, root=sent.shares.root)


async def test_a_keeper_that_missed_the_new_shares_destroys_the_old_ones_and_gets_the_new_from_the_outbox(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        batch_id = (await on.seal("mercy", wallet, "a")).records[0].batch_id
        await seated(on, *TURNED)
        on.network.switchboard.off_line.add(MemberId("northgate"))
        assert await on["mercy"].redealer.work() == 1
        on.network.switchboard.off_line.clear()
        epoch, new = in_force(on, "mercy", batch_id)
        assert epoch == 2
        assert new not in share_roots(on, "northgate")
        await on["northgate"].keeping.tend()
        assert share_roots(on, "northgate") == set()
        assert await on["mercy"].author.work_outbox() == 1
        assert share_roots(on, "northgate") == {new}
        view = await on.view("st-luke", await on.clinician("st-luke"), wallet)
        assert_whole(view, "a")
        assert view.notices == []


async def test_a_new_seat_fetches_policies_once_and_none_of_closed_cells(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet, closed = await on.patient("mercy"), await on.patient("mercy")
        await consent.close(on["mercy"].gateway, closed)
        await joined(on, "southport")
        await seated(on, *HOSPITALS, "southport")
        keeper = on["southport"].keeper
        assert await keeper.policies.current(wallet.subject) is None  # It cannot know whose cell to look at.
        await on["southport"].keeping.tend()
        held = await keeper.policies.current(wallet.subject)
        assert held is not None
        assert held.policy.subject == wallet.subject
        rows = keeper._store.connection.execute(sa.select(POLICIES.c.cell)).scalars()
        assert {bytes(cell) for cell in rows} == {wallet.cell}
        assert keeper._store.meta(_done(wallet.committee)) == (2).to_bytes(8, "big")


async def test_a_new_seat_goes_on_until_it_has_them_all(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        await joined(on, "southport")
        await seated(on, *HOSPITALS, "southport")
        keeper = on["southport"].keeper
        on.network.switchboard.off_line.update(MemberId(name) for name in HOSPITALS)
        await keeper.epochs.follow()
        assert keeper._store.meta(_done(wallet.committee)) is None
        on.network.switchboard.off_line.clear()
        await keeper.epochs.follow()
        assert keeper._store.meta(_done(wallet.committee)) is not None


async def test_who_kept_its_seat_looks_for_no_policies(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        await on.patient("mercy")
        await seated(on, *TURNED)
        await seated(on, *HOSPITALS)
        epochs = on["mercy"].keeper.epochs
        assert epochs._has_policies(on.network.committee, 3)
        await joined(on, "southport")
        await seated(on, *HOSPITALS, "southport")
        assert not on["southport"].keeper.epochs._has_policies(on.network.committee, 4)
        await on["southport"].keeping.tend()
        await seated(on, "southport", *HOSPITALS)
        assert on["southport"].keeper.epochs._has_policies(on.network.committee, 5)


async def test_a_former_seat_is_told_policies_and_asked_while_batches_lie_there_and_not_after(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("st-luke", rules=(permit("lakeside"),), by="st-luke")
        await on.seal("st-luke", wallet, "a")
        await joined(on, "southport")
        await seated(on, "st-luke", "lakeside", "northgate", "southport")  # Mercy sat on seat 1.
        wallet = await on.change(wallet, by="st-luke", rules=(permit("lakeside"), permit("southport")))
        held = await on["st-luke"].keeper.policies.current(wallet.subject)
        assert held is not None
        told = on["st-luke"].keeper.policies.told
        wanted = PolicyWanted(wallet.committee, epoch=1, seat=1, cell_id=wallet.cell, commitment=held.commitment)
        assert (await told(MemberId("mercy"), wanted)).sealed
        with pytest.raises(NotSeatedError):
            await told(MemberId("mercy"), replace(wanted, epoch=2))
        with pytest.raises(NotSeatedError):
            await told(MemberId("mercy"), replace(wanted, epoch=7))
        assert await on["mercy"].keeper.policies.current(wallet.subject) == held  # It fetched what it missed.
        reader = await on.clinician("lakeside")
        assert_whole(await on.view("lakeside", reader, wallet), "a")

        await dealt_again(on)
        with pytest.raises(NotSeatedError):
            await told(MemberId("mercy"), wanted)
        view = await on.view("lakeside", reader, wallet)
        assert_whole(view, "a")
        assert view.absent == ()
        wallet = await on.change(wallet, by="st-luke", rules=())
        with pytest.raises(PolicyMissingError):
            await on["mercy"].keeper.policies.current(wallet.subject)


async def test_of_a_closed_cell_nothing_is_kept_and_the_rest_of_the_batch_moves(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet, closed = await on.patient("mercy", rules=(permit("st-luke"),)), await on.patient("mercy")
        sealed = await on["mercy"].author.seal([*documents(wallet, "a"), *documents(closed, "b")])
        await consent.close(on["mercy"].gateway, closed)
        await joined(on, "southport")
        await seated(on, "mercy", "st-luke", "lakeside", "southport")
        await dealt_again(on)
        assert in_force(on, "mercy", sealed.records[0].batch_id)[0] == 2
        for name in ("mercy", "southport"):
            found = list(on[name].keeper.deposits.holdings_of(closed.subject))
            assert found == []
            assert len(list(on[name].keeper.deposits.holdings_of(wallet.subject))) == 1
        assert_whole(await on.view("st-luke", await on.clinician("st-luke"), wallet), "a")
        assert shown(await on.view("st-luke", await on.clinician("st-luke"), closed)) == []


async def test_an_ask_on_a_seat_of_an_epoch_that_is_over_is_refused(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        await on.seal("mercy", wallet, "a")
        reader = await on.clinician("st-luke")
        opened = await on.open("st-luke", reader, wallet)
        await seated(on, *HOSPITALS)
        assert (await asked(on, opened, reader)).head.epoch == 1  # Mercy sat there when the batch was dealt.
        await dealt_again(on)
        with pytest.raises(SalusError) as caught:
            await asked(on, opened, reader)
        assert type(caught.value) is NotSeatedError
