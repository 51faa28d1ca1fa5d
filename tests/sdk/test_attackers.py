"""What an attacker tried against gateways, in the order of the review: each attempt fails, and the liar is named."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from salus.contracts.records.header import Header, RecordId
from salus.contracts.records.tables import OVERRIDES
from salus.core.ids import HOUR_MS, MINUTE_MS, BatchId, CommitteeId, MemberId, SubjectId
from salus.core.transport import PeerRefusalError, PeerUnavailableError
from salus.core.wire import decode, encode, replace
from salus.crypto.signatures import SigningKey
from salus.keeper import answers
from salus.keeper.messages import Ask, Deposit, Deposited, Item, LogTold, PolicyHeld, SealedPolicy
from salus.node.member import Member
from salus.sdk import consent
from salus.sdk.author_store import Stage as Progress
from salus.sdk.errors import OldPolicyError
from salus.sdk.links import NewTermKey, SendTermKey, term_key_statement
from salus.sdk.patient_log import PatientLog, read_log
from salus.sdk.views import Accusation, Findings
from salus.sdk.wallet import Wallet, claimed
from tests.node.stage import Clock, Stage, data_of, deny, permit, shown, stage

LIAR = "mercy"
SEATS = ("mercy", "st-luke", "lakeside", "northgate")


# 1: one leaf, two headers.


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_a_forged_header_beside_the_true_one_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: tuple[int, int]
) -> None:
    honest_content = answers.content

    def doubled(found: list[answers.Found]) -> object:
        items, proofs = honest_content(found)
        both: list[bytes] = []
        for data in items:
            item = decode(Item, data)
            forged = replace(decode(Header, item.header), fhir_type="Basic", size_bytes=1)
            pair = (encode(replace(item, header=encode(forged))), data)
            both += [pair[order[0]], pair[order[1]]]
        return tuple(both), proofs

    async with stage(tmp_path) as on:
        wallet = await on.patient("lakeside", rules=(permit("st-luke"),), by="lakeside")
        await on.seal("lakeside", wallet, "a", "b")
        reader = await on.clinician("st-luke")
        honest = on[LIAR].keeper.answers.answer

        async def lying(sender: MemberId, ask: Ask) -> object:
            monkeypatch.setattr(answers, "content", doubled)
            try:
                return await honest(sender, ask)
            finally:
                monkeypatch.setattr(answers, "content", honest_content)

        on[LIAR].door.answer(Ask, lying)  # type: ignore[arg-type]
        view = await on.view("st-luke", reader, wallet)
        assert shown(view) == [data_of("a"), data_of("b")]
        assert {one.header.fhir_type for one in view.records} == {"Observation"}
        assert {(one.member, one.what) for one in view.accusations} == {(LIAR, "wrong_header")}


# 2: receipts that do not hold.


@pytest.mark.parametrize("liar", SEATS)
async def test_one_bad_receipt_stops_neither_sealing_nor_a_change_and_names_its_seat(tmp_path: Path, liar: str) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("lakeside", by="lakeside")
        on[liar].keeper.deposits._signing_key = SigningKey(bytes(32))
        sealed = await on.seal("lakeside", wallet, "a")
        assert not sealed.is_durable
        assert on["lakeside"].author.findings.accusations == [Accusation(MemberId(liar), "bad_receipt")]
        on[liar].keeper.policies._signing_key = SigningKey(bytes(32))
        findings = Findings()
        changed = replace(wallet, rules=(permit("st-luke"),))
        await consent.change(on["lakeside"].gateway, wallet, changed, findings=findings)
        assert findings.accusations == [Accusation(MemberId(liar), "bad_receipt")]


async def test_receipts_of_another_seat_or_that_end_early_are_left_out(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("lakeside", by="lakeside")
        honest, honest_policy = on[LIAR].keeper.deposits.accept, on[LIAR].keeper.policies.accept

        async def another_seat(sender: MemberId, deposit: Deposit) -> object:
            reply = await honest(sender, deposit)
            return replace(reply, seat=2) if isinstance(reply, Deposited) else reply

        async def another_seat_holds(sender: MemberId, sealed: SealedPolicy) -> PolicyHeld:
            return replace(await honest_policy(sender, sealed), seat=2)

        on[LIAR].door.answer(Deposit, another_seat)  # type: ignore[arg-type]
        on[LIAR].door.answer(SealedPolicy, another_seat_holds)
        assert not (await on.seal("lakeside", wallet, "a")).is_durable
        findings = Findings()
        await consent.change(on["lakeside"].gateway, wallet, replace(wallet, rules=()), findings=findings)
        assert findings.accusations == [Accusation(MemberId(LIAR), "bad_receipt")]
        on[LIAR].door.answer(Deposit, honest)
        on[LIAR].keeper.deposits._clock = lambda: on.clock.now - 3 * HOUR_MS  # Its promises end too soon.
        on[LIAR].keeper.deposits._view = _Slow(on[LIAR].replica)  # type: ignore[assignment]
        assert not (await on.seal("lakeside", wallet, "b")).is_durable


class _Slow:
    """A view whose time stands still, three hours ago."""

    def __init__(self, view: object) -> None:
        self._view = view

    def __getattr__(self, name: str) -> object:
        return getattr(self._view, name)

    @property
    def time(self) -> int:
        return 0


async def test_a_custodian_still_learns_that_a_widening_waits(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", custodian="mercy")
        on["northgate"].keeper.policies._signing_key = SigningKey(bytes(32))
        with pytest.raises(PeerRefusalError, match=r"keeper\.widening_waits"):
            await consent.change(on["mercy"].gateway, wallet, replace(wallet, rules=(permit("st-luke"),)))


# 3: memory.


async def test_memory_ends_with_a_withdrawal_and_with_a_correction(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("lakeside", "st-luke", rules=(permit("st-luke"),), by="lakeside")
        sealed = await on.seal("lakeside", wallet, "a", "b")
        reading = on["st-luke"].reading(await on.clinician("st-luke"), on.wanted(wallet))
        assert len((await reading.read()).view.records) == 2
        await on.clinician("mercy")  # A block that touches nothing shown.
        await on.settled()
        assert (await reading.read()).from_memory
        await on["lakeside"].author.withdraw(sealed.records[0])
        await on.settled()
        after = await reading.read()
        assert (shown(after.view), after.from_memory) == ([data_of("b")], False)
        await on.seal("lakeside", wallet, "c", source="b", replaces=sealed.records[1])
        await on.settled()
        after = await reading.read()
        assert (shown(after.view), after.from_memory) == ([data_of("c")], False)
        assert any(True for _ in OVERRIDES.items(on["st-luke"].replica.state, MemberId("lakeside")))


async def test_memory_ends_when_a_rule_ends_or_begins(tmp_path: Path) -> None:
    clock = Clock()
    async with stage(tmp_path, clock=clock) as on:
        now = clock.now
        rules = (permit("st-luke", until=now + HOUR_MS), permit("st-luke", since=now + 3 * HOUR_MS))
        wallet = await on.patient("lakeside", "st-luke", rules=rules, by="lakeside")
        await on.seal("lakeside", wallet, "a")
        reading = on["st-luke"].reading(await on.clinician("st-luke"), on.wanted(wallet))
        assert shown((await reading.read()).view) == [data_of("a")]
        for later_ms, expected, from_memory in (
            (0, [data_of("a")], True),
            (2 * HOUR_MS, [], False),
            (0, [], True),
            (2 * HOUR_MS, [data_of("a")], False),
        ):
            await on.wait(later_ms)
            read = await reading.read()
            assert (shown(read.view), read.from_memory) == (expected, from_memory)


# 8: one slow keeper.


async def test_a_slow_keeper_holds_up_neither_sealing_nor_consent_nor_reading(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("lakeside", by="lakeside")
        reader = await on.clinician("st-luke")
        on.network.switchboard.timeout_s = 3_600
        on.network.switchboard.before = lambda _from, to, _data: 3_000 if to == LIAR else 0.0
        async with asyncio.timeout(120):  # Whoever waited for the slow one would still be waiting.
            sealed = await on.seal("lakeside", wallet, "a")
            changed = await on.change(wallet, by="lakeside", rules=(permit("st-luke"),))
            view = await on.view("st-luke", reader, changed)
        assert not sealed.is_durable
        assert (shown(view), view.accusations, view.absent) == ([data_of("a")], [], (LIAR,))


async def test_a_slow_keeper_is_waited_for_where_a_liar_makes_its_share_needed(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("lakeside", rules=(permit("st-luke"),), by="lakeside")
        await on.seal("lakeside", wallet, "a")
        reader = await on.clinician("st-luke")
        honest = on[LIAR].keeper.answers._judged
        on[LIAR].keeper.answers._judged = lambda *told: ([], honest(*told)[1])  # type: ignore[method-assign]
        asks = b"keeper.ask/1"
        on.network.switchboard.before = lambda _f, to, data: 0.6 if to == "northgate" and asks in data[:20] else 0.0
        view = await on.view("st-luke", reader, wallet)
        assert (shown(view), view.absent) == ([data_of("a")], ())
        assert {(one.member, one.what) for one in view.accusations} == {(LIAR, "omitted_record")}


async def test_what_a_slow_keeper_took_late_is_made_durable_by_the_outbox(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("lakeside", by="lakeside")
        on.network.switchboard.before = lambda _from, to, _data: 0.5 if to == LIAR else 0.0
        assert not (await on.seal("lakeside", wallet, "a")).is_durable
        on.network.switchboard.before = None
        assert await on["lakeside"].author.work_outbox() == 1
        assert not on["lakeside"].store.plans(Progress.FINAL)


# 12: the patient's log.


async def told_log(on: Stage, wallet: Wallet) -> PatientLog:
    writers = [writer.member for writer in wallet.writers]
    return await read_log(on["mercy"].gateway, wallet.subject, wallet.committee, writers, wallet.device_key())


async def test_one_unreadable_or_foreign_entry_costs_the_patient_one_log_and_names_it(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("lakeside", rules=(permit("st-luke"),), by="lakeside")
        await on.seal("lakeside", wallet, "a")
        await on.view("st-luke", await on.clinician("st-luke"), wallet)
        await on.network.tend()
        honest = on[LIAR].keeper.log.told
        whole = await told_log(on, wallet)
        assert (len(whole.entries), whole.faults) == (4, [])

        def unreadable(subject: SubjectId, after: int) -> LogTold:
            return replace(honest(subject, after), entries=(b"\xc1",))

        def foreign(subject: SubjectId, after: int) -> LogTold:
            return on["lakeside"].keeper.log.told(subject, after)

        for tell, what in ((unreadable, "unreadable"), (foreign, "foreign")):
            on[LIAR].keeper.log.told = tell  # type: ignore[method-assign]
            log = await told_log(on, wallet)
            assert {entry.where for entry in log.entries} == set(SEATS) - {LIAR}
            assert {fault.where for fault in log.faults} == {LIAR}
            assert log.faults[0].what == what


async def test_a_log_that_does_not_anchor_within_a_minute_is_named(tmp_path: Path) -> None:
    clock = Clock()
    async with stage(tmp_path, clock=clock) as on:
        wallet = await on.patient("lakeside", rules=(permit("st-luke"),), by="lakeside")
        await on.seal("lakeside", wallet, "a")
        await on.view("st-luke", await on.clinician("st-luke"), wallet)
        for name in SEATS[1:]:
            await on[name].tend()
        assert not (await told_log(on, wallet)).faults  # Not yet due.
        await on.wait(2 * MINUTE_MS, tending=False)
        log = await told_log(on, wallet)
        assert {(fault.where, fault.what) for fault in log.faults} == {(LIAR, "overdue")}
        assert len(log.entries) == 4


# 15: writers and the policy in force.


def losing(on: Stage, member: str, *tags: bytes) -> None:
    """Messages of these kinds to a member are lost."""

    def before(_from: MemberId, to: MemberId, data: bytes) -> float:
        if to == member and any(tag in data[:30] for tag in tags):
            raise PeerUnavailableError(peer=to)
        return 0.0

    on.network.switchboard.before = before


async def test_a_writer_that_missed_a_revocation_asks_the_seats_even_where_its_keeper_does_not_know(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", "lakeside")
        await on.seal("lakeside", wallet, "a")
        reader = await on.clinician("lakeside")
        losing(on, "lakeside", b"link.policy/1")
        await on.change(wallet, rules=(deny("lakeside"),), writers=(wallet.writers[0],))
        await on.settled()
        on.network.switchboard.before = None

        async def unknown(_subject: SubjectId) -> None:
            return None  # As at a writer without a seat.

        on["lakeside"].own._newest = unknown
        read = await on["lakeside"].reading(reader, on.wanted(wallet)).read()
        assert (read.view.records, read.is_stale) == ([], False)


async def test_a_writer_that_cannot_get_the_policy_in_force_refuses_while_on_line(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", "lakeside")
        await on.seal("lakeside", wallet, "a")
        reader = await on.clinician("lakeside")
        losing(on, "lakeside", b"link.policy/1")
        await on.change(wallet, rules=(deny("lakeside"),))
        await on.settled()

        async def unknown(_subject: SubjectId) -> None:
            return None

        on["lakeside"].own._newest = unknown
        for name in SEATS:
            losing(on, name)

        def before(_from: MemberId, to: MemberId, data: bytes) -> float:
            if b"keeper.writer_wants_policy/1" in data[:40]:
                raise PeerUnavailableError(peer=to)
            return 0.0

        on.network.switchboard.before = before
        with pytest.raises(OldPolicyError):
            await on["lakeside"].reading(reader, on.wanted(wallet)).read()


async def test_a_writer_takes_the_policy_in_force_though_it_changes_while_it_is_fetched(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", "lakeside")
        await on.seal("lakeside", wallet, "a")
        reader, desk = await on.clinician("lakeside"), on["lakeside"].desk
        losing(on, "lakeside", b"link.policy/1")
        fetch, changes = desk.fetch_policy, [await on.change(wallet, rules=(deny("st-luke"),))]

        async def fetched(subject: SubjectId, committee: CommitteeId) -> None:
            await fetch(subject, committee)
            if len(changes) < 3:
                changes.append(await on.change(changes[-1], rules=(deny("northgate"),)))

        desk.fetch_policy = fetched
        read = await on["lakeside"].reading(reader, on.wanted(wallet)).read()
        assert (shown(read.view), read.is_stale, len(changes)) == ([data_of("a")], False, 3)


async def test_keepers_give_a_policy_to_its_writers_alone(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("lakeside", by="lakeside")
        await on.seal("lakeside", wallet, "a")
        for name, is_given in (("lakeside", True), ("st-luke", False)):
            member = on[name]
            seat = member.gateway.committee(wallet.committee).seats[3]
            found = await member.desk._policy_from(4, seat, wallet.subject, wallet.committee)
            assert (found is not None) is is_given


async def test_former_writers_are_told_of_the_version_that_removes_them(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", "lakeside")
        await on.change(wallet, writers=(wallet.writers[0],))
        copy = on["lakeside"].store.copy(wallet.subject)
        assert copy is not None
        assert [writer.member for writer in copy[0].writers] == ["mercy"]


async def test_after_a_claim_writers_blind_by_the_patients_new_key(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", "lakeside", custodian="mercy")
        mine = claimed(wallet)
        await consent.change(on["mercy"].gateway, wallet, mine, evidence=bytes(32), cosigner=on["lakeside"].gateway)
        for name in ("mercy", "lakeside"):
            link = on[name].store.link_of(wallet.subject)
            assert link is not None
            assert link.term_key == mine.term_key(MemberId(name)) != wallet.term_key(MemberId(name))


async def test_a_new_term_key_is_taken_from_a_device_in_force_alone(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("lakeside", by="lakeside")
        lakeside, author = on["lakeside"], MemberId("lakeside")
        old = lakeside.store.link_of(wallet.subject)
        assert old is not None
        new = replace(old, term_key=bytes(32))
        device, stranger = wallet.device_key(), SigningKey(bytes(32))
        statement = term_key_statement(wallet.chain, author, new)
        elsewhere = term_key_statement(wallet.chain, MemberId("mercy"), new)
        moved = replace(new, cell=bytes(16))
        for offered in (
            NewTermKey(new, stranger.public, stranger.sign(statement)),
            NewTermKey(new, device.public, stranger.sign(statement)),
            NewTermKey(new, device.public, device.sign(elsewhere)),
            NewTermKey(moved, device.public, device.sign(term_key_statement(wallet.chain, author, moved))),
        ):
            with pytest.raises(PeerRefusalError, match=r"sdk\.no_such_subject"):
                await offer(on, lakeside, offered)
            assert lakeside.store.link_of(wallet.subject) == old
        await offer(on, lakeside, NewTermKey(new, device.public, device.sign(statement)))
        assert lakeside.store.link_of(wallet.subject) == new


async def offer(on: Stage, to: Member, new: NewTermKey) -> None:
    """Somebody at st-luke sends a member a new term key."""
    from salus.contracts.members.reads import member_of
    from salus.core.transport import ask
    from salus.crypto.hpke import seal
    from salus.keeper.messages import info
    from salus.sdk.links import Received

    gateway = on["st-luke"].gateway
    member = member_of(gateway.view.state, to.name)
    assert member is not None
    sealed = seal(member.keys.gateway, encode(new), info(gateway.chain, "term key"))
    await ask(gateway.transport, to.name, SendTermKey(sealed=sealed), Received)


# 16: who has signed that it holds a record.


async def test_the_anchor_tells_who_must_have_a_record_and_no_keeper_can_talk_itself_out(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("lakeside", rules=(permit("st-luke"),), by="lakeside")
        reader = await on.clinician("st-luke")
        batches: dict[BatchId, RecordId] = {}
        await on.network.take_down("northgate")
        for source in ("a", "b"):
            record = (await on.seal("lakeside", wallet, source)).records[0]
            batches[record.batch_id] = record
        await on.network.bring_back("northgate")
        await on.settled()
        expected = set(batches.values())
        with LeavingAllOut(on["northgate"]):
            view = await on.view("st-luke", reader, wallet)
        assert shown(view) == [data_of("a"), data_of("b")]
        assert not view.accusations
        # Its vault may be one of those that keep the blob, by the blob's digest: then it lacks that too.
        assert {(one.member, one.what) for one in view.notices} >= {("northgate", "lacks_record")}
        assert {one.record for one in view.notices if one.what == "lacks_record"} == expected
        await on.network.tend()  # Now northgate has its shares too, and mercy's are not needed.
        with LeavingAllOut(on[LIAR]):
            view = await on.view("st-luke", reader, wallet)
        assert shown(view) == [data_of("a"), data_of("b")]
        assert {(one.member, one.what) for one in view.accusations} == {(LIAR, "omitted_record")}
        assert {one.record for one in view.accusations} == expected


class LeavingAllOut:
    """A keeper that releases nothing, as long as it lasts."""

    def __init__(self, member: Member) -> None:
        self._answers = member.keeper.answers
        self._honest: Callable[..., object] = self._answers._judged

    def __enter__(self) -> None:
        honest = self._answers._judged
        self._answers._judged = lambda *told: ([], honest(*told)[1])  # type: ignore[method-assign]

    def __exit__(self, *_: object) -> None:
        del self._answers._judged
