"""What a keeper does when a committee moves on to another epoch, in its own time and as often as it takes.

    1. On a seat that is new to it, it fetches the policies of the committee's subjects: without them it refuses.
    2. Shares of a dealing that is over are destroyed: once the ledger says that a quorum holds the batch dealt again,
       and not before.

Until then it serves the old shares, also from a seat that it has no more (`seats.py`). Authors deal again by themselves
(`sdk/redealing.py`).
"""

import asyncio
from collections.abc import Sequence

import sqlalchemy as sa

from salus.contracts.cells.tables import CELLS, Status
from salus.contracts.members.messages import Committee
from salus.contracts.members.reads import committee_at, seat_of
from salus.contracts.members.tables import COMMITTEES, DEALT
from salus.contracts.records.reads import dealings_of
from salus.core.ids import CellId, CommitteeId, Epoch, MemberId
from salus.keeper.policies import Policies
from salus.keeper.store import BATCHES, HOLDINGS, SubjectStore
from salus.machine.view import View

FETCHES_MAX = 1024  # In one round; the next one goes on.
FIRST_EPOCH: Epoch = 1
_AT_ONCE = 16
_PAUSE_AFTER = 256  # Rows, for whoever waits for an answer meanwhile.

Row = tuple[str, bytes, bytes, bytes]  # Author, batch id, both roots.


class Epochs:
    """One keeper's side of a committee's change."""

    def __init__(self, member: MemberId, store: SubjectStore, view: View, policies: Policies) -> None:
        self._member = member
        self._store = store
        self._view = view
        self._policies = policies
        self._seen: object = None  # Which batches were dealt to which epochs when old shares were looked for last.
        if store.connection.dialect.name == "sqlite":
            store.connection.exec_driver_sql("PRAGMA secure_delete=ON")

    async def follow(self) -> int:
        """One round; how many old dealings were destroyed. Safe to repeat, and to break off."""
        destroyed = await self._destroy()
        for committee_id, committee in list(COMMITTEES.items(self._view.state)):
            await self._take_seat(committee_id, committee)
        return destroyed

    # Policies.

    async def _take_seat(self, committee_id: CommitteeId, committee: Committee) -> None:
        if seat_of(committee, self._member) is None or self._has_policies(committee_id, committee.epoch):
            return
        missing = await self._missing(committee_id)
        for start in range(0, min(len(missing), FETCHES_MAX), _AT_ONCE):
            await asyncio.gather(*(self._policies.fetch(cell_id) for cell_id in missing[start : start + _AT_ONCE]))
        if not missing or not await self._missing(committee_id):
            with self._store.commit("keeper.seated"):
                self._store.set_meta(_done(committee_id), committee.epoch.to_bytes(8, "big"))

    def _has_policies(self, committee_id: CommitteeId, epoch: Epoch) -> bool:
        """Whether all policies were here at this epoch, or at one since which this member has kept a seat."""
        noted = int.from_bytes(self._store.meta(_done(committee_id)) or b"", "big")
        for before in range(epoch, FIRST_EPOCH, -1):
            if before == noted:
                return True
            committee = committee_at(self._view.state, committee_id, before - 1)
            if committee is None or seat_of(committee, self._member) is None:
                return False
        return True

    async def _missing(self, committee_id: CommitteeId) -> Sequence[CellId]:
        """Cells of a committee whose policy in force is not here."""
        missing: list[CellId] = []
        for number, (cell_id, cell) in enumerate(CELLS.items(self._view.state), 1):
            is_ours = cell.committee == committee_id and cell.status is not Status.CLOSED
            if is_ours and not self._policies.holds(cell_id, cell.commitment):
                missing.append(cell_id)
            if number % _PAUSE_AFTER == 0:
                await asyncio.sleep(0)
        return missing

    # Old shares.

    async def _destroy(self) -> int:
        """Destroy the shares of every dealing here that a later one, attested on the ledger, has taken the place of."""
        dealt = tuple(DEALT.items(self._view.state))
        if dealt == self._seen:
            return 0
        over: list[Row] = []
        for number, row in enumerate(self._rows(), 1):
            if self._is_over(row):
                over.append(row)
            if number % _PAUSE_AFTER == 0:
                await asyncio.sleep(0)
        for start in range(0, len(over), _PAUSE_AFTER):
            with self._store.commit("keeper.destroy") as connection:
                for table in (HOLDINGS, BATCHES):
                    for row in over[start : start + _PAUSE_AFTER]:
                        connection.execute(table.delete().where(*_at(table, row)))
            await asyncio.sleep(0)
        if over and self._store.connection.dialect.name == "sqlite":
            self._store.connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        self._seen = dealt
        return len(over)

    def _rows(self) -> list[Row]:
        names = (BATCHES.c.author, BATCHES.c.batch_id, BATCHES.c.root, BATCHES.c.share_root)
        return [tuple(row) for row in self._store.connection.execute(sa.select(*names))]

    def _is_over(self, row: Row) -> bool:
        author, batch_id, _, share_root = row
        roots = [dealing.share_root for dealing in dealings_of(self._view.state, MemberId(author), batch_id)]
        return share_root in roots[:-1] and share_root != roots[-1]


def _done(committee_id: CommitteeId) -> str:
    return f"policies_at:{committee_id.hex()}"


def _at(table: sa.Table, row: Row) -> list[sa.ColumnElement[bool]]:
    names = ("author", "batch_id", "root", "share_root")
    return [table.c[name] == value for name, value in zip(names, row, strict=True)]
