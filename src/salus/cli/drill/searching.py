"""Searching bytes for what must not be in them: values of 16 bytes or more, and words."""

from collections.abc import Iterable, Iterator

from salus.cli.drill.pooling import Labelled
from salus.cli.drill.world import World

WINDOW_BYTES = 16
_DISTINCT_MIN = 6  # A window of fewer different bytes, such as zeros, is nobody's value.
_WORD_BYTES_MIN = 6  # Shorter words occur by chance in megabytes of keys and digests.
_SHORT_STRING = 0xA0  # MessagePack's mark of a string below 32 bytes: five letters and it are long enough again.


def ledger_rows(world: World) -> set[bytes]:
    """Every key and every value in every member's ledger: genesis, blocks, index, state, tree."""
    return {
        part for member in world.network.members for row in member.replica.values_and_tree.scan(b"") for part in row
    }


def ledger_files(world: World) -> list[bytes]:
    """The files themselves, with pages that are free by now."""
    return [(member.folder / "ledger" / "data.mdb").read_bytes() for member in world.network.members]


def windows(data: bytes) -> Iterator[bytes]:
    """Every 16 bytes of it that could be somebody's value."""
    for at in range(len(data) - WINDOW_BYTES + 1):
        window = data[at : at + WINDOW_BYTES]
        if len(set(window)) >= _DISTINCT_MIN:
            yield window


def shared_labels(rows: Iterable[bytes], held: Iterable[Labelled]) -> set[str]:
    """Labels of values of which any 16 bytes in a row stand in the rows too."""
    public = {window for row in rows for window in windows(row)}
    return {label for label, value in held if any(window in public for window in windows(value))}


def is_searchable(word: str) -> bool:
    """Whether a word is long enough that finding it means something."""
    return len(word.encode()) >= _WORD_BYTES_MIN - 1


def words_found(haystacks: Iterable[bytes], words: Iterable[str]) -> set[str]:
    """Which of these words stand anywhere, as themselves or as a canonical string of five letters."""
    joined = b"\n".join(haystacks)
    found: set[str] = set()
    for word in filter(is_searchable, words):
        data = word.encode()
        if len(data) == _WORD_BYTES_MIN - 1:
            data = bytes((_SHORT_STRING | len(data),)) + data
        if data in joined:
            found.add(word)
    return found
