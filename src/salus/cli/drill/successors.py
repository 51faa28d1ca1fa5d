"""Attacks on what a departed author left behind: who asks for its shares, whom that shows, and what is dealt again."""

from salus.cli.drill.attack import Outcome, attack, must, verdict
from salus.cli.drill.epochs import seat
from salus.cli.drill.liars import digest_of
from salus.cli.drill.world import Document, Patient, World, permit, sources
from salus.contracts.members.messages import Committee, Propose, RemoveMember, Vote
from salus.contracts.members.reads import member_of, successor_of
from salus.contracts.records.header import leaf
from salus.contracts.records.reads import batch_of, dealing_of
from salus.contracts.records.tables import Batch, Dealing
from salus.core.errors import SalusError
from salus.core.ids import BatchId, FhirType, MemberId, Seat
from salus.core.transport import PeerRefusalError, PeerUnavailableError
from salus.core.wire import replace
from salus.crypto.merkle import narrow
from salus.keeper.messages import Deposited, DepositRefused, SealedAnswer
from salus.machine.block import ACCEPTED
from salus.node.member import Member
from salus.sdk import consent
from salus.sdk.author_store import Repair
from salus.sdk.errors import TooFewSeatsError
from salus.sdk.gateway import new_id
from salus.sdk.repairing import Repairer, StandIn

AUTHOR, SUCCESSOR, STRANGER = MemberId("northgate"), MemberId("lakeside"), MemberId("st-luke")
STAYING = ("st-luke", "mercy", "lakeside")
READER = "clinician@st-luke"
DOCUMENTS = (
    Document("first", FhirType("Observation"), "2023-03-04"),
    Document("second", FhirType("Observation"), "2023-03-05"),
)
_REPAIRS = "salus.keeper.repairs.Repairs"


@attack("shares of a departed author for a stranger", guard=f"{_REPAIRS}._check_successor", harmful=True)
async def stranger(world: World) -> Outcome:
    """A member that succeeded nobody asks keepers for all shares of a batch, as if it had."""
    patient = await _departed(world)
    return await _learned(world, patient, STRANGER, "keeper.not_successor")


@attack("shares of an author that is there still", guard=f"{_REPAIRS}._check_successor", harmful=True)
async def too_early(world: World) -> Outcome:
    """A member that is to succeed an author asks before that one has left."""
    patient = await _sealed(world)
    await seat(world, *STAYING)
    must(member_of(world.state, AUTHOR) is not None, "the author is a member still")
    return await _learned(world, patient, SUCCESSOR, "keeper.not_successor")


@attack("shares of a frozen record for a successor", guard=f"{_REPAIRS}._held", harmful=True)
async def frozen(world: World) -> Outcome:
    """A successor asks for the shares of a patient who has frozen the record."""
    patient = await _departed(world)
    await consent.freeze(world.network["mercy"].gateway, patient.wallet)
    return await _learned(world, patient, SUCCESSOR, "keeper.repair_waits")


@attack("successor that leaves a record out", guard=f"{_REPAIRS}._check_witnesses", harmful=True)
async def left_out(world: World) -> Outcome:
    """A successor deals all of a batch but for one record, whose old shares are to be destroyed with the others."""
    patient = await _departed(world)
    liar = Forgetful(world.network[SUCCESSOR])
    await liar.work()
    await _follow(world)
    view = await world.read(READER, patient)
    is_whole = {one.source for one in DOCUMENTS} <= sources(patient, view)
    return verdict(not is_whole, liar.said, "keeper.witness")


@attack("successor that deals other keys", guard="salus.sdk.checks.Checks._dealt_again", harmful=True)
async def other_keys(world: World) -> Outcome:
    """A successor deals other keys than the author committed to: it is the one to be named, and not the author."""
    patient = await _departed(world)
    await OtherKeys(world.network[SUCCESSOR]).work()
    await _follow(world)
    view = await world.read(READER, patient)
    named = {(one.member, one.what) for one in view.accusations}
    if named != {(SUCCESSOR, "inconsistent_dealer")}:
        return Outcome("SUCCEEDED", f"taken for sound; named: {sorted(named) or 'nobody'}")
    return Outcome("detected", f"{SUCCESSOR} named for inconsistent_dealer; {len(view.gaps)} gaps are shown")


# Hands.


class Greedy(Repairer):
    """Asks for whatever it is told to, and remembers what was answered."""

    def __init__(self, member: Member) -> None:
        super().__init__(member.gateway, member.store, member.blobs)
        self.said = ACCEPTED

    async def learns(self, author: MemberId, batch_id: BatchId) -> bool:
        """Whether keepers tell it the keys of a batch."""
        state = self._gateway.view.state
        batch, dealing = batch_of(state, author, batch_id), dealing_of(state, author, batch_id)
        assert batch is not None, "It was sealed before."
        assert dealing is not None, "So it was dealt."
        committee = self._gateway.committee(batch.committee)
        try:
            return await self._learned(author, batch_id, batch, dealing, committee) is not None
        except TooFewSeatsError:
            return False

    async def _ask(self, seat: Seat, before: Committee, batch: Batch, dealing: Dealing, asking: bytes) -> SealedAnswer:
        try:
            return await super()._ask(seat, before, batch, dealing, asking)
        except (PeerRefusalError, PeerUnavailableError) as error:
            self.said = _said(error)
            raise


class Forgetful(Greedy):
    """Leaves all but the first record of each patient out, and says so to nobody."""

    def _stand_in(self, repair: Repair) -> StandIn:
        parts = []
        for part in repair.parts:
            leaves = {entry.index: leaf(entry.salt, entry.header) for entry in part.entries}
            kept = part.entries[:1]
            path = narrow(leaves, part.leaf_proof, [entry.index for entry in kept])
            parts.append(replace(part, entries=kept, leaf_proof=path))
        return Heard(self, super()._stand_in(replace(repair, parts=tuple(parts)))._repair)


class Heard(StandIn):
    """Remembers what keepers answered."""

    def __init__(self, by: Greedy, repair: Repair) -> None:
        super().__init__(by._gateway, by._store, by._blobs, repair)
        self._by = by

    async def _deposit_one(self, *given: object) -> Deposited | DepositRefused:
        try:
            return await super()._deposit_one(*given)  # type: ignore[arg-type]
        except (PeerRefusalError, PeerUnavailableError) as error:
            self._by.said = _said(error)
            raise


class OtherKeys(Greedy):
    """Deals other keys, each to all seats alike: no keeper can see it."""

    def _stand_in(self, repair: Repair) -> StandIn:
        parts = [
            replace(part, entries=tuple([replace(entry, key=digest_of(entry.key)) for entry in part.entries]))
            for part in repair.parts
        ]
        return super()._stand_in(replace(repair, parts=tuple(parts)))


def _said(error: SalusError) -> str:
    return str(error.facts.get("said", error.code))


async def _sealed(world: World) -> Patient:
    """A patient of whom the author wrote two documents, which others may read."""
    patient = await world.new_patient({AUTHOR: DOCUMENTS})
    await world.allow(patient, permit("st-luke"))
    return patient


async def _departed(world: World) -> Patient:
    """As `_sealed`; then the author goes, and others sit in the committee. Everything can be read."""
    patient = await _sealed(world)
    await seat(world, *STAYING)
    entry = member_of(world.state, AUTHOR)
    assert entry is not None, "It is a member until now."
    change = RemoveMember(member=AUTHOR, version=entry.version, successor=SUCCESSOR)
    proposal_id = new_id()
    await world.accepted(world.tx("mercy", Propose(proposal_id=proposal_id, changes=(change,), activate_at=0)))
    for member in ("st-luke", "lakeside"):
        await world.accepted(world.tx(member, Vote(proposal_id=proposal_id, approve=True)))
    await world.network.follow()
    must(successor_of(world.state, AUTHOR) == SUCCESSOR, "the author has a successor")
    view = await world.read(READER, patient)
    must({one.source for one in DOCUMENTS} <= sources(patient, view), "what it wrote is read still")
    return patient


async def _follow(world: World) -> None:
    for member in world.network.members:
        await member.keeper.epochs.follow()


async def _learned(world: World, patient: Patient, by: MemberId, expected: str) -> Outcome:
    greedy = Greedy(world.network[by])
    record = patient.records["first"]
    return verdict(await greedy.learns(record.author, record.batch_id), greedy.said, expected)
