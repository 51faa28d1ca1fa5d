"""`salus consent grant|deny|revoke|show|why|freeze|thaw`: what a patient allows, in words that people use."""

from typing import TYPE_CHECKING, Annotated

import typer

from salus.cli.commands.patients import evidence_digest, patient_of
from salus.cli.options import AsJson, AsPatient, Evidence, HomeFolder, Via, Witness, with_examples
from salus.cli.output import Output
from salus.cli.running import run

if TYPE_CHECKING:
    from salus.cli.actions.consents import Changed, Explained, Shown
    from salus.cli.home import Home
    from salus.cli.rules import Said
    from salus.contracts.consent import Effect

To = Annotated[list[str], typer.Option("--to", help="A hospital, clinician@mercy, or anyone; repeat it for more.")]
For = Annotated[list[str], typer.Option("--for", help="A purpose: TREAT, HRESCH, … or treatment, research, …")]
Role = Annotated[list[str], typer.Option("--role", help="Only people with this role, such as clinician.")]
Except = Annotated[list[str], typer.Option("--except", help="But not these: label:PSY, 'mental health', code:…")]
Only = Annotated[list[str], typer.Option("--only", help="Only these, named: label:SUD, 'substance use', code:…")]
Since = Annotated[str | None, typer.Option("--since", help="Only data since: 2019, 2019-05 or 2019-05-03.")]
DataUntil = Annotated[str | None, typer.Option("--data-until", help="Only data before this day.")]
Until = Annotated[str | None, typer.Option("--until", help="In force until this day (UTC), not including it.")]
From = Annotated[str | None, typer.Option("--from", help="In force from this day (UTC) on.")]
Author = Annotated[list[str], typer.Option("--author", help="Only what this hospital wrote.")]
Type = Annotated[list[str], typer.Option("--type", help="Only this FHIR type, such as Observation.")]


def add_to(app: typer.Typer) -> None:
    """Add this group."""
    group = typer.Typer(help="What patients allow and refuse, and why.", no_args_is_help=True, rich_markup_mode=None)
    for command in (grant, deny, revoke, show, why, freeze, thaw):
        group.command(help=with_examples(command.__doc__))(command)
    app.add_typer(group, name="consent")


def grant(
    as_: AsPatient,
    to: To,
    purposes: For,
    excepts: Except = [],  # noqa: B006  typer copies defaults
    only: Only = [],  # noqa: B006
    since: Since = None,
    data_until: DataUntil = None,
    until: Until = None,
    from_: From = None,
    author: Author = [],  # noqa: B006
    type_: Type = [],  # noqa: B006
    role: Role = [],  # noqa: B006
    evidence: Evidence = None,
    witness: Witness = None,
    via: Via = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Let someone use your records. Some information must be named to be opened at all: see --only.

    Examples:
      salus consent grant --as patient:1 --to st-luke --for TREAT --except label:PSY --since 2019 --until 2027-05-01
      salus consent grant --as patient:1 --to clinician@mercy --for treatment --only "substance use"
      salus consent grant --as patient:1 --to anyone --role researcher --for research --type Observation
    """

    async def act(place: "Home", output: Output) -> None:
        from salus.contracts.consent import Effect

        said = await _said(
            place, Effect.PERMIT, to, role, purposes, excepts, only, since, data_until, until, from_, author, type_
        )
        await _say(place, output, as_, said, via, evidence_digest(output, evidence), witness)

    run(act, home, as_json)


def deny(
    as_: AsPatient,
    to: To = [],  # noqa: B006
    purposes: For = [],  # noqa: B006
    excepts: Except = [],  # noqa: B006
    only: Only = [],  # noqa: B006
    since: Since = None,
    data_until: DataUntil = None,
    until: Until = None,
    from_: From = None,
    author: Author = [],  # noqa: B006
    type_: Type = [],  # noqa: B006
    role: Role = [],  # noqa: B006
    via: Via = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Refuse someone, or everyone, the use of your records. A refusal beats every grant.

    Examples:
      salus consent deny --as patient:1 --to northgate
      salus consent deny --as patient:1 --only "mental health"
      salus consent deny --as patient:1 --for research
    """

    async def act(place: "Home", output: Output) -> None:
        from salus.contracts.consent import Effect

        said = await _said(
            place, Effect.DENY, to, role, purposes, excepts, only, since, data_until, until, from_, author, type_
        )
        await _say(place, output, as_, said, via, None, None)

    run(act, home, as_json)


def revoke(
    as_: AsPatient,
    rule: Annotated[list[int], typer.Option("--rule", help="A rule's number, as `consent show` has it.")] = [],  # noqa: B006
    to: Annotated[list[str], typer.Option("--to", help="All rules that speak to these alone.")] = [],  # noqa: B006
    all_: Annotated[bool, typer.Option("--all", help="Every rule that allows something.")] = False,
    via: Via = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Take rules back. Refused everywhere from the next block on, but for the minute that a keeper may lag.

    Examples:
      salus consent revoke --as patient:1 --rule 2
      salus consent revoke --as patient:1 --to st-luke
      salus consent revoke --as patient:1 --all
    """

    if not (rule or to or all_):
        raise typer.BadParameter("say which: --rule NUMBER, --to MEMBER or --all", param_hint="--rule")

    async def act(place: "Home", output: Output) -> None:
        from salus.cli.actions import consents
        from salus.contracts.consent import Effect

        patient = place.patient(patient_of(as_))
        readers = await consents.readers_of(place, to, [])
        gone = consents.rules_named(patient, rule, readers)
        if all_:
            gone = [one for one in patient.wallet.rules if one.effect is Effect.PERMIT]
        changed = await consents.revoke(place, patient, gone, via=via)
        _show_changed(output, changed, "Taken back")

    run(act, home, as_json)


def show(as_: AsPatient, via: Via = None, home: HomeFolder = None, as_json: AsJson = False) -> None:
    """Show your consent: rules with their numbers, who writes about you, who keeps the keys.

    Examples:
      salus consent show --as patient:1
    """

    async def act(place: "Home", output: Output) -> None:
        from salus.cli.actions import consents

        _show(output, consents.show(place, place.patient(patient_of(as_)), via=via))

    run(act, home, as_json)


def why(
    as_: AsPatient,
    reader: Annotated[str, typer.Option("--reader", help="Who would read: clinician@st-luke.")],
    purpose: Annotated[str, typer.Option("--for", help="For what: TREAT, HRESCH, … or treatment, …")] = "TREAT",
    document: Annotated[
        str | None, typer.Option("--document", help="One document: its id in `salus read`, or Type/id.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="The reason that the reader would type.")] = "",
    via: Via = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Say what someone would get of your record, and why: group by group, with the rules that answer.

    Examples:
      salus consent why --as patient:1 --reader clinician@st-luke --for TREAT
      salus consent why --as patient:1 --reader researcher@mercy --for research --document Observation/17
    """

    async def act(place: "Home", output: Output) -> None:
        from salus.cli.actions import consents
        from salus.cli.identity import StaffName, who
        from salus.cli.words import purpose_of

        acting = who(reader)
        if not isinstance(acting, StaffName):
            raise typer.BadParameter("a member's person, such as clinician@st-luke", param_hint="--reader")
        patient = place.patient(patient_of(as_))
        found = await consents.why(
            place, patient, acting, purpose_of(purpose), reason=reason, document=document, via=via
        )
        for group in found.groups:
            _show_group(output, group)
        if not found.groups:
            output.say("There are no records.")
        if not found.is_whole:
            output.note(f"{patient.custodian} keeps the keys and knows its own records alone; the others are not here.")
        output.result({"groups": [_group(group) for group in found.groups], "is_whole": found.is_whole})

    run(act, home, as_json)


def freeze(as_: AsPatient, via: Via = None, home: HomeFolder = None, as_json: AsJson = False) -> None:
    """Stop every use of your record but your own and emergencies, at once and without any keeper.

    Examples:
      salus consent freeze --as patient:1
    """

    async def act(place: "Home", output: Output) -> None:
        from salus.cli.actions import consents

        height = await consents.freeze(place, place.patient(patient_of(as_)), via=via)
        output.say(f"Frozen, from block {height} on. Open it again with: salus consent thaw")
        output.result({"status": "frozen", "height": height})

    run(act, home, as_json)


def thaw(as_: AsPatient, via: Via = None, home: HomeFolder = None, as_json: AsJson = False) -> None:
    """Open a frozen record again; the rules are as they were.

    Examples:
      salus consent thaw --as patient:1
    """

    async def act(place: "Home", output: Output) -> None:
        from salus.cli.actions import consents

        height = await consents.thaw(place, place.patient(patient_of(as_)), via=via)
        output.say(f"Open again, from block {height} on.")
        output.result({"status": "live", "height": height})

    run(act, home, as_json)


async def _said(
    place: "Home",
    effect: "Effect",
    to: list[str],
    role: list[str],
    purposes: list[str],
    excepts: list[str],
    only: list[str],
    since: str | None,
    data_until: str | None,
    until: str | None,
    from_: str | None,
    author: list[str],
    type_: list[str],
) -> "Said":
    """All words understood, before anything is asked of the network."""
    from salus.cli.actions.consents import readers_of
    from salus.cli.rules import Said, check_period
    from salus.cli.words import moment_of, purpose_of, term_of, type_of

    said = Said(
        effect=effect,
        purposes=tuple(purpose_of(word) for word in purposes),
        only=tuple(term_of(word) for word in only),
        excepts=tuple(term_of(word) for word in excepts),
        data_since=since,
        data_until=data_until,
        begins=None if from_ is None else moment_of(from_),
        ends=None if until is None else moment_of(until),
        types=tuple(type_of(word) for word in type_),
        authors=tuple(place.member(name).name for name in author),
    )
    check_period(said, place.network.settings.clock())
    from dataclasses import replace

    return replace(said, readers=await readers_of(place, to, role))


async def _say(
    place: "Home",
    output: Output,
    as_: str,
    said: "Said",
    via: str | None,
    evidence: bytes | None,
    witness: str | None,
) -> None:
    from salus.cli.actions import consents

    patient = place.patient(patient_of(as_))
    changed = await consents.say(place, patient, said, via=via, evidence=evidence, witness=witness)
    _show_changed(output, changed, "In force")


def _show_changed(output: Output, changed: "Changed", how: str) -> None:
    for rule in changed.rules:
        output.say(f"{how} from block {changed.height} on: {rule}")
    output.result({"patient": changed.patient.number, "height": changed.height, "rules": list(changed.rules)})


def _show(output: Output, shown: "Shown") -> None:
    from salus.cli.words import shown_day

    keys = f"kept by {shown.custodian}" if shown.custodian else "on an own device"
    output.say(f"patient:{shown.patient.number}: {shown.status}, version {shown.version}; keys {keys}.")
    writers = [w.member if w.until is None else f"{w.member} (until {shown_day(w.until)})" for w in shown.writers]
    output.say(f"Writers: {', '.join(writers)}.")
    for number, (_, text) in enumerate(shown.rules, 1):
        output.say(f"{number:>3}. {text}")
    if not shown.rules:
        output.say("There are no rules: what the law says holds.")
    output.result(
        {
            "patient": shown.patient.number,
            "status": shown.status,
            "version": shown.version,
            "custodian": shown.custodian,
            "writers": [{"member": writer.member, "until_ms": writer.until} for writer in shown.writers],
            "rules": [
                {"number": number, "id": rule.rule_id.hex(), "effect": rule.effect.value, "sentence": text}
                for number, (rule, text) in enumerate(shown.rules, 1)
            ],
        }
    )


def _show_group(output: Output, group: "Explained") -> None:
    answer = "open" if group.decision.permitted else "closed"
    types = ", ".join(f"{count} {name}" for name, count in group.types)
    output.say(f"{answer:<6} {group.count:>4} of {group.author}: {types}")
    for reason in group.decision.reasons:
        output.say(f"            {reason.sentence}{f' [{reason.rule}]' if '/' in reason.rule else ''}")
    for rule in group.rules:
        output.say(f"            Rule: {rule}")
    if group.decision.obligations:
        output.say(f"            On condition: {', '.join(group.decision.obligations)}")


def _group(group: "Explained") -> dict[str, object]:
    return {
        "author": group.author,
        "records": group.count,
        "types": dict(group.types),
        "permitted": group.decision.permitted,
        "reasons": [
            {"code": one.code.value, "sentence": one.sentence, "rule": one.rule} for one in group.decision.reasons
        ],
        "obligations": list(group.decision.obligations),
        "rules": list(group.rules),
    }
