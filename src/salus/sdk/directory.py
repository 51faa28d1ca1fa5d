"""A member's directory: organisations, practitioners, locations, definitions. Clear, signed, shared; not on the ledger.

Such resources belong to no patient. A member signs what it enters; others keep it beside their own, under whose name it
is, and refuse what is not signed by that member's ledger key.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256

import sqlalchemy as sa

from salus.contracts.members.reads import member_of
from salus.core.errors import SalusError
from salus.core.ids import Digest, MemberId, Name, Signature, TimeMs
from salus.core.transport import Door, ask
from salus.core.wire import Record, encode
from salus.crypto.digests import tagged
from salus.crypto.signatures import verify
from salus.keeper.errors import EnvelopeError
from salus.keeper.store import metadata, text, upsert
from salus.sdk.author_store import AuthorStore
from salus.sdk.gateway import Gateway
from salus.sdk.links import Received

DIRECTORY = sa.Table(
    "directory",
    metadata,
    sa.Column("author", text(32), primary_key=True),
    sa.Column("source", text(256), primary_key=True),
    sa.Column("fhir_type", text(64), nullable=False, index=True),
    sa.Column("raw", sa.LargeBinary, nullable=False),
    sa.Column("entered", sa.BigInteger, nullable=False),  # By the author's clock: an older share changes nothing.
)
SHARE_AT_ONCE = 500


class Listing(Record, tag="directory.entry/1", frozen=True):
    """One resource as its author submitted it."""

    source: str  # `Type/id`.
    fhir_type: str
    raw: bytes


class ShareListings(Record, tag="directory.share/1", frozen=True):
    """Entries of one member, signed by its ledger key."""

    author: Name
    entered: TimeMs
    listings: tuple[Listing, ...]
    signature: Signature


class Directory:
    """One member's copy of everybody's directory."""

    def __init__(self, gateway: Gateway, store: AuthorStore) -> None:
        self._gateway = gateway
        self._store = store

    def open_door(self, door: Door) -> None:
        """Let the member's door lead here."""
        door.answer(ShareListings, self._shared)

    async def enter(self, listings: Sequence[Listing], peers: Sequence[MemberId]) -> int:
        """Enter own listings and share them; how many were new or changed."""
        fresh = [one for one in listings if not self._has(self._gateway.member, one)]
        for start in range(0, len(fresh), SHARE_AT_ONCE):
            part = tuple(fresh[start : start + SHARE_AT_ONCE])
            author = self._gateway.member
            entered = self._gateway.clock()
            signature = self._gateway.key.sign(_statement(author, entered, part))
            share = ShareListings(author, entered, part, signature)
            self._keep(share)
            for peer in peers:
                try:
                    await ask(self._gateway.transport, peer, share, Received)
                except SalusError:
                    continue  # Away: it gets the entries with the next share, or asks.
        return len(fresh)

    def listings(self, fhir_type: str | None = None) -> Iterator[tuple[MemberId, Listing]]:
        """All entries, or those of a type, with whose they are."""
        query = sa.select(DIRECTORY).order_by(DIRECTORY.c.author, DIRECTORY.c.source)
        if fhir_type is not None:
            query = query.where(DIRECTORY.c.fhir_type == fhir_type)
        for row in self._store.connection.execute(query):
            yield MemberId(row.author), Listing(row.source, row.fhir_type, bytes(row.raw))

    def count(self) -> int:
        """How many entries this member holds, of everybody."""
        return int(self._store.connection.execute(sa.select(sa.func.count()).select_from(DIRECTORY)).scalar() or 0)

    async def _shared(self, _sender: MemberId, share: ShareListings) -> Received:
        author = member_of(self._gateway.view.state, share.author)
        statement = _statement(share.author, share.entered, share.listings)
        if author is None or not verify(author.keys.ledger, statement, share.signature):
            raise EnvelopeError(seat=0)
        self._keep(share)
        return Received()

    def _keep(self, share: ShareListings) -> None:
        with self._store.commit("author.directory") as connection:
            newer = self._newer(share)
            rows: list[dict[str, object]] = [
                {
                    "author": share.author,
                    "source": one.source,
                    "fhir_type": one.fhir_type,
                    "raw": one.raw,
                    "entered": share.entered,
                }
                for one in share.listings
                if one.source not in newer
            ]
            upsert(connection, DIRECTORY, rows)

    def _newer(self, share: ShareListings) -> set[str]:
        """Sources of which a later entry is held: a replayed share rolls nothing back."""
        query = sa.select(DIRECTORY.c.source).where(DIRECTORY.c.author == share.author)
        held = query.where(DIRECTORY.c.source.in_([one.source for one in share.listings]))
        return {row.source for row in self._store.connection.execute(held.where(DIRECTORY.c.entered > share.entered))}

    def _has(self, author: MemberId, listing: Listing) -> bool:
        query = sa.select(DIRECTORY.c.raw).where(DIRECTORY.c.author == author, DIRECTORY.c.source == listing.source)
        raw = self._store.connection.execute(query).scalar()
        return raw is not None and sha256(raw).digest() == sha256(listing.raw).digest()


def _statement(author: MemberId, entered: TimeMs, listings: tuple[Listing, ...]) -> Digest:
    return tagged("directory.share", encode((author, entered, listings)))
