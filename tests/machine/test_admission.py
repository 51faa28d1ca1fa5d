"""Reading a transaction: the same bytes read alike, remembered or not."""

import pytest

from salus.contracts.reads.messages import LogKind, LogRoot
from salus.core.errors import MalformedError
from salus.core.wire import encode
from salus.crypto.digests import digest
from salus.machine.admission import read
from tests.support.network import Ledger, network

NET = network(4)


@pytest.mark.parametrize("cells", [1, 40])
def test_bytes_read_twice_say_the_same_be_they_few_or_many(cells: int) -> None:
    tx = Ledger(NET).tx("mercy", *[NET.create(NET.id16("cell", i)) for i in range(cells)])
    assert (len(tx) > 4_096) == (cells == 40)
    first, second = read(tx), read(bytes(bytearray(tx)))
    assert first == second
    assert encode(first.tx) == tx
    assert first.size_bytes == len(tx)


def test_malformed_bytes_stay_malformed() -> None:
    for _ in range(2):
        with pytest.raises(MalformedError):
            read(b"\xc1")


def test_only_freeze_thaw_and_advance_alone_use_the_lane() -> None:
    ledger, cell = Ledger(NET), NET.id16("cell")
    reserved = (NET.freeze(cell, 0), NET.thaw(cell, 1), NET.advance(cell, 2))
    assert all(read(ledger.tx("mercy", message)).is_lane for message in reserved)
    assert read(ledger.tx("mercy", *reserved)).is_lane
    others = (NET.create(cell), NET.close(cell, 0), LogRoot(log=LogKind.KEEPER, version=0, root=digest(b"log")))
    assert not any(read(ledger.tx("mercy", message)).is_lane for message in others)
    assert not any(read(ledger.tx("mercy", *reserved, message)).is_lane for message in others)
