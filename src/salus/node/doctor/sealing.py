"""Batches that a member sealed or keeps: seats and vaults that lack something, and packs that have changed since."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from salus.contracts.members.reads import committee_at, committee_of, departures
from salus.contracts.records.reads import batch_of, dealing_of
from salus.contracts.records.tables import BATCHES, OVERRIDES
from salus.core.errors import SalusError
from salus.core.ids import HOUR_MS, SECOND_MS, BatchId, Digest, Height, MemberId
from salus.engines.follower import Follower
from salus.keeper.deposits import blobs_held
from salus.keeper.store import BATCHES as KEPT
from salus.node.doctor.case import Case
from salus.node.doctor.standing import pack_changed_at
from salus.node.doctor.stores import gateway_store, keeper_store
from salus.node.observing.findings import Facts, Finding, found
from salus.node.observing.judging import OUTBOX_S_MAX
from salus.node.stores import read_settings, vault_storage
from salus.sdk.author_store import AuthorStore, Plan, Stage
from salus.sdk.dealing import blobs_of
from salus.sdk.drafting import OwnEntry
from salus.state.state import State
from salus.vault import formats
from salus.vault.places import keepers_of
from salus.vault.vault import BlobStore

SAMPLE_BATCHES = 16
SAMPLE_BLOBS = 16  # Of each batch.


def check_outbox(case: Case) -> Iterator[Finding]:
    """Final batches that some seat, or some vault, does not hold yet, though there was time: by who lacks them.

    And those that are dealt to the keepers of before still: they are dealt again by themselves, if keepers answer.
    """
    if case.ledger is None or case.secrets is None or case.entry is None:
        return  # Once it has left, what it sealed is its successor's to deal.
    with gateway_store(case) as store:
        plans = [plan for stage in (Stage.FINAL, Stage.DURABLE) for plan in store.plans(stage)]
        behind = sum(_is_behind(case.ledger.state, case.member, plan.batch_id) for plan in plans)
        late = [plan for plan in store.plans(Stage.FINAL) if _age_s(case, case.ledger, plan.height) > OUTBOX_S_MAX]
        lacking = Counter(member for plan in late for member in _lacking(case.member, case.ledger, store, plan))
    if behind:
        yield found("outbox.behind", case.member, "gateway", batches=behind)
    inherited = _inherited_behind(case.ledger.state, case.member)
    if inherited:
        yield found("repair.behind", case.member, "gateway", batches=inherited)
    for member, count in sorted(lacking.items()):
        oldest_h = max(_age_s(case, case.ledger, plan.height) for plan in late) * SECOND_MS // HOUR_MS
        yield found("outbox.lacks", case.member, "gateway", peer=member, batches=count, hours=oldest_h)


def check_packs_of_batches(case: Case) -> Iterator[Finding]:
    """Own batches that were sealed before the member's pack changed, and of which a record is in force still."""
    if case.ledger is None or case.entry is None or case.secrets is None:
        return
    changed_at = pack_changed_at(case)
    older = [
        (batch_id, batch)
        for (_, batch_id), batch in BATCHES.items(case.ledger.state, case.member)
        if batch.height <= changed_at
    ]
    if not older:
        return
    with gateway_store(case) as store:
        left = sum(_is_in_force(case.member, case.ledger, store, batch_id) for batch_id, _ in older)
    if left:
        facts: Facts = {"batches": left, "jurisdiction": case.entry.jurisdiction, "height": changed_at}
        yield found("pack.reseal", case.member, "gateway", **facts)


def check_vault_sample(case: Case) -> Iterator[Finding]:
    """Whether ciphertext that this member's vault is to keep is there, whole: a sample of its own and of others'."""
    if case.ledger is None or case.secrets is None:
        return
    storage = vault_storage(case.place, read_settings(case.place))
    if formats.format_of(storage) != formats.FORMAT:
        blobs = None  # New, or to be looked at by `check_vault`: to read from it would mark it.
    else:
        blobs = BlobStore(storage)
    sampled = missing = 0
    for author, batch_id, digests in (*_own_blobs(case, case.ledger), *_others_blobs(case, case.ledger)):
        chosen = random.sample(digests, min(SAMPLE_BLOBS, len(digests)))
        sampled += len(chosen)
        there = [None] * len(chosen) if blobs is None else blobs.read(author, batch_id, chosen)
        missing += sum(blob is None for blob in there)
    if missing:
        yield found("vault.copy_missing", case.member, "keeper", missing=missing, sampled=sampled)


def _age_s(case: Case, ledger: Follower, height: Height) -> int:
    try:
        return (case.clock() - ledger.block(height).header.time) // SECOND_MS
    except SalusError:
        return 0  # It came here in a snapshot.


def _lacking(author: MemberId, ledger: Follower, store: AuthorStore, plan: Plan) -> Iterator[MemberId]:
    """Members that did not sign for a batch, be it shares or ciphertext, as far as it was noted here."""
    dealing, members = dealing_of(ledger.state, author, plan.batch_id), _dealt_to(ledger.state, author, plan.batch_id)
    if dealing is None:
        return
    vaults = {vault for digest in blobs_of(_entries(store, plan.batch_id)) for vault in keepers_of(digest, members)} - {
        author
    }
    without_blobs = vaults - set(store.vault_receipts(plan.batch_id))
    for seat, member in enumerate(members, start=1):
        if not dealing.is_signed_by(seat) or member in without_blobs:
            yield member


def _is_in_force(author: MemberId, ledger: Follower, store: AuthorStore, batch_id: BatchId) -> bool:
    """Whether any record of a batch still counts. A batch that the store has forgotten counts by the ledger alone."""
    indices = {entry.index for entry in _entries(store, batch_id)}
    overridden = {index for (_, _, index), _ in OVERRIDES.items(ledger.state, author, batch_id)}
    return bool(indices - overridden) or not indices


def _entries(store: AuthorStore, batch_id: BatchId) -> list[OwnEntry]:
    return [entry for entries in store.own_of_batch(batch_id).values() for entry in entries]


def _own_blobs(case: Case, ledger: Follower) -> Iterator[tuple[MemberId, BatchId, list[Digest]]]:
    """Of batches that it sealed: its own vault has all of them."""
    with gateway_store(case) as store:
        plans = [plan for stage in (Stage.FINAL, Stage.DURABLE) for plan in store.plans(stage)]
        for plan in random.sample(plans, min(SAMPLE_BATCHES, len(plans))):
            if batch_of(ledger.state, case.member, plan.batch_id) is not None:
                yield case.member, plan.batch_id, blobs_of(_entries(store, plan.batch_id))


def _others_blobs(case: Case, ledger: Follower) -> Iterator[tuple[MemberId, BatchId, list[Digest]]]:
    """Of batches that its keeper holds: those that fall to its vault."""
    with keeper_store(case) as store:
        rows = store.connection.execute(sa.select(KEPT.c.author, KEPT.c.batch_id, KEPT.c.root)).all()
        final = [
            (MemberId(author), bytes(batch_id))
            for author, batch_id, root in rows
            if _has(ledger, author, batch_id, root)
        ]
        final = [one for one in final if one[0] != case.member]
        for author, batch_id in random.sample(final, min(SAMPLE_BATCHES, len(final))):
            members = _dealt_to(ledger.state, author, batch_id)
            fall_here = [
                blob for blob in blobs_held(store, author, batch_id) if case.member in keepers_of(blob, members)
            ]
            yield author, batch_id, fall_here


def _has(ledger: Follower, author: str, batch_id: bytes, root: bytes) -> bool:
    batch = batch_of(ledger.state, MemberId(author), batch_id)
    return batch is not None and batch.root == root


def _is_behind(state: State, author: MemberId, batch_id: BatchId) -> bool:
    batch, dealing = batch_of(state, author, batch_id), dealing_of(state, author, batch_id)
    committee = None if batch is None else committee_of(state, batch.committee)
    return dealing is not None and committee is not None and dealing.epoch != committee.epoch


def _inherited_behind(state: State, member: MemberId) -> int:
    """How many batches of departed authors are this member's to deal again."""
    authors = [author for author, gone in departures(state) if gone.successor == member]
    return sum(
        _is_behind(state, author, batch_id) for author in authors for (_, batch_id), _ in BATCHES.items(state, author)
    )


def _dealt_to(state: State, author: MemberId, batch_id: BatchId) -> Sequence[MemberId]:
    """Who keeps a batch, seat by seat: those who sat there when it was dealt last."""
    batch, dealing = batch_of(state, author, batch_id), dealing_of(state, author, batch_id)
    committee = None if batch is None or dealing is None else committee_at(state, batch.committee, dealing.epoch)
    return () if committee is None else [holder.member for holder in committee.seats]
