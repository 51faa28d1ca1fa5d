"""A pack in one file: what is written is found, and what is no pack is said to be none."""

from hashlib import sha256

import pytest

from salus.vault.packs import HEAD_BYTES, MAGIC, ROW_BYTES, Index, PackError, count_of, write_pack

BLOBS = {sha256(bytes([number]) * number).digest(): bytes([number]) * number for number in range(1, 40)}


def test_every_blob_is_found_where_the_index_says() -> None:
    pack = b"".join(write_pack(BLOBS))
    count = count_of(pack[:HEAD_BYTES])
    index = Index(pack[:HEAD_BYTES], pack[HEAD_BYTES : HEAD_BYTES + ROW_BYTES * count])
    assert count == len(BLOBS)
    assert list(index.digests) == sorted(BLOBS)
    for digest, blob in BLOBS.items():
        place = index.find(digest)
        assert place is not None
        assert pack[place[0] : place[0] + place[1]] == blob
    assert index.find(bytes(32)) is None
    assert index.find(b"\xff" * 32) is None


def test_an_empty_pack_is_a_pack() -> None:
    (head,) = write_pack({})
    assert count_of(head) == 0
    assert Index(head, b"").find(bytes(32)) is None


def test_one_set_of_blobs_has_one_pack() -> None:
    assert write_pack(BLOBS) == write_pack(dict(reversed(BLOBS.items())))


@pytest.mark.parametrize("head", [b"", MAGIC, b"SALUSPK0" + bytes(4), MAGIC + bytes(5)])
def test_what_is_no_pack_is_refused(head: bytes) -> None:
    with pytest.raises(PackError):
        count_of(head)


def test_an_index_cut_short_is_refused() -> None:
    pack = b"".join(write_pack(BLOBS))
    with pytest.raises(PackError):
        Index(pack[:HEAD_BYTES], pack[HEAD_BYTES : HEAD_BYTES + ROW_BYTES])
