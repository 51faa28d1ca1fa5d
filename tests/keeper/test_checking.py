"""Deposits of one batch that are checked together are judged as if each had come alone."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from salus.core.ids import Digest
from salus.core.wire import decode, encode, replace
from salus.keeper.checking import CHECKED, Sound, ToCheck, Unread, Unsound, check_deposits
from salus.keeper.messages import BatchShares
from tests.keeper.forging import dealt
from tests.node.stage import documents, stage

SEATS = 4


@dataclass(frozen=True, slots=True)
class Dealt:
    """One batch, as each seat gets it."""

    seats: list[BatchShares]


@pytest.fixture
async def batch(tmp_path: Path) -> Dealt:
    async with stage(tmp_path) as on:
        wallet, other = await on.patient("mercy"), await on.patient("mercy")
        sent = [*documents(wallet, "a", "b"), *documents(other, "c")]
        author = on["mercy"].author
        draft = author._draft(sent, on.network.committee)
        entries = sorted((entry for own in draft.own.values() for entry in own), key=lambda entry: entry.index)
        return Dealt([dealt(on, "mercy", draft.plan, entries, seat).shares for seat in range(1, SEATS + 1)])


def judged(*deposits: BatchShares) -> list[Any]:
    given = [encode(ToCheck(SEATS, encode(shares))) for shares in deposits]
    return [decode(CHECKED, answer) for answer in check_deposits(given)]


def with_entry(shares: BatchShares, at: int, **changes: object) -> BatchShares:
    entries = list(shares.entries)
    entries[at] = replace(entries[at], **changes)
    return replace(shares, entries=tuple(entries))


def flipped(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]


ALTERED = {
    "a share": lambda one: with_entry(one, 1, share=flipped(one.entries[1].share)),
    "a longer share": lambda one: with_entry(one, 1, share=one.entries[1].share + b"x"),
    "a salt": lambda one: with_entry(one, 1, salt=flipped(one.entries[1].salt)),
    "a header": lambda one: with_entry(one, 1, header=one.entries[0].header),
    "no header": lambda one: with_entry(one, 1, header=b"x"),
    "an index": lambda one: with_entry(one, 1, index=one.entries[1].index + 1),
    "share hashes": lambda one: with_entry(one, 1, share_hashes=one.entries[0].share_hashes),
    "hashes of fewer seats": lambda one: with_entry(one, 1, share_hashes=one.entries[1].share_hashes[:96]),
    "an entry less": lambda one: replace(one, entries=one.entries[1:]),
    "other order": lambda one: replace(one, entries=one.entries[::-1]),
    "another root": lambda one: replace(one, root=Digest(bytes(32))),
    "another share root": lambda one: replace(one, share_root=Digest(bytes(32))),
    "another seed of dummies": lambda one: replace(one, dummy_seed=Digest(bytes(32))),
    "another batch": lambda one: replace(one, batch_id=bytes(16)),
    "another author": lambda one: replace(one, author="lakeside"),
    "another seat": lambda one: replace(one, seat=one.seat + 1),
}


@pytest.mark.parametrize("what", ALTERED)
def test_what_is_altered_for_one_seat_is_seen_beside_sound_ones(batch: Dealt, what: str) -> None:
    first, second, third, _ = batch.seats
    wrong = ALTERED[what](second)
    alone = judged(wrong)
    assert isinstance(alone[0], Unsound)
    assert judged(first, wrong, third) == [*judged(first), *alone, *judged(third)]
    assert judged(wrong, first) == [*alone, *judged(first)]


def test_more_seats_than_the_committee_has_is_unsound_beside_sound_ones(batch: Dealt) -> None:
    given = [encode(ToCheck(seats, encode(batch.seats[0]))) for seats in (SEATS, SEATS + 1)]
    sound, unsound = (decode(CHECKED, answer) for answer in check_deposits(given))
    assert isinstance(sound, Sound)
    assert isinstance(unsound, Unsound)


def test_bytes_in_another_encoding_are_not_read_beside_sound_ones(batch: Dealt) -> None:
    body = encode(batch.seats[1])
    sound, unread = check_deposits(
        [encode(ToCheck(SEATS, encode(batch.seats[0]))), encode(ToCheck(SEATS, body + b"x"))]
    )
    assert isinstance(decode(CHECKED, sound), Sound)
    assert isinstance(decode(CHECKED, unread), Unread)


def test_each_seat_is_to_hold_its_own_shares(batch: Dealt) -> None:
    together = judged(*batch.seats)
    assert together == [judged(one)[0] for one in batch.seats]
    assert all(isinstance(one, Sound) for one in together)
    assert len({one.held for one in together}) == SEATS
