"""What lies where in a member's store, beside the state's values (`v`) and pages (`t`): genesis, blocks, indices.

    g                        the genesis
    n                        the newest final header
    b ‖ height (8 bytes)     a final block with its results, header and votes
    h ‖ height (8 bytes)     who validates after a block that changed it, where it did
    x ‖ tx_id (16 bytes)     where a transaction became final
    s                        the header of the snapshot that this store began with, if it began with one

Everything but `g` follows from the blocks: `check.py` works it out again. After a snapshot, blocks begin behind it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from salus.core.errors import MalformedError
from salus.core.ids import Digest, Height
from salus.core.wire import Record, decode, encode
from salus.engines.receipts import Handover, Validator, Vote
from salus.machine.block import ACCEPTED, Block, Header, Result
from salus.state.key_value import KeyValue, Prefixed

GENESIS_KEY = b"g"
NEWEST_KEY = b"n"
BLOCKS_PREFIX = b"b"
HANDOVERS_PREFIX = b"h"
INDEX_PREFIX = b"x"
BASE_KEY = b"s"
_TX_ID_BYTES = 16
_NUMBER_BYTES = 8
_ACCEPTED = b"\1"


class StoredBlock(Record, tag="engine.stored_block/1", frozen=True):
    """A final block with what it led to."""

    block: Block
    results: tuple[Result, ...]
    header: Header
    votes: tuple[Vote, ...]


class Handed(Record, tag="engine.handed/1", frozen=True):
    """Who validates after a block."""

    validators: tuple[Validator, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a transaction became final."""

    height: Height
    index: int
    accepted: bool


def block_key(height: Height) -> bytes:
    """Where a block lies."""
    return BLOCKS_PREFIX + height.to_bytes(_NUMBER_BYTES, "big")


def block_at(store: KeyValue, height: Height) -> StoredBlock | None:
    """A block. Raises MalformedError where the bytes are none."""
    data = store.get(block_key(height))
    return None if data is None else decode(StoredBlock, data)


def place_of(store: KeyValue, tx_id: Digest) -> Place | None:
    """Where a transaction became final: where it was accepted, or else where it was refused last."""
    row = store.get(_index_key(tx_id))
    if row is None:
        return None
    height, index = row[:_NUMBER_BYTES], row[_NUMBER_BYTES : 2 * _NUMBER_BYTES]
    accepted = row[2 * _NUMBER_BYTES :] == _ACCEPTED
    return Place(height=int.from_bytes(height, "big"), index=int.from_bytes(index, "big"), accepted=accepted)


def keep(store: KeyValue, stored: StoredBlock) -> None:
    """Write a block, the index of its transactions and the newest header, inside the caller's write transaction."""
    store.put(block_key(stored.header.height), encode(stored))
    index(store, stored)
    store.put(NEWEST_KEY, encode(stored.header))


def index(store: KeyValue, stored: StoredBlock) -> None:
    """Write the index of one block. A refusal, such as that of a replay, never hides an acceptance.

    Bytes that were no transaction have no id and are not found again by one.
    """
    height = stored.header.height.to_bytes(_NUMBER_BYTES, "big")
    for number, result in enumerate(stored.results):
        key = _index_key(result.tx_id)
        row = height + number.to_bytes(_NUMBER_BYTES, "big")
        if result.code == ACCEPTED:
            store.put(key, row + _ACCEPTED)
        elif any(result.tx_id) and (store.get(key) or b"")[2 * _NUMBER_BYTES :] != _ACCEPTED:
            store.put(key, row)


def hand_over(store: KeyValue, height: Height, validators: tuple[Validator, ...]) -> None:
    """Note who validates after a block that changed it."""
    handed = Handed(validators=validators)
    store.put(HANDOVERS_PREFIX + height.to_bytes(_NUMBER_BYTES, "big"), encode(handed))


def handovers_before(store: KeyValue, height: Height) -> Iterator[Handover]:
    """The handovers below a height, the first one first. Raises MalformedError where the bytes are none."""
    for key, data in Prefixed(store, HANDOVERS_PREFIX).scan(b""):
        at = int.from_bytes(key, "big")
        if at >= height:
            return
        stored = block_at(store, at)
        if stored is None:
            raise MalformedError(reason="a handover without its block")
        validators = decode(Handed, data).validators
        yield Handover(header=stored.header, votes=stored.votes, validators=validators)


def _index_key(tx_id: Digest) -> bytes:
    return INDEX_PREFIX + tx_id[:_TX_ID_BYTES]
