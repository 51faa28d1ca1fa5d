"""What an author keeps of its own: links to patients, plans of batches, its keys (wrapped, erasable), policy copies.

Built on the keeper's `SubjectStore`: every value about a subject is wrapped under that subject's key, in a database of
the gateway's own with a KEK of its own.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from salus.contracts.consent import PolicySet, commitment
from salus.contracts.records.header import Header
from salus.core.errors import MalformedError
from salus.core.faults import NO_FAULTS, Faults
from salus.core.ids import (
    DAY_MS,
    BatchId,
    CellId,
    CommitteeId,
    Digest,
    Epoch,
    Height,
    LeafIndex,
    MemberId,
    SubjectId,
    TimeMs,
)
from salus.core.wire import Record, encode, reopen
from salus.keeper.messages import WideningNotice, Witness
from salus.keeper.store import SubjectStore, metadata, text, upsert
from salus.sdk.drafting import OwnEntry
from salus.sdk.links import Link
from salus.vault.messages import BlobsKept

PLANS = sa.Table(
    "plans",
    metadata,
    sa.Column("batch_id", sa.LargeBinary(16), primary_key=True),
    sa.Column("stage", sa.Integer, nullable=False, index=True),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
)
OWN = sa.Table(
    "own",
    metadata,
    sa.Column("tag", sa.LargeBinary(16), primary_key=True),
    sa.Column("batch_id", sa.LargeBinary(16), primary_key=True),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
)
sa.Index("own_by_batch", OWN.c.batch_id)
SOURCES = sa.Table(
    "sources",
    metadata,
    sa.Column("source", sa.LargeBinary(16), primary_key=True),
    sa.Column("batch_id", sa.LargeBinary(16), primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False),  # Rises with each plan: the newest of a source counts.
    sa.Column("content", sa.LargeBinary(16), nullable=False),
    sa.Column("leaf", sa.Integer, nullable=False),
    sqlite_with_rowid=False,  # Random keys, small rows: one tree less to write to.
)
sa.Index("sources_by_batch", SOURCES.c.batch_id)
sa.Index("sources_by_number", SOURCES.c.number)
LINKS = sa.Table(
    "links",
    metadata,
    sa.Column("local", sa.LargeBinary(16), primary_key=True),  # Keyed: the member's own number for the patient.
    sa.Column("tag", sa.LargeBinary(16), nullable=False, index=True),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
)
WAITING = sa.Table(
    "waiting_links",
    metadata,
    sa.Column("code", sa.LargeBinary(32), primary_key=True),
    sa.Column("sender", text(32), primary_key=True),  # Nobody's link takes another sender's place.
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("arrived", sa.BigInteger, nullable=False),
)
sa.Index("waiting_links_by_sender", WAITING.c.sender)
NOTICES = sa.Table(
    "widening_notices",
    metadata,
    sa.Column("cell", sa.LargeBinary(16), primary_key=True),
    sa.Column("commitment", sa.LargeBinary(32), primary_key=True),
    sa.Column("evidence", sa.LargeBinary(32), primary_key=True),
    sa.Column("keeper", text(32), primary_key=True),  # Who told: one may lie, f+1 do not.
    sa.Column("notice", sa.LargeBinary, nullable=False),
)
COPIES = sa.Table(
    "policy_copies",
    metadata,
    sa.Column("tag", sa.LargeBinary(16), primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
)


VAULT_RECEIPTS = sa.Table(
    "vault_receipts",
    metadata,
    sa.Column("batch_id", sa.LargeBinary(16), primary_key=True),
    sa.Column("vault", text(32), primary_key=True),
    sa.Column("good_until", sa.BigInteger, nullable=False),
    sa.Column("signature", sa.LargeBinary(64), nullable=False),
)


REPAIRS = sa.Table(
    "repairs",
    metadata,
    sa.Column("author", text(32), primary_key=True),  # Who has left.
    sa.Column("batch_id", sa.LargeBinary(16), primary_key=True),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
)


WAITING_MS = 30 * DAY_MS  # How long a link waits for its code.
WAITING_MAX = 10_000  # Of one sender.
NOTICES_MAX = 64  # Of one cell, from one keeper.
_AT_ONCE = 500  # Keys in one query.
_REMEMBERED = 65_536  # Subjects.
_NEAR_BYTES = 6  # Of a source's 16-byte key: which subject's it is.
_SOURCE_KEYS, _BY_SUBJECT = "source_keys", b"by subject"

# Built once: asked for every batch, patient or document.
_NEWEST = sa.select(sa.func.max(SOURCES.c.number))
_FORGET = [table.delete().where(table.c.batch_id == sa.bindparam("batch")) for table in (OWN, SOURCES)]
_KEPT = sa.select(VAULT_RECEIPTS).where(VAULT_RECEIPTS.c.batch_id == sa.bindparam("batch"))
_SEVERAL = sa.select(SOURCES).where(SOURCES.c.source.in_(sa.bindparam("sources", expanding=True)))
_SEVERAL = _SEVERAL.order_by(SOURCES.c.number)
_LINK = sa.select(LINKS.c.tag, LINKS.c.wrapped)
_BY_LOCAL = _LINK.where(LINKS.c.local == sa.bindparam("local"))
_BY_TAG = _LINK.where(LINKS.c.tag == sa.bindparam("tag"))


class Stage(IntEnum):
    """How far a batch has come."""

    PLANNED = 1  # Durable here; nothing is on the ledger yet.
    FINAL = 2  # On the ledger, held by a quorum.
    DURABLE = 3  # Held by every seat.


class OwnHolding(Record, tag="author.own/1", frozen=True):
    """The own records of one subject in one batch."""

    entries: tuple[OwnEntry, ...]


class Supersedes(Record, tag="author.supersedes/1", frozen=True):
    """An older version, and the leaf of this batch that takes its place."""

    batch_id: BatchId
    index: LeafIndex
    successor_index: LeafIndex


class Plan(Record, tag="author.plan/1", frozen=True):
    """What a batch is to become. Keys and headers are in the subjects' own holdings."""

    batch_id: BatchId
    committee: CommitteeId
    epoch: Epoch
    dummy_seed: Digest
    root: Digest
    share_root: Digest
    supersedes: tuple[Supersedes, ...]
    height: Height  # Of the block that made it final; 0 before.
    tx_id: Digest


class RepairOf(Record, tag="author.repair_of/1", frozen=True):
    """One patient's records in a departed author's batch."""

    subject: SubjectId
    entries: tuple[OwnEntry, ...]
    leaf_proof: bytes


class Repair(Record, tag="author.repair/1", frozen=True):
    """A departed author's batch that is being dealt again; gone from here once every seat has its shares."""

    author: MemberId
    plan: Plan
    parts: tuple[RepairOf, ...]
    witnesses: tuple[Witness, ...]


class AuthorStore(SubjectStore):
    """The gateway's own database."""

    first_meta: ClassVar[Mapping[str, bytes]] = {_SOURCE_KEYS: _BY_SUBJECT}

    def __init__(self, engine: Engine, kek: bytes, faults: Faults = NO_FAULTS) -> None:
        super().__init__(engine, kek, metadata, faults)
        self._links: dict[SubjectId, Link] = {}
        self._nearby: dict[SubjectId, bytes] = {}
        if self.connection.dialect.name == "sqlite":
            self.connection.exec_driver_sql("PRAGMA secure_delete=ON")  # What was repaired leaves no key behind.
        self._are_sources_nearby = self.meta(_SOURCE_KEYS) == _BY_SUBJECT

    # Plans and own records.

    def keep_plan(
        self, plan: Plan, own: dict[SubjectId, list[OwnEntry]], sources: Sequence[tuple[bytes, bytes, int]]
    ) -> None:
        """Keep a whole plan before anything of it leaves. `sources`: keyed id, keyed content, index."""
        with self.commit("author.plan") as connection:
            number = 1 + (connection.execute(_NEWEST).scalar() or 0)
            for forget in _FORGET:
                connection.execute(forget, {"batch": plan.batch_id})
            rows: list[dict[str, object]] = []
            for subject, entries in own.items():
                tag = self.tag(subject)
                data = encode(OwnHolding(entries=tuple(entries)))
                rows.append(
                    {"tag": tag, "batch_id": plan.batch_id, "wrapped": self.wrapped(tag, data, b"own" + plan.batch_id)}
                )
            upsert(connection, OWN, rows)
            upsert(
                connection,
                SOURCES,
                [
                    {
                        "source": source,
                        "batch_id": plan.batch_id,
                        "number": number,
                        "content": content,
                        "leaf": index,
                    }
                    for source, content, index in sources
                ],
            )
            self._put_plan(plan, Stage.PLANNED)

    def keep_vault_receipts(self, batch_id: BatchId, receipts: Mapping[MemberId, BlobsKept]) -> None:
        """Keep what vaults signed for a batch's blobs."""
        with self.commit("author.vault_receipts") as connection:
            rows: list[dict[str, object]] = [
                {"batch_id": batch_id, "vault": vault, "good_until": kept.good_until, "signature": kept.signature}
                for vault, kept in receipts.items()
            ]
            upsert(connection, VAULT_RECEIPTS, rows)

    def vault_receipts(self, batch_id: BatchId) -> dict[MemberId, BlobsKept]:
        """What vaults signed for a batch's blobs."""
        rows = self.connection.execute(_KEPT, {"batch": batch_id})
        return {MemberId(row.vault): BlobsKept(int(row.good_until), bytes(row.signature)) for row in rows}

    def drop_vault_receipts(self, batch_id: BatchId, vaults: Collection[MemberId]) -> None:
        """Forget what these vaults signed for a batch's blobs: they are to keep others too."""
        if not vaults:
            return
        at = (VAULT_RECEIPTS.c.batch_id == batch_id, VAULT_RECEIPTS.c.vault.in_(sorted(vaults)))
        with self.commit("author.vault_receipts") as connection:
            connection.execute(VAULT_RECEIPTS.delete().where(*at))

    def set_stage(self, plan: Plan, stage: Stage) -> None:
        """Note how far a plan has come."""
        with self.commit(f"author.{stage.name.lower()}"):
            self._put_plan(plan, stage)

    def abandon(self, batch_id: BatchId) -> None:
        """Forget a plan of which nothing became final."""
        with self.commit("author.abandon") as connection:
            for table in (OWN, SOURCES, VAULT_RECEIPTS, PLANS):
                connection.execute(table.delete().where(table.c.batch_id == batch_id))

    def plans(self, stage: Stage) -> list[Plan]:
        """All plans at a stage."""
        query = sa.select(PLANS.c.batch_id, PLANS.c.wrapped).where(PLANS.c.stage == stage)
        return [self._plan(row) for row in self.connection.execute(query.order_by(PLANS.c.batch_id))]

    def count(self, stage: Stage) -> int:
        """How many batches are at a stage."""
        query = sa.select(sa.func.count()).select_from(PLANS).where(PLANS.c.stage == stage)
        return int(self.connection.execute(query).scalar_one())

    def plan(self, batch_id: BatchId) -> tuple[Plan, Stage] | None:
        """One plan and its stage."""
        row = self.connection.execute(sa.select(PLANS).where(PLANS.c.batch_id == batch_id)).first()
        return None if row is None else (self._plan(row), Stage(row.stage))

    def batches(self) -> set[BatchId]:
        """All batches that were planned here and not given up."""
        return set(self.connection.execute(sa.select(PLANS.c.batch_id)).scalars())

    def plan_of(self, batch_id: BatchId) -> Plan | None:
        """One plan."""
        found = self.plan(batch_id)
        return None if found is None else found[0]

    def put_back(self, batch_ids: Iterable[BatchId]) -> None:
        """Put durable batches back into the outbox."""
        rows = [{"lost": batch_id} for batch_id in sorted(batch_ids)]
        if not rows:
            return
        is_lost = (PLANS.c.batch_id == sa.bindparam("lost")) & (PLANS.c.stage == Stage.DURABLE)
        with self.commit("author.put_back") as connection:
            connection.execute(PLANS.update().where(is_lost).values(stage=int(Stage.FINAL)), rows)

    def own_of_batch(self, batch_id: BatchId) -> dict[bytes, tuple[OwnEntry, ...]]:
        """The own records of a batch, by subject's tag."""
        rows = self.connection.execute(sa.select(OWN.c.tag, OWN.c.wrapped).where(OWN.c.batch_id == batch_id)).all()
        return {bytes(row.tag): self._own(bytes(row.tag), batch_id, row.wrapped) for row in rows}

    def own_by_subject(self, batch_id: BatchId) -> dict[SubjectId, list[OwnEntry]]:
        """As `own_of_batch`, by subject, as their headers say."""
        own: dict[SubjectId, list[OwnEntry]] = {}
        for entries in self.own_of_batch(batch_id).values():
            for entry in entries:
                own.setdefault(reopen(Header, entry.header).subject, []).append(entry)
        return own

    def own_of_subject(self, subject: SubjectId) -> Iterator[tuple[BatchId, tuple[OwnEntry, ...]]]:
        """A subject's own records, batch by batch."""
        tag = self.tag(subject)
        rows = self.connection.execute(sa.select(OWN.c.batch_id, OWN.c.wrapped).where(OWN.c.tag == tag)).all()
        for row in rows:
            yield bytes(row.batch_id), self._own(tag, bytes(row.batch_id), row.wrapped)

    def sources_of(self, batch_id: BatchId) -> list[tuple[bytes, bytes, int]]:
        """What a batch was sealed from: keyed ids, keyed contents, indices."""
        rows = self.connection.execute(sa.select(SOURCES).where(SOURCES.c.batch_id == batch_id)).all()
        return [(bytes(row.source), bytes(row.content), int(row.leaf)) for row in rows]

    def source(self, source: bytes) -> tuple[bytes, BatchId, int] | None:
        """What was sealed from a source: keyed content, batch, index."""
        query = sa.select(SOURCES).where(SOURCES.c.source == source).order_by(SOURCES.c.number.desc())
        row = self.connection.execute(query.limit(1)).first()
        return None if row is None else (bytes(row.content), bytes(row.batch_id), int(row.leaf))

    def sources(self, sources: Sequence[bytes]) -> dict[bytes, tuple[bytes, BatchId, int]]:
        """As `source`, for many at once; those that are not known are left out."""
        found: dict[bytes, tuple[bytes, BatchId, int]] = {}
        for start in range(0, len(sources), _AT_ONCE):
            for row in self.connection.execute(_SEVERAL, {"sources": sources[start : start + _AT_ONCE]}):
                found[bytes(row.source)] = (bytes(row.content), bytes(row.batch_id), int(row.leaf))
        return found

    def source_key(self, subject: SubjectId, source: str) -> bytes:
        """By which a document's origin is found. One patient's lie side by side, so a batch writes to few pages.

        In a database that does not say so they lie anywhere, as they always did there.
        """
        key = self.keyed("source", subject + source.encode())
        if not self._are_sources_nearby:
            return key
        near = self._nearby.get(subject)
        if near is None:
            if len(self._nearby) >= _REMEMBERED:
                self._nearby.clear()
            near = self._nearby[subject] = self.keyed("sources of", subject)[:_NEAR_BYTES]
        return near + key[_NEAR_BYTES:]

    # Departed authors' batches.

    def keep_repair(self, repair: Repair) -> None:
        """Keep what was learned of a departed author's batch until every seat has its shares."""
        wrapped = self.wrapped_own(encode(repair), b"repair" + repair.plan.batch_id)
        with self.commit("author.repair") as connection:
            upsert(
                connection,
                REPAIRS,
                [{"author": repair.author, "batch_id": repair.plan.batch_id, "wrapped": wrapped}],
            )

    def repair(self, author: MemberId, batch_id: BatchId) -> Repair | None:
        """What is known of a departed author's batch."""
        at = (REPAIRS.c.author == author, REPAIRS.c.batch_id == batch_id)
        row = self.connection.execute(sa.select(REPAIRS.c.wrapped).where(*at)).first()
        return None if row is None else reopen(Repair, self.unwrapped_own(row.wrapped, b"repair" + batch_id))

    def repairs(self) -> list[tuple[MemberId, BatchId]]:
        """Departed authors' batches that are being dealt again."""
        query = sa.select(REPAIRS.c.author, REPAIRS.c.batch_id).order_by(REPAIRS.c.author, REPAIRS.c.batch_id)
        return [(MemberId(row.author), bytes(row.batch_id)) for row in self.connection.execute(query)]

    def drop_repair(self, author: MemberId, batch_id: BatchId) -> None:
        """Forget a departed author's batch, keys and all."""
        at = (REPAIRS.c.author == author, REPAIRS.c.batch_id == batch_id)
        with self.commit("author.repaired") as connection:
            connection.execute(REPAIRS.delete().where(*at))
        if self.connection.dialect.name == "sqlite":
            self.connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    # Links and policy copies.

    def keep_link(self, local: str, link: Link) -> None:
        """Tie the member's own number for a patient to the patient's handle."""
        tag = self.tag(link.subject)
        with self.commit("author.link") as connection:
            wrapped = self.wrapped(tag, encode(link), b"link")
            row: dict[str, object] = {"local": self.keyed("local", local.encode()), "tag": tag, "wrapped": wrapped}
            upsert(connection, LINKS, [row])
            # Known by another number too: after a claim that one must not keep the old term key.
            connection.execute(LINKS.update().where(LINKS.c.tag == tag).values(wrapped=wrapped))
        self._links.pop(link.subject, None)

    def renew_link(self, link: Link) -> None:
        """Put a new link in the place of the one to this subject, by whichever of the member's numbers it is known."""
        tag = self.tag(link.subject)
        with self.commit("author.link") as connection:
            wrapped = self.wrapped(tag, encode(link), b"link")
            connection.execute(LINKS.update().where(LINKS.c.tag == tag).values(wrapped=wrapped))
        self._links.pop(link.subject, None)

    def keep_links(self, links: Sequence[tuple[str, Link, PolicySet]]) -> None:
        """Tie many new patients at once, each with the policy in force; one durable write."""
        with self.commit("author.links") as connection:
            self.meet_subjects([self.tag(link.subject) for _, link, _ in links])
            rows: list[dict[str, object]] = []
            copies: list[dict[str, object]] = []
            for local, link, policy in links:
                tag = self.tag(link.subject)
                wrapped = self.wrapped(tag, encode(link), b"link")
                rows.append({"local": self.keyed("local", local.encode()), "tag": tag, "wrapped": wrapped})
                copy = self.wrapped(tag, encode(policy), b"policy copy")
                copies.append({"tag": tag, "version": policy.version, "wrapped": copy})
            upsert(connection, LINKS, rows)
            upsert(connection, COPIES, copies)
        for _, link, _ in links:
            self._remember_link(link)

    def link(self, local: str) -> Link | None:
        """The patient behind the member's own number."""
        key = {"local": self.keyed("local", local.encode())}
        return self._link(self.connection.execute(_BY_LOCAL, key).first())

    def link_of(self, subject: SubjectId) -> Link | None:
        """The link to a subject."""
        link = self._links.get(subject)
        if link is None:
            link = self._link(self.connection.execute(_BY_TAG, {"tag": self.tag(subject)}).first())
            if link is not None:
                self._remember_link(link)
        return link

    def _remember_link(self, link: Link) -> None:
        if len(self._links) >= _REMEMBERED:
            self._links.clear()
        self._links[link.subject] = link

    def keep_waiting(self, sender: MemberId, code: Digest, sealed: bytes, now: TimeMs) -> bool:
        """Hold a link until its code is shown; false if too many of this sender wait."""
        with self.commit("author.waiting") as connection:
            connection.execute(WAITING.delete().where(WAITING.c.arrived < now - WAITING_MS))
            query = sa.select(sa.func.count()).where(WAITING.c.sender == sender, WAITING.c.code != code)
            if connection.execute(query).scalar_one() >= WAITING_MAX:
                return False
            upsert(connection, WAITING, [{"code": code, "sender": sender, "sealed": sealed, "arrived": now}])
        return True

    def waiting(self, code: Digest) -> list[bytes]:
        """The links that wait for this code."""
        rows = self.connection.execute(sa.select(WAITING.c.sealed).where(WAITING.c.code == code))
        return [bytes(row.sealed) for row in rows]

    def drop_waiting(self, code: Digest) -> None:
        """A code serves once."""
        with self.commit("author.taken") as connection:
            connection.execute(WAITING.delete().where(WAITING.c.code == code))

    def keep_notice(self, keeper: MemberId, notice: WideningNotice) -> None:
        """Keep what a keeper told of a custodian's widening, the newest few of a cell and keeper."""
        at = (NOTICES.c.cell == notice.cell_id, NOTICES.c.keeper == keeper)
        with self.commit("author.notice") as connection:
            count = connection.execute(sa.select(sa.func.count()).where(*at)).scalar_one()
            if count >= NOTICES_MAX:
                connection.execute(NOTICES.delete().where(*at))
            row: dict[str, object] = {
                "cell": notice.cell_id,
                "commitment": notice.commitment,
                "evidence": notice.evidence,
                "keeper": keeper,
                "notice": encode(notice),
            }
            upsert(connection, NOTICES, [row])

    def notices(self, cell_id: CellId) -> list[tuple[MemberId, WideningNotice]]:
        """What keepers told of a custodian's widenings of a cell, each with who told it, by time."""
        query = sa.select(NOTICES.c.keeper, NOTICES.c.notice).where(NOTICES.c.cell == cell_id)
        told = [(MemberId(row.keeper), reopen(WideningNotice, row.notice)) for row in self.connection.execute(query)]
        return sorted(told, key=lambda one: (one[1].noticed, one[0]))

    def keep_copy(self, policy: PolicySet) -> None:
        """Keep the newest version of a policy under which this member writes."""
        tag = self.tag(policy.subject)
        held = self.connection.execute(sa.select(COPIES.c.version).where(COPIES.c.tag == tag)).scalar()
        if held is not None and held > policy.version:
            return
        with self.commit("author.policy") as connection:
            wrapped = self.wrapped(tag, encode(policy), b"policy copy")
            upsert(connection, COPIES, [{"tag": tag, "version": policy.version, "wrapped": wrapped}])

    def copy(self, subject: SubjectId) -> tuple[PolicySet, Digest] | None:
        """The newest policy held of a subject, and its commitment."""
        tag = self.tag(subject)
        row = self.connection.execute(sa.select(COPIES.c.wrapped).where(COPIES.c.tag == tag)).first()
        if row is None:
            return None
        policy = reopen(PolicySet, self.unwrapped(tag, row.wrapped, b"policy copy"))
        return policy, commitment(policy)

    def _put_plan(self, plan: Plan, stage: Stage) -> None:
        wrapped = self.wrapped_own(encode(plan), b"plan" + plan.batch_id)
        upsert(self.connection, PLANS, [{"batch_id": plan.batch_id, "stage": int(stage), "wrapped": wrapped}])

    def _plan(self, row: Any) -> Plan:
        return reopen(Plan, self.unwrapped_own(row.wrapped, b"plan" + bytes(row.batch_id)))

    def _own(self, tag: bytes, batch_id: BatchId, wrapped: bytes) -> tuple[OwnEntry, ...]:
        return reopen(OwnHolding, self.unwrapped(tag, wrapped, b"own" + batch_id)).entries

    def _link(self, row: Any) -> Link | None:
        if row is None:
            return None
        try:
            return reopen(Link, self.unwrapped(bytes(row.tag), row.wrapped, b"link"))
        except MalformedError:
            return None
