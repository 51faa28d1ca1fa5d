"""`salus ledger show|check|snapshots|snapshot, receipt, verify`: what stands on the ledger, and its proof."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from salus.cli.commands import snapshots
from salus.cli.options import AsJson, HomeFolder, with_examples
from salus.cli.output import Output, OwnStreams, own_screen
from salus.cli.running import here_only, run

if TYPE_CHECKING:
    from salus.cli.actions.ledger import BlockLine, Verified
    from salus.cli.home import Home
    from salus.engines.check import Report
    from salus.engines.engine import Ledger

_ID_SHOWN = 16
_LOOK_EVERY_S = 0.1


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    group = typer.Typer(help="What stands on the ledger.", no_args_is_help=True, rich_markup_mode=None)
    group.command(help=with_examples(show.__doc__))(show)
    group.command(help=with_examples(check.__doc__))(check)
    snapshots.add_to(group)
    app.add_typer(group, name="ledger")
    app.command(help=with_examples(receipt.__doc__))(receipt)
    app.command(help=with_examples(verify.__doc__))(verify)
    app.command(help=with_examples(checkpoint.__doc__))(checkpoint)


def show(
    block: Annotated[int | None, typer.Option("--block", min=1, help="One block, by its height.")] = None,
    tx: Annotated[str | None, typer.Option("--tx", help="The block that holds this transaction.")] = None,
    count: Annotated[int, typer.Option("--count", min=1, help="How many blocks with transactions to list.")] = 10,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Show blocks and transactions: ids, sponsors and kinds, since nothing else is there.

    Examples:
      salus ledger show
      salus ledger show --block 12
      salus ledger show --tx 3f9a41
    """

    async def act(place: "Home", output: Output) -> None:
        from salus.cli.actions import ledger
        from salus.cli.words import shown_time
        from salus.contracts.members.reads import members_of

        if block is not None:
            lines = [ledger.block_at(place, block)]
        elif tx is not None:
            lines = [ledger.block_of(place, tx)]
        else:
            lines = ledger.newest_blocks(place, count)
        newest = place.network.ledger
        members = members_of(newest.state)
        output.say(f"{newest.chain}: {len(members)} members ({', '.join(members)}), {newest.height} blocks.")
        rows = [
            [str(line.height), shown_time(line.time), one.sponsor, ", ".join(one.messages), one.code, one.tx_id.hex()]
            for line in lines
            for one in line.transactions
        ]
        output.table(["block", "time", "sponsor", "messages", "result", "transaction"], rows)
        output.result({"chain": newest.chain, "height": newest.height, "blocks": [_block(line) for line in lines]})

    run(act, home, as_json)


def check(
    member: Annotated[list[str], typer.Option("--member", help="Only this member's copy; repeat it for more.")] = [],  # noqa: B006
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Work the whole ledger out again from its first block, at every member, and compare. Exit code 1 if it differs.

    Examples:
      salus ledger check
      salus ledger check --member mercy --json
    """

    async def act(place: "Home", output: Output) -> None:
        names = [place.member(name).name for name in member] or [one.name for one in place.network.members]
        found: list[dict[str, object]] = []
        for name in names:
            report = await _checked(place.member(name).ledger, output)
            sound = "sound" if report.is_sound else "NOT SOUND"
            output.say(f"{name}: {sound}; {report.height} blocks, {report.transactions} transactions replayed.")
            wrong = [{"what": one.what, "height": one.height, "detail": one.detail} for one in report.differences]
            for one in report.differences:
                output.say(f"    {one.what} at block {one.height}: {one.detail}")
            figures = {"height": report.height, "transactions": report.transactions, "votes": report.votes}
            found.append({"member": name, "is_sound": report.is_sound, **figures, "differences": wrong})
            output.exit_code |= not report.is_sound
        output.result({"members": found, "is_sound": output.exit_code == 0})

    run(act, home, as_json)


async def _checked(copy: "Ledger", output: Output) -> "Report":
    """Check one copy in a thread, so that whoever uses this network meanwhile is not kept waiting."""
    import asyncio

    from salus.engines.check import check_ledger

    at = [0]
    checking = asyncio.create_task(
        asyncio.to_thread(check_ledger, copy, lambda done, _: at.__setitem__(0, done), signed=copy.keeps_votes)
    )
    with output.progress(f"blocks of {copy.member}", copy.height) as progress:
        while not (await asyncio.wait({checking}, timeout=_LOOK_EVERY_S))[0]:
            progress.at(at[0])
    return await checking


def receipt(
    tx: Annotated[str, typer.Argument(help="The transaction's id, or how it begins.")],
    to: Annotated[Path | None, typer.Option("--output", "-o", help="Where to write it. [default: ID.receipt]")] = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Write the receipt of a transaction: its proof, which anybody checks offline with the genesis file alone.

    Examples:
      salus receipt 3f9a41 -o grant.receipt
      salus verify grant.receipt
    """

    async def act(place: "Home", output: Output) -> None:
        from salus.cli.actions.ledger import receipt_of, write_file

        tx_id, data = await receipt_of(place, tx)
        path = output.path(to or Path(f"{tx_id.hex()[:_ID_SHOWN]}.receipt"))
        write_file(path, data)
        output.say(f"{path}: {len(data)} bytes. Check it with: salus verify {path.name}")
        output.result({"tx_id": tx_id.hex(), "file": str(path), "size_bytes": len(data)})

    run(act, home, as_json)


def verify(
    file: Annotated[Path, typer.Argument(help="The receipt.")],
    genesis: Annotated[
        Path | None, typer.Option("--genesis", help="The network's genesis file. [default: the home folder's]")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", help="A checkpoint to trust: for receipts long after the genesis.")
    ] = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Check a receipt offline: no network, no clock, no trust in who shows it. Fails if it does not hold.

    Examples:
      salus verify grant.receipt
      salus verify grant.receipt --genesis ./genesis
      salus verify grant.receipt --genesis ./genesis --checkpoint ./checkpoint
    """
    from salus.cli.actions.ledger import verify_file
    from salus.cli.folder import home_folder

    here_only()
    output = Output(OwnStreams(), own_screen(), as_json=as_json)
    found = verify_file(file, genesis or home_folder(home), checkpoint)
    _show_verified(output, found)


def checkpoint(
    of: Annotated[str | None, typer.Option("--of", help="Whose copy. [default: the newest one here]")] = None,
    to: Annotated[Path | None, typer.Option("--output", "-o", help="Where to write it. [default: nowhere]")] = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Show the newest checkpoint that members signed, or write it to a file: `salus verify` trusts it for receipts.

    Examples:
      salus checkpoint
      salus checkpoint -o checkpoint
      salus verify grant.receipt --checkpoint checkpoint
    """

    async def act(place: "Home", output: Output) -> None:
        from salus.cli.actions.ledger import checkpoint_of, write_file
        from salus.cli.words import shown_time

        found = checkpoint_of(place, of)
        output.say(f"Block {found.height} of {shown_time(found.time)} UTC, header {found.header.hex()}.")
        output.say(f"{len(found.signed_by)} of {found.members} members signed: {', '.join(found.signed_by)}.")
        path = None if to is None else output.path(to)
        if path is not None:
            write_file(path, found.file)
            output.say(f"{path}: {len(found.file)} bytes.")
        output.result(
            {
                "height": found.height,
                "time_ms": found.time,
                "header": found.header.hex(),
                "signed_by": list(found.signed_by),
                "members": found.members,
                "checkpoints": found.checkpoints,
                "file": None if path is None else str(path),
            }
        )

    run(act, home, as_json)


def _show_verified(output: Output, found: "Verified") -> None:
    from salus.cli.words import shown_time

    what = ", ".join(found.messages)
    output.say(f"It holds. On {found.chain}, in block {found.height} of {shown_time(found.time)} UTC,")
    output.say(f"{found.sponsor} sponsored {what}; the result was: {found.code}.")
    output.say(f"{len(found.signed_by)} of {found.validators} validators signed: {', '.join(found.signed_by)}.")
    output.result(
        {
            "holds": True,
            "chain": found.chain,
            "height": found.height,
            "time_ms": found.time,
            "tx_id": found.tx_id.hex(),
            "sponsor": found.sponsor,
            "messages": list(found.messages),
            "result": found.code,
            "signed_by": list(found.signed_by),
            "validators": found.validators,
        }
    )


def _block(line: "BlockLine") -> dict[str, object]:
    return {
        "height": line.height,
        "time_ms": line.time,
        "app_hash": line.app_hash.hex(),
        "signed_by": list(line.signed_by),
        "transactions": [
            {
                "tx_id": one.tx_id.hex(),
                "sponsor": one.sponsor,
                "messages": list(one.messages),
                "result": one.code,
                "size_bytes": one.size_bytes,
            }
            for one in line.transactions
        ],
    }
