"""Check 6 of reading: blobs from the vaults that keep them, against their digests; from the next where one fails.

A vault that is silent holds nobody up: after a short grace the next is asked for what is still missing, and whichever
good answer comes first counts. To be late is no lie, and leaves no finding.
"""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from hashlib import sha256

from salus.contracts.records.header import Header
from salus.core.errors import SalusError
from salus.core.ids import MIB_BYTES, Digest, MemberId, RequestId
from salus.core.transport import ask
from salus.sdk.enough import GRACE_S
from salus.sdk.gateway import Gateway
from salus.sdk.views import Findings
from salus.vault.messages import REPLY_BYTES_MAX, WANTED_MAX, Blobs, BlobWanted, GetBlobs
from salus.vault.places import keepers_of

FULL_BYTES = REPLY_BYTES_MAX // 4  # A reply cut short for its size has at least this much, whatever the next blob's.
SLOW_BYTES_PER_S = 8 * MIB_BYTES  # Who carries large blobs no slower than this is not taken for silent.

Places = Mapping[BlobWanted, Sequence[MemberId]]


async def fetch_blobs(
    gateway: Gateway,
    request_id: RequestId,
    records: Sequence[tuple[Header, Sequence[Sequence[MemberId]]]],
    findings: Findings,
) -> tuple[dict[Digest, bytes], bool]:
    """What could be had of the blobs of these records, by digest; each from vaults of its holders, the latest first.

    Also whether a vault was away that might have had what is missing.
    """
    places: dict[BlobWanted, list[MemberId]] = {}
    sizes_bytes: dict[Digest, int] = {}
    for header, holders in records:
        author = header.record.author
        for digest in header.blobs:
            order = [vault for members in holders for vault in keepers_of(digest, members)]
            rest = [author] if any(author in members for members in holders) else []
            places[BlobWanted(author, header.record.batch_id, digest)] = list(dict.fromkeys([*order, *rest]))
            sizes_bytes[digest] = header.size_bytes // len(header.blobs)
    fetching = _Fetching(gateway, request_id, places, sizes_bytes, findings)
    return await fetching.run(), fetching.may_have_more


class _Fetching:
    """The calls of one view to vaults: those under way, and what they have brought."""

    def __init__(
        self,
        gateway: Gateway,
        request_id: RequestId,
        places: Places,
        sizes_bytes: Mapping[Digest, int],
        findings: Findings,
    ) -> None:
        self._gateway = gateway
        self._request_id = request_id
        self._places = places
        self._sizes_bytes = sizes_bytes
        self._findings = findings
        self._found: dict[Digest, bytes] = {}
        self._unasked: set[Digest] = set()  # Of a vault that was away.
        self._under_way: set[asyncio.Task[None]] = set()

    async def run(self) -> dict[Digest, bytes]:
        """Until everything is there, or no vault is left that might have it; whoever is late then is let go."""
        self._ask_next(list(self._places), attempt=0)
        try:
            while self._under_way and len(self._found) < len(self._sizes_bytes):
                done, _ = await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
                self._under_way -= done
                for task in done:
                    task.result()  # A defect of our own ends the view; peers' errors do not arrive here.
        finally:
            for task in self._under_way:
                task.cancel()
        return self._found

    @property
    def may_have_more(self) -> bool:
        """Whether a vault was away that might have had what is missing."""
        return not self._unasked <= self._found.keys()

    def _ask_next(self, wants: Sequence[BlobWanted], attempt: int) -> None:
        """Ask those vaults that come at this place of each blob's order."""
        by_vault: dict[MemberId, list[BlobWanted]] = {}
        for want in wants:
            if attempt < len(self._places[want]):
                by_vault.setdefault(self._places[want][attempt], []).append(want)
        for vault, of_vault in by_vault.items():
            self._start(self._ask(vault, of_vault, attempt))

    async def _ask(self, vault: MemberId, wants: Sequence[BlobWanted], attempt: int) -> None:
        """Ask one vault, and the next ones for what it does not have, or has not sent in time."""
        call = self._start(self._fetch(vault, wants))
        await asyncio.wait((call,), timeout=self._grace_s(wants))
        self._ask_next([want for want in wants if want.digest not in self._found], attempt + 1)

    def _grace_s(self, wants: Sequence[BlobWanted]) -> float:
        size_bytes = sum(self._sizes_bytes[want.digest] for want in wants)
        return GRACE_S + min(size_bytes, REPLY_BYTES_MAX) / SLOW_BYTES_PER_S

    def _start(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._under_way.add(task)
        return task

    async def _fetch(self, vault: MemberId, wants: Sequence[BlobWanted]) -> None:
        told = 0  # Of how many the vault has said something.
        while told < len(wants):
            part = tuple(wants[told : told + WANTED_MAX])
            request = GetBlobs(request_id=self._request_id, wanted=part)
            try:
                reply = await ask(self._gateway.transport, vault, request, Blobs)
            except SalusError:
                self._unasked.update(want.digest for want in wants[told:])
                if not told:
                    return
                break
            self._take(vault, part, reply.blobs)
            told += len(reply.blobs)
            if len(reply.blobs) < len(part) and sum(len(blob or b"") for blob in reply.blobs) < FULL_BYTES:
                break  # The reply was not full: the vault passes the rest over.
        self._take(vault, wants[told:], [None] * len(wants[told:]))  # What a vault passes over, it lacks.

    def _take(self, vault: MemberId, wants: Sequence[BlobWanted], blobs: Sequence[bytes | None]) -> None:
        for want, blob in zip(wants, blobs, strict=False):
            if blob is None:
                self._findings.notice(vault, "missing_blob")  # Lost, or its keeper was not there to permit it: no lie.
            elif sha256(blob).digest() == want.digest:
                self._found[want.digest] = blob
            else:
                self._findings.accuse(vault, "bad_blob")
