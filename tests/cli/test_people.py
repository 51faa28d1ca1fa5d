"""People and their wallets: files for their owner alone, claims that survive a crash, a day's wait without witness."""

import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from salus.cli.actions.consents import readers_of, revoke, rules_named, say
from salus.cli.actions.patients import NewPatient, claim, new_patient, new_patients
from salus.cli.actions.reads import read
from salus.cli.errors import AlreadyOwnError, NoWitnessError, UnknownMemberError, UnknownPatientError
from salus.cli.home import Home, found_home
from salus.cli.identity import StaffName, who
from salus.cli.rules import Said
from salus.contracts.consent import Effect
from salus.core.errors import UnavailableError
from salus.core.ids import DAY_MS, MemberId, TimeMs
from salus.core.transport import PeerRefusalError
from salus.node.keys import KeyFileError
from salus.node.settings import Settings
from salus.sdk.author import NewDocument

EVIDENCE = bytes(range(32))


class Clock:
    """A clock that tests turn."""

    def __init__(self) -> None:
        self.now: TimeMs = 1_800_000_000_000

    def __call__(self) -> TimeMs:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found_home(tmp_path / "network")
    return tmp_path / "network"


def settings(clock: Clock) -> Settings:
    return Settings(clock=clock, tend_every_s=None)


@pytest.fixture
async def home(folder: Path, clock: Clock) -> AsyncIterator[Home]:
    async with Home.open(folder, settings(clock)) as home:
        yield home


async def sealed(home: Home, subject: bytes, count: int = 3) -> None:
    """Some records by Mercy."""
    documents = [
        NewDocument(
            subject, b'{"resourceType":"Observation","id":"%d"}' % i, "Observation", (), (), 0, f"Observation/{i}"
        )
        for i in range(count)
    ]
    await home.member("mercy").author.seal(documents)


async def test_who_is_not_there_is_refused(home: Home) -> None:
    with pytest.raises(UnknownPatientError):
        home.patient(1)
    with pytest.raises(UnknownMemberError):
        await home.reader(who("clinician@nowhere"))
    with pytest.raises(UnknownMemberError):
        await new_patient(home, ["mercy", "nowhere"])


async def test_a_patient_whose_cell_could_not_be_opened_is_forgotten(home: Home) -> None:
    for name in ("st-luke", "lakeside", "northgate"):
        await home.network.take_down(name)
    with pytest.raises(UnavailableError):
        await new_patients(home, [NewPatient((MemberId("mercy"),), MemberId("mercy"))])
    assert home.people.register.numbers() == []


async def test_every_secret_file_is_its_owners_alone(home: Home) -> None:
    await home.people.staff(StaffName("clinician", MemberId("mercy")))
    await new_patient(home, ["mercy"])
    await new_patient(home, ["mercy"], custodian="mercy")
    people = home.folder / "people"
    files = [*people.iterdir(), *(home.folder / "members" / "mercy").glob("custody.db*")]
    assert {file.name for file in files} >= {"register.db", "patient-1.wallet", "clinician@mercy", "custody.db"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE(people.stat().st_mode) == 0o700


async def test_a_custodians_wallet_lies_nowhere_in_clear(home: Home) -> None:
    patient = await new_patient(home, ["mercy"], custodian="mercy", name="Noor")
    for file in home.folder.rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            assert patient.wallet.seed not in data, file
            assert patient.wallet.subject not in data, file
            assert b"Noor" not in data, file


async def test_a_person_is_employed_once(home: Home) -> None:
    name = StaffName("clinician", MemberId("mercy"))
    first = await home.people.staff(name)
    assert await home.people.staff(name) == first
    assert first.claims.roles == ("clinician",)
    assert home.people.name_of(first.credential_id) == "clinician@mercy"


async def test_a_damaged_card_or_wallet_is_an_alarm(home: Home) -> None:
    await home.people.staff(StaffName("clinician", MemberId("mercy")))
    await new_patient(home, ["mercy"])
    (home.folder / "people" / "clinician@mercy").write_bytes(b"x")
    (home.folder / "people" / "patient-1.wallet").write_bytes(b"x")
    with pytest.raises(KeyFileError):
        await home.people.staff(StaffName("clinician", MemberId("mercy")))
    with pytest.raises(KeyFileError):
        home.patient(1)


async def test_a_claim_needs_a_witness_who_writes_and_is_not_the_custodian(home: Home) -> None:
    patient = await new_patient(home, ["mercy", "st-luke"], custodian="mercy")
    for witness in ("mercy", "lakeside"):
        with pytest.raises(NoWitnessError):
            await claim(home, patient, EVIDENCE, witness=witness)
    done = await claim(home, patient, EVIDENCE, witness="st-luke")
    assert (done.was_kept_by, done.witness) == ("mercy", "st-luke")
    with pytest.raises(AlreadyOwnError):
        await claim(home, done.patient, EVIDENCE, witness="st-luke")


async def test_a_claim_without_witness_is_done_a_day_later_and_not_sooner(home: Home, clock: Clock) -> None:
    patient = await new_patient(home, ["mercy"], custodian="mercy")
    for after in (0, DAY_MS - 60_000):
        clock.now += after
        await new_patient(home, ["mercy"])  # Block time moves on with a block.
        with pytest.raises(PeerRefusalError, match="widening_waits"):
            await claim(home, patient, EVIDENCE)
    clock.now += 61_000  # Block times rise by a millisecond at least.
    await new_patient(home, ["mercy"])
    done = await claim(home, patient, EVIDENCE)
    assert done.patient.custodian is None
    assert home.patient(patient.number) == done.patient


async def test_another_claims_evidence_starts_another_day(home: Home, clock: Clock) -> None:
    patient = await new_patient(home, ["mercy"], custodian="mercy")
    with pytest.raises(PeerRefusalError):
        await claim(home, patient, EVIDENCE)
    clock.now += DAY_MS + 1
    await new_patient(home, ["mercy"])
    with pytest.raises(PeerRefusalError):
        await claim(home, patient, bytes(32))


async def test_after_a_claim_records_old_and_new_are_the_patients(home: Home) -> None:
    patient = await new_patient(home, ["mercy", "st-luke"], custodian="mercy")
    await sealed(home, patient.wallet.subject)
    mine = (await claim(home, patient, EVIDENCE, witness="st-luke")).patient
    documents = [NewDocument(mine.wallet.subject, b"{}", "Observation", ("label:PSY",), (), 0, "Observation/new")]
    await home.member("mercy").author.seal(documents)
    assert len((await read(home, who("patient:1"), mine)).rows) == 4
    said = Said(Effect.PERMIT, await readers_of(home, ["st-luke"], []), only=("label:PSY",))
    await say(home, mine, said)
    assert len((await read(home, who("clinician@st-luke"), mine)).rows) == 1


async def test_a_claim_that_a_crash_cut_off_is_the_patients_all_the_same(
    folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Home.open(folder, settings(clock)) as home:
        patient = await new_patient(home, ["mercy", "st-luke"], custodian="mercy")

        def crash(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(type(home.people), "finish_claim", crash)
        with pytest.raises(KeyboardInterrupt):
            await claim(home, patient, EVIDENCE, witness="st-luke")
        monkeypatch.undo()
    async with Home.open(folder, settings(clock)) as home:
        mine = home.patient(1)
        assert mine.custodian is None
        assert (await read(home, who("patient:1"), mine)).rows == ()
        assert home.people.register.custodian_of(1) == (None,)
        assert not (folder / "people" / "patient-1.claim").exists()


async def test_rules_that_a_crash_kept_from_the_wallet_come_back_from_the_policy(home: Home) -> None:
    patient = await new_patient(home, ["mercy", "st-luke"])
    old = (home.folder / "people" / "patient-1.wallet").read_bytes()
    await say(home, patient, Said(Effect.DENY, only=("label:PSY",)))
    (home.folder / "people" / "patient-1.wallet").write_bytes(old)
    assert [rule.terms for rule in home.patient(1).wallet.rules] == [(("label:PSY",),)]


async def test_a_custodian_narrows_alone_and_keeps_what_was_refused(home: Home) -> None:
    patient = await new_patient(home, ["mercy", "st-luke"], custodian="mercy")
    readers = await readers_of(home, ["st-luke"], [])
    said = Said(Effect.PERMIT, readers, excepts=("label:PSY",), data_since="2019")
    granted = await say(home, patient, said, evidence=EVIDENCE, witness="st-luke")
    taken = await revoke(home, granted.patient, rules_named(granted.patient, [1], []))
    assert [rule.effect for rule in taken.patient.wallet.rules] == [Effect.DENY]


async def test_a_network_that_was_closed_long_ago_answers_at_once(folder: Path, clock: Clock) -> None:
    async with Home.open(folder, settings(clock)) as home:
        patient = await new_patient(home, ["mercy"])
        await sealed(home, patient.wallet.subject)
        await read(home, who("patient:1"), patient)
    clock.now += DAY_MS
    async with Home.open(folder, settings(clock)) as home:
        assert len((await read(home, who("patient:1"), home.patient(1))).rows) == 3
