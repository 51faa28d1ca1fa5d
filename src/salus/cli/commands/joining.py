"""`salus init, invite, join, leave`: members on machines of their own."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from salus.cli.options import AsJson, HomeFolder, with_examples
from salus.cli.output import Output, OwnStreams, own_screen
from salus.cli.running import here_only, is_serving, run

if TYPE_CHECKING:
    from salus.cli.home import Home

NAME_PATTERN = r"[a-z0-9][a-z0-9-]{0,31}"
Cards = Annotated[list[Path], typer.Argument(help="The cards of those who are to be members: lakeside.card.")]
AsMember = Annotated[
    str | None, typer.Option("--as", help="The member that acts, where more than one lives in the folder.")
]


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (init, invite, join, leave):
        app.command(help=with_examples(command.__doc__))(command)


def init(
    name: Annotated[str, typer.Argument(help="The organisation's short public name: mercy.")],
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", "--home", help="The member's folder. [default: $SALUS_HOME, else ./salus-data]", show_default=False
        ),
    ] = None,
    jurisdiction: Annotated[str, typer.Option("--jurisdiction", help="Whose law it follows: us, eu.")] = "us",
    chain: Annotated[
        str, typer.Option("--chain", help="The running network that it wants to join; for a new one, leave it out.")
    ] = "",
    listen: Annotated[str, typer.Option("--listen", help="The address of this machine to listen at.")] = "127.0.0.1",
    reach: Annotated[
        str, typer.Option("--reach", help="The host by which others reach it, where that is another.")
    ] = "",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65_529, help="The first of seven ports. [default: free ones]")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Begin a member in a folder of its own: its keys, which never leave it, and a card to be invited by.

    Send NAME.card to whoever invites; it holds nothing secret. To repeat this keeps keys and addresses, and writes the
    card anew.

    Examples:
      salus init mercy --to /srv/salus/mercy --listen 10.1.0.5 --port 26600
      salus init southport --to /srv/salus/southport --chain salus-19a3 --jurisdiction eu
    """
    from salus.cli.folder import home_folder
    from salus.core.ids import ChainId, MemberId
    from salus.node.cards import card_file, card_id, fingerprint
    from salus.node.enlisting import begin

    here_only()
    _check_name(name)
    _check_jurisdiction(jurisdiction)
    output = Output(OwnStreams(), own_screen(), as_json=as_json)
    folder = home_folder(to)
    card = begin(
        folder,
        MemberId(name),
        jurisdiction=jurisdiction,
        chain=ChainId(chain),
        listen=listen,
        reach=reach,
        first_port=port,
    )
    file, shown = card_file(folder, card.member), fingerprint(card_id(card))
    output.say(f"{name} has its keys in {folder}. They stay there; keep a backup of the folder.")
    output.say(f"Its card is {file}: send it to whoever invites.")
    output.say(f"Fingerprint of the card, to compare by telephone: {shown}")
    places = {"engine": card.endpoints.engine, "keeper": card.endpoints.keeper, "gateway": card.endpoints.gateway}
    output.table(["reached by", "at"], [[part, at] for part, at in {**places, "light clients": card.light}.items()])
    output.result({"member": name, "card": str(file), "fingerprint": shown, **places, "light": card.light})


def invite(
    card: Cards,
    to: Annotated[Path, typer.Option("--to", help="The file to write the invitation to.")],
    as_: AsMember = None,
    chain: Annotated[
        str, typer.Option("--chain", help="A name for the network that begins. [default: salus- and a number]")
    ] = "",
    keeps_out: Annotated[bool, typer.Option("--no-validator", help="The new members do not sign blocks.")] = False,
    quota_bytes: Annotated[int, typer.Option("--quota-bytes", help="What each may sponsor per block.")] = 1 << 20,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Invite others by their cards. Where there is no network yet, this founds it; a running one votes on them.

    The first time, the network is founded by this member and all whose cards are given. Later, members are put to the
    vote (`salus vote`), and may join before it is decided. The invitation holds nothing secret; it is good for a week.

    Examples:
      salus invite st-luke.card lakeside.card northgate.card --to four.invitation
      salus invite southport.card --to southport.invitation
    """
    from salus.cli.folder import home_folder
    from salus.node.enlisting import is_begun, is_joined

    folder = home_folder(home)
    if not is_serving() and is_begun(folder):
        from salus.cli.actions.joining import founding_again

        output = Output(OwnStreams(), own_screen(), as_json=as_json)
        if not is_joined(folder) or founding_again(folder, [output.path(path) for path in card]):
            _found(folder, [output.path(path) for path in card], chain, output.path(to), output)
            return

    async def act(place: "Home", output: Output) -> None:
        from salus.cli.actions.joining import invite as propose_all

        cards = [output.path(path) for path in card]
        made = await propose_all(place, as_, cards, output.path(to), validator=not keeps_out, quota_bytes=quota_bytes)
        names = ", ".join(made.names)
        output.say(f"The invitation for {names} is {output.path(to)}: send it to them. It is good for a week.")
        output.say(f"Fingerprint, to compare by telephone: {made.fingerprint}")
        if made.proposal is not None:
            output.say(f"The members decide: salus vote {made.proposal.hex()[:8]} --as MEMBER, at each of them.")
        output.result(
            {
                "members": list(made.names),
                "invitation": str(output.path(to)),
                "fingerprint": made.fingerprint,
                "proposal": None if made.proposal is None else made.proposal.hex(),
                "cards": made.cards,
            }
        )

    run(act, home, as_json)


def join(
    invitation: Annotated[Path, typer.Argument(help="The invitation that you were sent.")],
    fingerprint: Annotated[
        str, typer.Option("--fingerprint", help="As it was read to you by telephone; join only if it is the same.")
    ] = "",
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Accept an invitation in the folder where `salus init` was; then `salus up` there starts the member.

    A running network is joined from a block that this machine has verified itself. To repeat it is harmless.

    Examples:
      salus join four.invitation
      salus join southport.invitation --home /srv/salus/southport --fingerprint "3f9a 41c0 …"
    """
    import asyncio

    from salus.cli.actions.joining import join as accept
    from salus.cli.folder import home_folder

    here_only()
    output = Output(OwnStreams(), own_screen(), as_json=as_json)
    folder = home_folder(home)
    joined = asyncio.run(accept(folder, output.path(invitation), fingerprint))
    if joined.is_new:
        output.say(f"{joined.member} belongs to the network {joined.chain} now, invited by {joined.inviter}.")
    else:
        output.say(f"{joined.member} had joined {joined.chain} already; nothing was changed.")
    output.say(f"Fingerprint of the invitation: {joined.fingerprint}")
    if not fingerprint:
        output.say(f"Compare it with {joined.inviter} by telephone before you go on.")
    if joined.trust_height:
        output.say(f"It begins from a snapshot of the ledger, at or after block {joined.trust_height}.")
    output.say(f"Start it: salus up --home {folder}")
    output.result(
        {
            "member": joined.member,
            "chain": joined.chain,
            "inviter": joined.inviter,
            "members": list(joined.members),
            "fingerprint": joined.fingerprint,
            "trust_height": joined.trust_height,
            "was_there": not joined.is_new,
        }
    )


def leave(
    successor: Annotated[
        str, typer.Option("--successor", help="Who answers for its records, credentials and patients.")
    ],
    seat_to: Annotated[str | None, typer.Option("--seat-to", help="Who takes its seats in committees.")] = None,
    fewer_seats: Annotated[bool, typer.Option("--fewer-seats", help="Its seats are given up.")] = False,
    as_: AsMember = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Ask the members to let this member go. When they have decided, its processes end by themselves.

    Examples:
      salus leave --successor lakeside --fewer-seats
      salus leave --successor lakeside --seat-to southport --as northgate
    """

    async def act(place: "Home", output: Output) -> None:
        from salus.cli.actions.governance import propose, removing
        from salus.cli.actions.joining import sole_member
        from salus.cli.commands.governance import tell_outcome

        name = sole_member(place, as_)
        changes = removing(place, name, successor=successor, seat_to=seat_to, fewer_seats=fewer_seats)
        tell_outcome(output, *await propose(place, name, changes))

    run(act, home, as_json)


def _found(folder: Path, cards: list[Path], chain: str, to: Path, output: Output) -> None:
    from salus.cli.actions.joining import found

    made = found(folder, cards, chain, to)
    if made.is_new:
        output.say(f"The network {made.chain} begins with {', '.join(made.members)}.")
    output.say(f"The invitation for {', '.join(made.names)} is {to}: send it to them. It is good for a week.")
    output.say(f"Fingerprint, to compare by telephone: {made.fingerprint}")
    output.table(["card", "fingerprint"], [[name, shown] for name, shown in made.cards.items()])
    output.say(f"Start this member: salus up --home {folder}")
    output.result(
        {
            "chain": made.chain,
            "members": list(made.members),
            "invitation": str(to),
            "fingerprint": made.fingerprint,
            "cards": made.cards,
            "was_there": not made.is_new,
        }
    )


def _check_name(name: str) -> None:
    import re

    if re.fullmatch(NAME_PATTERN, name) is None:
        raise typer.BadParameter(
            "a name has lower-case letters, digits and hyphens, at most 32 of them", param_hint="NAME"
        )


def _check_jurisdiction(jurisdiction: str) -> None:
    from salus.sdk.packs import SHIPPED

    if jurisdiction not in SHIPPED:
        raise typer.BadParameter(f"{jurisdiction} is not one of {', '.join(SHIPPED)}", param_hint="--jurisdiction")
