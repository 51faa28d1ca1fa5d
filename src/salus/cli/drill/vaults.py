"""Vaults that hand out something else than they keep: the reader takes the blob from another vault and names this one.

And one that lost a byte: it mends itself from the others.
"""

from salus.cli.drill.attack import Outcome, attack, must
from salus.cli.drill.liars import Hand, flipped, lying_vault
from salus.cli.drill.world import Document, World, permit, sources
from salus.contracts.records.header import Header, RecordId
from salus.core.ids import Digest, FhirType, MemberId
from salus.core.wire import reopen
from salus.node.member import Member
from salus.sdk.views import Accusation, Notice, View
from salus.vault.packs import HEAD_BYTES, ROW_BYTES, Index, count_of
from salus.vault.places import keepers_of, preference

READER = "clinician@st-luke"
RECORD = "laboratory"  # By lakeside, for whoever may read at st-luke.


@attack("vault with another blob", guard="salus.sdk.fetching._Fetching._take")
async def another_blob(world: World) -> Outcome:
    """A vault hands out the ciphertext of another record."""
    record = world.b.records["scan"]
    other = world.network["northgate"].blobs.read(record.author, record.batch_id, [_digest_of(world, record)])[0]
    must(other is not None, "there is another blob")
    return await _handed(world, lambda blobs: tuple(other for _ in blobs), "bad_blob")


@attack("vault with a blob cut short", guard="salus.sdk.fetching._Fetching._take")
async def blob_cut_short(world: World) -> Outcome:
    """A vault leaves the last byte of a blob out."""
    return await _handed(world, lambda blobs: tuple(blob[:-1] for blob in blobs if blob is not None), "bad_blob")


@attack("vault that hands out nothing", guard="salus.sdk.fetching._Fetching._take")
async def no_blob(world: World) -> Outcome:
    """A vault says that it does not have what it keeps."""
    return await _handed(world, lambda blobs: tuple(None for _ in blobs), "missing_blob")


@attack("vault that answers with fewer blobs than asked", guard="salus.sdk.fetching._Fetching._take")
async def fewer_blobs(world: World) -> Outcome:
    """A vault passes over in silence what it was asked for."""
    return await _handed(world, lambda _blobs: (), "missing_blob")


@attack("flipped byte in a vault's pack", guard="salus.vault.vault.BlobStore._read_once", harmful=True)
async def flipped_byte_in_pack(world: World) -> Outcome:
    """A disk turns a bit of a blob; the reader goes elsewhere, and the vault mends itself."""
    digest, record, vault = _first_vault(world)
    honest = await _honest(world)
    _damage(vault, record, digest)
    view = await world.read(READER, world.a)
    must(sources(world.a, view) == honest, "the reader takes the blob from another vault")
    mended = await vault.scrub()
    again = await world.read(READER, world.a)
    if mended != 1 or vault.name in _named(view, "bad_blob") or _named(again, "missing_blob"):
        return Outcome("SUCCEEDED", f"{mended} blobs mended by {vault.name}, which still hands out what is wrong")
    return Outcome("healed", f"{vault.name} mended {mended} blob from another vault")


@attack("flipped byte in an author's own vault", guard="salus.vault.vault.BlobStore._read_once", harmful=True)
async def flipped_byte_at_author(world: World) -> Outcome:
    """A disk turns a bit of an author's own copy, where the author's seat is not among those that keep the blob."""
    author = world.network["mercy"]
    members = [member.name for member in world.network.members]
    for number in range(32):
        document = Document(f"own-{number}", FhirType("Observation"), "2023-05-06")
        (record,) = await world.seal(author.name, world.a, document)
        digest = _digest_of(world, record)
        if author.name not in keepers_of(digest, members):
            break
    must(author.name not in keepers_of(digest, members), "a blob that others keep")
    _damage(author, record, digest)
    mended = await author.scrub()
    if mended != 1 or (await world.read("clinician@mercy", world.a)).gaps:
        return Outcome("SUCCEEDED", f"{mended} blobs mended; the author has lost one of its own records")
    return Outcome("healed", f"{author.name} mended {mended} blob of its own from the vaults that keep it")


async def _handed(world: World, hand: Hand, what: str) -> Outcome:
    """Let the first vault of a record hand out something else: all records as before, and this vault named."""
    _, _, vault = _first_vault(world)
    honest = await _honest(world)
    with lying_vault(vault, hand):
        view = await world.read(READER, world.a)
    is_whole = sources(world.a, view) == honest and not view.gaps
    is_named = _named(view, what) == {vault.name} and not {one.member for one in view.accusations} - {vault.name}
    if not is_whole or not is_named:
        return Outcome("SUCCEEDED", f"{len(view.gaps)} gaps; {vault.name} is {'' if is_named else 'not '}named")
    return Outcome("healed", f"{vault.name} named for {what}; all {len(view.records)} records read from other vaults")


async def _honest(world: World) -> set[str]:
    await world.allow(world.a, permit("st-luke"))
    view = await world.read(READER, world.a)
    must(RECORD in sources(world.a, view), "the reader may read it")
    must(not view.accusations and not view.notices and not view.gaps, "nobody is named while everybody is honest")
    return sources(world.a, view)


def _named(view: View, what: str) -> set[MemberId]:
    found: list[Accusation | Notice] = [*view.accusations, *view.notices]
    return {one.member for one in found if one.what == what}


def _first_vault(world: World) -> tuple[Digest, RecordId, Member]:
    """A blob, its record, and the vault that a reader asks for it first."""
    record = world.a.records[RECORD]
    digest = _digest_of(world, record)
    members = [member.name for member in world.network.members]
    return digest, record, world.network[preference(digest, members)[0]]


def _digest_of(world: World, record: RecordId) -> Digest:
    """The digest of a record's ciphertext, from its author's own copy of the header."""
    own = world.network[record.author].store.own_of_batch(record.batch_id)
    headers = [reopen(Header, one.header) for entries in own.values() for one in entries]
    return next(header.blobs[0] for header in headers if header.record == record)


def _damage(vault: Member, record: RecordId, digest: Digest) -> None:
    """Turn a bit of a blob, in the file of its pack."""
    path = vault.folder / "vault" / "packs" / record.author / record.batch_id.hex()
    pack = path.read_bytes()
    head = pack[:HEAD_BYTES]
    place = Index(head, pack[HEAD_BYTES : HEAD_BYTES + count_of(head) * ROW_BYTES]).find(digest)
    must(place is not None, "the vault keeps the blob")
    assert place is not None, "Checked just before."
    path.write_bytes(flipped(pack, at=place[0]))
