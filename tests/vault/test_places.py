"""Where a blob lies: anyone can work it out, and it hardly moves when a member comes."""

from collections import Counter
from hashlib import sha256

import pytest

from salus.core.ids import MemberId
from salus.crypto.shares import faulty
from salus.vault.places import keepers_of, preference

MEMBERS = [MemberId(f"m{number}") for number in range(13)]
BLOBS = [sha256(bytes([a, b])).digest() for a in range(30) for b in range(10)]


@pytest.mark.parametrize("count", range(1, 14))
def test_f_plus_one_distinct_members_keep_a_blob_whatever_the_order_they_are_named_in(count: int) -> None:
    members = MEMBERS[:count]
    for blob in BLOBS[:20]:
        kept = keepers_of(blob, members)
        assert len(set(kept)) == len(kept) == faulty(count) + 1
        assert kept == keepers_of(blob, list(reversed(members)))
        assert preference(blob, members)[: len(kept)] == kept


def test_blobs_are_spread_evenly() -> None:
    counts = Counter(member for blob in BLOBS for member in keepers_of(blob, MEMBERS[:4]))
    assert max(counts.values()) < 1.4 * min(counts.values())


def test_a_new_member_takes_over_only_what_falls_to_it() -> None:
    for blob in BLOBS:
        before, after = preference(blob, MEMBERS[:6]), preference(blob, MEMBERS[:7])
        assert [member for member in after if member != MEMBERS[6]] == before
