"""Reading: one request, all seats asked, nothing believed.

What a reader checks of the answers, in this order:

    1. the seat's signature, the request, height and policy commitment (a seat that differs is asked once more);
    2. headers: the subject that was asked for, at the leaf they claim;
    3. leaf paths to a batch in the reader's own final state, whose sponsor is the author, with no override;
    4. share hashes to the share root, then any `t` shares together;
    5. `key_com`, then the key dealt again and compared: a lying dealer or keeper is named;
    6. the blob's digest, then the plaintext.

One header that opens a leaf on the ledger suffices for a record to be known: known and not readable is shown as a gap,
never dropped in silence. Check 1 is in `hearing.py`, 2 to 5 in `checks.py`, the blobs of 6 in `fetching.py`.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence

from salus.contracts.members.messages import Committee
from salus.contracts.reads.messages import Request
from salus.contracts.reads.opening import Opening, commitment, reply_key_digest, to_sign
from salus.contracts.records.batch import document_context
from salus.contracts.records.header import RecordId
from salus.contracts.records.tables import OVERRIDES, Fate
from salus.core.errors import MalformedError, RefusalError, SalusError
from salus.core.ids import HOUR_MS, MINUTE_MS, NO_DIGEST, Digest, Height, TimeMs
from salus.core.transport import PeerRefusalError
from salus.core.wire import decode, encode
from salus.crypto.documents import open_chunks
from salus.crypto.hpke import OpeningKey
from salus.crypto.shares import threshold
from salus.keeper.break_glass import BREAK_GLASS
from salus.keeper.errors import NotSeatedError
from salus.keeper.messages import Asking, Person
from salus.sdk.checks import Checks, Known
from salus.sdk.errors import TooFewSeatsError
from salus.sdk.fetching import fetch_blobs
from salus.sdk.gateway import Gateway, new_id, new_secret
from salus.sdk.hearing import Heard, Hearing
from salus.sdk.views import Findings, Gap, Opened, View
from salus.sdk.wanted import Reader, Wanted

__all__ = ["OpenRead", "Reader", "Wanted", "open_read"]

REQUEST_MS = 8 * HOUR_MS  # One encounter.
BREAK_GLASS_MS = 60 * MINUTE_MS
AGAIN_S = (0.5, 2.0)  # Before another look at what is incomplete; breakers between members are open so long.
MOVED_WAIT_S = 1.0
CHANGES_MAX = 8  # Of the policy while one view is put together.
BLOB_MISSING = "blob_missing"


class OpenRead:
    """A request to read that stands on the ledger until it expires. Plaintext in memory dies with it."""

    def __init__(
        self,
        gateway: Gateway,
        reader: Reader,
        wanted: Wanted,
        opening: Opening,
        reply_key: OpeningKey,
        expires: TimeMs,
        height: Height,
        second: Person | None,
    ) -> None:
        self._gateway = gateway
        self._reader = reader
        self.wanted = wanted
        self.opening = opening
        self._reply_key = reply_key
        self.expires = expires
        self.height = height
        self._second = second
        self._missed = False  # Whether a seat said that it is another's,
        self._is_uneven = False  # and whether seats decided at different heights, when they were asked last.
        self._is_vault_away = False  # And whether one that may have what is missing did not answer.
        self._policy: Digest = NO_DIGEST  # By which seats decided.
        self._again_at: Height = 0  # Where who is asked again decides, or later.

    async def ask(self, *, watch: bool = False) -> View:
        """Ask every seat and check everything. Again where something is missing that may be there in a moment: seats
        had not all seen the newest block, the committee moved on meanwhile, or a member that starts anew was away.

        Raises:
            PeerRefusalError: keepers refused the request itself, with their code.
            TooFewSeatsError: fewer than `t` seats gave an answer that holds.
        """
        self._again_at = 0
        for pause_s in AGAIN_S:
            committee = self._gateway.committee(self.wanted.committee)
            try:
                view = await self._asked_until_settled(committee, watch)
                is_away = self._is_vault_away or bool(view.absent)
                if not view.gaps or not (self._is_uneven or is_away or await self._has_moved(committee)):
                    return view
            except PeerRefusalError:
                if not await self._has_moved(committee):
                    raise
            except TooFewSeatsError:
                pass
            await asyncio.sleep(0.0 if self._is_uneven or await self._has_moved(committee) else pause_s)
        return await self._asked_until_settled(self._gateway.committee(self.wanted.committee), watch)

    async def _asked_until_settled(self, committee: Committee, watch: bool) -> View:
        """Ask again where the policy may have changed between the keepers' answers and the vaults'.

        A vault gives nothing that its keeper permitted under an older policy, and says no more than that it has not.
        """
        judged: Digest | None = None
        for _ in range(CHANGES_MAX):
            view = await self._asked(committee, watch)
            if self._policy == judged or not any(gap.reason == BLOB_MISSING for gap in view.gaps):
                break
            judged = self._policy
        return view

    async def _has_moved(self, committee: Committee) -> bool:
        """Whether the committee is at another epoch by now; others' ledgers may be a moment ahead of this one."""
        if self._missed and self._gateway.committee(self.wanted.committee) == committee:
            await self._gateway.view.reached(self._gateway.view.height + 1, MOVED_WAIT_S)
        return self._gateway.committee(self.wanted.committee) != committee

    async def _asked(self, committee: Committee, watch: bool) -> View:
        findings, self._is_uneven = Findings(), False
        hearing = Hearing(
            self._gateway,
            self.wanted.committee,
            self.opening.request_id,
            self._asking(watch),
            self._reply_key,
            findings,
        )
        try:
            heard = await hearing.hear()
            if hearing.late and not hearing.can_combine:
                heard = await hearing.hear_rest()
            _enough(committee, hearing)
            checks, checked = self._checked(committee, heard)
            if hearing.late and checks.lacks_shares:
                heard = await hearing.hear_rest()
                checks, checked = self._checked(committee, heard)
        finally:
            hearing.let_go()
            self._missed = any(_is_not_seated(error) for error in hearing.failures.values())
        self._is_uneven = len({one.height for one in heard}) > 1
        self._again_at = max(one.height for one in heard)
        self._policy = heard[0].policy
        findings.add(checked)
        keys, gaps = checks.keys(findings)
        records, missing = await self._documents(checks.known, keys, findings)
        return View(
            records=records,
            gaps=sorted([*gaps, *missing], key=lambda gap: encode(gap.record)),
            accusations=findings.accusations,
            height=max(one.height for one in heard),
            answered=len(heard),
            absent=hearing.absent,
            notices=findings.notices,
        )

    def _checked(self, committee: Committee, heard: Sequence[Heard]) -> tuple[Checks, Findings]:
        """Checks 2 to 4 of these answers."""
        findings = Findings()
        checks = Checks(self._gateway.view, committee, self.wanted, findings)
        for one in heard:
            checks.take(one)
        checks.omissions(heard)
        return checks, findings

    def _asking(self, watch: bool) -> Asking:
        return Asking(
            opening=encode(self.opening),
            signature=self._reader.key.sign(to_sign(self.opening)),
            claims=self._reader.claims,
            second=self._second,
            at_height=max(self.height, self._again_at),
            watch=watch,
        )

    async def _documents(
        self,
        known: Mapping[RecordId, Known],
        keys: Mapping[RecordId, bytes],
        findings: Findings,
    ) -> tuple[list[Opened], list[Gap]]:
        wanted = [(known[record].header, known[record].holders) for record in keys]
        blobs, self._is_vault_away = await fetch_blobs(self._gateway, self.opening.request_id, wanted, findings)
        opened: list[Opened] = []
        gaps: list[Gap] = []
        fates = _fates(self._gateway, known)
        chain = self._gateway.chain
        for record, key in keys.items():
            one = known[record]
            header = one.header
            parts = [blobs[digest] for digest in header.blobs if digest in blobs]
            if len(parts) < len(header.blobs):
                gaps.append(Gap(record, BLOB_MISSING))
                continue
            try:
                data = open_chunks(key, document_context(chain, record), parts, header.size_bytes)
            except MalformedError:
                gaps.append(Gap(record, "inconsistent_dealer"))
                findings.accuse(record.author, "inconsistent_dealer", record)
                continue
            fate = fates.get(record) if fates else None
            opened.append(Opened(header, data, tuple(sorted(one.obligations)), fate))
        return opened, gaps


def _is_not_seated(error: SalusError) -> bool:
    return isinstance(error, PeerRefusalError) and error.said == NotSeatedError.code


def _enough(committee: Committee, hearing: Hearing) -> None:
    if hearing.can_combine:
        return
    need = threshold(len(committee.seats))
    refusals = [error for error in hearing.failures.values() if isinstance(error, RefusalError)]
    if len(refusals) > len(committee.seats) - need:
        raise refusals[0]
    raise TooFewSeatsError(answered=len(hearing.answering), needed=need)


async def open_read(gateway: Gateway, reader: Reader, wanted: Wanted, second: Reader | None = None) -> OpenRead:
    """Leave the trace, then let the keepers be asked: the request is final on return.

    Raises:
        MalformedError: the reason is above 1,000 characters, or the selection names too much.
        LedgerRefusedError: the ledger refused the request.
        UnavailableError: the ledger is away; nothing can be read from others.
    """
    reply_key = OpeningKey(os.urandom(32))
    opening = Opening(
        chain=gateway.chain,
        request_id=new_id(),
        salt=new_secret(),
        subject=wanted.subject,
        member=gateway.member,
        key=reader.key.public,
        credential_id=reader.credential_id,
        purpose=wanted.purpose,
        reason=wanted.reason,
        selection=wanted.selection,
        reply_key=reply_key.public,
    )
    lasting = BREAK_GLASS_MS if wanted.purpose == BREAK_GLASS else REQUEST_MS
    expires = max(gateway.view.time, gateway.clock()) + lasting
    request = Request(
        request_id=opening.request_id,
        commitment=commitment(opening),
        reply_key_digest=reply_key_digest(reply_key.public),
        expires=expires,
    )
    decode(Opening, encode(opening))  # Keepers would not read it, and would stand there as those who erred.
    _, height = await gateway.sponsor(request)
    person = None if second is None else second_person(opening, second)
    return OpenRead(gateway, reader, wanted, opening, reply_key, expires, height, person)


def second_person(opening: Opening, second: Reader) -> Person | None:
    """How a second person signs beside the first; none if they have no credential."""
    if second.credential_id is None or second.claims is None:
        return None
    signature = second.key.sign(to_sign(opening))
    return Person(credential_id=second.credential_id, claims=second.claims, signature=signature)


def _fates(gateway: Gateway, known: Mapping[RecordId, Known]) -> dict[RecordId, Fate]:
    state = gateway.view.state
    fates: dict[RecordId, Fate] = {}
    for author, batch_id in {(record.author, record.batch_id) for record in known}:
        for key, override in OVERRIDES.items(state, author, batch_id):
            fates[RecordId(author, batch_id, key[2])] = override.fate
    return fates
