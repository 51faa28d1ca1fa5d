import json
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from salus.crypto.errors import BadProofError
from salus.crypto.merkle import (
    DEPTH,
    LEAVES,
    batch_root,
    dummy_leaf,
    levels,
    narrow,
    path,
    prove_many,
    root,
    root_from_path,
    root_of_many,
)

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "batch_roots.json").read_text())

SEED = bytes(range(32))
BATCH = [dummy_leaf(SEED, index) for index in range(LEAVES)]
BUILT = levels(BATCH)
ROOT = BUILT[DEPTH]
CHOSEN = [0, 1, 6, 7, 9, 500, 511, 512, 1023]
PROOF = prove_many(BUILT, CHOSEN)

# Certificate Transparency's reference inputs and roots, as its implementations test RFC 6962 with them.
REFERENCE_LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
REFERENCE_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def leaves_at(indices: list[int]) -> dict[int, bytes]:
    return {index: BATCH[index] for index in indices}


def rfc_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, word for word."""
    if len(leaves) < 2:
        return sha256(b"\0" + leaves[0] if leaves else b"").digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\1" + rfc_root(leaves[:split]) + rfc_root(leaves[split:])).digest()


# Trees of any size


@pytest.mark.parametrize(("index", "total"), [(0, 0), (-1, 5), (5, 5), (6, 5)])
def test_a_leaf_outside_the_tree_is_refused(index: int, total: int) -> None:
    with pytest.raises(BadProofError):
        path([b"leaf"] * total, index)
    with pytest.raises(BadProofError):
        root_from_path(b"leaf", index, total, [])


@pytest.mark.parametrize("change", [lambda p: p[1:], lambda p: (*p, bytes(32)), lambda p: (p[0][:31], *p[1:])])
def test_a_path_of_another_shape_is_refused(change: object) -> None:
    assert callable(change)
    siblings = change(path(REFERENCE_LEAVES, 3))
    with pytest.raises(BadProofError) as caught:
        root_from_path(REFERENCE_LEAVES[3], 3, 8, siblings)
    assert caught.value.code == "crypto.bad_proof"


def test_another_leaf_or_place_leads_to_another_root() -> None:
    siblings = path(REFERENCE_LEAVES, 3)
    assert root_from_path(b"other", 3, 8, siblings) != root(REFERENCE_LEAVES)
    assert root_from_path(REFERENCE_LEAVES[3], 2, 8, siblings) != root(REFERENCE_LEAVES)


def test_an_inner_node_cannot_pass_for_a_leaf() -> None:
    left, right = (sha256(b"\0" + leaf).digest() for leaf in (b"a", b"b"))
    assert root([left + right]) != root([b"a", b"b"])


def test_roots_are_those_of_certificate_transparency() -> None:
    assert [root(REFERENCE_LEAVES[:count]).hex() for count in range(9)] == REFERENCE_ROOTS


@pytest.mark.parametrize("total", [*range(1, 18), 31, 32, 33, 100])
def test_every_path_leads_to_the_root_of_the_rfc(total: int) -> None:
    leaves = [bytes([number]) for number in range(total)]
    expected = rfc_root(leaves)
    assert root(leaves) == expected
    for index, leaf in enumerate(leaves):
        assert root_from_path(leaf, index, total, path(leaves, index)) == expected


# Batches


@pytest.mark.parametrize(
    "leaves", [[], BATCH[:-1], [*BATCH, BATCH[0]], [b"", *BATCH[1:]], [BATCH[0] + b"x", *BATCH[1:]]]
)
def test_a_batch_of_another_size_is_refused(leaves: list[bytes]) -> None:
    with pytest.raises(BadProofError):
        batch_root(leaves)


@pytest.mark.parametrize("indices", [[], [-1], [1024], [3, 3], [4, 3], [0, 1024], [-1, 0]])
def test_indices_that_do_not_ascend_in_range_are_refused(indices: list[int]) -> None:
    with pytest.raises(BadProofError):
        prove_many(BUILT, indices)
    with pytest.raises(BadProofError):
        narrow(leaves_at(CHOSEN), PROOF, indices)


@pytest.mark.parametrize("leaves", [{}, {-1: bytes(32)}, {1024: bytes(32)}, {0: bytes(31)}, {0: b""}])
def test_leaves_that_are_none_are_refused(leaves: dict[int, bytes]) -> None:
    with pytest.raises(BadProofError):
        root_of_many(leaves, bytes(320))


@pytest.mark.parametrize("proof", [b"", PROOF[:-1], PROOF[:-32], PROOF + b"\0", PROOF + bytes(32)])
def test_a_proof_of_another_length_is_refused(proof: bytes) -> None:
    with pytest.raises(BadProofError) as caught:
        root_of_many(leaves_at(CHOSEN), proof)
    assert caught.value.code == "crypto.bad_proof"
    with pytest.raises(BadProofError):
        narrow(leaves_at(CHOSEN), proof, CHOSEN[:2])


def test_narrow_refuses_a_leaf_that_was_not_given() -> None:
    with pytest.raises(BadProofError):
        narrow(leaves_at(CHOSEN), PROOF, [0, 2])


def test_any_altered_leaf_place_or_sibling_leads_to_another_root() -> None:
    for index in CHOSEN:
        assert root_of_many({**leaves_at(CHOSEN), index: bytes(32)}, PROOF) != ROOT
    for start in range(0, len(PROOF), 32):
        assert root_of_many(leaves_at(CHOSEN), PROOF[:start] + bytes(32) + PROOF[start + 32 :]) != ROOT
    swapped = {**leaves_at(CHOSEN), 6: BATCH[7], 7: BATCH[6]}
    assert root_of_many(swapped, PROOF) != ROOT


def test_a_batch_root_is_what_its_definition_says() -> None:
    nodes = BATCH
    while len(nodes) > 1:
        nodes = [sha256(b"\1" + nodes[i] + nodes[i + 1]).digest() for i in range(0, len(nodes), 2)]
    assert batch_root(BATCH) == ROOT == nodes[0]
    assert [len(level) // 32 for level in BUILT] == [1024 >> height for height in range(11)]


def test_dummies_differ_by_seed_and_place() -> None:
    assert len({*BATCH, dummy_leaf(bytes(32), 0)}) == LEAVES + 1


def test_a_proof_for_one_leaf_is_its_path() -> None:
    proof = prove_many(BUILT, [5])
    assert [proof[start : start + 32] for start in range(0, 320, 32)] == [
        BUILT[height][((5 >> height) ^ 1) * 32 :][:32] for height in range(DEPTH)
    ]


def test_a_proof_for_all_leaves_is_empty() -> None:
    assert prove_many(BUILT, range(LEAVES)) == b""
    assert root_of_many(dict(enumerate(BATCH)), b"") == ROOT


def test_the_order_in_which_leaves_are_given_does_not_matter() -> None:
    assert root_of_many(leaves_at(CHOSEN[::-1]), PROOF) == ROOT


indices_of_a_batch = st.sets(st.integers(0, LEAVES - 1), min_size=1, max_size=40).map(sorted)


@given(indices_of_a_batch)
def test_a_proof_for_many_leads_to_the_root(indices: list[int]) -> None:
    assert root_of_many(leaves_at(indices), prove_many(BUILT, indices)) == ROOT


@given(indices_of_a_batch, st.data())
def test_a_narrowed_proof_is_the_proof_for_fewer(indices: list[int], data: st.DataObject) -> None:
    keep = sorted(data.draw(st.sets(st.sampled_from(indices), min_size=1)))
    given_leaves = leaves_at(indices)
    assert narrow(given_leaves, prove_many(BUILT, indices), keep) == prove_many(BUILT, keep)
    assert given_leaves == leaves_at(indices)


def test_batches_and_trees_keep_their_vectors() -> None:
    seed, named = bytes.fromhex(VECTORS["seed"]), VECTORS["leaves"]
    leaves = [bytes.fromhex(named[str(i)]) if str(i) in named else dummy_leaf(seed, i) for i in range(LEAVES)]
    built = levels(leaves)
    assert batch_root(leaves).hex() == VECTORS["root"]
    for case in VECTORS["proofs"]:
        proof = bytes.fromhex(case["proof"])
        assert prove_many(built, case["indices"]) == proof
        assert root_of_many({index: leaves[index] for index in case["indices"]}, proof).hex() == VECTORS["root"]
    for case in VECTORS["trees"]:
        entries = [bytes.fromhex(leaf) for leaf in case["leaves"]]
        assert root(entries).hex() == case["root"]
        assert not entries or [one.hex() for one in path(entries, len(entries) - 1)] == case["path"]
