"""Two dealings of one key, at two epochs: any `t` shares of either make it, and no mixture does, nor tells of it."""

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from salus.contracts.records.batch import share_context, share_contexts_prefix
from salus.core.ids import ChainId, MemberId
from salus.crypto.shares import coefficients, combine, deal_batch, threshold

keys = st.binary(min_size=32, max_size=32)
sizes = st.integers(1, 7)


def context(epoch: int, seats: int) -> bytes:
    prefix = share_contexts_prefix(
        chain=ChainId("test"),
        author=MemberId("mercy"),
        batch_id=bytes(16),
        committee=bytes(16),
        epoch=epoch,
        seats=seats,
        threshold=threshold(seats),
    )
    return share_context(prefix, 7)


def dealt(key: bytes, epoch: int, seats: int) -> dict[int, bytes]:
    blobs = deal_batch([key], [context(epoch, seats)], seats=seats, threshold=threshold(seats))
    return dict(enumerate(blobs, 1))


@given(key=keys, before=sizes, after=sizes, epoch=st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_any_t_shares_of_one_epoch_make_the_key(key: bytes, before: int, after: int, epoch: int) -> None:
    for number, seats in ((epoch, before), (epoch + 1, after)):
        shares = dealt(key, number, seats)
        for some in combinations(shares.items(), threshold(seats)):
            assert combine(dict(some)) == key


@given(key=keys, seats=st.integers(2, 7), epoch=st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_no_mixture_of_two_epochs_makes_the_key(key: bytes, seats: int, epoch: int) -> None:
    old, new = dealt(key, epoch, seats), dealt(key, epoch + 1, seats)
    assert all(old[seat] != new[seat] for seat in old)
    for some in combinations(range(1, seats + 1), threshold(seats)):
        for taken in range(1, len(some)):
            mixed = {seat: (old if place < taken else new)[seat] for place, seat in enumerate(some)}
            assert combine(mixed) != key


@given(key=keys, other=keys, before=st.integers(2, 7), after=st.integers(2, 7), epoch=st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_one_share_short_at_both_epochs_leaves_every_key_as_likely(
    key: bytes, other: bytes, before: int, after: int, epoch: int
) -> None:
    """For whichever key, one more share at each epoch would make it: what is there rules nothing out."""
    for number, seats in ((epoch, before), (epoch + 1, after)):
        short = dict(list(dealt(key, number, seats).items())[: threshold(seats) - 1])
        missing = threshold(seats)
        base = combine({**short, missing: bytes(32)})
        unit = combine({**{seat: bytes(32) for seat in short}, missing: bytes([1]) * 32})
        wanted = bytes(left ^ right for left, right in zip(other, base, strict=True))
        completed = bytes(_divided(one, unit[0]) for one in wanted)
        assert combine({**short, missing: completed}) == other
    drawn = [
        coefficients(key, context(epoch + more, seats), threshold(seats)) for more, seats in ((0, before), (1, after))
    ]
    assert drawn[0][:32] != drawn[1][:32]


def _divided(value: int, by: int) -> int:
    """In the field of the shares."""
    return next(one for one in range(256) if _times(one, by) == value)


def _times(left: int, right: int) -> int:
    product = 0
    while right:
        product ^= left if right & 1 else 0
        right, left = right >> 1, (left << 1) ^ (0x11B if left & 0x80 else 0)
    return product
