"""Dealing final batches again to a committee's new epoch: an author's part in a change of keepers.

For each batch that was dealt to an earlier epoch:

    1. Its keys are dealt to those who sit there now: the same keys, other polynomials, the same records.
    2. Ciphertext goes to the vaults that are to keep it now and did not before.
    3. Every seat gets its envelope; a quorum signs.
    4. `records.attest` says so on the ledger. From then on the new shares count, and the old ones are destroyed.

Dealing is deterministic, so a crash anywhere is mended by beginning again; what the ledger has already, the plan takes
from there. Seats that were away get theirs from the outbox, as after sealing.
"""

from collections.abc import Mapping, Sequence

from salus.contracts.members.messages import Committee
from salus.contracts.members.reads import committee_at
from salus.contracts.members.tables import COMMITTEES
from salus.contracts.records.messages import Attest, SeatReceipt
from salus.contracts.records.reads import dealing_of
from salus.core.errors import SalusError
from salus.core.ids import Digest, MemberId, SubjectId
from salus.core.wire import replace
from salus.crypto.shares import quorum
from salus.keeper.messages import DepositRefused
from salus.sdk.author_store import AuthorStore, Plan, Stage
from salus.sdk.dealing import Dealer, blobs_of
from salus.sdk.drafting import OwnEntry, by_index
from salus.sdk.enough import Asked
from salus.sdk.errors import OwnStoreError
from salus.sdk.gateway import Gateway
from salus.vault.messages import BlobsKept
from salus.vault.places import keepers_of
from salus.vault.vault import BlobStore

AT_ONCE_MAX = 64  # Batches in one round: what else is due comes in between.


class Redealer(Dealer):
    """The half of an author that follows its committees from epoch to epoch."""

    def __init__(self, gateway: Gateway, store: AuthorStore, blobs: BlobStore) -> None:
        super().__init__(gateway, store, blobs)
        self._settled: object = None  # The committees' epochs at which no batch was left to deal again.

    async def work(self) -> int:
        """One round; how many batches were dealt again. What cannot be done yet waits for the next one.

        Raises:
            OwnStoreError: what is kept of a batch is not whole, or not what the ledger holds. The others were dealt.
        """
        epochs = self._epochs()
        if epochs == self._settled:
            return 0
        behind = self.behind()
        done, broken = 0, None
        for plan in behind[:AT_ONCE_MAX]:
            try:
                done += await self._deal_again(plan)
            except OwnStoreError as error:
                broken = error
            except SalusError:
                continue  # Keepers or the ledger are away, or the committee has moved on again.
        if broken is not None:
            raise broken
        if not behind:
            self._settled = epochs
        return done

    def behind(self) -> list[Plan]:
        """Final batches that are dealt to an earlier epoch than their committee is at, as far as is known here."""
        plans = (*self._store.plans(Stage.FINAL), *self._store.plans(Stage.DURABLE))
        return [plan for plan in plans if plan.epoch != self._gateway.committee(plan.committee).epoch]

    def _epochs(self) -> object:
        return tuple((id, committee.epoch) for id, committee in COMMITTEES.items(self._gateway.view.state))

    async def _deal_again(self, plan: Plan) -> bool:
        """Deal one batch; whether it is dealt to the current epoch on return, and was not before.

        Raises:
            OwnStoreError: what is kept does not lead to the root on the ledger.
            RefusalError, UnavailableError: the ledger does not take it now.
        """
        committee = self._gateway.committee(plan.committee)
        in_force = dealing_of(self._gateway.view.state, self._gateway.member, plan.batch_id)
        if in_force is None:
            return False
        if in_force.epoch == committee.epoch:
            self._store.set_stage(replace(plan, epoch=in_force.epoch, share_root=in_force.share_root), Stage.FINAL)
            return False
        own = self._store.own_by_subject(plan.batch_id)
        new = replace(plan, epoch=committee.epoch)
        root, share_root = self._roots(new, own, committee)
        if root != plan.root:
            raise OwnStoreError(reason="own records do not lead to the root on the ledger", batch_id=plan.batch_id)
        new = replace(new, share_root=share_root)
        before = committee_at(self._gateway.view.state, plan.committee, plan.epoch)
        are_placed = await self._place_blobs(new, own, committee, before)
        if are_placed is None:
            return False
        receipts = await self._deposit(new, own, committee)
        if isinstance(receipts, DepositRefused) or len(receipts) < quorum(len(committee.seats)):
            return False
        await self._gateway.sponsor(self._word(new, receipts))
        is_durable = are_placed and len(receipts) == len(committee.seats)
        self._store.set_stage(new, Stage.DURABLE if is_durable else Stage.FINAL)
        return True

    def _word(self, plan: Plan, receipts: Sequence[SeatReceipt]) -> Attest:
        return Attest(
            batch_id=plan.batch_id, epoch=plan.epoch, share_root=plan.share_root, receipts=tuple(receipts), author=None
        )

    async def _place_blobs(
        self, plan: Plan, own: Mapping[SubjectId, list[OwnEntry]], committee: Committee, before: Committee | None
    ) -> bool | None:
        """Ciphertext into vaults that are to keep it now and did not; whether all have it; None if a blob has none."""
        signed = self._store.vault_receipts(plan.batch_id).keys()
        members, had = _members(committee), _members(before)
        digests = blobs_of(by_index(own))
        places = {digest: keepers_of(digest, members) for digest in digests}
        kept_before = {digest: signed & set(keepers_of(digest, had)) for digest in digests if had}
        missing: dict[MemberId, list[Digest]] = {}
        for digest, vaults in places.items():
            for vault in vaults:
                if vault != self._gateway.member and vault not in kept_before.get(digest, ()):
                    missing.setdefault(vault, []).append(digest)
        self._store.drop_vault_receipts(plan.batch_id, missing.keys())
        asked = Asked({vault: self._put(plan, vault, wanted) for vault, wanted in missing.items()})
        await asked.until(lambda _: False)
        kept = {vault: reply for vault, reply in asked.replies.items() if isinstance(reply, BlobsKept)}
        if kept:
            self._store.keep_vault_receipts(plan.batch_id, kept)
        absent = missing.keys() - kept.keys()
        if any(absent.issuperset(vaults) for vaults in places.values()):
            return None
        return not absent


def _members(committee: Committee | None) -> Sequence[MemberId]:
    return () if committee is None else [holder.member for holder in committee.seats]
