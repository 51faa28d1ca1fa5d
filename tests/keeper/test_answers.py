"""Answering requests to read: every refusal in checking order, then what is released, logged, and to whom."""

from pathlib import Path

import pytest

from salus.contracts.reads.opening import Opening, Selection, to_sign
from salus.contracts.records.header import Bits
from salus.contracts.records.tables import Fate
from salus.core.errors import MalformedError, SalusError
from salus.core.ids import HOUR_MS, MINUTE_MS, SECOND_MS
from salus.core.transport import PeerRefusalError
from salus.core.transport import ask as call
from salus.core.wire import decode, encode, replace
from salus.crypto.hpke import seal
from salus.crypto.signatures import SigningKey
from salus.keeper import answers, break_glass
from salus.keeper.answers import padded, unpadded
from salus.keeper.break_glass import BREAK_GLASS_PER_DAY, BREAK_GLASS_PER_MEMBER_DAY
from salus.keeper.errors import (
    BreakGlassError,
    EnvelopeError,
    LogOverdueError,
    NoRequestError,
    NotSeatedError,
    PersonError,
    QuotaError,
    RequestExpiredError,
    StaleError,
)
from salus.keeper.keeper import LogForOwnMember, OwnMemberWantsLog
from salus.keeper.messages import Answer, Ask, Asking, LogEntry, Person, info
from salus.sdk import consent
from salus.sdk.people import dismiss
from salus.sdk.reader import OpenRead, Reader, open_read
from tests.node.stage import BTG, TREAT, Stage, data_of, deny, documents, permit, records_of, shown, stage

pytestmark = pytest.mark.usefixtures("kept_on")


async def asked(on: Stage, opened: OpenRead, reader: Reader, *, sender: str = "st-luke", **changes: object) -> Answer:
    """Ask mercy's keeper, seat 1, about an open request; fields of the asking or of the envelope may be changed."""
    opening = changes.pop("opening", opened.opening)
    assert isinstance(opening, Opening)
    seat = int(str(changes.pop("seat", 1)))
    committee = changes.pop("committee", on.network.committee)
    asking = Asking(
        opening=encode(opening),
        signature=reader.key.sign(to_sign(opening)),
        claims=reader.claims,
        second=None,
        at_height=opened.height,
        watch=False,
    )
    chain = on["mercy"].gateway.chain
    holder = on["mercy"].gateway.committee(on.network.committee).seats[0]
    sealed = seal(holder.sealing, encode(replace(asking, **changes)), info(chain, "ask"))
    ask = Ask(committee=committee, epoch=1, seat=seat, sealed=sealed)  # type: ignore[arg-type]
    reply = await on["mercy"].keeper.answers.answer(sender, ask)  # type: ignore[arg-type]
    return decode(Answer, unpadded(opened._reply_key.open(reply.sealed, info(chain, "answer"))))


def logged(on: Stage, member: str = "mercy") -> int:
    return on[member].keeper.log._number


async def test_every_flaw_of_an_asking_is_refused_in_its_order_and_leaves_no_entry(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        await on.seal("mercy", wallet, "a")
        reader, other = await on.clinician("st-luke"), await on.clinician("st-luke")
        opened = await on.open("st-luke", reader, wallet)
        opening = opened.opening
        stranger = replace_key(reader)
        table: list[tuple[str, type[SalusError], dict[str, object]]] = [
            ("an unknown committee", NotSeatedError, {"committee": bytes(16)}),
            ("another member's seat", NotSeatedError, {"seat": 2}),
            ("a seat that is none", NotSeatedError, {"seat": 200}),
            ("a height that this keeper does not reach", StaleError, {"at_height": opened.height + 100}),
            ("another chain", NoRequestError, {"opening": replace(opening, chain="other")}),
            ("an unknown request", NoRequestError, {"opening": replace(opening, request_id=bytes(16))}),
            ("another purpose than committed", NoRequestError, {"opening": replace(opening, purpose="HRESCH")}),
            ("another subject than committed", NoRequestError, {"opening": replace(opening, subject=bytes(16))}),
            ("another selection than committed", NoRequestError,
             {"opening": replace(opening, selection=Selection(history=True))}),
            ("another salt than committed", NoRequestError, {"opening": replace(opening, salt=bytes(32))}),
            ("another reply key", NoRequestError, {"opening": replace(opening, reply_key=bytes(1216))}),
            ("another member's request", NoRequestError, {"sender": "lakeside"}),
            ("a signature by another person", PersonError, {"signature": other.key.sign(to_sign(opening))}),
            ("claims of another person", PersonError, {"claims": other.claims}),
            ("no claims", PersonError, {"claims": None}),
            ("claims with one more role", PersonError,
             {"claims": replace(reader.claims, roles=("clinician", "emergency"))}),
            ("no request and no person: the request is judged first", NoRequestError,
             {"opening": replace(opening, purpose="HRESCH"), "claims": None}),
        ]  # fmt: skip
        answers.WAIT_FOR_HEIGHT_S, kept = 0.05, answers.WAIT_FOR_HEIGHT_S
        try:
            for why, error, changes in table:
                with pytest.raises(SalusError) as caught:
                    await asked(on, opened, reader, **changes)  # type: ignore[arg-type]
                assert type(caught.value) is error, why
        finally:
            answers.WAIT_FOR_HEIGHT_S = kept
        with pytest.raises(PersonError):
            await asked(on, await on.open("st-luke", stranger, wallet), stranger)
        device = Reader((await on.patient("mercy")).device_key())
        with pytest.raises(PersonError):  # The device of another patient.
            await asked(on, await on.open("st-luke", device, wallet), device)
        assert logged(on) == 0
        assert len((await asked(on, opened, reader)).items) == 1
        assert logged(on) == 1


def replace_key(reader: Reader) -> Reader:
    """The same credential with a key that it does not bind."""
    return Reader(SigningKey(bytes(32)), reader.credential_id, reader.claims)


async def test_an_ask_for_another_seat_does_not_open(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        for sealed in (b"", bytes(1500)):
            with pytest.raises(EnvelopeError):
                await on["mercy"].keeper.answers.answer(
                    "st-luke",  # type: ignore[arg-type]
                    Ask(committee=on.network.committee, epoch=1, seat=1, sealed=sealed),
                )


async def test_an_expired_request_is_refused_by_the_keepers_own_clock(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        reader = await on.clinician("st-luke")
        opened = await on.open("st-luke", reader, wallet)
        await on.wait(8 * HOUR_MS - 30 * SECOND_MS)
        await asked(on, opened, reader)
        on.clock.now += 31 * SECOND_MS
        with pytest.raises(RequestExpiredError):
            await asked(on, opened, reader)


async def test_a_keeper_whose_view_is_older_than_a_minute_answers_nothing(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        reader = await on.clinician("st-luke")
        opened = await on.open("st-luke", reader, wallet)
        on.network.engine.hold(on["mercy"].name)
        on.clock.now += 59 * SECOND_MS
        await asked(on, opened, reader)
        await on.network.tend()
        on.clock.now += 2 * SECOND_MS
        await on.clinician("st-luke")  # A new block, which does not reach this keeper.
        with pytest.raises(StaleError):
            await asked(on, opened, reader)
        await on.network.engine.release(on["mercy"].name)
        await asked(on, opened, reader)


async def test_a_revoked_credential_reads_nothing_from_its_block_on(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        reader = await on.clinician("st-luke")
        opened = await on.open("st-luke", reader, wallet)
        await asked(on, opened, reader)
        assert reader.credential_id is not None
        await dismiss(on["st-luke"].gateway, reader.credential_id)
        await on.settled()
        with pytest.raises(PersonError):
            await asked(on, opened, reader)


async def test_break_glass_needs_role_reason_and_an_hour_at_most(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        await on.seal("mercy", wallet, "a")
        await on.seal("mercy", wallet, "closed", bits=int(Bits.NO_BREAK_GLASS))
        plain, emergency = await on.clinician("st-luke"), await on.clinician("st-luke", "emergency")
        with pytest.raises(BreakGlassError):
            await asked(on, await on.open("st-luke", plain, wallet, BTG, "unconscious"), plain)
        for reason in ("", "  "):
            with pytest.raises(BreakGlassError):
                await asked(on, await on.open("st-luke", emergency, wallet, BTG, reason), emergency)
        long = await open_read_for(on, emergency, wallet, 61 * MINUTE_MS)
        with pytest.raises(BreakGlassError):
            await asked(on, long, emergency)
        view = await on.view("st-luke", emergency, wallet, BTG, "unconscious")
        assert shown(view) == [data_of("a")]
        assert {"tell-patient", "review"} <= set(view.records[0].obligations)


async def open_read_for(on: Stage, reader: Reader, wallet: object, lasting_ms: int) -> OpenRead:
    from salus.sdk import reader as module

    kept = module.BREAK_GLASS_MS
    module.BREAK_GLASS_MS = lasting_ms
    try:
        return await on.open("st-luke", reader, wallet, BTG, "unconscious")  # type: ignore[arg-type]
    finally:
        module.BREAK_GLASS_MS = kept


async def test_break_glass_beyond_the_quota_needs_a_second_person(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        first, second = await on.clinician("st-luke", "emergency"), await on.clinician("st-luke", "emergency")
        plain, foreign = await on.clinician("st-luke"), await on.clinician("lakeside", "emergency")
        for _ in range(BREAK_GLASS_PER_DAY):
            await asked(on, await on.open("st-luke", first, wallet, BTG, "unconscious"), first)
        opened = await on.open("st-luke", first, wallet, BTG, "unconscious")
        with pytest.raises(QuotaError):
            await asked(on, opened, first)
        with pytest.raises(QuotaError):  # One person is not two.
            await asked(on, opened, first, second=cosigned(opened, first))
        for nobody in (plain, foreign):
            with pytest.raises((QuotaError, PersonError)):
                await asked(on, opened, first, second=cosigned(opened, nobody))
        assert (await asked(on, opened, first, second=cosigned(opened, second))).head.log_number > BREAK_GLASS_PER_DAY


async def test_a_members_people_together_are_bounded_and_a_repeat_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert BREAK_GLASS_PER_MEMBER_DAY > BREAK_GLASS_PER_DAY
    monkeypatch.setattr(break_glass, "BREAK_GLASS_PER_MEMBER_DAY", 2)
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        people = [await on.clinician("st-luke", "emergency") for _ in range(3)]
        for person in people[:2]:
            opened = await on.open("st-luke", person, wallet, BTG, "unconscious")
            for _ in range(BREAK_GLASS_PER_DAY + 1):
                await asked(on, opened, person)
        last = await on.open("st-luke", people[2], wallet, BTG, "unconscious")
        with pytest.raises(QuotaError):
            await asked(on, last, people[2], second=cosigned(last, people[0]))


def cosigned(opened: OpenRead, by: Reader) -> Person:
    assert by.credential_id is not None
    assert by.claims is not None
    return Person(by.credential_id, by.claims, by.key.sign(to_sign(opened.opening)))


async def test_quotas_bound_what_a_person_reads_in_a_day_and_a_member_asks_in_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        reader, other = await on.clinician("st-luke"), await on.clinician("st-luke")
        opened = await on.open("st-luke", reader, wallet)
        monkeypatch.setattr(answers, "READS_PER_DAY", 2)
        await asked(on, opened, reader)
        await asked(on, opened, reader)
        with pytest.raises(QuotaError):
            await asked(on, opened, reader)
        others = await on.open("st-luke", other, wallet)
        await asked(on, others, other)  # Another person has a quota of their own.
        monkeypatch.setattr(answers, "ASKS_PER_MINUTE", 3)
        with pytest.raises(QuotaError):
            await asked(on, others, other)
        await on.wait(MINUTE_MS + SECOND_MS)
        await asked(on, others, other)
        await on.wait(24 * HOUR_MS)
        again = await on.open("st-luke", reader, wallet)
        await asked(on, again, reader)


async def test_a_log_root_that_is_overdue_leaves_break_glass_alone(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        reader, emergency = await on.clinician("st-luke"), await on.clinician("st-luke", "emergency")
        opened = await on.open("st-luke", reader, wallet)
        broken = await on.open("st-luke", emergency, wallet, BTG, "unconscious")
        await asked(on, opened, reader)
        await on.wait(MINUTE_MS + SECOND_MS, tending=False)
        with pytest.raises(LogOverdueError):
            await asked(on, opened, reader)
        await asked(on, broken, emergency)
        await on.network.tend()
        await asked(on, opened, reader)


async def test_the_answer_is_bound_to_request_height_policy_and_seat(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        await on.seal("mercy", wallet, "a", "b")
        reader = await on.clinician("st-luke")
        opened = await on.open("st-luke", reader, wallet)
        answer = await asked(on, opened, reader)
        held = await on["mercy"].keeper.policies.current(wallet.subject)
        assert held is not None
        head = answer.head
        assert (head.request_id, head.seat, head.height) == (opened.opening.request_id, 1, on["mercy"].replica.height)
        assert (head.policy, head.items, head.log_number) == (held.commitment, 2, 1)


async def test_answers_of_one_and_of_a_few_records_have_one_size(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        few, more = await on.patient("mercy", rules=(permit("st-luke"),)), await on.patient("mercy")
        await on.seal("mercy", few, "a", "b", "c")
        reader = await on.clinician("st-luke")
        sizes = []
        for wallet in (few, more):
            opened = await on.open("st-luke", reader, wallet)
            plain = encode(await asked(on, opened, reader))
            sizes.append(len(padded(plain)))
        assert sizes[0] == sizes[1] == 4096


@pytest.mark.parametrize("data", [b"", bytes(7), b"\0" * 7 + b"\x02x", (1).to_bytes(8, "big") + b"xy"])
def test_padding_that_does_not_fit_is_malformed(data: bytes) -> None:
    if data in (b"", bytes(7)):
        assert unpadded(padded(data)) == data
    else:
        with pytest.raises(MalformedError):
            unpadded(data)


async def test_history_shows_superseded_versions_where_the_current_one_is_permitted(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke", fhir_types=("Observation",)),))
        first = await on.seal("mercy", wallet, "old")
        await on.seal("mercy", wallet, "new", replaces=first.records[0])
        secret = await on.seal("mercy", wallet, "was open")
        await on.seal("mercy", wallet, "now closed", replaces=secret.records[0], fhir_type="Condition")
        reader = await on.clinician("st-luke")
        assert shown(await on.view("st-luke", reader, wallet)) == [data_of("new")]
        history = await on.view("st-luke", reader, wallet, history=True)
        assert shown(history) == sorted([data_of("new"), data_of("old")])
        assert {one.data: one.fate for one in history.records}[data_of("old")] is Fate.SUPERSEDED
        only = await on.view("st-luke", reader, wallet, history=True, records=(first.records[0],))
        assert shown(only) == [data_of("old")]
        patient = await on.view("mercy", Reader(wallet.device_key()), wallet, history=True)
        assert len(patient.records) == 4


async def test_withdrawn_versions_go_to_their_author_and_the_patient_alone(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke", "mercy"),))
        sealed = await on.seal("mercy", wallet, "misfiled")
        await on["mercy"].author.withdraw(sealed.records[0])
        await on.settled()
        author, other = await on.clinician("mercy"), await on.clinician("st-luke")
        patient = Reader(wallet.device_key())
        for member, reader, seen in (("mercy", author, 1), ("st-luke", other, 0), ("st-luke", patient, 1)):
            assert len((await on.view(member, reader, wallet, history=True)).records) == seen
            assert not (await on.view(member, reader, wallet)).records


async def test_selections_are_kept_to(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", "lakeside", rules=(permit("st-luke"),))
        sealed = await on.seal("mercy", wallet, "a", "b")
        await on.seal("mercy", wallet, "c", fhir_type="Condition")
        await on.seal("lakeside", wallet, "d")
        reader = await on.clinician("st-luke")
        for selected, seen in (
            ({"fhir_types": ("Condition",)}, ["c"]),
            ({"records": (records_of(sealed)[1],)}, ["b"]),
            ({"except_author": "mercy"}, ["d"]),
        ):
            assert shown(await on.view("st-luke", reader, wallet, **selected)) == [data_of(one) for one in seen]


async def test_a_frozen_cell_shows_to_the_patient_and_break_glass_alone(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        await on.seal("mercy", wallet, "a")
        reader, emergency = await on.clinician("st-luke"), await on.clinician("st-luke", "emergency")
        await consent.freeze(on["mercy"].gateway, wallet)
        await on.settled()
        assert not (await on.view("st-luke", reader, wallet)).records
        assert len((await on.view("st-luke", emergency, wallet, BTG, "unconscious")).records) == 1
        assert len((await on.view("mercy", Reader(wallet.device_key()), wallet)).records) == 1
        await consent.thaw(on["mercy"].gateway, wallet)
        await on.settled()
        assert len((await on.view("st-luke", reader, wallet)).records) == 1
        await consent.close(on["mercy"].gateway, wallet)
        await on.settled()
        for who, purpose in ((reader, TREAT), (emergency, BTG)):
            assert not (await on.view("st-luke", who, wallet, purpose, "unconscious")).records


async def test_a_custodians_key_does_not_read_as_the_patient(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", custodian="mercy")
        await on.seal("mercy", wallet, "a")
        with pytest.raises(PeerRefusalError, match="person"):
            await on.view("mercy", Reader(wallet.device_key()), wallet)


async def test_what_is_denied_looks_like_what_is_absent_and_the_log_tells_both(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"), deny("st-luke", terms=(("label:PSY",),))))
        await on.seal("mercy", wallet, "plain")
        await on.seal("mercy", wallet, "hidden", terms=("label:PSY", "date:2020"))
        reader = await on.clinician("st-luke")
        view = await on.view("st-luke", reader, wallet)
        assert (shown(view), view.gaps, view.accusations) == ([data_of("plain")], [], [])
        entry = decode(LogEntry, on["mercy"].keeper.log.entries(wallet.subject)[-1])
        assert [len(indices) // 2 for _, _, indices in entry.released] == [1]
        assert entry.withheld == (("patient_denies", 1),)
        assert (entry.purpose, entry.member, entry.credential_id) == (TREAT, "st-luke", reader.credential_id)


async def test_the_entry_is_durable_before_the_answer_leaves(tmp_path: Path) -> None:
    class Refusing:
        def hit(self, point: str) -> None:
            if point == "log.append:before" and self.armed:
                raise OSError

        armed = False

    faults = Refusing()
    async with stage(tmp_path, faults=faults) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        await on.seal("mercy", wallet, "a")
        reader = await on.clinician("st-luke")
        opened = await on.open("st-luke", reader, wallet)
        faults.armed = True
        with pytest.raises(OSError):
            await asked(on, opened, reader)
        assert on["mercy"].keeper.permitted(opened.opening.request_id) is None  # Nor does the vault serve a blob.
        faults.armed = False
        assert len((await asked(on, opened, reader)).items) == 1


async def test_a_rule_runs_out_by_block_time_at_all_keepers_alike(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        until = on.clock.now + HOUR_MS
        wallet = await on.patient("mercy", rules=(permit("st-luke", until=until),))
        await on.seal("mercy", wallet, "a")
        reader = await on.clinician("st-luke")
        assert len((await on.view("st-luke", reader, wallet)).records) == 1
        await on.wait(HOUR_MS + SECOND_MS)
        view = await on.view("st-luke", reader, wallet)
        assert (view.records, view.accusations) == ([], [])


async def test_expired_permissions_and_watches_are_forgotten(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        reader = await on.clinician("st-luke")
        await on.seal("mercy", wallet, "a")
        opened = await on.open("st-luke", reader, wallet)
        await asked(on, opened, reader, watch=True)
        keeper = on["mercy"].keeper
        assert keeper.answers.watched
        assert keeper.answers.permitted
        await on.wait(9 * HOUR_MS)
        keeper.tick()
        assert not keeper.answers.watched
        assert not keeper.answers.permitted


async def test_a_request_of_one_subject_shows_nothing_of_another(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallets = [await on.patient("mercy", rules=(permit("st-luke"),)) for _ in range(2)]
        await on["mercy"].author.seal([*documents(wallets[0], "a"), *documents(wallets[1], "b")])
        reader = await on.clinician("st-luke")
        assert shown(await on.view("st-luke", reader, wallets[0])) == [data_of("a")]
        opened = await open_read(on["st-luke"].gateway, reader, on.wanted(wallets[1]))
        assert shown(await opened.ask()) == [data_of("b")]


async def test_a_keeper_tells_its_own_member_who_read_a_subject_and_nobody_else(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("lakeside", rules=(permit("st-luke"),), by="lakeside")
        await on.seal("lakeside", wallet, "a")
        await on.view("st-luke", await on.clinician("st-luke"), wallet)
        wanted = OwnMemberWantsLog(subject=wallet.subject)
        for stranger in ("st-luke", "lakeside"):
            with pytest.raises(PeerRefusalError) as refused:
                await call(on[stranger].gateway.transport, on["mercy"].name, wanted, LogForOwnMember)
            assert refused.value.said == PersonError.code
        told = await call(on["mercy"].gateway.transport, on["mercy"].name, wanted, LogForOwnMember)
        assert [decode(LogEntry, entry).member for entry in told.entries] == ["st-luke"]
