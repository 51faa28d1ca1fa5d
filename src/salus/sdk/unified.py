"""The whole record now: own records by own keys, everybody else's through the keepers, in one view.

While a request is open the gateway answers again from memory, as long as its own state is fresh, the policy commitment,
the credential and the expiry are unchanged, nothing that is shown was superseded or withdrawn, and no rule has begun or
ended; each use is logged. When keepers say that something new lies
there, the next call asks again. Without the network an author still sees its own records, marked stale.
"""

import asyncio
from collections.abc import Set
from dataclasses import dataclass, replace

from salus.contracts.cells.reads import cell_of
from salus.contracts.credentials.reads import is_active
from salus.contracts.reads.opening import Opening, to_sign
from salus.contracts.records.tables import OVERRIDES, Fate
from salus.core.errors import UnavailableError
from salus.core.ids import BatchId, CellId, Digest, Height, MemberId, TimeMs
from salus.core.wire import replace as changed
from salus.crypto.hpke import OpeningKey
from salus.machine.view import is_fresh
from salus.sdk.desk import Desk
from salus.sdk.gateway import Gateway, new_id, new_secret
from salus.sdk.own import OwnRecords, OwnView
from salus.sdk.reader import BREAK_GLASS_MS, OpenRead, Reader, Wanted, open_read, second_person
from salus.sdk.views import View

POLICY_WAIT_S = 1.0  # For the policy in force, where keepers answer and none gives it:
POLICY_PAUSE_S = 0.1  # their view may lag by a block.


@dataclass(frozen=True, slots=True)
class Unified:
    """A whole record, and whether the network took part."""

    view: View
    is_stale: bool  # Own records alone, decided by the last policy held.
    from_memory: bool = False


class UnifiedRead:
    """One open request over own and foreign records."""

    def __init__(
        self,
        gateway: Gateway,
        own: OwnRecords,
        desk: Desk,
        reader: Reader,
        wanted: Wanted,
        cell: CellId | None,
        second: Reader | None = None,
    ) -> None:
        self._gateway = gateway
        self._own = own
        self._desk = desk
        self._reader = reader
        self._wanted = wanted
        self._cell = cell
        self._second = second
        self._open: OpenRead | None = None
        self._alone: tuple[Opening, TimeMs] | None = None  # What is asked without the network, and until when.
        self._last: Unified | None = None
        self._policy: Digest | None = None
        self._until: TimeMs | None = None  # When time alone may change a decision.
        self._shown: dict[tuple[MemberId, BatchId], dict[int, Fate | None]] = {}  # By index.
        self._looked: Height = 0  # At which nothing that is shown had changed.
        self._news = False

    async def read(self) -> Unified:
        """The record now; from memory where nothing has changed since.

        Raises:
            PeerRefusalError, PersonError, BreakGlassError: the request itself is refused.
        """
        if self._last is not None and self._open is not None and self._still_holds():
            records = [one.header.record for one in self._last.view.records]
            self._own.used_again(self._open.opening, self._person(), records)
            return replace(self._last, from_memory=True)
        self._last = None
        self._news = False
        self._policy = self._commitment()
        began = self._gateway.view.time
        try:
            unified = await self._read_all()
        except UnavailableError:
            if self._cell is None:
                raise
            return self._offline()
        self._remember(unified, began)
        return unified

    @property
    def holds_plaintext(self) -> bool:
        """Whether something is in memory."""
        return self._last is not None

    def block_arrived(self, height: Height, overridden: Set[tuple[MemberId, BatchId]]) -> None:
        """Let go of the plaintext where the next call may not be answered from memory: another policy, a dismissal.

        `overridden` are the batches in which this block put another version, or nothing, in a record's place.
        """
        if height == self._looked + 1 and self._shown.keys().isdisjoint(overridden):
            self._looked = height
        if self._last is not None and not self._still_holds():
            self._last = None

    def _remember(self, unified: Unified, began: TimeMs) -> None:
        self._last = unified
        self._until = self._own.holds_until(self._wanted.subject, began)
        self._looked = 0
        self._shown = {}
        for one in unified.view.records:
            record = one.header.record
            self._shown.setdefault((record.author, record.batch_id), {})[record.index] = one.fate

    async def _read_all(self) -> Unified:
        foreign = self._wanted
        if self._cell is not None and not self._own.has_forgotten():
            selection = changed(self._wanted.selection, except_author=self._gateway.member)
            foreign = replace(self._wanted, selection=selection)
        if self._open is None or self._gateway.clock() >= self._open.expires:
            self._open = await open_read(self._gateway, self._reader, foreign, self._second)
            self._desk.watch(self._open, self._on_news)
        view = await self._open.ask(watch=True)
        if self._cell is None:
            return Unified(view=view, is_stale=False)
        await self._take_policy_in_force()
        return self._joined(view, self._read_own(self._open.opening))

    async def _take_policy_in_force(self) -> None:
        """Fetch what this member missed. While it is fetched it may change again, or keepers see a block later."""
        now_s = asyncio.get_running_loop().time
        give_up = now_s() + POLICY_WAIT_S
        while self._own.has_old_policy(self._wanted.subject):
            await self._desk.fetch_policy(self._wanted.subject, self._wanted.committee)
            if now_s() > give_up:
                return
            if self._own.has_old_policy(self._wanted.subject):
                await asyncio.sleep(POLICY_PAUSE_S)

    def _joined(self, view: View, own: OwnView) -> Unified:
        known = {one.header.record for one in own.records}  # The keepers gave them too where some were forgotten here.
        view.records = [*own.records, *(one for one in view.records if one.header.record not in known)]
        view.gaps = [*own.gaps, *(gap for gap in view.gaps if gap.record not in known)]
        return Unified(view=view, is_stale=own.is_stale)

    def _read_own(self, opening: Opening) -> OwnView:
        own = changed(opening, selection=self._wanted.selection)
        second = None if self._second is None else second_person(own, self._second)
        return self._own.read(own, self._reader.key.sign(to_sign(own)), self._reader.claims, second)

    def _offline(self) -> Unified:
        """Own records alone: nothing of others can be read without the ledger."""
        own = self._read_own(self._offline_opening())
        view = View(own.records, own.gaps, [], self._gateway.view.height, answered=0, absent=())
        return Unified(view=view, is_stale=True)

    def _offline_opening(self) -> Opening:
        """One opening for an hour, so that looking again in an emergency is no second emergency."""
        now = self._gateway.clock()
        if self._alone is not None and now < self._alone[1]:
            return self._alone[0]
        opening = Opening(
            chain=self._gateway.chain,
            request_id=new_id(),
            salt=new_secret(),
            subject=self._wanted.subject,
            member=self._gateway.member,
            key=self._reader.key.public,
            credential_id=self._reader.credential_id,
            purpose=self._wanted.purpose,
            reason=self._wanted.reason,
            selection=self._wanted.selection,
            reply_key=OpeningKey(new_secret()).public,
        )
        self._alone = opening, now + BREAK_GLASS_MS
        return opening

    def _still_holds(self) -> bool:
        now = self._gateway.clock()
        credential = self._reader.credential_id
        return (
            not self._news
            and self._open is not None
            and self._cell is not None
            and now < self._open.expires
            and is_fresh(self._gateway.view, now)
            and (self._until is None or max(now, self._gateway.view.time) < self._until)
            and self._commitment() == self._policy
            and (credential is None or is_active(self._gateway.view.state, credential, now))
            and self._counts_as_shown()
        )

    def _counts_as_shown(self) -> bool:
        """Whether every version that is shown still counts, or no longer counts, as it did."""
        height = self._gateway.view.height
        if height == self._looked:
            return True
        state = self._gateway.view.state
        for (author, batch_id), shown in self._shown.items():
            overrides = [(key[2], one.fate) for key, one in OVERRIDES.items(state, author, batch_id)]
            if any(shown.get(index, fate) is not fate for index, fate in overrides):
                return False  # An override stays; only new ones can differ from what is shown.
        self._looked = height
        return True

    def _commitment(self) -> Digest | None:
        """What the cell holds now, and its status: a freeze counts as a change."""
        cell = None if self._cell is None else cell_of(self._gateway.view.state, self._cell)
        return None if cell is None else cell.commitment + cell.status.value.encode()

    def _person(self) -> bytes:
        return self._reader.credential_id or self._reader.key.public[:16]

    def _on_news(self) -> None:
        self._news = True
