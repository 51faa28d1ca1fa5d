"""The embedded engine follows the state's validators: joined, removed, re-keyed, upgraded, all while it runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from salus.contracts.members.messages import Change, RemoveMember, SetValidator, Upgrade
from salus.contracts.members.tables import Standing
from salus.core.ids import MemberId
from salus.core.wire import decode, encode, replace
from salus.engines.agreement import NotFinalError
from salus.engines.check import check_ledger
from salus.engines.layout import HANDOVERS_PREFIX
from salus.engines.ledger_copy import BrokenBlockError
from salus.engines.lmdb_store import LmdbStore
from salus.engines.receipts import Receipt, ReceiptError, Vote, check_receipt
from salus.engines.replica import Replica
from salus.machine.block import ACCEPTED, header_id
from salus.machine.errors import UnknownRulesError
from salus.machine.machine import Machine
from salus.machine.routes import RULES
from salus.machine.transaction import AnyMessage
from tests.engines.cluster import Cluster, Trap, opened, running
from tests.support.governance import (
    JOINER,
    QUORUM,
    add,
    approve,
    joiner,
    proposal_id,
    propose,
    rekey,
    seats,
    standing,
    with_party,
)
from tests.support.network import network

NET = network(4)
MERCY, LAKESIDE, NORTHGATE = MemberId("mercy"), MemberId("lakeside"), MemberId("northgate")
FRESH = joiner("northgate")


async def sent(cluster: Cluster, sponsor: str, message: AnyMessage) -> None:
    assert (await cluster.engine.submit(cluster.tx(sponsor, message))).code == ACCEPTED


async def decide(cluster: Cluster, *changes: Change, name: str, by: Sequence[str] = QUORUM) -> None:
    """Propose and vote, a block each."""
    id = proposal_id(name)
    await sent(cluster, by[0], propose(id, *changes))
    for member in by[1:]:
        await sent(cluster, member, approve(id))
    assert standing(cluster.engine.newest().state, id).standing is Standing.EXECUTED


async def join(cluster: Cluster, folder: Path) -> None:
    """The fifth member is decided on, and its replica begins at the genesis."""
    await decide(cluster, add(), name="join")
    replica = Replica(JOINER, NET.genesis, LmdbStore(folder / JOINER), Machine(), faults=cluster.trap)
    cluster.replicas[JOINER] = replica
    cluster.network = with_party(NET, joiner())
    await cluster.engine.admit(JOINER, replica, joiner().validator)


def signed_by(cluster: Cluster) -> set[str]:
    newest = cluster.engine.newest()
    return {vote.validator for vote in newest.block(newest.height).votes}


async def test_a_validator_without_a_replica_here_is_waited_for(tmp_path: Path) -> None:
    """One of two: the second must sign too, and is not up yet."""
    alone = network(1)
    async with running(tmp_path, alone) as cluster:
        await decide(cluster, add(), name="join", by=("mercy",))
        assert not cluster.engine._members.is_ready()
        replica = Replica(JOINER, alone.genesis, LmdbStore(tmp_path / JOINER), Machine())
        cluster.replicas[JOINER] = replica
        await cluster.engine.admit(JOINER, replica, joiner().validator)
        await sent(cluster, "mercy", alone.create(alone.id16("a")))
        assert signed_by(cluster) == {"mercy", JOINER}


async def test_a_key_that_was_replaced_signs_nothing_any_more(tmp_path: Path) -> None:
    """Northgate goes on with its old key: it takes part, and does not vote."""
    async with running(tmp_path) as cluster:
        await decide(cluster, rekey("northgate", FRESH), name="keys")
        await sent(cluster, "mercy", NET.create(NET.id16("a")))
        assert signed_by(cluster) == {"mercy", "st-luke", "lakeside"}
        assert cluster.heights() == {cluster.engine.newest().height}
        await cluster.engine.admit(NORTHGATE, cluster.replicas[NORTHGATE], FRESH.validator)
        await sent(cluster, "mercy", NET.create(NET.id16("b")))
        assert "northgate" in signed_by(cluster)


async def test_old_validators_make_no_block_final_any_more(tmp_path: Path) -> None:
    """Of five, four must sign: with the joiner and one more held back, three of the old four are too few."""
    async with running(tmp_path) as cluster:
        await join(cluster, tmp_path)
        cluster.engine.hold(JOINER)
        cluster.engine.hold(NORTHGATE)
        assert not cluster.engine._members.is_ready()
        await cluster.engine.release(JOINER)
        await sent(cluster, "mercy", NET.create(NET.id16("a")))


async def test_a_member_added_at_run_time_catches_up_votes_and_sponsors(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        await sent(cluster, "mercy", NET.create(NET.id16("a")))
        await join(cluster, tmp_path)
        assert cluster.replicas[JOINER].height == cluster.engine.newest().height
        assert len(cluster.roots()) == 1
        await sent(cluster, JOINER, NET.create(NET.id16("b")))
        assert signed_by(cluster) == {"mercy", "st-luke", "lakeside", "northgate", JOINER}
        receipt = await cluster.engine.receipt(
            cluster.replicas[JOINER].block(cluster.replicas[JOINER].height).results[0].tx_id
        )
        assert check_receipt(decode(Receipt, encode(receipt)), NET.genesis).sponsor == JOINER


async def test_receipts_from_before_and_after_a_change_verify_from_the_genesis_alone(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        early = (await cluster.engine.submit(cluster.create("early"))).tx_id
        small = len(encode(await cluster.engine.receipt(early)))
        await join(cluster, tmp_path)
        await decide(cluster, rekey("northgate", FRESH), name="keys", by=(*QUORUM, JOINER))
        await cluster.engine.admit(NORTHGATE, cluster.replicas[NORTHGATE], FRESH.validator)
        late = (await cluster.engine.submit(cluster.create("late"))).tx_id
        receipts = [await cluster.engine.receipt(tx_id) for tx_id in (early, late)]
        assert [len(receipt.handovers) for receipt in receipts] == [0, 2]
        for receipt in receipts:
            check_receipt(receipt, NET.genesis)
        assert len(encode(receipts[0])) == small  # What nothing changed before is not longer for it.
        with pytest.raises(ReceiptError):
            check_receipt(replace(receipts[1], handovers=()), NET.genesis)


async def test_every_receipt_of_a_changing_network_verifies_at_every_member(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        await join(cluster, tmp_path)
        changes = (seats(NET, "mercy", "st-luke", "lakeside"), RemoveMember(NORTHGATE, 0, MERCY))
        await decide(cluster, *changes, name="leave", by=(*QUORUM, JOINER))
        await sent(cluster, JOINER, NET.create(NET.id16("late")))
        for replica in cluster.replicas.values():
            for stored in replica.blocks():
                for result in stored.results:
                    check_receipt(replica.receipt(result.tx_id), NET.genesis)


async def test_a_removed_member_follows_without_a_vote_until_it_is_dismissed(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        changes = (seats(NET, "mercy", "st-luke", "lakeside"), RemoveMember(NORTHGATE, 0, MERCY))
        await decide(cluster, *changes, name="leave")
        await sent(cluster, "mercy", NET.create(NET.id16("a")))
        assert signed_by(cluster) == {"mercy", "st-luke", "lakeside"}
        cluster.engine.dismiss(NORTHGATE)
        cluster.replicas.pop(NORTHGATE).close()
        await sent(cluster, "mercy", NET.create(NET.id16("b")))


async def test_a_removed_members_late_transaction_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        changes = (seats(NET, "mercy", "st-luke", "lakeside"), RemoveMember(NORTHGATE, 0, MERCY))
        await decide(cluster, *changes, name="leave")
        with pytest.raises(Exception, match="unknown_sponsor"):
            await cluster.engine.submit(cluster.create("late", "northgate"))


async def test_one_that_missed_every_change_adopts_them_in_turn(tmp_path: Path) -> None:
    """Lakeside is away while the validators change twice: each block it adopts was signed by those of its time."""
    async with running(tmp_path) as cluster:
        cluster.engine.hold(LAKESIDE)
        await decide(cluster, SetValidator(LAKESIDE, 0, False), name="step down", by=("mercy", "st-luke", "northgate"))
        await decide(cluster, rekey("northgate", FRESH), name="keys", by=("mercy", "st-luke", "northgate"))
        await cluster.engine.admit(NORTHGATE, cluster.replicas[NORTHGATE], FRESH.validator)
        await sent(cluster, "mercy", NET.create(NET.id16("a")))
        assert cluster.replicas[LAKESIDE].height < cluster.engine.newest().height
        await cluster.engine.release(LAKESIDE)
        assert len(cluster.roots()) == 1
        assert not cluster.engine.halted


async def test_a_block_signed_by_those_of_another_time_is_not_adopted(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        cluster.engine.hold(LAKESIDE)
        keys = (rekey("northgate", FRESH), rekey("mercy", joiner("mercy")), rekey("st-luke", joiner("st-luke")))
        await decide(cluster, *keys, name="keys", by=("mercy", "st-luke", "northgate"))
        last = cluster.engine.newest().block(cluster.engine.newest().height)
        replica = cluster.replicas[LAKESIDE]
        for stored in cluster.engine.newest().blocks(replica.height + 1):
            replica.adopt(stored)
        next_block = replace(last.block, height=last.header.height + 1, previous=header_id(last.header), txs=())
        header = replica.prepare(next_block)
        replica.abandon()
        by_old = tuple(Vote(p.member, p.validator.sign(header_id(header))) for p in NET.parties)
        with pytest.raises(ReceiptError):
            replica.adopt(replace(last, block=next_block, header=header, votes=by_old, results=()))


async def test_what_the_state_says_of_validators_survives_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        await join(cluster, tmp_path)
    cluster = opened(tmp_path, with_party(NET, joiner()))
    try:
        await cluster.engine.start()
        assert {one.validator for one in cluster.engine.newest().validators} >= {JOINER}
        tx_id = (await cluster.engine.submit(cluster.create("after"))).tx_id
        assert len((await cluster.engine.receipt(tx_id)).handovers) == 1
        check_receipt(await cluster.engine.receipt(tx_id), NET.genesis)
        await cluster.engine.stop()
    finally:
        cluster.close()


async def test_the_check_of_a_ledger_follows_its_validators(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        await join(cluster, tmp_path)
        await sent(cluster, JOINER, NET.create(NET.id16("a")))
        for replica in cluster.replicas.values():
            assert check_ledger(replica).differences == []


@pytest.mark.parametrize("harm", ["gone", "changed"])
async def test_the_check_of_a_ledger_sees_a_damaged_handover(tmp_path: Path, harm: str) -> None:
    async with running(tmp_path) as cluster:
        await join(cluster, tmp_path)
    with LmdbStore(tmp_path / "mercy") as store, store.write():
        [(key, value)] = list(store.scan(HANDOVERS_PREFIX))
        if harm == "gone":
            store.delete(key)
        else:
            store.put(key, value[:-1] + bytes((value[-1] ^ 1,)))
    replica = Replica(MERCY, NET.genesis, LmdbStore(tmp_path / "mercy"), Machine())
    try:
        [difference] = check_ledger(replica).differences
        assert difference.what == "handover"
    finally:
        replica.close()


async def test_a_handover_that_is_no_handover_is_an_alarm(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        await join(cluster, tmp_path)
        tx_id = (await cluster.engine.submit(cluster.create("a"))).tx_id
    with LmdbStore(tmp_path / "mercy") as store, store.write():
        [(key, _)] = list(store.scan(HANDOVERS_PREFIX))
        store.put(key, b"\xc1")
    replica = Replica(MERCY, NET.genesis, LmdbStore(tmp_path / "mercy"), Machine())
    try:
        with pytest.raises(BrokenBlockError):
            replica.receipt(tx_id)
    finally:
        replica.close()


async def test_members_with_old_code_halt_at_an_upgrade_and_the_others_go_on(tmp_path: Path) -> None:
    new = Machine(rules={1: RULES[1], 2: RULES[1]})
    machines: Mapping[str, Machine] = {"mercy": new, "st-luke": new, "lakeside": new, "northgate": Machine()}
    async with running(tmp_path, machines=machines) as cluster:
        await decide(cluster, Upgrade(rules=2, from_height=5), name="upgrade")
        assert cluster.engine.newest().height == 4
        await sent(cluster, "mercy", NET.create(NET.id16("a")))
        assert isinstance(cluster.engine.halted[NORTHGATE], UnknownRulesError)
        assert cluster.engine.halted[NORTHGATE].facts == {"rules": 2, "height": 5}
        assert signed_by(cluster) == {"mercy", "st-luke", "lakeside"}
        assert cluster.replicas[NORTHGATE].height == 4


async def test_a_network_of_old_code_stops_at_an_upgrade_and_goes_on_with_new_code(tmp_path: Path) -> None:
    async with running(tmp_path) as cluster:
        await decide(cluster, Upgrade(rules=2, from_height=5), name="upgrade")
        with pytest.raises(NotFinalError):
            await cluster.engine.submit(cluster.create("a"))
        assert isinstance(cluster.engine.failure, UnknownRulesError)
        assert cluster.heights() == {4}
    new = Machine(rules={1: RULES[1], 2: RULES[1]})
    async with running(tmp_path, machines=dict.fromkeys(("mercy", "st-luke", "lakeside", "northgate"), new)) as again:
        assert (await again.engine.submit(again.create("a"))).code == ACCEPTED


async def test_a_crash_while_the_deciding_block_is_kept_leaves_the_old_validators_or_the_new(tmp_path: Path) -> None:
    for point in ("before", "after"):
        folder = tmp_path / point
        trap = Trap()
        async with running(folder, trap=trap) as cluster:
            id = proposal_id("join")
            await sent(cluster, "mercy", propose(id, add()))
            await sent(cluster, "st-luke", approve(id))
            trap.point = f"ledger.mercy.block:{point}"
            with pytest.raises(NotFinalError):
                await cluster.engine.submit(cluster.tx("lakeside", approve(id)))
        reopened = opened(folder)
        reopened.engine._members.catch_up()
        names = {tuple(one.validator for one in replica.validators) for replica in reopened.replicas.values()}
        assert len(names) == 1
        assert (JOINER in next(iter(names))) is (point == "after")
        reopened.close()
