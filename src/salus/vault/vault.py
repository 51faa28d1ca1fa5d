"""A member's vault: packs of ciphertext in a folder or a store that speaks S3, served by permission, mended by copy.

A blob goes to a reader only for a request that this member's own keeper has permitted, and to another vault only if
that vault is one of those that keep it, or its author's own. Whatever is read is checked against its digest: a wrong
blob counts as lost.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path

from salus.core.clock import Clock
from salus.core.errors import SalusError
from salus.core.faults import NO_FAULTS, Faults, step
from salus.core.ids import HOUR_MS, BatchId, ChainId, Digest, MemberId, RequestId, TimeMs
from salus.core.transport import Door, Transport, ask
from salus.crypto.signatures import SigningKey
from salus.vault.formats import prepare
from salus.vault.messages import (
    REPLY_BYTES_MAX,
    WANTED_MAX,
    Blobs,
    BlobsKept,
    BlobWanted,
    CopyBlobs,
    GetBlobs,
    PutBlobs,
    kept_statement,
)
from salus.vault.packs import HEAD_BYTES, ROW_BYTES, Index, PackError, count_of, write_pack
from salus.vault.places import keepers_of
from salus.vault.storage import FolderStorage, Storage

GOOD_MS = 2 * HOUR_MS
_INDICES_KEPT = 1024
_RANGE_JOIN_BYTES = 65_536  # Blobs closer together than this are read in one go.

Permits = Callable[[MemberId, RequestId], frozenset[Digest]]
MembersOf = Callable[[MemberId, BatchId], tuple[MemberId, ...]]


class BlobStore:
    """A vault's packs, in a folder or in other storage."""

    def __init__(self, place: Path | Storage, faults: Faults = NO_FAULTS) -> None:
        self._storage: Storage = FolderStorage(place) if isinstance(place, Path) else place
        self._faults = faults
        self._indices: OrderedDict[str, Index] = OrderedDict()
        self._is_prepared = False

    def keep(self, author: MemberId, batch_id: BatchId, blobs: Mapping[Digest, bytes]) -> None:
        """Keep blobs of a batch, beside those of it that are here already; durable on return.

        The pack is written anew even if all of them are here: from its age a vault tells how long it promised them.
        """
        name = _name(author, batch_id)
        self._indices.pop(name, None)
        index = self._sound_index(name)
        if index is not None:
            others = [digest for digest in index.digests if digest not in blobs]
            kept = dict(zip(others, self.read(author, batch_id, others), strict=True))
            blobs = {**{digest: blob for digest, blob in kept.items() if blob is not None}, **blobs}
        self._indices.pop(name, None)
        with step(self._faults, "vault.pack"):
            self._prepared.put(name, b"".join(write_pack(blobs)))

    def read(self, author: MemberId, batch_id: BatchId, digests: list[Digest]) -> list[bytes | None]:
        """Blobs by digest, in order; None where one is missing or its bytes are not its digest's.

        Raises:
            StorageError: the storage is away. What is not answered is not lost.
        """
        name = _name(author, batch_id)
        was_known = name in self._indices
        blobs = self._read_once(name, digests)
        if was_known and None in blobs:  # Another process of this member may have written the pack anew.
            self._indices.pop(name, None)
            blobs = self._read_once(name, digests)
        return blobs

    def _read_once(self, name: str, digests: list[Digest]) -> list[bytes | None]:
        index = self._sound_index(name)
        if index is None:
            return [None] * len(digests)
        places = [index.find(digest) for digest in digests]
        found = self._ranges(name, sorted({place for place in places if place is not None}))
        blobs = [None if place is None else found.get(place) for place in places]
        return [
            blob if blob is not None and sha256(blob).digest() == digest else None
            for blob, digest in zip(blobs, digests, strict=True)
        ]

    def size_bytes(self, author: MemberId, batch_id: BatchId, digest: Digest) -> int:
        """How long a blob is, by the pack's index; 0 where it is not here."""
        index = self._sound_index(_name(author, batch_id))
        place = None if index is None else index.find(digest)
        return 0 if place is None else place[1]

    def drop(self, author: MemberId, batch_id: BatchId) -> None:
        """Delete a pack."""
        name = _name(author, batch_id)
        self._indices.pop(name, None)
        with step(self._faults, "vault.drop"):
            self._prepared.delete(name)

    def packs(self) -> Iterator[tuple[MemberId, BatchId, TimeMs]]:
        """Every pack here, and when it was written."""
        for name, written in self._prepared.list("packs"):
            _, author, batch = name.split("/")
            yield MemberId(author), bytes.fromhex(batch), written

    @property
    def _prepared(self) -> Storage:
        """The storage, once its format was looked at."""
        if not self._is_prepared:
            prepare(self._storage)
            self._is_prepared = True
        return self._storage

    def _sound_index(self, name: str) -> Index | None:
        """The index of a pack; none where there is no pack, or one that does not read and is to be written anew."""
        try:
            return self._index(name)
        except PackError:
            return None

    def _index(self, name: str) -> Index | None:
        index = self._indices.get(name)
        if index is not None:
            self._indices.move_to_end(name)
            return index
        head = self._prepared.read(name, 0, HEAD_BYTES)
        if head is None:
            return None
        rows = self._storage.read(name, HEAD_BYTES, count_of(head) * ROW_BYTES)
        index = self._indices[name] = Index(head, rows or b"")
        if len(self._indices) > _INDICES_KEPT:
            self._indices.popitem(last=False)
        return index

    def _ranges(self, name: str, places: list[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        """Read places of one pack, near ones in one go. What the object is too short for is cut or left out."""
        found: dict[tuple[int, int], bytes] = {}
        for group in _near(places):
            start, end = group[0][0], group[-1][0] + group[-1][1]
            data = self._prepared.read(name, start, end - start)
            if data is None:
                continue
            for offset, size in group:
                found[offset, size] = data[offset - start : offset - start + size]
        return found


def _nobody(_author: MemberId, _batch_id: BatchId) -> tuple[MemberId, ...]:
    return ()


class Vault:
    """One member's vault behind its door."""

    def __init__(
        self,
        member: MemberId,
        chain: ChainId,
        blobs: BlobStore,
        transport: Transport,
        signing_key: SigningKey,
        permits: Permits,
        members_of: MembersOf,
        clock: Clock,
        coming: MembersOf = _nobody,
    ) -> None:
        """`members_of` whose vaults keep a batch now, `coming` whose are to keep it once it is dealt to them."""
        self._member = member
        self._chain = chain
        self.blobs = blobs
        self._transport = transport
        self._signing_key = signing_key
        self._permits = permits
        self._members_of = members_of
        self._clock = clock
        self._coming = coming

    def open_door(self, door: Door) -> None:
        """Let the member's door lead here."""
        door.answer(PutBlobs, self.put)
        door.answer(GetBlobs, self.get)
        door.answer(CopyBlobs, self.copy)

    async def put(self, sender: MemberId, put: PutBlobs) -> BlobsKept:
        """Keep an author's blobs; signed once durable."""
        by_digest = {sha256(blob).digest(): blob for blob in put.blobs}
        self.blobs.keep(sender, put.batch_id, by_digest)
        good_until = self._clock() + GOOD_MS
        statement = kept_statement(
            chain=self._chain,
            vault=self._member,
            author=sender,
            batch_id=put.batch_id,
            digests=tuple(sorted(by_digest)),
            good_until=good_until,
        )
        return BlobsKept(good_until=good_until, signature=self._signing_key.sign(statement))

    async def get(self, sender: MemberId, get: GetBlobs) -> Blobs:
        """Blobs for a reader's request, as far as this member's keeper has permitted them."""
        permitted = self._permits(sender, get.request_id)
        return self._read(get.wanted, lambda want: want.digest in permitted)

    async def copy(self, sender: MemberId, copy: CopyBlobs) -> Blobs:
        """Blobs for another vault that is to keep them too: its author's, or one of those that readers ask."""
        return self._read(copy.wanted, lambda want: sender == want.author or self._is_to_keep(sender, want))

    def _is_to_keep(self, vault: MemberId, want: BlobWanted) -> bool:
        """Whether a blob falls to a vault, as its batch is dealt now or is to be dealt next."""
        circles = (self._members_of(want.author, want.batch_id), self._coming(want.author, want.batch_id))
        return any(vault in keepers_of(want.digest, members) for members in circles)

    async def repair(
        self, author: MemberId, batch_id: BatchId, digests: Iterable[Digest], peers: list[MemberId]
    ) -> int:
        """Fetch blobs that are missing or wrong here from other vaults; how many were mended."""
        wanted = list(digests)
        bad = [d for d, blob in zip(wanted, self.blobs.read(author, batch_id, wanted), strict=True) if blob is None]
        mended: dict[Digest, bytes] = {}
        for peer in peers:
            missing = [digest for digest in bad if digest not in mended]
            if not missing:
                break
            wants = (BlobWanted(author=author, batch_id=batch_id, digest=digest) for digest in missing[:WANTED_MAX])
            copy = CopyBlobs(wanted=tuple(wants))  # What one reply does not hold, the next scrub asks for.
            try:
                found = await ask(self._transport, peer, copy, Blobs)
            except SalusError:
                continue
            for digest, blob in zip(missing, found.blobs, strict=False):
                if blob is not None and sha256(blob).digest() == digest:
                    mended[digest] = blob
        if mended:
            self.blobs.keep(author, batch_id, mended)
        return len(mended)

    def _read(self, wanted: tuple[BlobWanted, ...], allowed: Callable[[BlobWanted], bool]) -> Blobs:
        """Each blob once, however often it is named, and as many as one reply may hold."""
        by_pack: dict[tuple[MemberId, BatchId], list[Digest]] = {}
        served: list[BlobWanted | None] = []
        named: set[BlobWanted] = set()
        size_bytes = 0
        for want in wanted:
            if want in named or not allowed(want):
                served.append(None)
                continue
            size_bytes += self.blobs.size_bytes(want.author, want.batch_id, want.digest)
            if size_bytes > REPLY_BYTES_MAX and named:
                break
            named.add(want)
            served.append(want)
            by_pack.setdefault((want.author, want.batch_id), []).append(want.digest)
        found: dict[BlobWanted, bytes | None] = {}
        for (author, batch_id), digests in by_pack.items():
            blobs = self.blobs.read(author, batch_id, digests)
            found.update((BlobWanted(author, batch_id, d), blob) for d, blob in zip(digests, blobs, strict=True))
        return Blobs(blobs=tuple(None if want is None else found[want] for want in served))


def _name(author: MemberId, batch_id: BatchId) -> str:
    return f"packs/{author}/{batch_id.hex()}"


def _near(places: list[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    group: list[tuple[int, int]] = []
    for place in places:
        if group and place[0] - (group[-1][0] + group[-1][1]) > _RANGE_JOIN_BYTES:
            yield group
            group = []
        group.append(place)
    if group:
        yield group
