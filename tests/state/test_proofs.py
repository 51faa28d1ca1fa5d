"""Proofs hold for what is true, and for nothing else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from salus.core.errors import MalformedError
from salus.core.wire import decode, encode, replace
from salus.state import CorruptPageError, MemoryStore, Proof, tree
from salus.state.pages import PLACEHOLDER
from salus.state.proofs import prove, verify
from tests.state.test_tree import near_keys

SIZES = [0, 1, 2, 3, 17, 300]


def filled(count: int) -> tuple[MemoryStore, bytes, dict[bytes, bytes]]:
    store, contents = MemoryStore(), {b"key%d" % number: b"value%d" % number for number in range(count)}
    return store, tree.update(store, dict(contents)), contents


@pytest.mark.parametrize("count", SIZES)
def test_presence_is_not_proven_for_another_value_key_or_root(count: int) -> None:
    store, root, contents = filled(count)
    for key, value in list(contents.items())[:20]:
        proof = prove(store, key)
        assert not verify(root, key, value + b"x", proof)
        assert not verify(root, key, None, proof)
        assert not verify(root, b"stranger", value, proof)
        assert not verify(bytes(32), key, value, proof)


@pytest.mark.parametrize("count", SIZES)
def test_absence_is_not_proven_for_a_key_that_is_there(count: int) -> None:
    store, root, contents = filled(count)
    for number in range(20):
        proof = prove(store, b"stranger%d" % number)
        assert not verify(root, b"stranger%d" % number, b"", proof)
        assert not any(verify(root, key, None, proof) for key in contents)


@pytest.mark.parametrize("count", SIZES)
def test_presence_and_absence_are_proven(count: int) -> None:
    store, root, contents = filled(count)
    assert all(verify(root, key, value, prove(store, key)) for key, value in contents.items())
    assert all(verify(root, key, None, prove(store, key)) for key in (b"stranger%d" % number for number in range(50)))


@pytest.mark.parametrize("key", [b"key7", b"stranger7", b"stranger8", b"stranger9"])
def test_a_flipped_bit_anywhere_breaks_the_proof(key: bytes) -> None:
    store, root, contents = filled(60)
    value = contents.get(key)
    data = encode(prove(store, key))
    assert verify(root, key, value, decode(Proof, data))
    for place in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << place % 8
        try:
            proof = decode(Proof, bytes(flipped))
        except MalformedError:
            continue
        assert not verify(root, key, value, proof)


def test_one_fact_has_one_proof() -> None:
    near = near_keys(count=2, bits=10)
    store = MemoryStore()
    root = tree.update(store, {near[0]: b"1", near[1]: b"1"})
    proof = prove(store, near[0])
    assert verify(root, near[0], b"1", proof)
    assert len(proof.sides) < 32 * proof.depth  # Empty sides are bits only.
    assert not verify(root, near[0], b"1", replace(proof, taken=b"\xff" * len(proof.taken)))
    assert not verify(root, near[0], b"1", replace(proof, taken=proof.taken + b"\0"))
    assert not verify(root, near[0], b"1", replace(proof, sides=proof.sides + bytes(32)))
    written_out = b"".join(PLACEHOLDER for _ in range(proof.depth - 1)) + proof.sides
    every = (((1 << proof.depth) - 1) << (-proof.depth % 8)).to_bytes(len(proof.taken), "big")
    assert not verify(root, near[0], b"1", replace(proof, sides=written_out, taken=every))


def test_another_leaf_counts_only_where_the_key_would_be() -> None:
    store, root, contents = filled(60)
    for key in list(contents)[:10]:
        proof = prove(store, key)
        assert not verify(root, key, None, replace(proof, other=bytes(64)))
        assert not verify(root, key, contents[key], replace(proof, other=bytes(64)))
        assert not verify(root, key, None, replace(proof, other=bytes(32)))


def test_a_missing_page_gives_no_proof() -> None:
    store, _, contents = filled(60)
    for path, _page in list(store.scan(b""))[1:]:
        store.delete(path)
    with pytest.raises(CorruptPageError):
        [prove(store, key) for key in contents]


@given(st.sets(st.binary(max_size=2), max_size=30), st.binary(max_size=2))
@settings(max_examples=100, deadline=None)
def test_every_key_is_proven_present_or_absent(keys: set[bytes], asked: bytes) -> None:
    store = MemoryStore()
    root = tree.update(store, {key: b"v" + key for key in keys})
    value = b"v" + asked if asked in keys else None
    proof = decode(Proof, encode(prove(store, asked)))
    assert verify(root, asked, value, proof)
    assert not verify(root, asked, b"other" if value is None else None, proof)
