"""A custodian's widening: bound to its evidence, kept with who signed, logged for the patient, told to every writer."""

import asyncio
from pathlib import Path

import pytest

from salus.contracts.consent import PolicySet
from salus.core.ids import DAY_MS, HOUR_MS, SECOND_MS
from salus.core.transport import PeerRefusalError, ask
from salus.core.wire import decode, encode, replace
from salus.crypto.hpke import seal
from salus.keeper import widenings
from salus.keeper.errors import PolicyError, QuotaError, WideningWaitsError
from salus.keeper.messages import LogEntry, Noted, PolicyDeposit, PolicyHeld, SealedPolicy, WideningNotice, info
from salus.sdk import consent
from salus.sdk.wallet import Wallet
from tests.node.stage import Stage, permit, stage

pytestmark = pytest.mark.usefixtures("kept_on")

EVIDENCE, OTHER = bytes(range(32)), bytes(32)


async def left(on: Stage, policy: PolicySet, evidence: bytes, sender: str = "mercy") -> PolicyHeld:
    """Leave a widening with the keeper of lakeside, seat 3."""
    gateway = on["mercy"].gateway
    seats = gateway.committee(on.network.committee).seats
    seat = next(number for number, holder in enumerate(seats, 1) if holder.member == "lakeside")
    deposit = PolicyDeposit(policy=policy, evidence=evidence, cosignature=None)
    sealed = seal(seats[seat - 1].sealing, encode(deposit), info(gateway.chain, "policy"))
    return await on["lakeside"].keeper.policies.accept(sender, SealedPolicy(seat=seat, sealed=sealed))  # type: ignore[arg-type]


def entries(on: Stage, wallet: Wallet) -> list[LogEntry]:
    return [decode(LogEntry, data) for data in on["lakeside"].keeper.log.entries(wallet.subject)]


async def custodial(on: Stage) -> tuple[Wallet, PolicySet]:
    wallet = await on.patient("mercy", "st-luke", custodian="mercy")
    return wallet, replace(wallet, rules=(permit("lakeside"),)).policy(1, bytes(32))


async def test_other_evidence_waits_a_day_of_its_own(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        _, wider = await custodial(on)
        with pytest.raises(WideningWaitsError):
            await left(on, wider, EVIDENCE)
        await on.wait(DAY_MS + SECOND_MS)
        with pytest.raises(WideningWaitsError):
            await left(on, wider, OTHER)
        assert (await left(on, wider, EVIDENCE)).signature is not None


async def test_nobody_but_the_custodian_begins_a_widening(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet, wider = await custodial(on)
        with pytest.raises(PolicyError):
            await left(on, wider, EVIDENCE, sender="st-luke")
        assert entries(on, wallet) == []


async def test_a_custodian_fills_neither_disk_nor_log_with_widenings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(widenings, "NOTICES_PER_DAY", 3)
    async with stage(tmp_path) as on:
        wallet, wider = await custodial(on)
        for evidence in range(3):
            with pytest.raises(WideningWaitsError):
                await left(on, wider, bytes([evidence]) * 32)
        with pytest.raises(QuotaError):
            await left(on, wider, OTHER[:-1] + b"x")
        with pytest.raises(WideningWaitsError):  # One that was noticed can be repeated.
            await left(on, wider, bytes(32))
        assert len(entries(on, wallet)) == 3
        _, other = await custodial(on)
        with pytest.raises(WideningWaitsError):  # Another patient's are counted apart.
            await left(on, other, EVIDENCE)
        await on.wait(DAY_MS + SECOND_MS)
        with pytest.raises(WideningWaitsError):
            await left(on, wider, OTHER[:-1] + b"x")


async def test_the_patients_log_tells_of_a_widening_once_with_its_evidence(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet, wider = await custodial(on)
        for _ in range(2):
            with pytest.raises(WideningWaitsError):
                await left(on, wider, EVIDENCE)
        (entry,) = entries(on, wallet)
        assert (entry.kind, entry.member, entry.reason) == ("widening", "mercy", f"evidence {EVIDENCE.hex()}")


async def test_every_writer_of_the_version_in_force_is_told_even_if_it_was_away(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet, wider = await custodial(on)
        on.network.switchboard.off_line.add(on["st-luke"].name)
        with pytest.raises(WideningWaitsError):
            await left(on, wider, EVIDENCE)
        await asyncio.sleep(0.05)
        assert on["st-luke"].store.notices(wallet.cell) == []
        assert len(on["mercy"].store.notices(wallet.cell)) == 1
        on.network.switchboard.off_line.clear()
        on["lakeside"].keeper.tick()
        await asyncio.sleep(0.05)
        ((keeper, notice),) = on["st-luke"].store.notices(wallet.cell)
        assert (keeper, notice.custodian, notice.evidence, notice.cosigner) == ("lakeside", "mercy", EVIDENCE, None)


async def test_who_signed_beside_the_custodian_is_told_too(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet, _ = await custodial(on)
        wider = replace(wallet, rules=(permit("lakeside"),))
        await consent.change(on["mercy"].gateway, wallet, wider, EVIDENCE, on["st-luke"].gateway)
        await asyncio.sleep(0.1)
        assert {notice.cosigner for _, notice in on["st-luke"].store.notices(wallet.cell)} == {"st-luke"}


async def test_a_notice_outlives_the_version_that_waits(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        _, wider = await custodial(on)
        with pytest.raises(WideningWaitsError):
            await left(on, wider, EVIDENCE)
        await on.wait(12 * HOUR_MS)
        on["lakeside"].keeper.tick()
        await on.wait(12 * HOUR_MS + SECOND_MS)
        assert (await left(on, wider, EVIDENCE)).signature is not None


async def test_a_notice_of_an_unknown_cell_is_refused(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        notice = WideningNotice(bytes(16), bytes(32), 1, on["mercy"].name, EVIDENCE, None, 1)
        with pytest.raises(PeerRefusalError):
            await ask(on["lakeside"].gateway.transport, on["st-luke"].name, notice, Noted)
        assert on["st-luke"].store.notices(bytes(16)) == []
