"""`salus members, proposals, vote, propose …`: what members decide together, by their operators."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from salus.cli.options import AsJson, HomeFolder, with_examples
from salus.cli.output import Output
from salus.cli.running import run

if TYPE_CHECKING:
    from salus.cli.actions.governance import Standing
    from salus.cli.home import Home
    from salus.contracts.members.messages import Change
    from salus.core.ids import Digest

AsMember = Annotated[str, typer.Option("--as", help="The member whose operator acts, with its ledger key: mercy.")]
At = Annotated[int, typer.Option("--at", min=0, help="The height from which it holds. [default: at once]")]
Make = Callable[["Home"], "tuple[Change, ...]"]

_ID_SHOWN = 8


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    group = typer.Typer(
        help="Put a change to the members' vote. More than two thirds decide; nobody can alone.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    commands: dict[str, Callable[..., None]] = {
        "add-member": add_member,
        "remove-member": remove_member,
        "validator": validator,
        "reinstate": reinstate,
        "keys": keys,
        "quota": quota,
        "committee": committee,
        "seats": seats,
        "pack": pack,
        "limits": limits,
        "upgrade": upgrade,
        "cancel": cancel,
    }
    for name, command in commands.items():
        group.command(name, help=with_examples(command.__doc__))(command)
    app.add_typer(group, name="propose")
    app.command(help=with_examples(vote.__doc__))(vote)
    app.command(help=with_examples(proposals.__doc__))(proposals)
    app.command(help=with_examples(members.__doc__))(members)


def add_member(
    name: Annotated[str, typer.Argument(help="The new member's short public name.")],
    as_: AsMember,
    jurisdiction: Annotated[str, typer.Option("--jurisdiction", help="Whose law it follows: us, eu.")] = "us",
    quota_bytes: Annotated[int, typer.Option("--quota-bytes", help="What it may sponsor per block.")] = 1 << 20,
    keeps_out: Annotated[bool, typer.Option("--no-validator", help="It does not sign blocks.")] = False,
    at: At = 0,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Let an organisation in. Its keys are made in its own folder, members/NAME, and sign that it wants to join.

    Examples:
      salus propose add-member southport --as mercy
      salus propose add-member southport --as mercy --jurisdiction eu --no-validator
    """

    def make(place: "Home") -> "tuple[Change, ...]":
        from salus.cli.actions.governance import adding

        validates = not keeps_out
        return (adding(place, name, jurisdiction=jurisdiction, validator=validates, quota_bytes=quota_bytes),)

    _propose(make, as_, at, home, as_json)


def remove_member(
    name: Annotated[str, typer.Argument(help="The member that goes.")],
    as_: AsMember,
    successor: Annotated[
        str, typer.Option("--successor", help="Who answers for its records, credentials and patients.")
    ],
    seat_to: Annotated[str | None, typer.Option("--seat-to", help="Who takes its seats in committees.")] = None,
    fewer_seats: Annotated[bool, typer.Option("--fewer-seats", help="Its seats are given up.")] = False,
    at: At = 0,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Let a member go. Its seats move first, to a new epoch: authors deal what it kept again.

    Examples:
      salus propose remove-member northgate --as mercy --successor lakeside --fewer-seats
      salus propose remove-member northgate --as mercy --successor lakeside --seat-to southport
    """

    def make(place: "Home") -> "tuple[Change, ...]":
        from salus.cli.actions.governance import removing

        return removing(place, name, successor=successor, seat_to=seat_to, fewer_seats=fewer_seats)

    _propose(make, as_, at, home, as_json)


def validator(
    name: Annotated[str, typer.Argument(help="The member.")],
    as_: AsMember,
    stops: Annotated[bool, typer.Option("--stop", help="It signs blocks no longer.")] = False,
    at: At = 0,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Let a member sign blocks, or no longer.

    Examples:
      salus propose validator southport --as mercy
      salus propose validator northgate --as mercy --stop
    """

    def make(place: "Home") -> "tuple[Change, ...]":
        from salus.cli.actions.governance import entry_of
        from salus.contracts.members.messages import SetValidator
        from salus.core.ids import MemberId

        return (SetValidator(MemberId(name), entry_of(place, name).version, not stops),)

    _propose(make, as_, at, home, as_json)


def reinstate(
    name: Annotated[str, typer.Argument(help="The suspended member.")],
    as_: AsMember,
    at: At = 0,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Let a member validate and vote again that was suspended on evidence; `salus members` shows why.

    Examples:
      salus propose reinstate northgate --as mercy
    """

    def make(place: "Home") -> "tuple[Change, ...]":
        from salus.cli.actions.governance import entry_of
        from salus.contracts.members.messages import Reinstate
        from salus.core.ids import MemberId

        return (Reinstate(MemberId(name), entry_of(place, name).version),)

    _propose(make, as_, at, home, as_json)


def keys(
    name: Annotated[str, typer.Argument(help="The member.")],
    as_: AsMember,
    duty: Annotated[
        list[str],
        typer.Option(
            "--duty", help="ledger, validator, keeper, sealing, gateway, tls or checkpoint; repeat it. [default: all]"
        ),
    ] = [],  # noqa: B006
    at: At = 0,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Give a member new keys: made in its folder, in use as soon as the members have decided.

    Examples:
      salus propose keys northgate --as northgate
      salus propose keys northgate --as mercy --duty keeper --duty sealing
    """
    unknown = set(duty) - {"ledger", "validator", "keeper", "sealing", "gateway", "tls", "checkpoint"}
    if unknown:
        raise typer.BadParameter(f"{sorted(unknown)[0]} is no duty of a key", param_hint="--duty")

    def make(place: "Home") -> "tuple[Change, ...]":
        from salus.cli.actions.governance import rekeying

        return (rekeying(place, name, duty),)

    _propose(make, as_, at, home, as_json)


def quota(
    name: Annotated[str, typer.Argument(help="The member.")],
    quota_bytes: Annotated[int, typer.Argument(min=0, help="Transaction bytes per block.")],
    as_: AsMember,
    at: At = 0,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Change how much a member may sponsor per block.

    Examples:
      salus propose quota mercy 2097152 --as mercy
    """

    def make(place: "Home") -> "tuple[Change, ...]":
        from salus.cli.actions.governance import entry_of
        from salus.contracts.members.messages import SetQuota
        from salus.core.ids import MemberId

        return (SetQuota(MemberId(name), entry_of(place, name).version, quota_bytes),)

    _propose(make, as_, at, home, as_json)


def committee(
    seat: Annotated[list[str], typer.Option("--seat", help="Who sits on the next seat; repeat it.")],
    as_: AsMember,
    at: At = 0,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Seat keepers for further patients.

    Examples:
      salus propose committee --seat mercy --seat st-luke --seat lakeside --as mercy
    """

    def make(place: "Home") -> "tuple[Change, ...]":
        from salus.cli.actions.governance import new_committee_id
        from salus.contracts.members.messages import NewCommittee
        from salus.core.ids import MemberId

        return (NewCommittee(committee=new_committee_id(), seats=tuple(MemberId(name) for name in seat)),)

    _propose(make, as_, at, home, as_json)


def seats(
    committee: Annotated[str, typer.Argument(help="The committee's id, or how it begins.")],
    seat: Annotated[list[str], typer.Option("--seat", help="Who sits on the next seat; repeat it.")],
    as_: AsMember,
    at: At = 0,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Seat a committee anew, at its next epoch.

    Examples:
      salus propose seats 3f9a41 --seat mercy --seat st-luke --seat lakeside --seat southport --as mercy
    """

    def make(place: "Home") -> "tuple[Change, ...]":
        from salus.cli.actions.governance import seating

        return (seating(place, committee, seat),)

    _propose(make, as_, at, home, as_json)


def pack(
    file: Annotated[Path, typer.Argument(help="The pack: a jurisdiction's defaults and statute, as JSON.")],
    as_: AsMember,
    at: At = 0,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Put another pack in force. Its root goes on the ledger; members that run here find the file by it.

    Send the file to the others: each gives it with its vote, or puts it into the folder `packs` of its network.

    Examples:
      salus propose pack us-2027.json --as mercy
    """

    async def act(place: "Home", output: Output) -> None:
        from salus.cli.actions.governance import packing, propose
        from salus.cli.actions.ledger import read_file

        change = packing(place, read_file(output.path(file)))
        tell_outcome(output, *await propose(place, as_, (change,), at))

    run(act, home, as_json)


def limits(
    as_: AsMember,
    lane_bytes: Annotated[int | None, typer.Option("--lane-bytes", min=0, help="Per member, for revocations.")] = None,
    transaction_bytes: Annotated[
        int | None, typer.Option("--transaction-bytes", min=0, help="Per transaction.")
    ] = None,
    messages: Annotated[int | None, typer.Option("--messages", min=0, help="Per transaction.")] = None,
    block_bytes: Annotated[int | None, typer.Option("--block-bytes", min=0, help="Per block.")] = None,
    at: At = 0,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Change the limits that all members enforce; those not named stay.

    Examples:
      salus propose limits --block-bytes 8388608 --as mercy
    """

    def make(place: "Home") -> "tuple[Change, ...]":
        from salus.cli.actions.governance import limiting

        change = limiting(
            place,
            lane_bytes=lane_bytes,
            transaction_bytes_max=transaction_bytes,
            messages_max=messages,
            block_bytes_max=block_bytes,
        )
        return (change,)

    _propose(make, as_, at, home, as_json)


def upgrade(
    rules: Annotated[int, typer.Argument(min=1, help="The version of the rules.")],
    from_height: Annotated[int, typer.Option("--from", min=1, help="The first block under these rules.")],
    as_: AsMember,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Let other rules be in force from a height on. A program that does not know them stops there.

    Examples:
      salus propose upgrade 2 --from 100000 --as mercy
    """

    def make(place: "Home") -> "tuple[Change, ...]":
        from salus.contracts.members.messages import Upgrade

        return (Upgrade(rules=rules, from_height=from_height),)

    _propose(make, as_, 0, home, as_json)


def cancel(
    proposal: Annotated[str, typer.Argument(help="The proposal's id, or how it begins.")],
    as_: AsMember,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Take back a proposal that is undecided, or accepted and waiting for its height.

    Examples:
      salus propose cancel 3f9a41 --as mercy
    """

    def make(place: "Home") -> "tuple[Change, ...]":
        from salus.cli.actions.governance import proposal_named
        from salus.contracts.members.messages import Cancel

        return (Cancel(proposal_named(place, proposal)),)

    _propose(make, as_, 0, home, as_json)


def vote(
    proposal: Annotated[str, typer.Argument(help="The proposal's id, or how it begins.")],
    as_: AsMember,
    reject: Annotated[bool, typer.Option("--reject", help="Say no.")] = False,
    pack: Annotated[
        Path | None, typer.Option("--pack", help="The file of the pack that is proposed, to keep here.")
    ] = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Approve a proposal, or reject it; once. With more than two thirds it happens, with a third against it ends.

    Examples:
      salus vote 3f9a41 --as st-luke
      salus vote 3f9a41 --as lakeside --reject
      salus vote 3f9a41 --as lakeside --pack us-2027.json
    """

    async def act(place: "Home", output: Output) -> None:
        from salus.cli.actions.governance import vote as give
        from salus.cli.actions.ledger import read_file

        data = None if pack is None else read_file(output.path(pack))
        tell_outcome(output, *await give(place, as_, proposal, approve=not reject, pack=data))

    run(act, home, as_json)


def proposals(
    every: Annotated[bool, typer.Option("--all", help="Those that are decided, too.")] = False,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """List what is to be decided: who proposed what, who said yes or no, and until when.

    Examples:
      salus proposals
      salus proposals --all
    """

    async def act(place: "Home", output: Output) -> None:
        from salus.cli.actions.governance import all_proposals
        from salus.cli.words import shown_time

        found = [one for one in all_proposals(place) if every or one.proposal.standing.value in ("open", "accepted")]
        rows = [
            [
                one.proposal_id.hex()[:_ID_SHOWN],
                "; ".join(_said(change) for change in one.proposal.changes),
                one.proposal.standing.value + (f" ({one.proposal.code})" if one.proposal.code else ""),
                ", ".join(one.proposal.approvals),
                ", ".join(one.proposal.rejections),
                shown_time(one.proposal.expires),
            ]
            for one in found
        ]
        output.table(["id", "changes", "standing", "yes", "no", "until"], rows)
        output.result({"proposals": [_shown(one) for one in found]})

    run(act, home, as_json)


def members(home: HomeFolder = None, as_json: AsJson = False) -> None:
    """Show who is a member: validators, suspensions with their evidence, quotas, seats; and the rules in force.

    Examples:
      salus members
    """

    async def act(place: "Home", output: Output) -> None:
        from salus.cli.actions.membership import shown_members

        found = shown_members(place)
        rows = [
            [one.name, one.jurisdiction, one.validates, f"{one.quota_bytes:,}", ", ".join(one.seats), one.suspended]
            for one in found.members
        ]
        output.table(["member", "place", "validator", "bytes/block", "seats", "suspended"], rows)
        for one in found.committees:
            behind = [f"; batches dealt to epoch {epoch} still: {count:,}" for epoch, count in one.behind]
            output.say(f"committee {one.id}: epoch {one.epoch}{''.join(behind)}")
        for gone, successor in found.departed:
            output.say(f"{gone} has left; {successor} answers for what it authored.")
        for since, version in found.rules:
            output.say(f"rules {version} from block {since}")
        output.result(found.as_json)

    run(act, home, as_json)


def _propose(make: Make, as_: str, at: int, home: Path | None, as_json: bool) -> None:
    async def act(place: "Home", output: Output) -> None:
        from salus.cli.actions.governance import propose

        tell_outcome(output, *await propose(place, as_, make(place), at))

    run(act, home, as_json)


def tell_outcome(output: Output, standing: "Standing", tx_id: "Digest") -> None:
    """Say how a proposal stands after a transaction, and end with both as data."""
    output.result({**tell_standing(output, standing), "tx_id": tx_id.hex()})


def tell_standing(output: Output, standing: "Standing") -> dict[str, object]:
    """Say how a proposal stands; the same as plain data."""
    proposal, shown = standing.proposal, standing.proposal_id.hex()[:_ID_SHOWN]
    output.say(f"Proposal {shown}: " + "; ".join(_said(change) for change in proposal.changes) + ".")
    counts = f"{len(proposal.approvals)} yes and {len(proposal.rejections)} no of {standing.members} members"
    if proposal.standing.value == "open":
        output.say(f"It is open, with {counts}; {standing.needed} must approve. Others: salus vote {shown} --as MEMBER")
    elif proposal.standing.value == "accepted":
        output.say(f"It is accepted, with {counts}, and waits for block {proposal.activate_at}.")
    else:
        output.say(f"It is {proposal.standing.value}, with {counts}.")
    for pack in standing.lacks_packs:
        output.note(
            f"This folder lacks the {pack.jurisdiction} pack with root {pack.root.hex()[:_ID_SHOWN]}: once it is in "
            "force, members here write nothing until they have it. Get its file, and put it into the folder `packs` "
            "beside `members`; it may also be given with the vote (--pack FILE)."
        )
    for name, count in standing.left_behind:
        output.note(
            f"{name} wrote {count:,} batches that it has not dealt to the new seats: once it is gone, a successor does "
            "this, and asks those who hold them now, as every patient's log shows. In good order the seats move first "
            "(salus propose seats …); the member goes when `salus members` shows nothing of its own behind."
        )
    return _shown(standing)


def _said(change: "Change") -> str:
    """A change in a few words: its kind, and whom or what it names."""
    kind = str(change.__struct_config__.tag).split("/")[0].split(".")[1].replace("_", " ")
    for field in ("member", "jurisdiction", "rules", "committee", "proposal_id"):
        named = getattr(change, field, None)
        if named is not None:
            return f"{kind} {named.hex()[:_ID_SHOWN] if isinstance(named, bytes) else named}"
    return kind


def _shown(standing: "Standing") -> dict[str, object]:
    proposal = standing.proposal
    return {
        "id": standing.proposal_id.hex(),
        "proposer": proposal.proposer,
        "changes": [{"kind": str(one.__struct_config__.tag), "said": _said(one)} for one in proposal.changes],
        "standing": proposal.standing.value,
        "code": proposal.code,
        "approvals": list(proposal.approvals),
        "rejections": list(proposal.rejections),
        "members": standing.members,
        "needed": standing.needed,
        "height": proposal.height,
        "activate_at": proposal.activate_at,
        "decided": proposal.decided,
        "expires_ms": proposal.expires,
        "lacks_packs": [pack.root.hex() for pack in standing.lacks_packs],
        "left_behind": dict(standing.left_behind),
    }
