"""A committee that changes while the network runs, in one line each."""

from collections.abc import Sequence

import sqlalchemy as sa

from salus.cli.actions import governance
from salus.contracts.members.messages import RemoveMember
from salus.contracts.members.reads import former
from salus.contracts.members.tables import Standing
from salus.contracts.records.reads import dealing_of
from salus.core.ids import MemberId
from salus.keeper.store import BATCHES, HOLDINGS
from salus.sdk.views import View
from tests.node.stage import Stage, data_of, shown
from tests.node.test_governed_network import decide, home


async def joined(on: Stage, *names: str) -> None:
    """These organisations become members; everybody there is votes."""
    for name in names:
        change = governance.adding(home(on), MemberId(name), jurisdiction="us", validator=False, quota_bytes=1 << 20)
        assert await decide(on, change, by=enough(on)) is Standing.EXECUTED


def enough(on: Stage) -> list[str]:
    """As many members as a change takes, and no more: there is no vote on what is decided."""
    here = [member.name for member in on.network.members]
    return here[: 2 * len(here) // 3 + 1]


async def seated(on: Stage, *names: str) -> int:
    """The committee has these seats, at its next epoch."""
    change = governance.seating(home(on), on.network.committee.hex(), names)
    assert await decide(on, change, by=enough(on)) is Standing.EXECUTED
    committee = on["mercy"].gateway.committee(on.network.committee)
    return committee.epoch


async def left(on: Stage, name: str, successor: str, *, seats: Sequence[str] = ()) -> None:
    """A member goes, with a successor; its seat, and others, before it."""
    if seats:
        await seated(on, *seats)
    change = RemoveMember(
        member=MemberId(name),
        version=governance.entry_of(home(on), name).version,
        successor=MemberId(successor),
    )
    assert await decide(on, change, by=enough(on)) is Standing.EXECUTED
    await on.network.follow()


async def repaired(on: Stage, rounds: int = 3) -> None:
    """As `dealt_again`, and nobody has anything left of what was not its own."""
    await dealt_again(on, rounds)
    assert all(member.repairer.behind() == [] and member.store.repairs() == [] for member in on.network.members)


def share_roots(on: Stage, member: str) -> set[bytes]:
    """Of all dealings whose shares a keeper has, by their rows."""
    connection = on[member].keeper._store.connection
    rows = [set(connection.execute(sa.select(table.c.share_root)).scalars()) for table in (BATCHES, HOLDINGS)]
    assert rows[0] == rows[1]
    return {bytes(one) for one in rows[0]}


def in_force(on: Stage, author: str, batch_id: bytes) -> tuple[int, bytes]:
    dealing = dealing_of(on.network.ledger.state, MemberId(author), batch_id)
    assert dealing is not None
    return dealing.epoch, dealing.share_root


async def dealt_again(on: Stage, rounds: int = 3) -> None:
    """Housekeeping until nothing is dealt to an earlier epoch; once more, so that keepers have seen it."""
    for _ in range(rounds):
        await on.network.tend()
    assert former(on.network.ledger.state, on.network.committee) == ()
    await on.network.tend()


def assert_whole(view: View, *sources: str) -> None:
    """All of these are shown, nothing is missing, nobody is named."""
    assert shown(view) == sorted(data_of(source) for source in sources)
    assert (view.gaps, view.accusations) == ([], [])
