"""A patient's changes of consent, from deposit to the next read; links, desks and writers on the way."""

from pathlib import Path

import pytest

from salus.contracts.consent import Writer, commitment
from salus.core.transport import PeerMalformedError, PeerRefusalError
from salus.core.wire import encode, replace
from salus.crypto.errors import UnopenableError
from salus.crypto.hpke import seal
from salus.keeper.messages import info
from salus.sdk import consent
from salus.sdk.errors import LedgerRefusedError, NoSuchSubjectError, OldWalletError, TooFewSeatsError
from salus.sdk.links import LinkPackage, SendPolicy
from salus.sdk.wallet import new_wallet
from tests.node.stage import data_of, documents, permit, shown, stage


async def test_a_cell_that_is_not_on_the_ledger_cannot_be_changed(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = new_wallet(on.network.genesis.chain, on.network.committee, "us", ("mercy",))  # type: ignore[arg-type]
        for act in (consent.freeze, consent.thaw, consent.close):
            with pytest.raises(NoSuchSubjectError):
                await act(on["mercy"].gateway, wallet)
        with pytest.raises(NoSuchSubjectError):
            await consent.change(on["mercy"].gateway, wallet, wallet)


async def test_another_seed_owns_nothing(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        stranger = replace(wallet, seed=bytes(32))
        for act in (consent.freeze, consent.thaw, consent.close):
            with pytest.raises(OldWalletError):
                await act(on["mercy"].gateway, stranger)
        with pytest.raises(OldWalletError):
            await consent.change(on["mercy"].gateway, stranger, wallet)


async def test_a_cell_is_opened_once_and_thawed_only_when_frozen(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        with pytest.raises((LedgerRefusedError, PeerRefusalError)):
            await consent.create(on["mercy"].gateway, wallet)
        with pytest.raises(LedgerRefusedError, match=r"cells\.not_frozen"):
            await consent.thaw(on["mercy"].gateway, wallet)
        await consent.close(on["mercy"].gateway, wallet)
        with pytest.raises((LedgerRefusedError, OldWalletError)):
            await consent.freeze(on["mercy"].gateway, wallet)


async def test_a_change_needs_f_plus_one_keepers_and_a_freeze_needs_none(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        others = {on[name].name for name in ("st-luke", "lakeside", "northgate")}
        on.network.switchboard.off_line |= others
        with pytest.raises(TooFewSeatsError):
            await consent.change(on["mercy"].gateway, wallet, replace(wallet, rules=(permit("st-luke"),)))
        await consent.freeze(on["mercy"].gateway, wallet)
        on.network.switchboard.off_line -= {on["st-luke"].name}
        await consent.change(on["mercy"].gateway, wallet, replace(wallet, rules=(permit("st-luke"),)))


async def test_rules_come_back_from_the_policys_memo_for_their_own_wallet_alone(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("st-luke", terms=(("label:PSY",),)),))
        copy = on["mercy"].store.copy(wallet.subject)
        assert copy is not None
        assert replace(wallet, rules=()).with_rules_of(copy[0]) == wallet
        with pytest.raises(UnopenableError):
            replace(wallet, seed=bytes(32)).with_rules_of(copy[0])


async def test_a_restored_wallet_needs_its_seed_alone_for_every_later_key(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        await consent.freeze(on["mercy"].gateway, wallet)
        await consent.thaw(on["mercy"].gateway, wallet)
        changed = await on.change(wallet, rules=(permit("st-luke"),))
        assert consent.owned_cell(on["mercy"].gateway, replace(changed, rules=())).version == 3
        assert len({wallet.owner_digest(version) for version in range(50)}) == 50


async def test_a_link_opens_with_its_code_once_for_the_member_it_names(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", "st-luke")
        copy = on["mercy"].store.copy(wallet.subject)
        assert copy is not None
        await consent.send_link(on["mercy"].gateway, wallet, copy[0], on["st-luke"].name, "Code-7")
        with pytest.raises(NoSuchSubjectError):
            await on["st-luke"].desk.accept_link("code-8", "p1")
        with pytest.raises(NoSuchSubjectError):
            await on["lakeside"].desk.accept_link("code-7", "p1")
        link = await on["st-luke"].desk.accept_link(" code-7 ", "p1")
        assert link == on["st-luke"].store.link("p1") == consent.link_of(wallet, on["st-luke"].name)
        assert link.term_key != consent.link_of(wallet, on["mercy"].name).term_key
        with pytest.raises(NoSuchSubjectError):
            await on["st-luke"].desk.accept_link("code-7", "p1")


async def test_a_link_that_does_not_fit_the_ledger_is_refused_and_can_be_tried_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        copy = on["mercy"].store.copy(wallet.subject)
        assert copy is not None
        policy = copy[0]
        desk, link = on["lakeside"].desk, consent.link_of(wallet, on["lakeside"].name)
        forged = replace(policy, writers=(*policy.writers, Writer(member=on["lakeside"].name)))
        for package in (
            LinkPackage(link, policy),  # It does not name this member.
            LinkPackage(link, forged),  # The ledger commits to another.
            LinkPackage(replace(link, subject=bytes(16)), policy),
        ):
            with pytest.raises(NoSuchSubjectError):
                await desk.keep(package, "p1")
        await consent.send_link(on["mercy"].gateway, wallet, forged, on["lakeside"].name, "CODE")
        with pytest.raises(NoSuchSubjectError):
            await desk.accept_link("CODE", "p1")
        assert on["lakeside"].store.link("p1") is None


async def test_a_policy_sent_to_a_writer_counts_only_if_the_ledger_commits_to_it(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", "st-luke")
        forged = wallet.policy(9, bytes(32))
        key = on["st-luke"].secrets.gateway.public
        what = info(on["mercy"].gateway.chain, "policy for writer")
        from salus.core.transport import ask
        from salus.sdk.links import Received

        transport = on["mercy"].gateway.transport
        with pytest.raises(PeerRefusalError):
            await ask(transport, on["st-luke"].name, SendPolicy(seal(key, encode(forged), what)), Received)
        with pytest.raises(PeerMalformedError):
            await ask(transport, on["st-luke"].name, SendPolicy(bytes(1500)), Received)
        copy = on["st-luke"].store.copy(wallet.subject)
        assert copy is not None
        assert copy[0].version == 0


async def test_every_writer_receives_each_version(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", "st-luke")
        await on.change(wallet, rules=(permit("lakeside"),))
        for name in ("mercy", "st-luke"):
            copy = on[name].store.copy(wallet.subject)
            assert copy is not None
            assert (copy[0].version, copy[1]) == (1, commitment(copy[0]))


async def test_a_new_hospital_is_linked_and_from_then_on_writes(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy", rules=(permit("lakeside", terms=(("label:NONE",),)),))
        with pytest.raises(NoSuchSubjectError):
            await on.seal("st-luke", wallet, "a")
        wider = replace(wallet, writers=(*wallet.writers, Writer(member=on["st-luke"].name)))
        policy, _ = await consent.change(on["mercy"].gateway, wallet, wider)
        await consent.send_link(on["mercy"].gateway, wider, policy, on["st-luke"].name, "CODE")
        await on["st-luke"].desk.accept_link("CODE", "p1")
        await on["st-luke"].author.seal(documents(wider, "a"))
        assert shown(await on.view("lakeside", await on.clinician("lakeside"), wider)) == [data_of("a")]


async def test_a_link_to_nobody_is_refused(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        copy = on["mercy"].store.copy(wallet.subject)
        assert copy is not None
        with pytest.raises(NoSuchSubjectError):
            await consent.send_link(on["mercy"].gateway, wallet, copy[0], "nowhere", "CODE")  # type: ignore[arg-type]
