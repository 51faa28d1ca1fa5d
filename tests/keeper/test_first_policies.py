"""First versions that come by the dozen: each judged by itself, all kept with one durable write."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from salus.contracts.cells.reads import cell_of
from salus.contracts.consent import PolicySet, commitment
from salus.core.errors import SalusError
from salus.core.faults import NoFaults
from salus.core.transport import PeerRefusalError
from salus.core.wire import encode, replace
from salus.crypto.hpke import seal
from salus.keeper import policies as policies_module
from salus.keeper.errors import EnvelopeError, PolicyError, QuotaError
from salus.keeper.messages import FirstPolicies, FirstPoliciesHeld, SealedFirstPolicies, info
from salus.keeper.store import POLICIES
from salus.sdk import consent
from salus.sdk.errors import TooFewSeatsError
from salus.sdk.wallet import Wallet, new_wallet
from tests.node.stage import Stage, permit, stage


def wallet_on(on: Stage) -> Wallet:
    return new_wallet(on.network.genesis.chain, on.network.committee, "us", ("mercy",))  # type: ignore[arg-type]


async def left(on: Stage, *policies: PolicySet, seat: int = 1) -> FirstPoliciesHeld:
    """Leave versions with one of mercy's seats."""
    holder = on["mercy"].gateway.committee(on.network.committee).seats[seat - 1]
    body = encode(FirstPolicies(policies=policies))
    sealed = seal(holder.sealing, body, info(on["mercy"].gateway.chain, "policy"))
    return await on["mercy"].keeper.policies.accept_first(
        on["mercy"].name, SealedFirstPolicies(seat=seat, sealed=sealed)
    )


def held(on: Stage) -> set[bytes]:
    """Commitments that mercy's keeper holds."""
    rows = on["mercy"].keeping._store.connection.execute(sa.select(POLICIES.c.commitment))
    return {bytes(row.commitment) for row in rows}


async def test_what_does_not_open_for_the_seat_is_refused_whole(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        with pytest.raises(EnvelopeError):
            await left(on, wallet_on(on).policy(0, bytes(32)), seat=2)


async def test_each_is_refused_by_itself_and_the_rest_is_held(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        good, other_chain, second, twice = (wallet_on(on).policy(0, bytes(32)) for _ in range(4))
        known = await on.patient("mercy")
        wrong = [
            replace(other_chain, chain="elsewhere"),
            replace(second, version=1),
            known.policy(1, bytes(32)),  # Its cell is on the ledger: such a version must be judged beside the old one.
            replace(twice, subject=bytes(16)),
        ]
        before = held(on)
        answer = await left(on, wrong[0], good, *wrong[1:])
        assert answer.refused == tuple((place, PolicyError.code) for place in (0, 2, 3, 4))
        assert held(on) - before == {commitment(good)}


async def test_versions_beyond_what_may_wait_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage(tmp_path) as on:
        monkeypatch.setattr(policies_module, "WAITING_MAX", 2)
        first, second, third = (wallet_on(on).policy(0, bytes(32)) for _ in range(3))
        assert (await left(on, first, second, third)).refused == ((2, QuotaError.code),)
        assert (await left(on, first, second)).refused == ()  # A repeat takes no room.


async def test_all_are_durable_together_or_none(tmp_path: Path) -> None:
    class Full(NoFaults):
        def hit(self, point: str) -> None:
            if point == "keeper.policy:before":
                raise OSError

    async with stage(tmp_path) as on:
        several = [wallet_on(on).policy(0, bytes(32)) for _ in range(3)]
        store = on["mercy"].keeping._store
        store.faults = Full()
        with pytest.raises(OSError):
            await left(on, *several)
        assert held(on) == set()
        store.faults = NoFaults()
        assert (await left(on, *several)).refused == ()
        assert held(on) == {commitment(policy) for policy in several}


async def test_many_cells_are_opened_and_the_one_that_keepers_refuse_says_why(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallets = [wallet_on(on) for _ in range(3)]
        wallets[1] = replace(wallets[1], rules=(permit("st-luke", purposes=("NONSENSE",)),))  # type: ignore[arg-type]
        results = await consent.create_many(on["mercy"].gateway, wallets)
        refusal = results[1]
        assert isinstance(refusal, PeerRefusalError)
        assert refusal.said == "consent.unknown_purpose"
        for wallet, result in ((wallets[0], results[0]), (wallets[2], results[2])):
            assert isinstance(result, PolicySet)
            cell = cell_of(on["mercy"].replica.state, wallet.cell)
            assert cell is not None
            assert cell.commitment == commitment(result)
        assert cell_of(on["mercy"].replica.state, wallets[1].cell) is None


async def test_large_policies_share_fewer_envelopes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with stage(tmp_path) as on:
        monkeypatch.setattr(consent, "_CREATED_BYTES_MAX", 1)
        results = await consent.create_many(on["mercy"].gateway, [wallet_on(on) for _ in range(3)])
        assert all(isinstance(result, PolicySet) for result in results)


async def test_no_cell_is_opened_that_too_few_keepers_know(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        on.network.switchboard.off_line |= {on[name].name for name in ("st-luke", "lakeside", "northgate")}
        wallet = wallet_on(on)
        (result,) = await consent.create_many(on["mercy"].gateway, [wallet])
        assert isinstance(result, SalusError)
        assert isinstance(result, TooFewSeatsError)
        assert cell_of(on["mercy"].replica.state, wallet.cell) is None
