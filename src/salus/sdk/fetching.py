"""Check 6 of reading: blobs from the vaults that keep them, against their digests; from the next where one fails."""

import asyncio
from collections.abc import Sequence
from hashlib import sha256

from salus.contracts.members.messages import Committee
from salus.contracts.records.header import Header
from salus.core.errors import SalusError
from salus.core.ids import Digest, MemberId, RequestId
from salus.core.transport import ask
from salus.crypto.shares import faulty
from salus.sdk.gateway import Gateway
from salus.sdk.views import Findings
from salus.vault.messages import REPLY_BYTES_MAX, WANTED_MAX, Blobs, BlobWanted, GetBlobs
from salus.vault.places import preference

FULL_BYTES = REPLY_BYTES_MAX // 4  # A reply cut short for its size has at least this much, whatever the next blob's.


async def fetch_blobs(
    gateway: Gateway, committee: Committee, request_id: RequestId, headers: Sequence[Header], findings: Findings
) -> dict[Digest, bytes]:
    """What could be had of the blobs of these records, by digest."""
    members = [holder.member for holder in committee.seats]
    copies = faulty(len(members)) + 1
    places: dict[BlobWanted, list[MemberId]] = {}
    for header in headers:
        author = header.record.author
        for digest in header.blobs:
            order = preference(digest, members)
            rest = [author] if author in order[copies:] else []
            places[BlobWanted(author, header.record.batch_id, digest)] = [*order[:copies], *rest]
    found: dict[Digest, bytes] = {}
    for attempt in range(copies + 1):
        by_vault: dict[MemberId, list[BlobWanted]] = {}
        for want, order in places.items():
            if want.digest not in found and attempt < len(order):
                by_vault.setdefault(order[attempt], []).append(want)
        if not by_vault:
            break
        asked = (_fetch(gateway, vault, request_id, wants, found, findings) for vault, wants in by_vault.items())
        await asyncio.gather(*asked)
    return found


async def _fetch(
    gateway: Gateway,
    vault: MemberId,
    request_id: RequestId,
    wants: Sequence[BlobWanted],
    found: dict[Digest, bytes],
    findings: Findings,
) -> None:
    blobs: list[bytes | None] = []
    while len(blobs) < len(wants):
        part = tuple(wants[len(blobs) : len(blobs) + WANTED_MAX])
        try:
            reply = await ask(gateway.transport, vault, GetBlobs(request_id=request_id, wanted=part), Blobs)
        except SalusError:
            if not blobs:
                return
            break
        blobs += reply.blobs
        if len(reply.blobs) < len(part) and sum(len(blob or b"") for blob in reply.blobs) < FULL_BYTES:
            break  # The reply was not full: the vault passes the rest over.
    blobs += [None] * (len(wants) - len(blobs))  # What a vault passes over, it lacks.
    for want, blob in zip(wants, blobs, strict=False):
        if blob is None:
            findings.notice(vault, "missing_blob")  # Lost, or its keeper was not there to permit it: no lie.
        elif sha256(blob).digest() == want.digest:
            found[want.digest] = blob
        else:
            findings.accuse(vault, "bad_blob")
