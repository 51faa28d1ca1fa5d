"""The directory: clear, signed, shared, and nobody's entries under another's name."""

from pathlib import Path

import pytest

from salus.core.transport import PeerMalformedError, ask
from salus.sdk.directory import Listing, ShareListings, _statement
from salus.sdk.links import Received
from tests.node.stage import Stage, stage

LISTINGS = (Listing("Organization/1", "Organization", b"{1}"), Listing("Location/2", "Location", b"{2}"))


def held(on: Stage, member: str) -> list[tuple[str, str]]:
    return [(author, listing.source) for author, listing in on[member].directory.listings()]


async def test_what_a_member_enters_everybody_has_under_its_name(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        assert await on["mercy"].directory.enter(LISTINGS, on["mercy"].peers) == 2
        assert await on["mercy"].directory.enter(LISTINGS, on["mercy"].peers) == 0
        for member in on.network.members:
            assert held(on, member.name) == [("mercy", "Location/2"), ("mercy", "Organization/1")]
            assert member.directory.count() == 2
        assert [one.raw for _, one in on["st-luke"].directory.listings("Location")] == [b"{2}"]
        changed = (Listing("Location/2", "Location", b"{3}"),)
        assert await on["mercy"].directory.enter(changed, on["mercy"].peers) == 1
        assert [one.raw for _, one in on["st-luke"].directory.listings("Location")] == [b"{3}"]


async def test_entries_that_their_author_did_not_sign_are_refused(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        key = on["st-luke"].gateway.key
        forged = ShareListings(on["mercy"].name, 1, LISTINGS, key.sign(_statement(on["mercy"].name, 1, LISTINGS)))
        unknown = ShareListings("nobody", 1, LISTINGS, key.sign(_statement("nobody", 1, LISTINGS)))  # type: ignore[arg-type]
        for share in (forged, unknown):
            with pytest.raises(PeerMalformedError):
                await ask(on["st-luke"].gateway.transport, on["lakeside"].name, share, Received)
        assert on["lakeside"].directory.count() == 0
