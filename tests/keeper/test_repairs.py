"""Departed authors' batches at the keepers: who may ask for them, who may deal them, and what is refused to whom."""

from pathlib import Path

import pytest

from salus.contracts.reads.opening import repair_to_sign
from salus.core.errors import SalusError
from salus.core.ids import MINUTE_MS
from salus.core.wire import encode, replace
from salus.crypto.hpke import seal
from salus.keeper import repairs
from salus.keeper.errors import (
    DepositConflictError,
    EnvelopeError,
    InconsistentDealerError,
    LogOverdueError,
    NoRequestError,
    NotBehindError,
    NotHeldError,
    NotSeatedError,
    NotSuccessorError,
    QuotaError,
    RepairWaitsError,
    RequestExpiredError,
    RestoredError,
    StaleError,
    WitnessError,
)
from salus.keeper.messages import BatchShares, Deposit, Deposited, RepairPart, Signed, batch_statement, info
from salus.keeper.store import BATCHES, HOLDINGS, POLICIES
from salus.sdk import consent
from salus.sdk.wallet import Wallet
from salus.vault.places import keepers_of
from tests.keeper.successors import AUTHOR, NOW, SUCCESSOR, asked, departed, learned, logged, made, opened, sent
from tests.node.changing import assert_whole, in_force, joined, left, repaired, seated, share_roots
from tests.node.stage import HOSPITALS, Stage, documents, permit, stage

pytestmark = pytest.mark.usefixtures("kept_on")


# Who asks.


async def test_every_flaw_of_a_successors_asking_is_refused_in_its_order_and_leaves_no_entry(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        gone = await departed(on)
        one = await opened(on, gone.batch_id)
        opening = one.opening
        repairs.WAIT_FOR_HEIGHT_S, kept = 0.05, repairs.WAIT_FOR_HEIGHT_S
        table: list[tuple[str, type[SalusError], dict[str, object]]] = [
            ("signed by another member", EnvelopeError, {"signer": "northgate"}),
            ("signed by nobody", EnvelopeError, {"signature": bytes(64)}),
            ("no opening", EnvelopeError, {"said": b"x"}),
            ("a height that this keeper does not reach", StaleError, {"at_height": one.height + 100}),
            ("an unknown committee", NotSeatedError, {"committee": bytes(16)}),
            ("another member's seat", NotSeatedError, {"seat": 2}),
            ("an epoch that never was", NotSeatedError, {"epoch": 7}),
            ("its seat of now, by its number then", NotSeatedError, {"epoch": 2}),
            ("another chain", NoRequestError, {"opening": replace(opening, chain="other")}),
            ("an unknown request", NoRequestError, {"opening": replace(opening, request_id=bytes(16))}),
            ("another batch than committed", NoRequestError, {"opening": replace(opening, batch_id=bytes(16))}),
            ("another author than committed", NoRequestError, {"opening": replace(opening, author="mercy")}),
            ("another salt than committed", NoRequestError, {"opening": replace(opening, salt=bytes(32))}),
            ("another reply key", NoRequestError, {"opening": replace(opening, reply_key=bytes(1216))}),
            ("another member's request", NoRequestError, {"sender": "northgate"}),
            ("the current epoch, at its seat there", NotBehindError, {"epoch": 2, "seat": 2}),
        ]  # fmt: skip
        try:
            for why, error, changes in table:
                with pytest.raises(SalusError) as caught:
                    await asked(on, one, **changes)  # type: ignore[arg-type]
                assert type(caught.value) is error, why
        finally:
            repairs.WAIT_FOR_HEIGHT_S = kept
        assert logged(on, gone.wallet, "mercy") == 0
        answer = await asked(on, one)
        assert (len(answer.holdings), answer.head.epoch, len(answer.head.indices)) == (1, 1, 2)
        assert logged(on, gone.wallet, "mercy") == 1
        on.clock.now += 11 * MINUTE_MS
        await on.wait(0, tending=False)
        with pytest.raises(RequestExpiredError):
            await asked(on, one)


async def test_nobody_but_the_successor_gets_a_departed_authors_shares(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        gone = await departed(on)
        for stranger in ("mercy", "northgate", "southport"):
            one = await opened(on, gone.batch_id, by=stranger)
            with pytest.raises(NotSuccessorError):
                await asked(on, one, sender=stranger)
        assert logged(on, gone.wallet, "mercy") == 0


async def test_no_author_that_is_a_member_is_stood_in_for(tmp_path: Path) -> None:
    """Neither by whom it means to name, nor by itself: it has its keys."""
    async with stage(tmp_path) as on:
        wallet = await on.patient("lakeside", by="lakeside")
        batch_id = (await on.seal("lakeside", wallet, "a")).records[0].batch_id
        await seated(on, "northgate", "mercy", "st-luke", "lakeside")
        for asker in ("st-luke", "lakeside"):
            one = await opened(on, batch_id, by=asker)
            with pytest.raises(NotSuccessorError):
                await asked(on, one, sender=asker)
        assert logged(on, wallet, "mercy") == 0


async def test_a_successor_that_has_left_too_is_refused_and_its_own_successor_is_not(tmp_path: Path) -> None:
    """Of ciphertext one copy stays, which is so in nine cases of ten; else it has left with both (decision 0031)."""
    for folder in (tmp_path / str(number) for number in range(20)):
        async with stage(folder, members=5) as on:
            wallet = await on.patient("lakeside", by="lakeside", rules=(permit("northgate"),))
            batch_id = (await on.seal("lakeside", wallet, "a")).records[0].batch_id
            (blob,) = on["northgate"].keeper.deposits.blobs_in(AUTHOR, batch_id)
            seats = on["mercy"].gateway.committee(on.network.committee).seats
            if set(keepers_of(blob, [holder.member for holder in seats])) == {"lakeside", "st-luke"}:
                continue
            await two_leave(on, wallet, batch_id)
        break
    else:
        pytest.fail("No copy stayed, twenty times.")


async def two_leave(on: Stage, wallet: Wallet, batch_id: bytes) -> None:
    fifth = on.network.members[4].name
    await left(on, "lakeside", "st-luke", seats=("mercy", "st-luke", "northgate", fifth))
    one = await opened(on, batch_id)
    key = on["st-luke"].gateway.key
    await left(on, "st-luke", "northgate", seats=("mercy", "northgate", fifth))
    with pytest.raises(EnvelopeError):  # No member signed it.
        await asked(on, one, signature=key.sign(repair_to_sign(one.opening)), signer="mercy")
    stranger = await opened(on, batch_id, by="mercy")
    with pytest.raises(NotSuccessorError):
        await asked(on, stranger, sender="mercy")
    own = await opened(on, batch_id, by="northgate")
    assert len((await asked(on, own, sender="northgate")).holdings) == 1
    await repaired(on)
    assert_whole(await on.view("northgate", await on.clinician("northgate"), wallet), "a")


async def test_a_batch_of_another_author_or_of_none_is_not_behind(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        gone = await departed(on)
        other = await on.patient("mercy")
        foreign = (await on.seal("mercy", other, "b")).records[0].batch_id
        for batch_id in (foreign, bytes(16)):
            one = await opened(on, batch_id)
            with pytest.raises(NotBehindError):
                await asked(on, one)
        await repaired(on)
        one = await opened(on, gone.batch_id)
        with pytest.raises(NotSeatedError):  # Nothing is dealt to the first epoch any more.
            await asked(on, one)
        with pytest.raises(NotBehindError):
            await asked(on, one, epoch=2, seat=2)


async def test_a_batch_of_a_frozen_patient_waits_until_it_is_thawed(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        gone = await departed(on)
        gateway = on["northgate"].gateway
        await consent.freeze(gateway, gone.wallet)
        await on.settled()
        one = await opened(on, gone.batch_id)
        with pytest.raises(RepairWaitsError):
            await asked(on, one)
        await on.network.tend()
        assert (in_force(on, "lakeside", gone.batch_id)[0], logged(on, gone.wallet, "mercy")) == (1, 0)
        await consent.thaw(gateway, gone.wallet)
        await on.wait(16 * MINUTE_MS)
        await repaired(on)
        assert_whole(await on.view("northgate", await on.clinician("northgate"), gone.wallet), "a")


async def test_a_batch_of_a_patient_whom_a_keeper_does_not_know_waits(tmp_path: Path) -> None:
    """Without the policy it cannot tell whose cell it is, and whether it is frozen."""
    async with stage(tmp_path) as on:
        gone = await departed(on)
        one = await opened(on, gone.batch_id)
        policies = on["mercy"].keeper.policies
        tag = on["mercy"].keeper._store.tag(gone.wallet.subject)
        with on["mercy"].keeper._store.commit("drill") as connection:
            connection.execute(POLICIES.delete().where(POLICIES.c.tag == tag))
        policies.forget(gone.wallet.cell, tag)
        with pytest.raises(RepairWaitsError):
            await asked(on, one)


async def test_of_a_closed_patient_nothing_leaves_and_the_others_of_the_batch_are_dealt(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        first = await on.patient("lakeside", by="lakeside")
        second = await on.patient("lakeside", by="lakeside", rules=(permit("northgate"),))
        both = [*documents(first, "a"), *documents(second, "b", source="b")]
        batch_id = (await on["lakeside"].author.seal(both)).records[0].batch_id
        await joined(on, "southport")
        await left(on, "lakeside", "st-luke", seats=NOW)
        await consent.close(on["mercy"].gateway, first)
        await on.settled()
        answer = await asked(on, await opened(on, batch_id))
        assert (len(answer.holdings), len(answer.head.indices)) == (1, 2)
        assert (logged(on, first, "mercy"), logged(on, second, "mercy")) == (0, 1)
        await repaired(on)
        assert_whole(await on.view("northgate", await on.clinician("northgate"), second), "b")


async def test_a_keeper_that_was_not_dealt_the_batch_says_so(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        gone = await departed(on)
        one = await opened(on, gone.batch_id)
        with on["mercy"].keeper._store.commit("drill") as connection:
            for table in (BATCHES, HOLDINGS):
                connection.execute(table.delete())
        with pytest.raises(NotHeldError):
            await asked(on, one)
        await on.network.tend()
        assert in_force(on, "lakeside", gone.batch_id)[0] == 1  # Two others hold it, and a key takes three.


async def test_no_batch_is_asked_for_without_end_nor_with_a_log_that_is_overdue(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        gone = await departed(on)
        one = await opened(on, gone.batch_id)
        for _ in range(repairs.ASKS_PER_DAY):
            on["mercy"].keeper.repairs._check_quota(AUTHOR, gone.batch_id)
        with pytest.raises(QuotaError):
            await asked(on, one)
        await asked(on, one, keeper="northgate")
        on.clock.now += 2 * MINUTE_MS
        await on.wait(0, tending=False)
        with pytest.raises(LogOverdueError):
            await asked(on, one, keeper="northgate")


async def test_a_keeper_that_has_not_caught_up_answers_no_successor(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        gone = await departed(on)
        one = await opened(on, gone.batch_id)
        on["mercy"].keeper._store.set_reconciled(False)
        with pytest.raises(RestoredError):
            await asked(on, one)


# Who deals.


async def test_every_flaw_of_what_a_successor_deals_is_refused_in_its_order_and_nothing_is_kept(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        gone = await departed(on, "a", "b")
        repair = await learned(on, gone.batch_id)
        right = made(on, repair)
        (part,) = right.parts
        first, second = part.entries
        fewer = RepairPart((first,), part.leaf_proof)

        def with_first(**changes: object) -> tuple[RepairPart, ...]:
            return (replace(part, entries=(replace(first, **changes), second)),)

        witness = right.witnesses[0]
        forged = replace(right.witnesses[1], signature=bytes(64))
        elsewhere = [replace(one, head=replace(one.head, epoch=2)) for one in right.witnesses]
        twice = (RepairPart((first,), b""), RepairPart((second,), b""))
        table: list[tuple[str, type[SalusError], dict[str, object]]] = [
            ("another chain", EnvelopeError, {"chain": "other"}),
            ("another dealer", EnvelopeError, {"dealer": "mercy"}),
            ("an epoch that is over", NotSeatedError, {"epoch": 1}),
            ("an author that is a member", NotSuccessorError, {"author": "mercy"}),
            ("an author that never was", NotSuccessorError, {"author": "nobody"}),
            ("a batch that is not on the ledger", DepositConflictError, {"batch_id": bytes(16)}),
            ("another root", DepositConflictError, {"root": bytes(32)}),
            ("nobody's word on what there is", WitnessError, {"witnesses": ()}),
            ("one keeper's word", WitnessError, {"witnesses": (witness,)}),
            ("one keeper's word, twice", WitnessError, {"witnesses": (witness, witness)}),
            ("one keeper's word, and one forged", WitnessError, {"witnesses": (witness, forged)}),
            ("words of another epoch", WitnessError, {"witnesses": tuple(elsewhere)}),
            ("a record left out", WitnessError, {"parts": (fewer,)}),
            ("all records left out", WitnessError, {"parts": ()}),
            ("another place than the header's", WitnessError, {"parts": with_first(index=(first.index + 1) % 1024)}),
            ("another share root", InconsistentDealerError, {"share_root": bytes(32)}),
            ("another seed", InconsistentDealerError, {"dummy_seed": bytes(32)}),
            ("another path", InconsistentDealerError, {"parts": (replace(part, leaf_proof=b"x" * 64),)}),
            ("a path cut short", InconsistentDealerError, {"parts": (replace(part, leaf_proof=part.leaf_proof[:-1]),)}),
            ("a patient's records in two", InconsistentDealerError, {"parts": twice}),
            ("records in falling order", InconsistentDealerError, {"parts": (replace(part, entries=(second, first)),)}),
            ("a share that is not its hash", InconsistentDealerError, {"parts": with_first(share=bytes(32))}),
            ("too few hashes", InconsistentDealerError, {"parts": with_first(share_hashes=first.share_hashes[:32])}),
        ]  # fmt: skip
        keeper = on["northgate"].keeper
        before = share_roots(on, "northgate")
        for why, error, changes in table:
            with pytest.raises(SalusError) as caught:
                await sent(on, repair, replace(right, **changes))
            assert type(caught.value) is error, (why, caught.value)
        with pytest.raises(EnvelopeError):
            await sent(on, repair, right, signer="northgate")
        assert share_roots(on, "northgate") == before
        assert logged(on, gone.wallet, "northgate") == 1  # When it was asked, as a keeper of before.
        assert isinstance(await sent(on, repair, right), Deposited)
        assert logged(on, gone.wallet, "northgate") == 2
        assert isinstance(await sent(on, repair, right), Deposited)
        assert logged(on, gone.wallet, "northgate") == 2
        assert keeper.log.broken_chains() == []


async def test_nobody_but_the_successor_deals_in_a_departed_authors_stead(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        gone = await departed(on)
        repair = await learned(on, gone.batch_id)
        for stranger in ("mercy", "southport"):
            shares = replace(made(on, repair, by=stranger), dealer=stranger)
            with pytest.raises(NotSuccessorError):
                await sent(on, repair, shares, sender=stranger)


async def test_a_successor_takes_no_shortcut_through_an_authors_own_door(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        gone = await departed(on)
        repair = await learned(on, gone.batch_id)
        holder = on["mercy"].gateway.committee(on.network.committee).seats[0]
        deposit = made(on, repair)
        body = encode(
            BatchShares(
                chain=deposit.chain,
                author=AUTHOR,
                batch_id=gone.batch_id,
                committee=deposit.committee,
                epoch=2,
                seat=1,
                root=deposit.root,
                share_root=deposit.share_root,
                dummy_seed=deposit.dummy_seed,
                entries=deposit.parts[0].entries,
            )
        )
        signed = Signed(body=body, signature=on["st-luke"].gateway.key.sign(batch_statement(body)))
        sealed = seal(holder.sealing, encode(signed), info(deposit.chain, "deposit"))
        with pytest.raises(EnvelopeError):
            await on["northgate"].keeper.deposits.accept(SUCCESSOR, Deposit(seat=1, sealed=sealed))


async def test_a_keeper_whose_vault_gets_no_ciphertext_signs_nothing(tmp_path: Path) -> None:
    """Nor is a word given: with the old shares the ciphertext of before would go."""
    async with stage(tmp_path) as on:
        gone = await departed(on, *"abcdefgh")
        repair = await learned(on, gone.batch_id)
        for name in HOSPITALS:
            if name in on.network:
                on[name].blobs.drop(AUTHOR, gone.batch_id)
        with pytest.raises(NotHeldError):
            await sent(on, repair, made(on, repair, seat=4))
        for _ in range(2):
            await on.network.tend()
        assert in_force(on, "lakeside", gone.batch_id)[0] == 1
        assert share_roots(on, "southport") == set()


async def test_a_record_frozen_after_the_successor_asked_stays_where_it_is(tmp_path: Path) -> None:
    """The entry in the log is all that tells a patient of it."""
    async with stage(tmp_path) as on:
        gone = await departed(on)
        await on["southport"].keeping.tend()
        repair = await learned(on, gone.batch_id)
        await consent.freeze(on["northgate"].gateway, gone.wallet)
        await on.settled()
        for seat in range(1, 5):
            with pytest.raises(RepairWaitsError):
                await sent(on, repair, made(on, repair, seat=seat))


async def test_a_flood_of_witnesses_is_cut_off_before_one_is_looked_at(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        gone = await departed(on)
        repair = await learned(on, gone.batch_id)
        flood = replace(made(on, repair), witnesses=repair.witnesses[:1] * 300)
        with pytest.raises(EnvelopeError):
            await sent(on, repair, flood)


async def test_who_asked_too_often_costs_a_keeper_nothing_any_more(tmp_path: Path) -> None:
    """Not even the opening of what it holds; and what is refused for a freeze counts."""
    async with stage(tmp_path) as on:
        gone = await departed(on)
        await consent.freeze(on["northgate"].gateway, gone.wallet)
        await on.settled()
        one = await opened(on, gone.batch_id)
        for _ in range(repairs.ASKS_PER_DAY):
            with pytest.raises(RepairWaitsError):
                await asked(on, one)
        with pytest.raises(QuotaError):
            await asked(on, one)
