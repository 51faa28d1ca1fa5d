"""A vault: keeps by digest, serves by permission, and mends what it lost from those who have it."""

import os
import shutil
from hashlib import sha256
from pathlib import Path

import pytest

from salus.core.ids import HOUR_MS, MemberId
from salus.crypto.signatures import verify
from salus.sdk.author_store import Stage as Progress
from salus.sdk.errors import TooFewSeatsError
from salus.vault.messages import BlobWanted, CopyBlobs, GetBlobs, PutBlobs, kept_statement
from salus.vault.places import keepers_of
from salus.vault.storage import ObjectStorage, StorageError
from salus.vault.vault import GOOD_MS, BlobStore
from tests.node.changing import joined, seated
from tests.node.stage import Stage, data_of, documents, permit, records_of, shown, stage

MERCY = MemberId("mercy")
BATCH = bytes(16)


def blobs(*names: bytes) -> dict[bytes, bytes]:
    return {sha256(name * 100).digest(): name * 100 for name in names}


def test_what_is_kept_is_read_and_what_is_not_is_none(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "vault")
    kept = blobs(b"a", b"b")
    store.keep(MERCY, BATCH, kept)
    digests = [*kept, bytes(32)]
    assert store.read(MERCY, BATCH, digests) == [*kept.values(), None]
    assert store.read(MERCY, b"\1" * 16, digests) == [None] * 3
    assert BlobStore(tmp_path / "vault").read(MERCY, BATCH, digests) == [*kept.values(), None]


def test_more_blobs_join_those_that_are_there(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "vault")
    first, more = blobs(b"a"), blobs(b"b", b"c")
    store.keep(MERCY, BATCH, first)
    store.keep(MERCY, BATCH, more)
    store.keep(MERCY, BATCH, first)  # Again: nothing changes.
    assert store.read(MERCY, BATCH, [*first, *more]) == [*first.values(), *more.values()]


def test_a_pack_that_another_process_wrote_anew_is_read_as_it_is_and_loses_nothing(tmp_path: Path) -> None:
    keeper, gateway = BlobStore(tmp_path / "vault"), BlobStore(tmp_path / "vault")
    first, second, third = blobs(b"a"), blobs(b"b", b"c"), blobs(b"d")
    keeper.keep(MERCY, BATCH, first)
    assert keeper.read(MERCY, BATCH, list(first)) == list(first.values())
    gateway.keep(MERCY, BATCH, second)
    assert keeper.read(MERCY, BATCH, list(first)) == list(first.values())
    assert keeper.read(MERCY, BATCH, list(second)) == list(second.values())
    gateway.keep(MERCY, BATCH, third)
    keeper.keep(MERCY, BATCH, first)
    assert keeper.read(MERCY, BATCH, list(third)) == list(third.values())


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "head", "gone"])
def test_a_damaged_pack_counts_as_lost_and_can_be_written_anew(tmp_path: Path, damage: str) -> None:
    store = BlobStore(tmp_path / "vault")
    kept = blobs(b"a", b"b")
    store.keep(MERCY, BATCH, kept)
    path = tmp_path / "vault" / "packs" / "mercy" / BATCH.hex()
    data = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    else:
        data[{"head": 0}.get(damage, len(data) - 1)] ^= 1
        path.write_bytes(data[: {"cut": len(data) - 150, "empty": 0}.get(damage, len(data))])
    again = BlobStore(tmp_path / "vault")
    assert None in again.read(MERCY, BATCH, list(kept))
    again.keep(MERCY, BATCH, kept)
    assert again.read(MERCY, BATCH, list(kept)) == list(kept.values())


def test_a_dropped_pack_is_gone(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "vault")
    store.keep(MERCY, BATCH, blobs(b"a"))
    assert [(author, batch) for author, batch, _ in store.packs()] == [(MERCY, BATCH)]
    store.drop(MERCY, BATCH)
    assert list(store.packs()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "vault")
    (tmp_path / "vault").chmod(0o500)
    with pytest.raises(StorageError):
        store.keep(MERCY, BATCH, blobs(b"a"))


def test_a_file_where_a_folder_must_be_is_reported(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "vault")
    (tmp_path / "vault" / "packs").write_bytes(b"")
    with pytest.raises(StorageError):
        store.keep(MERCY, BATCH, blobs(b"a"))


def test_an_s3_like_store_serves_as_well() -> None:
    from obstore.store import MemoryStore

    store = BlobStore(ObjectStorage(MemoryStore()))
    kept = blobs(b"a", b"b")
    store.keep(MERCY, BATCH, kept)
    assert store.read(MERCY, BATCH, list(kept)) == list(kept.values())


async def test_a_vault_signs_what_it_keeps(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        vault = on["st-luke"].vault
        receipt = await vault.put(MERCY, PutBlobs(batch_id=BATCH, blobs=(b"one", b"two")))
        digests = tuple(sorted(sha256(blob).digest() for blob in (b"one", b"two")))
        said = kept_statement(
            chain=on["mercy"].gateway.chain,
            vault=on["st-luke"].name,
            author=MERCY,
            batch_id=BATCH,
            digests=digests,
            good_until=receipt.good_until,
        )
        assert verify(on["st-luke"].secrets.keeper.public, said, receipt.signature)
        assert receipt.good_until == on.clock.now + GOOD_MS


async def test_a_vault_serves_a_reader_only_what_its_own_keeper_permitted_and_while_it_is_open(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke", fhir_types=("Observation",)),))
        sealed = await on.seal("mercy", wallet, "a")
        closed = await on.seal("mercy", wallet, "b", fhir_type="Condition")
        opened = await on.open("st-luke", await on.clinician("st-luke"), wallet)
        request = opened.opening.request_id
        (yes,), (no,) = (wants(on, batch) for batch in (sealed, closed))
        get = on["mercy"].vault.get
        assert (await get(on["st-luke"].name, GetBlobs(request, (yes,)))).blobs == (None,)  # Not asked yet.
        await opened.ask()
        assert (await get(on["st-luke"].name, GetBlobs(request, (yes, no)))).blobs[0] is not None
        assert (await get(on["st-luke"].name, GetBlobs(request, (yes, no)))).blobs[1] is None
        assert (await get(on["lakeside"].name, GetBlobs(request, (yes,)))).blobs == (None,)
        assert (await get(on["st-luke"].name, GetBlobs(bytes(16), (yes,)))).blobs == (None,)
        on.clock.now += 9 * HOUR_MS
        assert (await get(on["st-luke"].name, GetBlobs(request, (yes,)))).blobs == (None,)


def wants(on: Stage, sealed: object) -> list[BlobWanted]:
    record = records_of(sealed)[0]  # type: ignore[arg-type]
    digests = on["mercy"].keeper.deposits.blobs_in(record.author, record.batch_id)
    return [BlobWanted(author=record.author, batch_id=record.batch_id, digest=digest) for digest in digests]


async def test_copies_go_to_vaults_that_keep_the_blob_and_to_its_author_alone(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        sealed = await on.seal("mercy", wallet, "a")
        (want,) = wants(on, sealed)
        names = [member.name for member in on.network.members]
        holders = keepers_of(want.digest, names)
        for name in names:
            copies = await on["mercy"].vault.copy(name, CopyBlobs((want,)))
            assert (copies.blobs[0] is not None) == (name in {*holders, "mercy"})


async def test_copies_go_to_vaults_that_are_to_keep_the_blob_next_before_it_is_dealt_to_them(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        wanted = wants(on, await on.seal("mercy", wallet, *"abcdefgh"))
        now = [member.name for member in on.network.members]
        await joined(on, "southport", "eastbay")
        coming = [MemberId(name) for name in ("mercy", "southport", "st-luke", "lakeside")]
        await seated(on, *coming)
        for want in wanted:
            for name in (*now, *coming, MemberId("eastbay")):
                may = any(name in keepers_of(want.digest, members) for members in (now, coming)) or name == "mercy"
                copies = await on["mercy"].vault.copy(name, CopyBlobs((want,)))
                have = on["mercy"].blobs.read(want.author, want.batch_id, [want.digest])
                assert copies.blobs == (have[0] if may else None,)


@pytest.mark.parametrize("damage", ["flip", "gone", "head"])
async def test_a_vault_mends_itself_from_the_others(tmp_path: Path, damage: str) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        sealed = await on.seal("mercy", wallet, *"abcdefgh")
        batch_id = records_of(sealed)[0].batch_id
        for name in ("northgate", "mercy"):
            damaged(tmp_path / "members" / name / "vault" / "packs" / "mercy" / batch_id.hex(), damage)
            on[name].blobs._indices.clear()
            assert await on[name].scrub() > 0
            assert await on[name].scrub() == 0
        view = await on.view("st-luke", await on.clinician("st-luke"), wallet)
        assert (len(view.records), view.notices, view.accusations) == (8, [], [])


async def test_a_vault_that_was_lost_whole_comes_back_once_its_process_begins_and_others_are_there(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        sealed = [await on.seal("mercy", wallet, source) for source in "abcdef"]
        packs = tmp_path / "members" / "mercy" / "vault" / "packs" / "mercy"
        names = [records_of(batch)[0].batch_id.hex() for batch in sealed]
        await on.network.take_down("mercy")
        before = [(packs / name).read_bytes() for name in names]
        shutil.rmtree(tmp_path / "members" / "mercy" / "vault")
        for name in ("st-luke", "lakeside", "northgate"):
            await on.network.take_down(name)
        await on.network.bring_back("mercy")
        await on["mercy"].keeping.tend()
        assert not any((packs / name).exists() for name in names), "Nobody who has them is there."
        for name in ("st-luke", "lakeside", "northgate"):
            await on.network.bring_back(name)
        await on["mercy"].keeping.tend()
        assert [(packs / name).read_bytes() for name in names] == before


def damaged(path: Path, damage: str) -> None:
    data = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
        return
    data[0 if damage == "head" else -1] ^= 1
    path.write_bytes(data)


async def test_packs_of_batches_that_never_became_final_are_dropped_and_own_plans_are_kept(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        on.network.switchboard.off_line |= {on[name].name for name in ("lakeside", "northgate")}
        names = [str(number) for number in range(8)]
        with pytest.raises(TooFewSeatsError):
            await on["mercy"].author.seal(documents(wallet, *names))
        assert len(list(on["st-luke"].blobs.packs())) == 1
        on.clock.now += GOOD_MS + HOUR_MS
        await on.clinician("mercy")
        await on.settled()
        await on["st-luke"].tend()
        assert list(on["st-luke"].blobs.packs()) == []
        await on["mercy"].tend()
        assert len(list(on["mercy"].blobs.packs())) == 1
        on.network.switchboard.off_line.clear()
        await on["mercy"].tend()  # The plan goes on, and blobs are brought again.
        assert on["mercy"].store.plans(Progress.DURABLE)
        view = await on.view("mercy", await on.clinician("mercy"), wallet)
        assert shown(view) == sorted(data_of(name) for name in names)
        assert (view.gaps, view.notices) == ([], [])
