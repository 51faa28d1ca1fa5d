"""Which seats of a committee keep a blob: rendezvous hashing, so that anyone can work it out and nobody has to ask."""

from collections.abc import Sequence
from hashlib import sha256

from salus.core.ids import Digest, MemberId
from salus.crypto.shares import faulty


def keepers_of(blob: Digest, members: Sequence[MemberId]) -> list[MemberId]:
    """The f+1 members whose vaults keep this blob, the likeliest first (Thaler and Ravishankar 1998)."""
    return preference(blob, members)[: faulty(len(members)) + 1]


def preference(blob: Digest, members: Sequence[MemberId]) -> list[MemberId]:
    """All members, in the order in which they would keep this blob."""
    ranked = [(sha256(blob + member.encode()).digest(), member) for member in members]
    ranked.sort()
    return [member for _, member in ranked]
