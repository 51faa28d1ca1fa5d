"""Taking shares into keeping: every refusal in checking order, then what is kept, repeated, dropped and dealt again."""

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from salus.contracts.records.header import Header
from salus.core.errors import SalusError
from salus.core.ids import CommitteeId
from salus.core.wire import decode, encode, replace
from salus.crypto.signatures import SigningKey, verify
from salus.keeper.deposits import GOOD_MS
from salus.keeper.errors import DepositConflictError, EnvelopeError, InconsistentDealerError, NotSeatedError
from salus.keeper.messages import Deposit, Deposited, DepositRefused
from salus.keeper.store import BATCHES, HOLDINGS, metadata
from tests.keeper.forging import Genuine, altered, altered_entry, envelope, genuine
from tests.node.stage import Stage, data_of, documents, permit, shown, stage

pytestmark = pytest.mark.usefixtures("kept_on")

Change = Callable[[Genuine], Genuine]


def _other_place(sent: Genuine) -> Genuine:
    header = decode(Header, sent.shares.entries[0].header)
    moved = replace(header, record=replace(header.record, author="st-luke"))
    return altered_entry(sent, 0, header=encode(moved))


def _other_salt(sent: Genuine) -> Genuine:
    return altered_entry(sent, 0, salt=bytes(32))


def _hashes(sent: Genuine) -> bytes:
    """Share hashes of the first entry with another seat's changed: this seat's own still fits."""
    return sent.shares.entries[0].share_hashes[:-1] + b"\0"


REFUSED: list[tuple[str, type[SalusError], Change]] = [
    ("another chain", EnvelopeError, lambda sent: altered(sent, chain="other")),
    ("a seat other than the envelope says", EnvelopeError, lambda sent: altered(sent, seat=2)),
    ("an author other than the sender", EnvelopeError, lambda sent: altered(sent, author="st-luke")),
    ("another key's signature", EnvelopeError, lambda sent: Genuine(sent.shares, SigningKey(bytes(32)))),
    ("an unknown committee", NotSeatedError, lambda sent: altered(sent, committee=CommitteeId(bytes(16)))),
    ("an epoch that has passed", NotSeatedError, lambda sent: altered(sent, epoch=7)),
    ("no header", InconsistentDealerError, lambda sent: altered_entry(sent, 0, header=b"\x90")),
    (
        "indices out of order",
        InconsistentDealerError,
        lambda sent: altered(sent, entries=tuple(reversed(sent.shares.entries))),
    ),
    ("one index twice", InconsistentDealerError, lambda sent: altered(sent, entries=(sent.shares.entries[0],) * 2)),
    ("a header of another place", InconsistentDealerError, _other_place),
    ("too few share hashes", InconsistentDealerError, lambda sent: altered_entry(sent, 0, share_hashes=bytes(32))),
    ("a short share", InconsistentDealerError, lambda sent: altered_entry(sent, 0, share=bytes(31))),
    ("a share that is not its hash", InconsistentDealerError, lambda sent: altered_entry(sent, 0, share=bytes(32))),
    ("another salt", InconsistentDealerError, _other_salt),
    ("another dummy seed", InconsistentDealerError, lambda sent: altered(sent, dummy_seed=bytes(32))),
    (
        "another seat's hash",
        InconsistentDealerError,
        lambda sent: altered_entry(sent, 0, share_hashes=_hashes(sent)),
    ),
    ("another root", InconsistentDealerError, lambda sent: altered(sent, root=bytes(32))),
    ("another share root", InconsistentDealerError, lambda sent: altered(sent, share_root=bytes(32))),
    (
        "wrong chain and wrong share: the envelope is judged first",
        EnvelopeError,
        lambda sent: altered(altered_entry(sent, 0, share=bytes(32)), chain="other"),
    ),
    (
        "old epoch and wrong share: the seat is judged first",
        NotSeatedError,
        lambda sent: altered(altered_entry(sent, 0, share=bytes(32)), epoch=7),
    ),
]


async def test_every_flaw_is_refused_in_its_order_and_nothing_is_kept(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        sent = genuine(on, "mercy", documents(wallet, "a", "b"))
        deposits = on["mercy"].keeper.deposits
        for why, error, change in REFUSED:
            with pytest.raises(SalusError) as caught:
                await deposits.accept("mercy", envelope(on, change(sent)))
            assert type(caught.value) is error, why
            assert rows(on, "mercy") == (0, 0), why
        assert isinstance(await deposits.accept("mercy", envelope(on, sent)), Deposited)


async def test_an_envelope_for_another_seat_or_purpose_does_not_open(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        sent = genuine(on, "mercy", documents(await on.patient("mercy")))
        accept = on["mercy"].keeper.deposits.accept
        for wrong in (
            envelope(on, sent, opened_by=2),
            envelope(on, sent, purpose="ask"),
            Deposit(seat=1, sealed=b""),
            Deposit(seat=1, sealed=bytes(2000)),
        ):
            with pytest.raises(EnvelopeError):
                await accept("mercy", wrong)


async def test_a_seat_of_another_member_is_refused(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        sent = genuine(on, "mercy", documents(await on.patient("mercy")), seat=2)
        with pytest.raises(NotSeatedError):
            await on["mercy"].keeper.deposits.accept("mercy", envelope(on, sent, seat=2))
        beyond = altered(sent, seat=99)
        with pytest.raises(NotSeatedError):
            await on["mercy"].keeper.deposits.accept("mercy", envelope(on, beyond, seat=99))


async def test_the_ledgers_roots_win_over_a_later_envelope(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        sealed = await on.seal("mercy", wallet, "a")
        batch_id = sealed.records[0].batch_id
        other = genuine(on, "mercy", documents(wallet, "b"))
        header = decode(Header, other.shares.entries[0].header)
        moved = replace(header, record=replace(header.record, batch_id=batch_id))
        forged = altered_entry(altered(other, batch_id=batch_id), 0, header=encode(moved))
        roots = _roots(on, forged)
        with pytest.raises(DepositConflictError):
            await on["mercy"].keeper.deposits.accept("mercy", envelope(on, altered(forged, **roots)))


async def test_the_same_envelope_again_gives_a_receipt_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        sent = genuine(on, "mercy", documents(await on.patient("mercy"), "a", "b"))
        accept = on["mercy"].keeper.deposits.accept
        first = await accept("mercy", envelope(on, sent))
        kept = rows(on, "mercy")
        again = await accept("mercy", envelope(on, sent))
        assert isinstance(first, Deposited)
        assert isinstance(again, Deposited)
        assert rows(on, "mercy") == kept == (1, 1)


async def test_a_receipt_binds_chain_epoch_both_roots_and_its_end(tmp_path: Path) -> None:
    from salus.contracts.records.statements import deposited

    async with stage(tmp_path) as on:
        sent = genuine(on, "mercy", documents(await on.patient("mercy")))
        receipt = await on["mercy"].keeper.deposits.accept("mercy", envelope(on, sent))
        assert isinstance(receipt, Deposited)
        said = {
            "chain": sent.shares.chain,
            "author": sent.shares.author,
            "batch_id": sent.shares.batch_id,
            "root": sent.shares.root,
            "share_root": sent.shares.share_root,
            "committee": sent.shares.committee,
            "epoch": sent.shares.epoch,
            "good_until": receipt.good_until,
        }
        key = on["mercy"].secrets.keeper.public
        assert verify(key, deposited(**said), receipt.signature)
        for field, other in (("chain", "other"), ("epoch", 9), ("root", bytes(32)), ("share_root", bytes(32))):
            assert not verify(key, deposited(**{**said, field: other}), receipt.signature)


async def test_strangers_records_are_named_and_the_rest_is_sealed_under_the_same_batch_id(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        ours, theirs = await on.patient("mercy", rules=(permit("st-luke"),)), await on.patient("mercy", "st-luke")
        await on.change(theirs, writers=theirs.writers[1:])
        draft = [*documents(ours, "a"), *documents(theirs, "b"), *documents(ours, "c")]
        sent = genuine(on, "mercy", draft)
        refused = await on["mercy"].keeper.deposits.accept("mercy", envelope(on, sent))
        assert isinstance(refused, DepositRefused)
        assert len(refused.indices) == 1
        assert rows(on, "mercy") == (0, 0)
        sealed = await on["mercy"].author.seal(draft)
        assert sorted(sealed.records) == [0, 2]
        assert len({record.batch_id for record in sealed.records.values()}) == 1
        view = await on.view("st-luke", await on.clinician("st-luke"), ours)
        assert shown(view) == [data_of("a"), data_of("c")]


async def test_an_unknown_subject_and_a_closed_cell_take_no_records(tmp_path: Path) -> None:
    from salus.sdk import consent

    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        sent = genuine(on, "mercy", documents(wallet))
        await consent.close(on["mercy"].gateway, wallet)
        await on.settled()
        refused = await on["mercy"].keeper.deposits.accept("mercy", envelope(on, sent))
        assert isinstance(refused, DepositRefused)


async def test_a_frozen_cell_goes_on_taking_records(tmp_path: Path) -> None:
    from salus.sdk import consent

    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        await consent.freeze(on["mercy"].gateway, wallet)
        assert (await on.seal("mercy", wallet, "a")).is_durable


async def test_a_deposit_is_dropped_only_after_it_ran_out_without_a_block(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        sealed = await on.seal("mercy", wallet, "a")
        left = genuine(on, "mercy", documents(wallet, "b"))
        keeper = on["mercy"].keeper
        await keeper.deposits.accept("mercy", envelope(on, left))
        await on.wait(GOOD_MS - 60_000)
        assert keeper.deposits.drop_expired() == 0
        await on.wait(120_000)
        assert keeper.deposits.drop_expired() == 1
        assert keeper.deposits.batches() == [("mercy", sealed.records[0].batch_id)]
        assert rows(on, "mercy") == (1, 1)


async def test_nothing_is_served_of_a_batch_that_is_not_final(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        for seat, member in enumerate(on.network.members, 1):
            sent = genuine(on, "mercy", documents(wallet, "a"), seat=seat)
            await member.keeper.deposits.accept("mercy", envelope(on, sent, seat=seat, opened_by=seat))
        view = await on.view("st-luke", await on.clinician("st-luke"), wallet)
        assert (view.records, view.gaps, view.accusations) == ([], [], [])


async def test_the_envelope_itself_is_not_kept(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        sent = genuine(on, "mercy", documents(wallet, "a"))
        sealed = envelope(on, sent)
        await on["mercy"].keeper.deposits.accept("mercy", sealed)
        connection = on["mercy"].keeping._store.connection
        rows = [row for table in metadata.sorted_tables for row in connection.execute(sa.select(table))]
        data = b"|".join(value for row in rows for value in row if isinstance(value, bytes))
    path = tmp_path / "members/mercy/keeper.db"
    data += path.read_bytes() if path.exists() else b""  # What was deleted may lie there still.
    entry = sent.shares.entries[0]
    assert sealed.sealed[100:164] not in data
    for secret in (entry.share, entry.salt, wallet.subject, wallet.cell[:0] or entry.header[:24]):
        assert secret not in data


def rows(on: Stage, member: str) -> tuple[int, int]:
    """Batches and holdings in a keeper's store."""
    connection = on[member].keeping._store.connection
    return tuple(  # type: ignore[return-value]
        connection.execute(sa.select(sa.func.count()).select_from(table)).scalar() for table in (BATCHES, HOLDINGS)
    )


def _roots(on: Stage, sent: Genuine) -> dict[str, bytes]:
    from salus.contracts.records.batch import leaf_levels, row_levels, share_row
    from salus.contracts.records.header import leaf

    entries, seed = sent.shares.entries, sent.shares.dummy_seed
    return {
        "root": leaf_levels({e.index: leaf(e.salt, e.header) for e in entries}, seed)[-1],
        "share_root": row_levels({e.index: share_row(e.share_hashes) for e in entries}, seed)[-1],
    }
