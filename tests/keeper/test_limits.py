"""What one member cannot grow at another, and what is dropped when it was for nothing."""

import os
from pathlib import Path

import pytest
import sqlalchemy as sa

from salus.contracts.consent import PolicySet
from salus.contracts.reads.opening import REASON_CHARACTERS_MAX, to_sign
from salus.core.errors import MalformedError
from salus.core.ids import DAY_MS, MINUTE_MS, SECOND_MS
from salus.core.transport import REQUEST_BYTES_MAX, Door, PeerMalformedError, PeerRefusalError, Said, ask
from salus.core.wire import decode, encode, replace
from salus.crypto.hpke import seal
from salus.keeper import answers, deposits, policies
from salus.keeper.deposits import GOOD_MS
from salus.keeper.errors import BreakGlassError, QuotaError, StaleError
from salus.keeper.messages import (
    Deposited,
    Noted,
    PolicyDeposit,
    PolicyHeld,
    SealedPolicy,
    SomethingNew,
    info,
    log_entry_digest,
)
from salus.keeper.store import BATCHES, HOLDINGS, LOG, POLICIES, SUBJECTS
from salus.sdk import author_store, consent
from salus.sdk.dealing import by_index
from salus.sdk.reader import Reader, Wanted, open_read
from salus.sdk.wallet import new_wallet
from salus.vault.messages import Blobs, BlobWanted, GetBlobs
from salus.vault.places import preference
from tests.keeper.forging import dealt, envelope, genuine
from tests.keeper.test_answers import asked, cosigned
from tests.node.stage import BTG, TREAT, Stage, documents, permit, shown, stage


def count(on: Stage, *tables: sa.Table) -> tuple[int, ...]:
    connection = on["mercy"].keeping._store.connection
    return tuple(connection.execute(sa.select(sa.func.count()).select_from(t)).scalar_one() for t in tables)


async def leave(on: Stage, policy: PolicySet) -> PolicyHeld:
    """Leave a version with mercy's keeper, as northgate."""
    holder = on["mercy"].gateway.committee(on.network.committee).seats[0]
    deposit = PolicyDeposit(policy=policy, evidence=None, cosignature=None)
    sealed = seal(holder.sealing, encode(deposit), info(on["mercy"].gateway.chain, "policy"))
    return await ask(
        on["northgate"].gateway.transport, on["mercy"].name, SealedPolicy(seat=1, sealed=sealed), PolicyHeld
    )


def fresh(on: Stage) -> PolicySet:
    return new_wallet(on.network.genesis.chain, on.network.committee, "us", ()).policy(0, bytes(32))


async def test_a_request_above_the_limit_is_not_even_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert REQUEST_BYTES_MAX >= 1 << 26
    monkeypatch.setattr("salus.core.transport.REQUEST_BYTES_MAX", 10)
    assert decode(Said, await Door().handle("mercy", bytes(11))).family == "malformed"  # type: ignore[arg-type]


async def test_a_memo_or_a_reason_that_is_too_long_is_malformed(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        with pytest.raises(PeerMalformedError):
            await leave(on, replace(fresh(on), memo=bytes(65_537)))
        wallet = await on.patient("mercy")
        with pytest.raises(MalformedError):
            await on.open("st-luke", await on.clinician("st-luke"), wallet, TREAT, "R" * (REASON_CHARACTERS_MAX + 1))
        assert count(on, POLICIES) == (1,)


async def test_versions_of_cells_that_never_come_are_dropped_with_their_subjects_keys(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        kept = await on.patient("mercy")
        before = count(on, POLICIES, SUBJECTS)
        await leave(on, fresh(on))
        await leave(on, replace(kept.policy(1, bytes(32)), rules=()))  # A next version that is never advanced to.
        on["mercy"].keeper.tick()
        assert count(on, POLICIES, SUBJECTS) == (before[0] + 2, before[1] + 1)
        await on.wait(GOOD_MS + SECOND_MS)
        on["mercy"].keeper.tick()
        assert count(on, POLICIES, SUBJECTS) == before
        assert await on["mercy"].keeper.policies.current(kept.subject) is not None


async def test_only_so_many_versions_of_one_member_wait_for_their_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policies, "WAITING_MAX", 2)
    async with stage(tmp_path) as on:
        for _ in range(4):
            await on.patient("mercy", by="northgate")  # These are committed to, and wait no more.
        await leave(on, fresh(on))
        await leave(on, fresh(on))
        with pytest.raises(PeerRefusalError, match="quota"):
            await leave(on, fresh(on))
        await on.patient("mercy")  # Another member's go on.


async def test_reading_handles_that_never_were_leaves_neither_key_nor_row_but_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(tmp_path) as on:
        await on.patient("mercy")
        reader = await on.clinician("northgate")
        before = count(on, SUBJECTS, LOG)
        monkeypatch.setattr(answers, "READS_PER_DAY", 2)
        for _ in range(2):
            opened = await open_read(
                on["northgate"].gateway, reader, Wanted(os.urandom(16), on.network.committee, TREAT)
            )
            answer = await asked(on, opened, reader, sender="northgate")
            assert (answer.head.log_number, answer.head.log_entry, answer.items) == (0, bytes(32), ())
        assert count(on, SUBJECTS, LOG) == before
        with pytest.raises(QuotaError):
            await asked(on, opened, reader, sender="northgate")
        await on.wait(DAY_MS + SECOND_MS)
        opened = await open_read(on["northgate"].gateway, reader, Wanted(os.urandom(16), on.network.committee, TREAT))
        monkeypatch.setattr(answers, "READS_PER_DAY", 1)
        await asked(on, opened, reader, sender="northgate")


async def test_a_second_deposit_under_other_shares_takes_nothing_from_the_first(tmp_path: Path) -> None:
    """Otherwise an author could make a keeper lose what it has signed for, and have it accused."""
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        author = on["mercy"].author
        docs = documents(wallet, "a")
        draft = author._draft(docs, on.network.committee)
        first = dealt(on, "mercy", draft.plan, by_index(draft.own))
        accept = on["mercy"].keeper.deposits.accept
        assert isinstance(await accept("mercy", envelope(on, first)), Deposited)
        keys = {s: [replace(e, key=bytes(32)) for e in entries] for s, entries in draft.own.items()}
        root, share_root = author._roots(draft.plan, keys, on["mercy"].gateway.committee(on.network.committee))
        assert root == draft.plan.root
        other = dealt(on, "mercy", replace(draft.plan, share_root=share_root), by_index(keys))
        assert isinstance(await accept("mercy", envelope(on, other)), Deposited)
        assert count(on, BATCHES, HOLDINGS) == (2, 2)
        held = on["mercy"].keeper.deposits.missing
        place = draft.plan.batch_id, draft.plan.root
        assert held("mercy", ((*place, draft.plan.share_root), (*place, share_root))) == ()  # type: ignore[arg-type]
        assert held("mercy", ((*place, bytes(32)),)) == (place[0],)  # type: ignore[arg-type]


async def test_an_author_deals_one_batch_under_few_roots_and_few_batches_that_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        accept = on["mercy"].keeper.deposits.accept
        monkeypatch.setattr(deposits, "WAITING_MAX", 2)
        sealed = await on.seal("mercy", wallet, "final")
        assert sealed.is_durable
        sent = [genuine(on, "mercy", documents(wallet, name)) for name in ("a", "b", "c")]
        for one in sent[:2]:
            await accept("mercy", envelope(on, one))
        with pytest.raises(QuotaError):
            await accept("mercy", envelope(on, sent[2]))
        await accept("mercy", envelope(on, sent[0]))  # A repeat takes no room.
        monkeypatch.setattr(deposits, "ROOTS_MAX", 0)
        monkeypatch.setattr(deposits, "WAITING_MAX", 9)
        with pytest.raises(QuotaError):
            await accept("mercy", envelope(on, sent[2]))


async def test_final_batches_are_not_looked_at_again_when_expired_ones_are_dropped(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        await on.seal("mercy", wallet, "a")
        keeper = on["mercy"].keeper
        query = sa.select(BATCHES.c.good_until)
        assert on["mercy"].keeping._store.connection.execute(query).scalar_one() > 0
        assert keeper.deposits.drop_expired() == 0
        assert on["mercy"].keeping._store.connection.execute(query).scalar_one() == 0
        await on.wait(GOOD_MS + MINUTE_MS)
        assert keeper.deposits.drop_expired() == 0
        assert len(keeper.deposits.batches()) == 1


async def test_a_blob_named_often_is_sent_once_and_a_reply_has_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        await on.seal("mercy", wallet, "a", "b", "c")
        reader = await on.clinician("st-luke")
        opened = await on.open("st-luke", reader, wallet)
        view = await opened.ask()
        members = [holder.member for holder in on["mercy"].gateway.committee(on.network.committee).seats]
        header = view.records[0].header
        want = BlobWanted(header.record.author, header.record.batch_id, header.blobs[0])
        transport, vault = on["st-luke"].gateway.transport, preference(header.blobs[0], members)[0]
        get = GetBlobs(opened.opening.request_id, (want,) * 500)
        reply = await ask(transport, vault, get, Blobs)
        assert (len(reply.blobs), sum(blob is not None for blob in reply.blobs)) == (500, 1)
        with pytest.raises(PeerMalformedError):
            await ask(transport, vault, replace(get, wanted=(want,) * 4097), Blobs)
        monkeypatch.setattr("salus.vault.vault.REPLY_BYTES_MAX", 1)
        monkeypatch.setattr("salus.sdk.fetching.FULL_BYTES", 1)
        assert len(shown(await opened.ask())) == 3  # One by one, and all the same.


async def test_blobs_are_refused_once_consent_or_credential_changed(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        await on.seal("mercy", wallet, "a")
        reader = await on.clinician("st-luke")
        opened = await on.open("st-luke", reader, wallet)
        await asked(on, opened, reader)
        request_id = opened.opening.request_id
        assert on["mercy"].keeper.permitted(request_id) is not None
        await consent.freeze(on["mercy"].gateway, wallet)
        await on.settled()
        assert on["mercy"].keeper.permitted(request_id) is None
        await consent.thaw(on["mercy"].gateway, wallet)
        await on.settled()
        assert on["mercy"].keeper.permitted(request_id) is not None
        await on.change(wallet, rules=())
        await on.settled()
        assert on["mercy"].keeper.permitted(request_id) is None


async def test_who_is_permitted_nothing_is_told_of_nothing(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke", fhir_types=("Observation",)),))
        await on.seal("mercy", wallet, "a")
        told: list[tuple[str, str]] = []

        def before(sender: str, to: str, data: bytes) -> float:
            if b"something_new" in data[:40]:
                told.append((sender, to))
            return 0

        on.network.switchboard.before = before  # type: ignore[assignment]
        for member in ("st-luke", "northgate"):
            reader = await on.clinician(member)
            await asked(on, await on.open(member, reader, wallet), reader, sender=member, watch=True)
        assert len(on["mercy"].keeper.answers.watched) == 1
        batches = [await on.seal("mercy", wallet, name, fhir_type=kind) for name, kind in (("b", "Condition"),)]
        told.clear()
        await on["mercy"].keeper.block_arrived([("mercy", batches[0].records[0].batch_id)])  # type: ignore[list-item]
        assert told == []  # A Condition, which the watching reader may not see.
        seen = await on.seal("mercy", wallet, "c")
        told.clear()
        await on["mercy"].keeper.block_arrived([("mercy", seen.records[0].batch_id)])  # type: ignore[list-item]
        assert told == [("mercy", "st-luke")]


async def test_a_stranger_makes_no_page_ask_again(tmp_path: Path) -> None:
    async with stage(tmp_path, members=5) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        reader = await on.clinician("st-luke")
        opened, heard = await on.open("st-luke", reader, wallet), []
        desk, news = on["st-luke"].desk, SomethingNew(request_id=opened.opening.request_id)
        desk.watch(opened, lambda: heard.append(1))
        assert isinstance(await desk._something_new("nobody", news), Noted)  # type: ignore[arg-type]
        assert heard == []
        await desk._something_new("mercy", news)  # type: ignore[arg-type]
        assert heard == [1]
        on.clock.now += DAY_MS
        desk.watch(opened, lambda: None)
        later = await on.open("st-luke", reader, wallet)
        desk.watch(later, lambda: None)
        assert list(desk._watchers) == [later.opening.request_id]


async def test_links_of_one_sender_do_not_pile_up_nor_take_another_senders_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        policy = wallet.policy(0, bytes(32))
        monkeypatch.setattr(author_store, "WAITING_MAX", 2)
        mercy, lakeside = on["mercy"].gateway, on["lakeside"].gateway
        for code in ("ONE", "TWO", "TWO"):
            await consent.send_link(mercy, wallet, policy, on["st-luke"].name, code)
        with pytest.raises(PeerRefusalError, match="quota"):
            await consent.send_link(mercy, wallet, policy, on["st-luke"].name, "THREE")
        await consent.send_link(lakeside, wallet, policy, on["st-luke"].name, "ONE")
        await on.wait(31 * DAY_MS)
        await consent.send_link(mercy, wallet, policy, on["st-luke"].name, "THREE")


async def test_a_repeat_of_an_open_break_glass_is_free_and_members_have_a_quota_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        await on.seal("mercy", wallet, "a")
        reader = await on.clinician("st-luke", "emergency")
        opened = await on.open("st-luke", reader, wallet, BTG, "unconscious")
        for _ in range(6):
            assert len((await asked(on, opened, reader)).items) == 1
        monkeypatch.setattr("salus.keeper.break_glass.BREAK_GLASS_PER_MEMBER_DAY", 2)
        for is_left in (True, False):
            other = await on.clinician("st-luke", "emergency")  # A member draws credentials as it likes.
            broken = await on.open("st-luke", other, wallet, BTG, "unconscious")
            if is_left:
                await asked(on, broken, other)
            else:
                with pytest.raises(QuotaError):
                    await asked(on, broken, other)
        foreign: Reader = await on.clinician("lakeside", "emergency")
        await asked(on, await on.open("lakeside", foreign, wallet, BTG, "unconscious"), foreign, sender="lakeside")


async def test_the_answer_names_the_entry_it_left(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        reader = await on.clinician("st-luke")
        answer = await asked(on, await on.open("st-luke", reader, wallet), reader)
        (entry,) = on["mercy"].keeper.log.entries(wallet.subject)
        assert (answer.head.log_number, answer.head.log_entry) == (1, log_entry_digest(entry))


async def test_a_view_far_ahead_of_the_own_clock_is_not_fresh(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        reader = await on.clinician("st-luke")
        opened = await on.open("st-luke", reader, wallet)
        on.clock.now = on["mercy"].replica.time - MINUTE_MS
        await asked(on, opened, reader)
        on.clock.now -= 1
        with pytest.raises(StaleError):
            await asked(on, opened, reader)


async def test_a_revocation_that_comes_while_a_peer_is_asked_for_the_policy_decides(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        await on.seal("mercy", wallet, "a")
        reader = await on.clinician("st-luke")
        opened = await on.open("st-luke", reader, wallet)
        keeper = on["mercy"].keeper
        genuine_fetch, held = keeper.policies._fetched, keeper.policies._held
        revoked = False

        async def slow(cell_id: bytes, cell: object) -> PolicySet | None:
            nonlocal revoked
            revoked = True
            await on.change(wallet, rules=())
            await on.settled()
            return held(cell_id, cell.commitment)  # type: ignore[attr-defined]

        keeper.policies._fetched = slow  # type: ignore[method-assign, assignment]
        keeper.policies._held = lambda *place: held(*place) if revoked else None  # type: ignore[method-assign]
        answer = await asked(on, opened, reader)
        keeper.policies._fetched, keeper.policies._held = genuine_fetch, held  # type: ignore[method-assign]
        assert revoked
        assert answer.items == ()
        now = await keeper.policies.current(wallet.subject)
        assert now is not None
        assert answer.head.policy == now.commitment


async def test_own_break_glass_ends_after_an_hour_and_beyond_three_wants_a_second(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("st-luke", by="st-luke")
        await on.seal("st-luke", wallet, "a")
        first, second = await on.clinician("st-luke", "emergency"), await on.clinician("st-luke", "emergency")
        own = on["st-luke"].own
        requests = [await on.open("st-luke", first, wallet, BTG, "unconscious") for _ in range(4)]
        for opened in (*requests[:3], requests[0], requests[0]):
            assert len(own.read(opened.opening, first.key.sign(to_sign(opened.opening)), first.claims).records) == 1
        last = requests[3].opening
        with pytest.raises(QuotaError):
            own.read(last, first.key.sign(to_sign(last)), first.claims)
        both = cosigned(requests[3], second)
        assert len(own.read(last, first.key.sign(to_sign(last)), first.claims, both).records) == 1
        on.clock.now += 60 * MINUTE_MS
        begun = requests[0].opening
        with pytest.raises(BreakGlassError):
            own.read(begun, first.key.sign(to_sign(begun)), first.claims)
