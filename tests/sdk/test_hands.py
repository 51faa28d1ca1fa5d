"""Work that others do gives what it gives here; who dies at it costs time alone."""

import multiprocessing
import os
from asyncio import create_task, gather, sleep
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from salus.core.errors import SalusError
from salus.keeper.errors import EnvelopeError, InconsistentDealerError
from salus.keeper.messages import Deposited
from salus.sdk.hands import Hands
from tests.keeper.forging import altered, altered_entry, envelope, genuine
from tests.node.stage import data_of, documents, permit, stage
from tests.sdk.test_reader import shown


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as workers:
        yield workers


def who(given: Sequence[bytes]) -> list[bytes]:
    """Work that tells where it is done, and with how many."""
    return [one + f"{os.getpid()} {len(given)}".encode() for one in given]


def die_elsewhere(given: Sequence[bytes]) -> list[bytes]:
    """Work that kills a worker."""
    if multiprocessing.parent_process() is not None:
        os._exit(1)
    return [one[::-1] for one in given]


def refuse(_given: Sequence[bytes]) -> list[bytes]:
    """Work that fails wherever it is done."""
    raise ValueError


async def test_a_worker_that_dies_takes_nothing_with_it() -> None:
    hands = Hands()
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as mortal, hands.lent(mortal):
        assert await hands.carry(die_elsewhere, b"abc") == b"cba"
        assert not hands.are_many
        assert await hands.carry(who, b"") == f"{os.getpid()} 1".encode()


async def test_work_that_fails_is_not_done_twice(pool: ProcessPoolExecutor) -> None:
    hands = Hands()
    with hands.lent(pool), pytest.raises(ValueError):
        await hands.carry(refuse, b"")


async def test_work_is_done_elsewhere_while_others_lend_a_hand(pool: ProcessPoolExecutor) -> None:
    hands = Hands()
    here = f"{os.getpid()} 1".encode()
    assert await hands.carry(who, b"") == here
    with hands.lent(pool):
        assert await hands.carry(who, b"") != here
    assert await hands.carry(who, b"") == here


async def test_what_is_asked_in_one_turn_is_done_in_one_go_and_each_has_its_own_answer(
    pool: ProcessPoolExecutor,
) -> None:
    hands = Hands()
    with hands.lent(pool):
        first = await gather(*(hands.carry_together(who, name) for name in (b"a ", b"b ", b"c ")))
        later = await hands.carry_together(who, b"d ")
    assert [answer.split()[0] for answer in (*first, later)] == [b"a", b"b", b"c", b"d"]
    assert [answer.split()[2] for answer in (*first, later)] == [b"3", b"3", b"3", b"1"]
    assert (await hands.carry_together(who, b"e ")).split()[1:] == f"{os.getpid()} 1".encode().split()


async def test_work_that_fails_fails_for_all_who_asked(pool: ProcessPoolExecutor) -> None:
    hands = Hands()
    with hands.lent(pool):
        failed = await gather(*(hands.carry_together(refuse, b"") for _ in range(2)), return_exceptions=True)
    assert [type(error) for error in failed] == [ValueError, ValueError]


async def test_who_no_longer_waits_holds_nobody_up(pool: ProcessPoolExecutor) -> None:
    hands = Hands()
    with hands.lent(pool):
        asked = [create_task(hands.carry_together(who, name)) for name in (b"a ", b"b ")]
        await sleep(0)
        asked[0].cancel()
        assert (await asked[1]).startswith(b"b ")


async def test_a_worker_that_dies_takes_no_piece_of_common_work_with_it() -> None:
    hands = Hands()
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as mortal, hands.lent(mortal):
        assert await gather(*(hands.carry_together(die_elsewhere, one) for one in (b"ab", b"cd"))) == [b"ba", b"dc"]


@pytest.mark.parametrize("is_lent", [False, True])
async def test_a_deposit_is_judged_alike_wherever_it_is_checked(
    tmp_path: Path, pool: ProcessPoolExecutor, *, is_lent: bool
) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        sent = genuine(on, "mercy", documents(wallet, "a", "b"))
        accept = on["mercy"].keeper.deposits.accept
        with on.network.hands.lent(pool):
            if not is_lent:
                on.network.hands._lent = None
            wrong = {
                "a share is not its hash": altered_entry(sent, 1, share=bytes(32)),
                "no header": altered_entry(sent, 1, header=b"x"),
                "not one share hash per seat": altered_entry(sent, 1, share_hashes=bytes(96)),
                "headers do not lead to the root": altered(sent, root=bytes(32)),
                "share hashes do not lead to the share root": altered(sent, share_root=bytes(32)),
            }
            for reason, one in wrong.items():
                with pytest.raises(InconsistentDealerError) as raised:
                    await accept("mercy", envelope(on, one))
                assert raised.value.facts["reason"] == reason
                assert raised.value.facts.get("index") in (None, sent.shares.entries[1].index)
            with pytest.raises(EnvelopeError):
                await accept("mercy", envelope(on, altered(sent, entries=(b"no entry",))))
            assert isinstance(await accept("mercy", envelope(on, sent)), Deposited)


async def test_a_batch_that_others_drafted_is_durable_reads_back_and_supersedes(
    tmp_path: Path, pool: ProcessPoolExecutor
) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        reader = await on.clinician("st-luke")
        with on.network.hands.lent(pool):
            sealed = await on.seal("mercy", wallet, "a", "b", "c")
            newer = await on.seal("mercy", wallet, "d", source="a", replaces=sealed.records[0])
        assert sealed.is_durable
        assert newer.is_durable
        assert shown(await on.view("st-luke", reader, wallet)) == [data_of(name) for name in ("b", "c", "d")]
        author = on["mercy"].author
        assert author.was_sealed(wallet.subject, "a", data_of("d")) == newer.records[0]
        assert author.was_sealed(wallet.subject, "b", data_of("b")) == sealed.records[1]


async def test_a_stranger_seals_nothing_with_others_hands_either(tmp_path: Path, pool: ProcessPoolExecutor) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        with on.network.hands.lent(pool), pytest.raises(SalusError):
            await on.seal("lakeside", wallet, "a")
