"""Sealing, the author's side: what is refused, what is planned, resumed, forgotten, dealt again and never doubled."""

from dataclasses import replace
from pathlib import Path

import pytest

from salus.contracts.records.header import LEAVES_PER_BATCH, Header
from salus.contracts.records.reads import batch_of
from salus.core.wire import reopen
from salus.sdk.author_store import Plan, Stage
from salus.sdk.errors import (
    LedgerRefusedError,
    NoSuchSubjectError,
    NothingToSealError,
    OwnStoreError,
    TooFewSeatsError,
)
from salus.vault.places import keepers_of
from tests.node.stage import Stage as On
from tests.node.stage import data_of, documents, permit, records_of, shown, stage

pytestmark = pytest.mark.usefixtures("kept_on")


async def test_a_member_without_a_link_seals_nothing_about_a_patient(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        with pytest.raises(NoSuchSubjectError):
            await on.seal("st-luke", wallet, "a")
        assert plans(on, "st-luke") == {}


async def test_a_member_that_is_no_writer_any_more_seals_nothing_and_may_try_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", "st-luke")
        without = await on.change(wallet, writers=wallet.writers[:1])
        with pytest.raises(NothingToSealError):
            await on.seal("st-luke", wallet, "a")
        assert plans(on, "st-luke") == {}
        assert on["st-luke"].author.was_sealed(wallet.subject, "a", data_of("a")) is None
        await on.change(without, writers=wallet.writers)
        assert (await on.seal("st-luke", wallet, "a")).is_durable


async def test_with_too_few_keepers_the_plan_waits_and_goes_on_without_being_drawn_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        on.network.switchboard.off_line |= {on[name].name for name in ("lakeside", "northgate")}
        with pytest.raises(TooFewSeatsError):
            await on.seal("mercy", wallet, "a")
        planned = on["mercy"].store.plans(Stage.PLANNED)
        assert len(planned) == 1
        assert await on["mercy"].author.resume() == 0  # Still too few; nothing is lost by trying.
        on.network.switchboard.off_line.clear()
        await on["mercy"].tend()
        (plan,) = on["mercy"].store.plans(Stage.DURABLE)
        assert (plan.batch_id, plan.root, plan.dummy_seed) == (
            planned[0].batch_id,
            planned[0].root,
            planned[0].dummy_seed,
        )
        assert shown(await on.view("st-luke", await on.clinician("st-luke"), wallet)) == [data_of("a")]


async def test_a_repeat_while_the_plan_waits_makes_no_double(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        on.network.switchboard.off_line |= {on[name].name for name in ("lakeside", "northgate")}
        with pytest.raises(TooFewSeatsError):
            await on.seal("mercy", wallet, "a")
        assert on["mercy"].author.was_sealed(wallet.subject, "a", data_of("a")) is not None
        assert on["mercy"].author.was_sealed(wallet.subject, "a", data_of("b")) is None
        (before,) = on["mercy"].author.sealed_before(documents(wallet, "a"))
        assert before[1]


async def test_one_plan_that_cannot_go_on_does_not_hold_up_the_next(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        left, stays = await on.patient("mercy", "st-luke"), await on.patient("st-luke", by="st-luke")
        on.network.switchboard.off_line |= {on[name].name for name in ("lakeside", "northgate")}
        for wallet in (left, stays):
            with pytest.raises(TooFewSeatsError):
                await on.seal("st-luke", wallet, "a")
        on.network.switchboard.off_line.clear()
        await on.change(left, writers=left.writers[:1])
        assert await on["st-luke"].author.resume() == 1
        assert list(plans(on, "st-luke").values()) == [Stage.DURABLE]


async def test_what_the_ledger_refuses_for_good_is_forgotten_so_that_its_source_is_free(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        first = await on.seal("mercy", wallet, "a")
        older = first.records[0]
        await on.seal("mercy", wallet, "b", replaces=older)
        with pytest.raises(LedgerRefusedError, match=r"records\.already_overridden"):
            await on.seal("mercy", wallet, "c", replaces=older)
        assert set(plans(on, "mercy").values()) == {Stage.DURABLE}
        assert on["mercy"].author.was_sealed(wallet.subject, "c", data_of("c")) is None
        assert (await on.seal("mercy", wallet, "c")).is_durable


async def test_a_successor_that_failed_leaves_the_older_version_known(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        first = await on.seal("mercy", wallet, "a", source="S")
        second = await on.seal("mercy", wallet, "b", source="S", replaces=first.records[0])
        with pytest.raises(LedgerRefusedError):
            await on.seal("mercy", wallet, "c", source="S", replaces=first.records[0])
        assert on["mercy"].author.version_of(wallet.subject, "S") == second.records[0]
        assert on["mercy"].author.was_sealed(wallet.subject, "S", data_of("b")) == second.records[0]


async def test_a_plan_whose_ciphertext_is_gone_is_an_alarm(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        on.network.switchboard.off_line |= {on[name].name for name in ("lakeside", "northgate")}
        with pytest.raises(TooFewSeatsError):
            await on.seal("mercy", wallet, "a")
        on.network.switchboard.off_line.clear()
        on["mercy"].blobs.drop(on["mercy"].name, on["mercy"].store.plans(Stage.PLANNED)[0].batch_id)
        with pytest.raises(OwnStoreError):
            await on["mercy"].author.resume()


async def test_a_plan_that_the_ledger_contradicts_is_an_alarm(tmp_path: Path) -> None:
    from salus.core.wire import replace as changed

    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        await on.seal("mercy", wallet, "a")
        (plan,) = on["mercy"].store.plans(Stage.DURABLE)
        on["mercy"].store.set_stage(changed(plan, root=bytes(32)), Stage.PLANNED)
        with pytest.raises(OwnStoreError):
            await on["mercy"].author.resume()


async def test_a_batch_that_became_final_unnoticed_is_taken_as_final(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        sealed = await on.seal("mercy", wallet, "a")
        (plan,) = on["mercy"].store.plans(Stage.DURABLE)
        on["mercy"].store.set_stage(forgotten(plan), Stage.PLANNED)
        assert await on["mercy"].author.resume() == 1
        assert on["mercy"].store.plans(Stage.FINAL)[0].height == sealed.height


def forgotten(plan: Plan) -> Plan:
    from salus.core.wire import replace as changed

    return changed(plan, height=0, tx_id=bytes(32))


async def test_the_outbox_deals_to_a_keeper_that_was_down_and_only_then_says_durable(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        await on.network.take_down("northgate")
        sealed = await on.seal("mercy", wallet, "a")
        assert not sealed.is_durable
        assert await on["mercy"].author.work_outbox() == 0
        await on.network.bring_back("northgate")
        await on.settled()
        assert await on["mercy"].author.work_outbox() == 1
        assert on["northgate"].keeper.deposits.batches() == on["mercy"].keeper.deposits.batches()
        assert await on["mercy"].author.audit() == 0


async def test_a_sealed_batch_is_readable_without_its_author_and_without_one_keeper(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        await on.network.take_down("northgate")
        await on.seal("mercy", wallet, "a")
        await on.network.bring_back("northgate")
        await on.settled()
        await on["mercy"].author.work_outbox()
        reader = await on.clinician("st-luke")
        await on.network.take_down("mercy")
        assert shown(await on.view("st-luke", reader, wallet)) == [data_of("a")]


async def test_blobs_lie_where_rendezvous_says_and_in_the_authors_own_vault(tmp_path: Path) -> None:
    async with stage(tmp_path, 7) as on:
        wallet = await on.patient("mercy")
        sealed = await on.seal("mercy", wallet, *(f"document {number}" for number in range(20)))
        batch_id = records_of(sealed)[0].batch_id
        names = [member.name for member in on.network.members]
        digests = on["mercy"].keeper.deposits.blobs_in(on["mercy"].name, batch_id)
        assert len(digests) == 20
        for digest in digests:
            holders = {m.name for m in on.network.members if m.blobs.read(on["mercy"].name, batch_id, [digest])[0]}
            assert holders == {*keepers_of(digest, names), "mercy"}


async def test_a_full_batch_and_one_record_look_alike_on_the_ledger(tmp_path: Path) -> None:
    async with stage(tmp_path, 1) as on:
        wallet = await on.patient("mercy")
        one = await on.seal("mercy", wallet, "single")
        full = await on.seal("mercy", wallet, *(str(number) for number in range(LEAVES_PER_BATCH)))
        sizes = set()
        for sealed in (one, full):
            stored = on["mercy"].replica.block(sealed.height)
            sizes.add(len(stored.block.txs[0]))
        assert len(sizes) == 1
        assert len({record.index for record in full.records.values()}) == LEAVES_PER_BATCH
        assert [record.index for record in records_of(full)] != sorted(record.index for record in full.records.values())


async def test_terms_are_blinded_sorted_and_padded(tmp_path: Path) -> None:
    async with stage(tmp_path, 1) as on:
        wallet = await on.patient("mercy")
        for terms in ((), ("label:PSY",), tuple(f"code:{number}" for number in range(9))):
            await on["mercy"].author.seal([replace(documents(wallet, f"{len(terms)}")[0], terms=terms)])
        headers = [
            reopen(Header, entry.header)
            for _, entries in on["mercy"].store.own_of_subject(wallet.subject)
            for entry in entries
        ]
        assert sorted(len(header.terms) for header in headers) == [8, 8, 16]
        for header in headers:
            assert list(header.terms) == sorted(header.terms)
            assert not any(b"PSY" in token for token in header.terms)


async def test_equal_documents_share_nothing_that_can_be_compared(tmp_path: Path) -> None:
    async with stage(tmp_path, 1) as on:
        wallet = await on.patient("mercy")
        await on["mercy"].author.seal([*documents(wallet, "a"), *documents(wallet, "a", source="again")])
        ((_, (first, second)),) = on["mercy"].store.own_of_subject(wallet.subject)
        one, other = reopen(Header, first.header), reopen(Header, second.header)
        assert first.key != second.key
        assert first.salt != second.salt
        assert one.blobs != other.blobs
        assert one.key_com != other.key_com


async def test_an_own_record_is_withdrawn_once(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", "st-luke")
        sealed = await on.seal("mercy", wallet, "a")
        with pytest.raises(LedgerRefusedError, match="batch_not_found"):
            await on["st-luke"].author.withdraw(sealed.records[0])
        await on["mercy"].author.withdraw(sealed.records[0])
        with pytest.raises(LedgerRefusedError, match="already_withdrawn"):
            await on["mercy"].author.withdraw(sealed.records[0])
        assert batch_of(on["mercy"].replica.state, on["mercy"].name, sealed.records[0].batch_id) is not None


def plans(on: On, member: str) -> dict[bytes, Stage]:
    """All plans of an author, by batch."""
    return {plan.batch_id: progress for progress in Stage for plan in on[member].store.plans(progress)}
