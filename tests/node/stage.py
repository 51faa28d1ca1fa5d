"""A real network on a clock that tests turn, with people, patients and documents in one line each."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from salus.contracts.consent import ClearRule, Effect
from salus.contracts.consent import Reader as Who
from salus.contracts.reads.opening import Selection
from salus.contracts.records.header import RecordId
from salus.core.faults import NO_FAULTS, Faults
from salus.core.ids import FhirType, MemberId, Purpose, TimeMs
from salus.core.wire import replace
from salus.node.folder import found, usual_names
from salus.node.member import Member
from salus.node.network import Network
from salus.node.settings import Settings
from salus.sdk import consent
from salus.sdk.author import NewDocument, SealedBatch
from salus.sdk.gateway import new_id
from salus.sdk.people import employ
from salus.sdk.reader import OpenRead, Reader, Wanted, open_read
from salus.sdk.views import View
from salus.sdk.wallet import Wallet, new_wallet

START_MS: TimeMs = time.time_ns() // 1_000_000  # Near the files' own times, and from there on turned by tests.
TREAT = Purpose("TREAT")
BTG = Purpose("BTG")
HOSPITALS = ("mercy", "st-luke", "lakeside", "northgate")


def in_its_folder(_member: Path) -> None:
    """Where a new member keeps its stores, unless a test says otherwise."""


where_stores_are: Callable[[Path], None] = in_its_folder  # The fixture `kept_on` puts another in its place.


class Clock:
    """A clock that only tests turn."""

    def __init__(self, now: TimeMs = START_MS) -> None:
        self.now = now

    def __call__(self) -> TimeMs:
        return self.now


class Stage:
    """A running network, and short words for what people do in it."""

    def __init__(self, network: Network, clock: Clock) -> None:
        self.network = network
        self.clock = clock

    def __getitem__(self, name: str) -> Member:
        return self.network[name]

    async def clinician(self, member: str, *roles: str) -> Reader:
        """Somebody of this member with a credential."""
        person = await employ(self[member].gateway, "clinician", roles or ("clinician",))
        return Reader(person.key, person.credential_id, person.claims)

    async def patient(
        self, *writers: str, rules: tuple[ClearRule, ...] = (), custodian: str | None = None, by: str = "mercy"
    ) -> Wallet:
        """A patient whose cell stands, linked to these writers."""
        named = tuple(MemberId(writer) for writer in writers or ("mercy",))
        keeper = None if custodian is None else MemberId(custodian)
        fresh = new_wallet(self.network.genesis.chain, self.network.committee, "us", named, keeper)
        wallet = replace(fresh, rules=rules)
        policy = await consent.create(self[by].gateway, wallet)
        for writer in named:
            await consent.send_link(self[by].gateway, wallet, policy, writer, wallet.subject.hex())
            await self[writer].desk.accept_link(wallet.subject.hex(), wallet.subject.hex())
        return wallet

    async def change(self, wallet: Wallet, by: str = "mercy", **changes: object) -> Wallet:
        """The wallet with something changed, in force on return."""
        changed = replace(wallet, **changes)
        await consent.change(self[by].gateway, wallet, changed)
        return changed

    async def seal(self, author: str, wallet: Wallet, *sources: str, **changes: object) -> SealedBatch:
        """Documents of one patient, sealed by one author."""
        return await self[author].author.seal(documents(wallet, *sources, **changes))

    async def open(
        self,
        member: str,
        reader: Reader,
        wallet: Wallet,
        purpose: Purpose = TREAT,
        reason: str = "",
        **selected: object,
    ) -> OpenRead:
        """A request that stands, all authors included."""
        return await open_read(self[member].gateway, reader, self.wanted(wallet, purpose, reason, **selected))

    async def view(
        self,
        member: str,
        reader: Reader,
        wallet: Wallet,
        purpose: Purpose = TREAT,
        reason: str = "",
        **selected: object,
    ) -> View:
        """What keepers show for a new request."""
        return await (await self.open(member, reader, wallet, purpose, reason, **selected)).ask()

    def wanted(self, wallet: Wallet, purpose: Purpose = TREAT, reason: str = "", **selected: object) -> Wanted:
        """What a reader asks for."""
        selection = replace(Selection(), **selected)
        return Wanted(wallet.subject, wallet.committee, purpose, reason, selection)

    async def wait(self, duration_ms: int, *, tending: bool = True) -> None:
        """Let time pass, and let everybody see it in a block."""
        if tending:
            await self.network.tend()
        self.clock.now += duration_ms
        await self.clinician(self.network.members[0].name)
        await self.settled()

    async def settled(self) -> None:
        """Until every member that is not held back has the newest block."""
        newest = self.network.engine.newest().height
        for member in self.network.members:
            if member.name not in self.network.switchboard.off_line:
                await member.replica.reached(newest, 0.5)


@asynccontextmanager
async def stage(
    folder: Path, members: int = 4, *, faults: Faults = NO_FAULTS, clock: Clock | None = None
) -> AsyncIterator[Stage]:
    """A network in a folder, founded if there is none yet, tended only when a test says so."""
    clock = clock or Clock()
    if not (folder / "genesis").exists():
        found(folder, usual_names(members), chain="test", clock=clock)
        for name in usual_names(members):
            where_stores_are(folder / "members" / name)
    async with Network(folder, Settings(clock=clock, faults=faults, tend_every_s=None)) as network:
        yield Stage(network, clock)


def documents(wallet: Wallet, *sources: str, **changes: object) -> list[NewDocument]:
    """One document for each source, whose bytes say which."""
    return [
        NewDocument(
            subject=wallet.subject,
            data=data_of(source),
            fhir_type=FhirType(str(changes.get("fhir_type", "Observation"))),
            terms=tuple(changes.get("terms", ("label:NONE", "date:2020"))),  # type: ignore[arg-type]
            explicit=tuple(changes.get("explicit", ())),  # type: ignore[arg-type]
            bits=int(str(changes.get("bits", 0))),
            source=str(changes.get("source", source)),
            replaces=changes.get("replaces"),  # type: ignore[arg-type]
        )
        for source in sources or ("one",)
    ]


def data_of(source: str) -> bytes:
    """The bytes of a document."""
    return b'{"resourceType":"Observation","id":"%s","value":1.00}' % source.encode()


def permit(*members: str, **fields: object) -> ClearRule:
    """A rule that lets these members read, for treatment."""
    return replace(
        ClearRule(
            rule_id=new_id(),
            effect=Effect.PERMIT,
            readers=tuple(Who(member=MemberId(member)) for member in members),
            purposes=(TREAT,),
        ),
        **fields,
    )


def deny(*members: str, **fields: object) -> ClearRule:
    """A rule that keeps these members, or all, out."""
    return replace(permit(*members), effect=Effect.DENY, **fields)


def shown(view: View) -> list[bytes]:
    """The documents of a view, sorted."""
    return sorted(one.data for one in view.records)


def records_of(sealed: SealedBatch) -> Sequence[RecordId]:
    """The records of a batch, in the order of the call."""
    return [sealed.records[place] for place in sorted(sealed.records)]
