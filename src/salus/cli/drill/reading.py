"""Attacks on requests to read: without one, with another's, too late, by somebody else, after something changed.

Each begins where access is allowed and shown to work, so that the one thing that is wrong is what keepers refuse.
"""

from dataclasses import replace as copied

from salus.cli.drill.attack import Outcome, attack, must, verdict
from salus.cli.drill.world import DOCUMENTS_A, Patient, World, leaked, permit, sources
from salus.contracts.reads.messages import Request
from salus.contracts.reads.opening import Opening, commitment, reply_key_digest
from salus.core.errors import RefusalError
from salus.core.ids import HOUR_MS, Purpose, TimeMs
from salus.core.transport import PeerRefusalError
from salus.core.wire import replace
from salus.crypto.hpke import OpeningKey
from salus.machine.block import ACCEPTED
from salus.sdk import consent
from salus.sdk.gateway import new_id, new_secret
from salus.sdk.people import dismiss
from salus.sdk.reader import OpenRead, Reader, open_read
from salus.sdk.views import View

STANDING = "salus.keeper.answers.Answers.standing"
CLINICIAN = "clinician@st-luke"


@attack("read without request", guard=STANDING)
async def without_request(world: World) -> Outcome:
    """Ask the keepers with a proper opening that was never left on the ledger."""
    patient = await _readable(world)
    opening, reply_key = _opening(world, patient)
    return await _asked(world, patient, opening, reply_key, "keeper.no_request")


@attack("opening that differs from its commitment", guard=STANDING)
async def other_opening(world: World) -> Outcome:
    """Leave a request that commits to one purpose, then show keepers an opening with another."""
    patient = await _readable(world)
    opening, reply_key = _opening(world, patient)
    await _request(world, replace(opening, purpose=Purpose("PATRQT")))
    return await _asked(world, patient, opening, reply_key, "keeper.no_request")


@attack("answer to another key", guard=STANDING)
async def other_reply_key(world: World) -> Outcome:
    """Let the ledger hold one reply key and ask keepers to seal their answers to another."""
    patient = await _readable(world)
    opening, reply_key = _opening(world, patient)
    request = replace(_message(world, opening), reply_key_digest=new_secret())
    await world.network["st-luke"].gateway.sponsor(request)
    return await _asked(world, patient, opening, reply_key, "keeper.no_request")


@attack("another reader's request", guard=STANDING)
async def anothers_request(world: World) -> Outcome:
    """Let northgate, which stole st-luke's opening, signature and reply key, ask on its own account."""
    patient = await _readable(world)
    opening, reply_key = _opening(world, patient)
    await _request(world, opening)
    return await _asked(world, patient, opening, reply_key, "keeper.no_request", via="northgate")


@attack("request signed by somebody else", guard="salus.keeper.persons.Persons.reader")
async def anothers_signature(world: World) -> Outcome:
    """Use a colleague's credential and open request with one's own key."""
    patient = await _readable(world)
    opening, reply_key = _opening(world, patient)
    await _request(world, opening)
    colleague = world.reader("researcher@st-luke")
    thief = copied(world.reader(CLINICIAN), key=colleague.key)
    return await _asked(world, patient, opening, reply_key, "keeper.person", reader=thief)


@attack("another person's credential", guard="salus.keeper.persons.Persons.roles")
async def anothers_credential(world: World) -> Outcome:
    """Sign with one's own key and show a colleague's credential."""
    patient = await _readable(world)
    thief = copied(world.reader(CLINICIAN), key=world.reader("researcher@st-luke").key)
    opening, reply_key = _opening(world, patient, thief)
    await _request(world, opening)
    return await _asked(world, patient, opening, reply_key, "keeper.person", reader=thief)


@attack("expired request", guard=STANDING, harmful=True)
async def expired_request(world: World) -> Outcome:
    """Go on asking with a request after its eight hours."""
    patient = await _readable(world)
    opened = await _open(world, patient)
    must(leaked(await opened.ask()) > 0, "the request worked while it was open")
    await world.network.tend()
    await world.turn_clock(8 * HOUR_MS + 1)
    return await _again(opened, "keeper.request_expired")


@attack("request for longer than an encounter", guard="salus.contracts.reads.transitions.request")
async def endless_request(world: World) -> Outcome:
    """Leave a request that stays open for a week."""
    opening, _ = _opening(world, world.a)
    request = replace(_message(world, opening), expires=world.clock() + 7 * 24 * HOUR_MS)
    said = await world.propose(world.tx("st-luke", request))
    return verdict(said[0] == ACCEPTED, said[0], "reads.expires_too_late")


@attack("revoked credential", guard="salus.keeper.persons.Persons.roles")
async def revoked_credential(world: World) -> Outcome:
    """Go on reading on an open request after one's employer has ended the credential."""
    patient = await _readable(world)
    person = await world.employ("st-luke", "locum")
    opened = await _open(world, patient, "locum@st-luke")
    must(leaked(await opened.ask()) > 0, "the credential was good before")
    await dismiss(world.network["st-luke"].gateway, person.credential_id)
    return await _again(opened, "keeper.person")


@attack("consent revoked in between", guard="salus.keeper.policies.Policies.current")
async def consent_revoked(world: World) -> Outcome:
    """Ask again on an open request after the patient has revoked."""
    patient = await _readable(world)
    opened = await _open(world, patient)
    must(sources(patient, await opened.ask()) == set(patient.records), "the consent was good before")
    await world.allow(patient)
    view = await _later(world, opened).ask()
    return verdict(leaked(view) > 0, _why(world, patient), "nobody_permits")


@attack("memory outlives consent", guard="salus.sdk.unified.UnifiedRead._still_holds")
async def memory_outlives_consent(world: World) -> Outcome:
    """Let a gateway that has the plaintext in memory show it again after the patient has revoked."""
    patient = await world.new_patient(DOCUMENTS_A)
    await world.allow(patient, permit("mercy", purposes=(Purpose("TREAT"),)))
    page = world.network["mercy"].reading(world.reader("clinician@mercy"), world.wanted(patient))
    must("laboratory" in sources(patient, (await page.read()).view), "the consent was good before")
    must((await page.read()).from_memory, "the gateway answers from memory")
    await world.allow(patient)
    again = await page.read()
    happened = "laboratory" in sources(patient, again.view)
    return verdict(happened, "memory" if again.from_memory else "asked again", "asked again")


@attack("cell frozen in between", guard="salus.keeper.answers.Answers._judged")
async def cell_frozen(world: World) -> Outcome:
    """Ask again on an open request after the patient has frozen the cell."""
    patient = await _readable(world)
    opened = await _open(world, patient)
    must(leaked(await opened.ask()) > 0, "the cell was live before")
    await consent.freeze(world.network["mercy"].gateway, patient.wallet)
    view = await _later(world, opened).ask()
    return verdict(leaked(view) > 0, _why(world, patient), "cell_frozen")


# Hands.


async def _readable(world: World) -> Patient:
    """A patient whose whole record st-luke's staff may read for treatment, the substance-use episode included."""
    patient = await world.new_patient(DOCUMENTS_A)
    named = permit("st-luke", purposes=(Purpose("TREAT"),), terms=(("label:SUD",),))
    await world.allow(patient, permit("st-luke", purposes=(Purpose("TREAT"),)), named)
    return patient


def _opening(world: World, patient: Patient, reader: Reader | None = None) -> tuple[Opening, OpeningKey]:
    """A proper opening by st-luke's clinician, which no request stands for yet."""
    who = reader or world.reader(CLINICIAN)
    reply_key = OpeningKey(new_secret())
    opening = Opening(
        chain=world.network.genesis.chain,
        request_id=new_id(),
        salt=new_secret(),
        subject=patient.wallet.subject,
        member=world.network["st-luke"].name,
        key=who.key.public,
        credential_id=who.credential_id,
        purpose=Purpose("TREAT"),
        reason="",
        selection=world.wanted(patient).selection,
        reply_key=reply_key.public,
    )
    return opening, reply_key


def _message(world: World, opening: Opening) -> Request:
    return Request(
        request_id=opening.request_id,
        commitment=commitment(opening),
        reply_key_digest=reply_key_digest(opening.reply_key),
        expires=_expires(world),
    )


def _expires(world: World) -> TimeMs:
    return world.clock() + HOUR_MS


async def _request(world: World, opening: Opening) -> None:
    await world.network["st-luke"].gateway.sponsor(_message(world, opening))


async def _open(world: World, patient: Patient, who: str = CLINICIAN) -> OpenRead:
    return await open_read(world.network["st-luke"].gateway, world.reader(who), world.wanted(patient))


async def _asked(
    world: World,
    patient: Patient,
    opening: Opening,
    reply_key: OpeningKey,
    expected: str,
    *,
    via: str = "st-luke",
    reader: Reader | None = None,
) -> Outcome:
    """Ask all keepers with this opening, and open whatever they release."""
    gateway = world.network[via].gateway
    asking = OpenRead(
        gateway,
        reader or world.reader(CLINICIAN),
        world.wanted(patient),
        opening,
        reply_key,
        _expires(world),
        gateway.view.height,
        None,
    )
    return await _again(asking, expected)


async def _again(asking: OpenRead, expected: str) -> Outcome:
    try:
        view: View = await asking.ask()
    except PeerRefusalError as refusal:
        return verdict(False, refusal.said, expected)
    except RefusalError as refusal:
        return verdict(False, refusal.code, expected)
    return verdict(leaked(view) > 0, f"{len(view.records)} documents in plaintext, {len(view.gaps)} keys", expected)


def _later(world: World, opened: OpenRead) -> OpenRead:
    """The same request, to be answered at the newest height."""
    opened.height = world.network["st-luke"].replica.height
    return opened


def _why(world: World, patient: Patient) -> str:
    return ", ".join(sorted(world.withheld(patient)))
