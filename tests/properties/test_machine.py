"""Random messages on the whole machine: invariants after each block, two replays, one root, refusals without trace."""

from collections.abc import Iterable

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, rule

from salus.contracts.cells.reads import cell_of
from salus.contracts.cells.tables import Status
from salus.contracts.credentials.messages import Revoke
from salus.contracts.members.messages import (
    AnnounceTls,
    Committee,
    Endpoints,
    Misbehaviour,
    Move,
    Offence,
    RotateGateway,
    RotateTls,
)
from salus.contracts.members.reads import committee_of, member_of, members_of, proposals
from salus.contracts.members.tables import Standing
from salus.contracts.reads.messages import LogKind, LogRoot
from salus.contracts.records.messages import FirstWithdraw, Supersede, Withdraw
from salus.contracts.records.reads import dealings_of
from salus.core.ids import HOUR_MS, MINUTE_MS, MemberId
from salus.core.wire import replace
from salus.crypto.digests import digest
from salus.crypto.signatures import SigningKey
from salus.machine.block import ACCEPTED, Block
from salus.machine.invariants import invariants
from salus.machine.transaction import AnyMessage
from salus.state.key_value import MemoryStore
from salus.state.state import checked_root
from tests.properties.governing import HOLDERS, JOINERS, KINDS, NET, PROPOSALS, change, decided
from tests.support.governance import approve, decide, entry, joiner, proposal_id, propose, reject, with_party
from tests.support.network import NAMES, Ledger

IDS = [NET.id16("random", number) for number in range(3)]
ids, sponsors = st.sampled_from(IDS), st.sampled_from(NAMES)
new_ids = st.binary(min_size=16, max_size=16)
authors = st.sampled_from(["mercy", "mercy", "lakeside"])
versions, leaves = st.integers(0, 4), st.integers(0, 2)
times = st.sampled_from([0, 1, 60_000, HOUR_MS, 12 * HOUR_MS, 13 * HOUR_MS])
seats = st.sampled_from([(), (1,), (1, 2), (2, 1), (1, 3), (1, 2, 3), (2, 3, 4), (1, 2, 3, 4)])
supersedes = st.lists(st.builds(Supersede, ids, leaves, leaves), max_size=2).map(tuple)
log_roots = st.builds(LogRoot, version=versions, root=st.binary(min_size=32, max_size=32))
plain = st.one_of(
    st.builds(NET.create, ids),
    st.builds(Revoke, credential_id=ids, version=versions),
    st.builds(Withdraw, batch_id=ids, index=leaves),
    log_roots,
)


everybody = st.sampled_from([*NAMES, *NAMES, *JOINERS])
offs = st.sampled_from([0, 0, 0, 0, 0, 1])
kinds = st.sampled_from(KINDS)


class RandomLedger(RuleBasedStateMachine):
    """Parties that send what they like, right and wrong, and an engine that makes blocks of it."""

    sent = Bundle("sent")

    @initialize()
    def found(self) -> None:
        self.ledger = Ledger(NET)
        self.pending: list[bytes] = []
        self.accepted: dict[bytes, int] = {}
        self.kept: list[tuple[bytes, ...]] = []
        self.roots: list[bytes] = []
        self.shown: tuple[Misbehaviour, ...] = ()
        self.number = 0
        until = self.ledger.time + HOUR_MS
        for id in IDS[:2]:  # Something to act upon from the start.
            batch = NET.anchor("mercy", id, good_until=until)
            self._submit("mercy", [NET.create(id), NET.issue(id, expires=until), batch])
        self.block(1)

    def _submit(self, sponsor: str, messages: Iterable[AnyMessage], witnesses: Iterable[SigningKey] = ()) -> bytes:
        entry = member_of(self.ledger.state, MemberId(sponsor))
        holder = None if entry is None else HOLDERS.get(entry.keys.ledger)
        if holder is not None:
            self.ledger.network = with_party(self.ledger.network, holder)  # Who was given other keys signs with them.
        elif sponsor in JOINERS:
            self.ledger.network = with_party(self.ledger.network, joiner(sponsor, b"one"))
        tx = self.ledger.tx(sponsor, *messages, witnesses=list(witnesses), valid_until=self.ledger.time + HOUR_MS)
        self.pending.append(tx)
        return tx

    @rule(target=sent, sponsor=sponsors, id=ids)
    def create(self, sponsor: str, id: bytes) -> bytes:
        return self._submit(sponsor, [NET.create(id)])

    @rule(target=sent, sponsor=sponsors, id=new_ids, other=ids, version=versions)
    def copy_an_owner(self, sponsor: str, id: bytes, other: bytes, version: int) -> bytes:
        """Whoever reads the ledger can name another cell's owner for a cell of their own."""
        owner = digest(NET.owner(other, version).public)
        return self._submit(sponsor, [replace(NET.create(id), owner=owner)])

    @rule(target=sent, id=ids, index=leaves)
    def withdraw(self, id: bytes, index: int) -> bytes:
        return self._submit("mercy", [Withdraw(batch_id=id, index=index)])

    @rule(target=sent, id=ids)
    def revoke(self, id: bytes) -> bytes:
        return self._submit("mercy", [Revoke(credential_id=id, version=0)])

    @rule(target=sent, sponsor=sponsors, messages=st.lists(plain, min_size=1, max_size=3))
    def anything(self, sponsor: str, messages: list[AnyMessage]) -> bytes:
        return self._submit(sponsor, messages)

    @rule(target=sent, sponsor=sponsors, id=ids, ahead=times)
    def issue(self, sponsor: str, id: bytes, ahead: int) -> bytes:
        return self._submit(sponsor, [NET.issue(id, expires=self.ledger.time + ahead)])

    @rule(target=sent, sponsor=sponsors, id=ids, ahead=times)
    def request(self, sponsor: str, id: bytes, ahead: int) -> bytes:
        return self._submit(sponsor, [NET.request(id, expires=self.ledger.time + ahead)])

    @rule(target=sent, sponsor=sponsors, author=sponsors, id=ids, seats=seats, over=supersedes, ahead=times)
    def anchor(
        self, sponsor: str, author: str, id: bytes, seats: tuple[int, ...], over: tuple[Supersede, ...], ahead: int
    ) -> bytes:
        good_until = self.ledger.time + ahead
        made = NET.anchor(author, id, good_until=good_until, seats=seats, supersedes=over, epoch=self._epoch())
        return self._submit(sponsor, [made])

    @rule(target=sent, author=authors, id=new_ids, index=leaves, old=st.sampled_from(IDS[:2]))
    def correct(self, author: str, id: bytes, index: int, old: bytes) -> bytes:
        over = (Supersede(old, index, 0),)
        good_until = self.ledger.time + HOUR_MS
        made = NET.anchor(author, id, good_until=good_until, supersedes=over, epoch=self._epoch())
        return self._submit(author, [made])

    def _epoch(self) -> int:
        return self._committee().epoch

    def _committee(self) -> Committee:
        committee = committee_of(self.ledger.state, NET.committee)
        assert committee is not None
        return committee

    @rule(
        target=sent,
        sponsor=st.sampled_from(["mercy", "mercy", "mercy", *NAMES]),
        id=st.sampled_from([*IDS[:2], *IDS[:2], IDS[2]]),
        seats=st.sampled_from([None, None, None, (1,), (1, 2), (2, 1), (1, 3), (1, 2, 3)]),
        off=offs,
    )
    def attest(self, sponsor: str, id: bytes, seats: tuple[int, ...] | None, off: int) -> bytes:
        """A batch dealt again to whoever sits there now, under the keys that they have now."""
        committee = self._committee()
        holders = [HOLDERS[entry(self.ledger.state, seat.member).keys.ledger] for seat in committee.seats]
        net = with_party(NET, *holders)
        chosen = None if seats is None else tuple(seat for seat in seats if seat <= len(holders))
        until, names = self.ledger.time + HOUR_MS, [holder.member for holder in holders]
        word = net.attest("mercy", id, good_until=until, holders=names, seats=chosen, epoch=committee.epoch + off)
        return self._submit(sponsor, [word if sponsor == "mercy" else replace(word, author=MemberId("mercy"))])

    @rule(target=sent, member=everybody, id=st.sampled_from(IDS[:2]))
    def deal_again(self, member: str, id: bytes) -> bytes:
        """Other seats, and a batch that is dealt to them: seldom reached by chance."""
        self.decide("seats", member, "mercy", 0)
        self.block(1_000)
        return self.attest("mercy", id, None, 0)

    @rule(target=sent, author=authors, heir=sponsors, index=leaves, old=st.sampled_from(IDS[:2]))
    def withdraw_inherited(self, author: str, heir: str, index: int, old: bytes) -> bytes:
        return self._submit(heir, [Withdraw(batch_id=old, index=index, author=MemberId(author))])

    @rule(
        target=sent,
        sponsor=everybody,
        id=st.sampled_from(PROPOSALS),
        kind=kinds,
        member=everybody,
        other=sponsors,
        off=offs,
    )
    def propose(self, sponsor: str, id: bytes, kind: str, member: str, other: str, off: int) -> bytes:
        made = change(self.ledger.state, kind, member, other, off, self.ledger.height)
        return self._submit(sponsor, [propose(id, *made, activate_at=0 if off else self.ledger.height + 2)])

    @rule(target=sent, sponsor=everybody, id=st.sampled_from(PROPOSALS), yes=st.sampled_from([True, True, True, False]))
    def vote(self, sponsor: str, id: bytes, yes: bool) -> bytes:
        return self._submit(sponsor, [approve(id) if yes else reject(id)])

    @rule(kind=kinds, member=everybody, other=sponsors, off=offs)
    def decide(self, kind: str, member: str, other: str, off: int) -> None:
        """A proposal with everybody's vote in one block: what is right about it comes to pass."""
        self.number += 1
        id = proposal_id("decided", self.number)
        made = change(self.ledger.state, kind, member, other, off, self.ledger.height)
        first, *rest = members_of(self.ledger.state)
        self._submit(first, [propose(id, *made)])
        for voter in rest:
            self._submit(voter, [approve(id)])

    @rule(target=sent, sponsor=everybody, kind=st.sampled_from(["move", "announce", "rotate", "gateway"]), off=offs)
    def change_oneself(self, sponsor: str, kind: str, off: int) -> bytes:
        self.number += 1
        entry = member_of(self.ledger.state, MemberId(sponsor))
        version = off + (0 if entry is None else entry.own_version)
        tls = SigningKey(digest(b"tls %d" % self.number))
        message: AnyMessage = {
            "move": Move(version=version, endpoints=Endpoints(keeper=f"{sponsor}.example:{self.number}")),
            "announce": AnnounceTls(version=version, key=tls.public),
            "rotate": RotateTls(version=version),
            "gateway": RotateGateway(version=version, key=digest(b"%d" % self.number) * 38),
        }[kind]
        return self._submit(sponsor, [message], [tls] if kind == "announce" else [])

    @rule(member=everybody, height=st.integers(0, 3), offence=st.sampled_from(list(Offence)))
    def evidence(self, member: str, height: int, offence: Offence) -> None:
        self.shown = (*self.shown, Misbehaviour(validator=MemberId(member), offence=offence, height=height))

    @rule(
        target=sent,
        sponsor=sponsors,
        id=ids,
        kind=st.sampled_from(["advance", "freeze", "thaw", "close"]),
        off=st.sampled_from([0, 0, 0, 0, 1]),
        signed=st.sampled_from([True, True, True, False]),
    )
    def own(self, sponsor: str, id: bytes, kind: str, off: int, signed: bool) -> bytes:
        cell = cell_of(self.ledger.state, id)
        version = off + (0 if cell is None else cell.version)
        witnesses = [NET.owner(id, version)] if signed else []
        return self._submit(sponsor, [getattr(NET, kind)(id, version)], witnesses)

    @rule(target=sent, id=st.sampled_from(IDS[:2]), kind=st.sampled_from(["advance", "freeze", "thaw"]))
    def own_well(self, id: bytes, kind: str) -> bytes:
        cell = cell_of(self.ledger.state, id)
        version = 0 if cell is None else cell.version
        return self._submit("lakeside", [getattr(NET, kind)(id, version)], [NET.owner(id, version)])

    @rule(target=sent, garbage=st.binary(max_size=40))
    def garbage(self, garbage: bytes) -> bytes:
        self.pending.append(garbage)
        return garbage

    @rule(tx=sent)
    def replay(self, tx: bytes) -> None:
        self.pending.append(tx)

    @rule(tx=sent, data=st.data())
    def damage(self, tx: bytes, data: st.DataObject) -> None:
        if tx:
            at = data.draw(st.integers(0, len(tx) - 1))
            self.pending.append(tx[:at] + bytes((tx[at] ^ 1 << data.draw(st.integers(0, 7)),)) + tx[at + 1 :])

    @rule(after_ms=st.sampled_from([0, 1, 1_000, 1_000, 1_000, MINUTE_MS, 2 * HOUR_MS]))
    def block(self, after_ms: int) -> None:
        before = {id: cell for id in IDS if (cell := cell_of(self.ledger.state, id)) is not None}
        dealt = {id: dealings_of(self.ledger.state, MemberId("mercy"), id) for id in IDS}
        root, ruled = self.ledger.app_hash, decided(self.ledger.state)
        applied = self.ledger.block(*self.pending, after_ms=after_ms, misbehaviour=self.shown)
        kept = []
        for tx, result in zip(self.pending, applied.results, strict=True):
            if result.code == ACCEPTED:
                assert result.tx_id not in self.accepted
                self.accepted[result.tx_id] = self.ledger.height
                kept.append(tx)
        # A block whose transactions were all refused still forgets old requests, so it must not become empty.
        self.kept.append(tuple(kept) or (b"",) * bool(self.pending))
        self.roots.append(applied.app_hash)
        assert self.pending or self.shown or applied.app_hash == root
        executed = [one for _, one in proposals(self.ledger.state) if one.standing is Standing.EXECUTED]
        if decided(self.ledger.state) != ruled:
            assert self.ledger.height in {one.decided for one in executed}  # There is no other way.
        assert list(invariants(self.ledger.state)) == []
        for id, dealings in dealt.items():
            now_dealt = dealings_of(self.ledger.state, MemberId("mercy"), id)
            assert now_dealt[: len(dealings)] == dealings  # What was dealt is on the ledger for good.
        for id, cell in before.items():
            now = cell_of(self.ledger.state, id)
            assert now is not None
            assert now.version >= cell.version
            assert now == cell or cell.status is not Status.CLOSED
        self.pending, self.shown = [], ()

    def teardown(self) -> None:
        """Two replays and one without what was refused end in the same roots; so does the tree built anew."""
        if not hasattr(self, "ledger"):
            return
        replays = [_replayed(self.ledger.blocks) for _ in range(2)]
        assert replays[0] == replays[1] == (self.roots, self.ledger.previous)
        blocks = zip(self.ledger.blocks, self.kept, strict=True)
        clean, _ = _replayed([replace(block, txs=txs) for block, txs in blocks])
        assert clean == self.roots
        assert checked_root(self.ledger.store) == self.ledger.app_hash


def _replayed(blocks: list[Block]) -> tuple[list[bytes], bytes]:
    """The roots after each block on a new ledger, and the last header's id."""
    ledger = Ledger(NET, store=MemoryStore())
    roots = []
    for block in blocks:
        after_ms = block.time - ledger.time
        roots.append(ledger.block(*block.txs, after_ms=after_ms, misbehaviour=block.misbehaviour).app_hash)
    return roots, ledger.previous


TestRandomLedger = RandomLedger.TestCase
TestRandomLedger.settings = settings(
    max_examples=60, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


CASES = {
    "add": ("southport", "mercy"),
    "leave": ("northgate", "mercy"),
    "validator": ("northgate", "mercy"),
    "rekey": ("northgate", "mercy"),
    "quota": ("northgate", "mercy"),
    "committee": ("northgate", "mercy"),
    "seats": ("northgate", "mercy"),
}


def test_the_random_pools_reach_acceptance_of_every_kind() -> None:
    """The rules above are worth something only if what they build can also be accepted."""
    ledger = Ledger(NET)
    cell, until = IDS[0], ledger.time + HOUR_MS
    ids, tls = [proposal_id("case", kind) for kind in CASES], SigningKey(digest(b"tls"))
    steps: list[tuple[AnyMessage, list[SigningKey]]] = [
        (NET.create(cell), []),
        (NET.advance(cell, 0), [NET.owner(cell, 0)]),
        (NET.freeze(cell, 1), [NET.owner(cell, 1)]),
        (NET.thaw(cell, 2), [NET.owner(cell, 2)]),
        (NET.close(cell, 3), [NET.owner(cell, 3)]),
        (NET.issue(IDS[0], expires=until), []),
        (Revoke(credential_id=IDS[0], version=0), []),
        (NET.anchor("mercy", IDS[0], good_until=until), []),
        (FirstWithdraw(batch_id=IDS[0], index=0), []),
        (Withdraw(batch_id=IDS[0], index=1), []),
        (NET.request(IDS[0], expires=until), []),
        (LogRoot(log=LogKind.KEEPER, version=0, root=digest(b"log")), []),
        *[
            (propose(id, *change(ledger.state, kind, *CASES[kind], 0, 0)), [])
            for kind, id in zip(CASES, ids, strict=True)
        ],
        (Move(version=0, endpoints=Endpoints()), []),
        (AnnounceTls(version=1, key=tls.public), [tls]),
        (RotateTls(version=2), []),
        (RotateGateway(version=3, key=digest(b"g") * 38), []),
    ]
    assert [ledger.send(MemberId("mercy"), message, witnesses=keys) for message, keys in steps] == [ACCEPTED] * len(
        steps
    )


def test_the_random_pools_reach_batches_dealt_again() -> None:
    ledger = Ledger(NET)
    assert ledger.send("mercy", NET.anchor("mercy", IDS[0], good_until=ledger.time + HOUR_MS)) == ACCEPTED
    assert decide(ledger, *change(ledger.state, "seats", "northgate", "mercy", 0, 0)).standing is Standing.EXECUTED
    word = NET.attest("mercy", IDS[0], good_until=ledger.time + HOUR_MS, holders=NAMES)
    assert ledger.send("mercy", word) == ACCEPTED
