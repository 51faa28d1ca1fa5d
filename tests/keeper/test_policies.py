"""Holding policies: every refusal in checking order, the custodian's limits, and policies fetched from peers."""

from pathlib import Path

import pytest

from salus.contracts.consent import PolicySet, Writer, commitment
from salus.contracts.consent.errors import PeriodError
from salus.contracts.consent.policy import subject_handle
from salus.core.errors import SalusError
from salus.core.ids import DAY_MS, HOUR_MS, SECOND_MS
from salus.core.transport import PeerRefusalError
from salus.core.wire import encode, replace
from salus.crypto.hpke import seal
from salus.keeper.errors import EnvelopeError, NotSeatedError, PolicyError, PolicyMissingError, WideningWaitsError
from salus.keeper.messages import PolicyDeposit, PolicyHeld, PolicyWanted, SealedPolicy, info
from salus.sdk import consent
from salus.sdk.errors import OldWalletError
from salus.sdk.wallet import Wallet, claimed, new_wallet
from tests.node.stage import Stage, data_of, deny, permit, shown, stage

pytestmark = pytest.mark.usefixtures("kept_on")

EVIDENCE = bytes(range(32))


async def left(on: Stage, policy: PolicySet, *, member: str = "mercy", seat: int = 1, **said: object) -> PolicyHeld:
    """Leave a policy with one keeper."""
    deposit = replace(PolicyDeposit(policy=policy, evidence=None, cosignature=None), **said)
    holder = on["mercy"].gateway.committee(on.network.committee).seats[seat - 1]
    sealed = seal(holder.sealing, encode(deposit), info(on["mercy"].gateway.chain, "policy"))
    return await on[member].keeper.policies.accept("mercy", SealedPolicy(seat=seat, sealed=sealed))


def next_of(wallet: Wallet, version: int = 1, **changes: object) -> PolicySet:
    return replace(wallet.policy(version, bytes(32)), **changes)


async def test_every_flaw_is_refused_in_its_order(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        rule = replace(next_of(wallet).rules[0], since=5, until=5)
        stranger = new_wallet(wallet.chain, wallet.committee, "us", ("mercy",))
        table: list[tuple[str, type[SalusError], PolicySet]] = [
            ("an empty period", PeriodError, next_of(wallet, rules=(rule,))),
            ("an empty period on another chain: the form is judged first", PeriodError,
             next_of(wallet, rules=(rule,), chain="other")),
            ("another chain", PolicyError, next_of(wallet, chain="other")),
            ("a subject that is not the cell's", PolicyError, next_of(wallet, subject=bytes(16))),
            ("a second cell for a known handle", PolicyError, next_of(stranger, 0, subject=wallet.subject)),
            ("a version skipped", PolicyError, next_of(wallet, 2)),
            ("the version in force with other words", PolicyError, next_of(wallet, 0)),
            ("a new cell that does not begin at 0", PolicyError, next_of(stranger, 1)),
            ("another handle of the same cell", PolicyError, other_handle(wallet)),
        ]  # fmt: skip
        for why, error, policy in table:
            with pytest.raises(SalusError) as caught:
                await left(on, policy)
            assert type(caught.value) is error, why
        assert (await left(on, next_of(wallet))).signature is not None


def other_handle(wallet: Wallet) -> PolicySet:
    salt = bytes(31) + b"\1"
    return next_of(wallet, handle_salt=salt, subject=subject_handle(wallet.cell, salt))


async def test_what_does_not_open_for_the_seat_is_refused(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        with pytest.raises(EnvelopeError):
            await left(on, next_of(wallet), seat=2)
        with pytest.raises(EnvelopeError):
            await on["mercy"].keeper.policies.accept("mercy", SealedPolicy(seat=1, sealed=bytes(1500)))


async def test_a_receipt_is_given_for_an_own_seat_alone(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        holder = on["mercy"].gateway.committee(on.network.committee).seats[0]
        deposit = PolicyDeposit(policy=next_of(wallet), evidence=None, cosignature=None)
        sealed = seal(holder.sealing, encode(deposit), info(on["mercy"].gateway.chain, "policy"))
        with pytest.raises(NotSeatedError):
            await on["mercy"].keeper.policies.accept("mercy", SealedPolicy(seat=2, sealed=sealed))


async def test_a_first_version_is_held_without_a_signature_and_the_same_one_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = new_wallet(on.network.genesis.chain, on.network.committee, "us", ("mercy",))
        first = wallet.policy(0, bytes(32))
        assert (await left(on, first)).signature is None
        assert (await left(on, first)).signature is None


async def test_two_next_versions_may_be_left_and_the_ledger_says_which_is_in_force(tmp_path: Path) -> None:
    """Digests are compared, not versions."""
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke"),))
        await on.seal("mercy", wallet, "a")
        await left(on, next_of(wallet, rules=()))  # A version 1 that never reaches the ledger.
        reader = await on.clinician("st-luke")
        assert shown(await on.view("st-luke", reader, wallet)) == [data_of("a")]
        await on.change(wallet, rules=(permit("lakeside"),))  # Another version 1, in force.
        assert shown(await on.view("st-luke", reader, wallet)) == []
        held = await on["mercy"].keeper.policies.current(wallet.subject)
        assert held is not None
        assert held.commitment == commitment(held.policy) != commitment(next_of(wallet, rules=()))


async def test_a_keeper_that_missed_a_policy_fetches_it_from_its_peers(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        await on.seal("mercy", wallet, "a")
        await on.network.take_down("northgate")
        granted = await on.change(wallet, rules=(permit("st-luke"),))
        await on.network.bring_back("northgate")
        await on.settled()
        view = await on.view("st-luke", await on.clinician("st-luke"), granted)
        assert (view.answered, view.accusations, view.notices) == (4, [], [])


async def test_a_keeper_without_the_policy_in_force_answers_nothing(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        await on.seal("mercy", wallet, "a")
        on.network.switchboard.off_line.add(on["northgate"].name)
        granted = await on.change(wallet, rules=(permit("st-luke"),))
        await on.settled()
        policies = on["northgate"].keeper.policies
        with pytest.raises(PolicyMissingError):
            await policies.current(granted.subject)
        on.network.switchboard.off_line.clear()
        held = await policies.current(granted.subject)
        assert held is not None
        assert len(held.policy.rules) == 1


async def test_policies_are_told_to_seats_of_the_cells_committee_alone(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        told = on["mercy"].keeper.policies.told
        held = await on["mercy"].keeper.policies.current(wallet.subject)
        assert held is not None
        right = PolicyWanted(wallet.committee, epoch=1, seat=2, cell_id=wallet.cell, commitment=held.commitment)
        assert (await told("st-luke", right)).sealed
        assert not (await told("st-luke", replace(right, commitment=bytes(32)))).sealed
        for sender, wanted in (
            ("lakeside", right),
            ("st-luke", replace(right, seat=9)),
            ("st-luke", replace(right, committee=bytes(16))),
            ("st-luke", replace(right, cell_id=bytes(16))),
        ):
            with pytest.raises(NotSeatedError):
                await told(sender, wanted)  # type: ignore[arg-type]


async def test_a_custodian_narrows_at_once_and_widens_after_a_day(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", "st-luke", rules=(permit("st-luke"),), custodian="mercy")
        narrower = await on.change(wallet, rules=(*wallet.rules, deny("lakeside")))
        wider = replace(narrower, rules=wallet.rules)
        gateway = on["mercy"].gateway
        with pytest.raises(PeerRefusalError, match="widening_waits"):
            await consent.change(gateway, narrower, wider)  # No evidence.
        noticed = wider.policy(2, bytes(32))
        with pytest.raises(PeerRefusalError, match="widening_waits"):
            await consent.change(gateway, narrower, wider, EVIDENCE, policy=noticed)
        await on.wait(DAY_MS - HOUR_MS)
        with pytest.raises(PeerRefusalError, match="widening_waits"):
            await consent.change(gateway, narrower, wider, EVIDENCE, policy=noticed)
        await on.wait(HOUR_MS + SECOND_MS)
        policy, _ = await consent.change(gateway, narrower, wider, EVIDENCE, policy=noticed)
        assert policy.version == 2
        with pytest.raises(PeerRefusalError, match="widening_waits"):  # Another widening waits for a day of its own.
            await consent.change(gateway, wider, replace(wider, rules=(permit("lakeside"),)), EVIDENCE)


async def test_a_second_writer_lets_a_custodian_widen_at_once_and_nobody_else_does(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", "st-luke", custodian="mercy")
        wider = replace(wallet, rules=(permit("lakeside"),))
        for cosigner in ("mercy", "lakeside"):  # The custodian itself, and a member that does not write.
            with pytest.raises(PeerRefusalError, match="widening_waits"):
                await consent.change(on["mercy"].gateway, wallet, wider, EVIDENCE, on[cosigner].gateway)
        policy, _ = await consent.change(on["mercy"].gateway, wallet, wider, EVIDENCE, on["st-luke"].gateway)
        assert len(policy.rules) == 1


async def test_a_widening_without_evidence_waits_even_with_a_second_writer(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", "st-luke", custodian="mercy")
        with pytest.raises(WideningWaitsError):
            await left(on, next_of(replace(wallet, rules=(permit("lakeside"),))))


async def test_after_a_claim_the_custodians_keys_count_no_more(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", "st-luke", custodian="mercy")
        await on.seal("mercy", wallet, "a")
        own = claimed(wallet)
        await consent.change(on["mercy"].gateway, wallet, own, EVIDENCE, on["st-luke"].gateway)
        with pytest.raises(OldWalletError):
            await consent.change(on["mercy"].gateway, wallet, replace(wallet, rules=(permit("mercy"),)))
        granted = await on.change(own, rules=(permit("st-luke", terms=(("label:NONE",),)),))
        await on.seal("mercy", granted, "b")
        view = await on.view("st-luke", await on.clinician("st-luke"), granted)
        assert shown(view) == [data_of("a"), data_of("b")]  # Rules carry the tokens of both ages of records.


async def test_a_wallet_of_ones_own_widens_at_once_and_adds_writers(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        wider = await on.change(wallet, writers=(*wallet.writers, Writer(member="st-luke")))
        policy, _ = await consent.change(on["mercy"].gateway, wider, wider)
        await consent.send_link(on["mercy"].gateway, wider, policy, "st-luke", "CODE")  # type: ignore[arg-type]
        await on["st-luke"].desk.accept_link("code ", "p9")
        assert (await on.seal("st-luke", wider, "b")).is_durable
