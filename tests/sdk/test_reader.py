"""The reader's checks: liars are named by what they signed, and whoever is honest is not, whatever befell them."""

import asyncio
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from salus.contracts.records.header import Header
from salus.core.ids import MemberId
from salus.core.transport import PeerRefusalError, PeerUnavailableError
from salus.core.wire import Record, decode, encode, replace
from salus.keeper import releasing
from salus.keeper.messages import Ask, SealedAnswer
from salus.keeper.releasing import Found
from salus.node.member import Member
from salus.sdk import consent
from salus.sdk.author_store import Stage as Progress
from salus.sdk.errors import TooFewSeatsError
from salus.sdk.reader import AGAIN_S, Reader
from salus.sdk.views import View
from salus.sdk.wallet import Wallet
from salus.vault.messages import Blobs, GetBlobs
from tests.node.stage import Stage, data_of, permit, shown, stage

LIAR = "mercy"


async def begun(on: Stage, *sources: str) -> tuple[Wallet, Reader]:
    """A patient that st-luke may read, with documents of one author."""
    wallet = await on.patient("lakeside", rules=(permit("st-luke"),), by="lakeside")
    await on.seal("lakeside", wallet, *(sources or ("a", "b")))
    return wallet, await on.clinician("st-luke")


def lying(member: Member, lie: Callable[[list[Found]], None]) -> None:
    """Let a keeper change what it is about to release; it signs that with its own key."""
    honest = member.keeper.answers._judged

    def judged(*told: object) -> object:
        found, withheld = honest(*told)  # type: ignore[arg-type]
        lie(found)
        return found, withheld

    member.keeper.answers._judged = judged  # type: ignore[method-assign, assignment]


def altered(**changes: Callable[[Record], object]) -> Callable[[list[Found]], None]:
    """Change fields of every entry that is released."""

    def lie(found: list[Found]) -> None:
        for one in found:
            entries = [replace(e, **{key: to(e) for key, to in changes.items()}) for e in one.holding.entries]
            one.holding = replace(one.holding, entries=tuple(entries))

    return lie


def other_subject(entry: Record) -> bytes:
    header = decode(Header, entry.header)  # type: ignore[attr-defined]
    return encode(replace(header, subject=bytes(16)))


def other_type(entry: Record) -> bytes:
    header = decode(Header, entry.header)  # type: ignore[attr-defined]
    return encode(replace(header, fhir_type="Condition"))


def left_out(found: list[Found]) -> None:
    found[0].released = found[0].released[1:]


LIES: list[tuple[str, str, Callable[[list[Found]], None]]] = [
    ("a share that is not its hash", "bad_share", altered(share=lambda _: bytes(32))),
    ("share hashes of its own", "wrong_header", altered(share_hashes=lambda e: e.share_hashes[:-1] + b"\0")),
    ("too few share hashes", "wrong_header", altered(share_hashes=lambda e: e.share_hashes[:32])),
    ("another type in the header", "wrong_header", altered(header=other_type)),
    ("another subject in the header", "wrong_header", altered(header=other_subject)),
    ("another salt", "wrong_header", altered(salt=lambda _: bytes(32))),
    ("no header at all", "wrong_header", altered(header=lambda _: b"\x90")),
    ("a record left out", "omitted_record", left_out),
    ("all records left out", "omitted_record", lambda found: found.clear()),
]


async def test_every_lie_of_a_keeper_is_named_and_costs_the_reader_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releasing, "_proof", kept_proof(releasing._proof))
    async with stage(tmp_path) as on:
        wallet, reader = await begun(on)
        keeper = on[LIAR].keeper.answers
        for why, what, lie in LIES:
            lying(on[LIAR], lie)
            view = await on.view("st-luke", reader, wallet)
            assert shown(view) == [data_of("a"), data_of("b")], why
            assert {one.member for one in view.accusations} == {LIAR}, why
            assert view.accusations[0].what == what, why
            assert not view.gaps, why
            del keeper._judged


def kept_proof(honest: Callable[[Found], object]) -> Callable[[Found], object]:
    """A liar proves what it can: where its entries no longer lead to the root, it sends the paths it has."""

    def proof(one: Found) -> object:
        try:
            return honest(one)
        except Exception:
            from salus.keeper.messages import BatchProof

            return BatchProof(one.author, one.batch_id, one.holding.leaf_proof, one.holding.row_proof)

    return proof


async def test_a_keeper_that_ignores_a_revocation_or_a_grant_is_named(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet, reader = await begun(on)
        old = await on[LIAR].keeper.policies.current(wallet.subject)

        async def stuck(_subject: object) -> object:
            return old

        on[LIAR].keeper.policies.current = stuck  # type: ignore[method-assign, assignment]
        await on.change(wallet, rules=(), by="lakeside")
        view = await on.view("st-luke", reader, wallet)
        assert not view.records
        assert [(one.member, one.what) for one in view.accusations] == [(LIAR, "stale_policy")]
        assert view.absent == (LIAR,)


async def replaced_reply(on: Stage, change: Callable[[SealedAnswer], Record]) -> None:
    honest = on[LIAR].keeper.answers.answer

    async def answer(sender: MemberId, ask: Ask) -> Record:
        return change(await honest(sender, ask))

    on[LIAR].door.answer(Ask, answer)


async def test_an_answer_that_does_not_open_or_that_another_seat_signed_is_named(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet, reader = await begun(on)
        await replaced_reply(on, lambda sealed: SealedAnswer(sealed=sealed.sealed[:-1] + b"\0"))
        view = await on.view("st-luke", reader, wallet)
        assert [(one.member, one.what) for one in view.accusations] == [(LIAR, "unreadable_answer")]
        on[LIAR].door.answer(Ask, on[LIAR].keeper.answers.answer)
        on[LIAR].keeper.answers._signing_key = on["st-luke"].secrets.keeper
        view = await on.view("st-luke", reader, wallet)
        assert [(one.member, one.what) for one in view.accusations] == [(LIAR, "bad_signature")]
        assert shown(view) == [data_of("a"), data_of("b")]


async def test_a_keeper_that_claims_a_height_nobody_has_reached_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from salus.sdk import hearing

    monkeypatch.setattr(hearing, "OWN_VIEW_WAIT_S", 0.1)
    async with stage(tmp_path) as on:
        wallet, reader = await begun(on)

        class Ahead:
            def __init__(self, view: object) -> None:
                self._view = view

            def __getattr__(self, name: str) -> object:
                return getattr(self._view, name)

            @property
            def height(self) -> int:
                return 1 << 40

        on[LIAR].keeper.answers._view = Ahead(on[LIAR].replica)  # type: ignore[assignment]
        view = await on.view("st-luke", reader, wallet)
        assert shown(view) == [data_of("a"), data_of("b")]
        assert view.absent == (LIAR,)


async def test_a_vault_that_returns_another_blob_is_named_and_one_that_lost_it_is_not(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet, reader = await begun(on, *map(str, range(64)))  # So many that some lie first at any vault.
        honest = on[LIAR].vault.get

        async def other(sender: MemberId, get: GetBlobs) -> Blobs:
            found = await honest(sender, get)
            return Blobs(blobs=tuple(blob and bytes(len(blob)) for blob in found.blobs))

        async def none(_sender: MemberId, get: GetBlobs) -> Blobs:
            return Blobs(blobs=(None,) * len(get.wanted))

        async def short(sender: MemberId, get: GetBlobs) -> Blobs:
            return Blobs(blobs=tuple(blob and blob[:-1] for blob in (await honest(sender, get)).blobs))

        async def fewer(_sender: MemberId, _get: GetBlobs) -> Blobs:
            return Blobs(blobs=())

        for answer, accused in ((other, True), (short, True), (none, False), (fewer, False)):
            on[LIAR].door.answer(GetBlobs, answer)
            view = await on.view("st-luke", reader, wallet)
            assert len(view.records) == 64
            assert not view.gaps
            assert {one.what for one in view.accusations} == ({"bad_blob"} if accused else set())
            expected = {("missing_blob", LIAR)} if answer in (none, fewer) else set()
            assert {(one.what, one.member) for one in view.notices} == expected, answer


async def test_a_record_whose_blob_nobody_has_is_a_gap(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet, reader = await begun(on)

        async def none(_sender: MemberId, get: GetBlobs) -> Blobs:
            return Blobs(blobs=(None,) * len(get.wanted))

        for member in on.network.members:
            member.door.answer(GetBlobs, none)
        view = await on.view("st-luke", reader, wallet)
        assert not view.records
        assert {gap.reason for gap in view.gaps} == {"blob_missing"}
        assert not view.accusations


# The honest, in trouble.


async def honest_view(on: Stage, reader: Reader, wallet: Wallet, *sources: str) -> View:
    view = await on.view("st-luke", reader, wallet)
    assert shown(view) == sorted(data_of(source) for source in sources)
    assert not view.accusations
    return view


async def test_a_keeper_that_was_down_while_a_batch_was_sealed_is_not_accused(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet, reader = await begun(on, "a")
        await on.network.take_down("northgate")
        assert not (await on.seal("lakeside", wallet, "b")).is_durable
        await on.network.bring_back("northgate")
        await on.settled()
        view = await honest_view(on, reader, wallet, "a", "b")
        assert {(one.member, one.what) for one in view.notices} >= {("northgate", "lacks_record")}
        await on.network.tend()
        assert not (await honest_view(on, reader, wallet, "a", "b")).notices


async def test_a_keeper_that_lost_its_whole_store_is_dealt_to_again_and_then_answers_whole(tmp_path: Path) -> None:
    from tests.node.stage import Clock

    clock = Clock()
    async with stage(tmp_path, clock=clock) as on:
        wallet, reader = await begun(on, "a")
    for path in (tmp_path / "members" / "northgate").glob("keeper.db*"):
        path.unlink()
    async with stage(tmp_path, clock=clock) as on:
        view = await honest_view(on, reader, wallet, "a")  # It signed for what it lacks, so it is silent, and no liar.
        assert view.absent == ("northgate",)
        assert not await on["northgate"].reconcile()
        assert await on["lakeside"].author.work_outbox() == 1
        assert await on["northgate"].reconcile()
        view = await honest_view(on, reader, wallet, "a")
        assert (view.absent, view.answered, view.notices) == ((), 4, [])


async def test_a_lost_store_is_dealt_to_again_by_an_author_that_writes_no_more_and_has_an_old_policy(
    tmp_path: Path,
) -> None:
    from tests.node.stage import Clock

    clock = Clock()
    async with stage(tmp_path, clock=clock) as on:
        wallet, reader = await begun(on, "a")

        def lost(_from: MemberId, _to: MemberId, data: bytes) -> float:
            if b"link.policy/1" in data[:30]:
                raise PeerUnavailableError(peer=LIAR)
            return 0.0

        on.network.switchboard.before = lost  # The former writer does not hear of this one.
        left = await on.change(wallet, by="lakeside", writers=())
        on.network.switchboard.before = None
    for path in (tmp_path / "members" / "northgate").glob("keeper.db*"):
        path.unlink()
    async with stage(tmp_path, clock=clock) as on:
        assert await on["lakeside"].author.audit() == 1
        assert await on["lakeside"].author.work_outbox() == 1
        assert not on["lakeside"].store.plans(Progress.FINAL)
        assert await on["northgate"].reconcile()
        assert (await honest_view(on, reader, left, "a")).answered == 4


async def test_a_keeper_that_lags_a_block_is_asked_again_and_not_accused(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet, reader = await begun(on, "a")
        opened = await on.open("st-luke", reader, wallet)
        on.network.engine.hold(on["northgate"].name)
        await on.change(wallet, rules=(), by="lakeside")
        view = await opened.ask()
        assert (view.records, view.accusations, view.absent) == ([], [], ("northgate",))
        await on.network.engine.release(on["northgate"].name)
        view = await opened.ask()
        assert (view.records, view.accusations, view.answered) == ([], [], 4)


async def test_a_batch_that_one_seat_lacks_and_another_has_not_seen_final_is_shown_whole(tmp_path: Path) -> None:
    """Three seats hold it, which is as many as it takes; one of these is a block behind, and is asked again."""
    async with stage(tmp_path) as on:
        wallet, reader = await begun(on, "a")
        opened = await on.open("st-luke", reader, wallet)
        late, away = on["mercy"].name, on["northgate"].name
        on.network.engine.hold(late)
        on.network.switchboard.off_line.add(away)
        await on.seal("lakeside", wallet, "b")
        on.network.switchboard.off_line.clear()
        looking = asyncio.create_task(opened.ask())
        await asyncio.wait({looking}, timeout=2.0)
        await on.network.engine.release(late)
        view = await looking
        assert (shown(view), view.gaps, view.accusations) == ([data_of("a"), data_of("b")], [], [])


async def test_one_keeper_that_is_ahead_of_all_others_is_followed_and_not_accused(tmp_path: Path) -> None:
    """The reader asks once more at the highest height: seats that were overtaken in mid-read answer anew."""
    async with stage(tmp_path) as on:
        wallet, reader = await begun(on, "a")
        opened = await on.open("st-luke", reader, wallet)
        honest = on[LIAR].keeper.answers.answer
        asked: list[int] = []

        async def slow(sender: MemberId, ask: Ask) -> SealedAnswer:
            if not asked:
                asked.append(1)
                await on.change(wallet, rules=(), by="lakeside")  # In force after the others have answered.
            return await honest(sender, ask)

        on[LIAR].door.answer(Ask, slow)
        view = await opened.ask()
        assert (view.records, view.accusations, view.answered) == ([], [], 4)


async def test_a_keeper_that_is_ahead_each_time_and_serves_nothing_good_does_not_keep_a_reader_asking(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as on:
        wallet, reader = await begun(on, "a")
        opened = await on.open("st-luke", reader, wallet)
        on.network.switchboard.off_line.add(on["northgate"].name)  # So that its share is needed.
        lying(on[LIAR], altered(share=lambda _: bytes(32)))
        honest = on[LIAR].keeper.answers.answer
        asked: list[int] = []

        async def ahead(sender: MemberId, ask: Ask) -> SealedAnswer:
            asked.append(1)
            await on.clinician(LIAR)  # A block more, after the others have answered.
            return await honest(sender, ask)

        on[LIAR].door.answer(Ask, ahead)
        view = await opened.ask()
        assert len(asked) == 1 + len(AGAIN_S)
        assert (view.records, view.absent) == ([], ("northgate",))
        assert [gap.reason for gap in view.gaps] == ["too_few_shares"]
        assert [(one.member, one.what) for one in view.accusations] == [(LIAR, "bad_share")]


async def test_a_record_withdrawn_in_mid_read_accuses_nobody(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet, reader = await begun(on, "a", "b")
        sealed = await on.seal("lakeside", wallet, "c")
        opened = await on.open("st-luke", reader, wallet)
        honest = on[LIAR].keeper.answers.answer

        async def slow(sender: MemberId, ask: Ask) -> SealedAnswer:
            answer = await honest(sender, ask)
            await on["lakeside"].author.withdraw(sealed.records[0])
            on[LIAR].door.answer(Ask, honest)
            return answer

        on[LIAR].door.answer(Ask, slow)
        view = await opened.ask()
        assert shown(view) == [data_of("a"), data_of("b")]
        assert not view.accusations


async def test_a_subject_that_nobody_knows_is_empty_without_a_word(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet, reader = await begun(on)
        unknown = replace(wallet, cell=bytes(16))
        view = await on.view("st-luke", reader, unknown)
        assert (view.records, view.gaps, view.accusations, view.notices, view.answered) == ([], [], [], [], 4)


async def test_what_all_keepers_refuse_is_refused_with_their_code(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet, reader = await begun(on)
        with pytest.raises(PeerRefusalError, match=r"keeper\.person"):
            await on.view("st-luke", Reader(reader.key), wallet)


async def test_without_keepers_there_is_no_view(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet, reader = await begun(on)
        opened = await on.open("st-luke", reader, wallet)
        on.network.switchboard.off_line |= {on[name].name for name in ("mercy", "lakeside", "northgate")}
        with pytest.raises(TooFewSeatsError):
            await opened.ask()


async def test_an_inconsistent_dealer_is_named_and_the_record_is_a_gap(tmp_path: Path) -> None:
    """Keepers see that shares fit their hashes; only whoever combines them sees that they are not of one key."""
    async with stage(tmp_path) as on:
        wallet, reader = await begun(on, "a")
        author = on["lakeside"].author
        honest = author._dealt

        def crooked(plan: object, entries: object, committee: object) -> tuple[list[bytes], list[bytes]]:
            shares, _ = honest(plan, entries, committee)  # type: ignore[arg-type]
            shares[0] = bytes(len(shares[0]))
            count = len(shares[0]) // 32
            hashes = [b"".join(sha256(blob[32 * at : 32 * at + 32]).digest() for blob in shares) for at in range(count)]
            return shares, hashes

        author._dealt = crooked  # type: ignore[method-assign, assignment]
        sealed = await on.seal("lakeside", wallet, "b")
        view = await on.view("st-luke", reader, wallet)
        assert shown(view) == [data_of("a")]
        assert [(gap.record, gap.reason) for gap in view.gaps] == [(sealed.records[0], "inconsistent_dealer")]
        assert [(one.member, one.what) for one in view.accusations] == [("lakeside", "inconsistent_dealer")]


async def test_a_share_of_another_length_spoils_no_other_record_though_its_dealer_hashed_it(tmp_path: Path) -> None:
    """A dealer and a keeper who are in league: side by side with others, a short share would move all that follow."""
    async with stage(tmp_path) as on:
        wallet, reader = await begun(on, "a")
        author, short = on["lakeside"].author, bytes(31)
        honest, own, other = author._dealt, on[LIAR].keeper.answers._judged, on["st-luke"].keeper.answers._judged

        def crooked(plan: object, entries: object, committee: object) -> tuple[list[bytes], list[bytes]]:
            shares, hashes = honest(plan, entries, committee)  # type: ignore[arg-type]
            return shares, [sha256(short).digest() + row[32:] for row in hashes]

        def in_league(*told: object) -> object:
            found, withheld = own(*told)  # type: ignore[arg-type]
            held = {one.batch_id for one in found}
            refused = [one for one in other(*told)[0] if one.batch_id not in held]  # type: ignore[arg-type]
            for one in refused:
                entries = tuple(replace(entry, share=short) for entry in one.holding.entries)
                one.holding = replace(one.holding, entries=entries)
            return [*found, *refused], withheld

        await on.seal("lakeside", wallet, "b")
        author._dealt = crooked  # type: ignore[method-assign, assignment]
        sealed = await on.seal("lakeside", wallet, "c")
        on[LIAR].keeper.answers._judged = in_league  # type: ignore[method-assign, assignment]
        on.network.switchboard.off_line.add(on["northgate"].name)  # So that the liar's share is one of the three.
        view = await on.view("st-luke", reader, wallet)
        assert shown(view) == [data_of("a"), data_of("b")]
        assert [(gap.record, gap.reason) for gap in view.gaps] == [(sealed.records[0], "too_few_shares")]
        assert [(one.member, one.what) for one in view.accusations] == [(LIAR, "bad_share")]


async def test_a_frozen_cell_accuses_nobody(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet, reader = await begun(on)
        await consent.freeze(on["lakeside"].gateway, wallet)
        view = await on.view("st-luke", reader, wallet)
        assert (view.records, view.accusations, view.notices) == ([], [], [])
