"""`salus ledger snapshots`, `salus ledger snapshot make|compare|restore|prune`: the ledger's state in pieces."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from salus.cli.options import AsJson, HomeFolder, with_examples
from salus.cli.output import Output, OwnStreams, counted, own_screen
from salus.cli.running import here_only

if TYPE_CHECKING:
    from salus.node.snapshots import Listed

_HASH_SHOWN = 16
_BY_HAND = "by hand"
Member = Annotated[str | None, typer.Option("--member", help="Whose copy of the ledger. [default: the first here]")]


def add_to(group: typer.Typer) -> None:
    """Add these commands to those of the ledger."""
    group.command(help=with_examples(snapshots.__doc__))(snapshots)
    inner = typer.Typer(help="One snapshot of the ledger's state.", no_args_is_help=True, rich_markup_mode=None)
    for command in (make, compare, restore, prune):
        inner.command(help=with_examples(command.__doc__))(command)
    group.add_typer(inner, name="snapshot")


def snapshots(home: HomeFolder = None, as_json: AsJson = False) -> None:
    """List the snapshots that lie here: those that members make by themselves, and those made by hand.

    Members' snapshots at one height have the same hash: what differs is another state.

    Examples:
      salus ledger snapshots
      salus ledger snapshots --json
    """
    from salus.cli.folder import home_folder
    from salus.node.snapshots import listed

    here_only()
    output = Output(OwnStreams(), own_screen(), as_json=as_json)
    found = listed(home_folder(home))
    if not found:
        output.say("There is no snapshot here. Make one: salus ledger snapshot make")
    else:
        output.table(["where", "height", "time", "pieces", "MiB", "proof", "hash"], [_row(one) for one in found])
    output.result({"snapshots": [_as_json(one) for one in found]})


def make(
    member: Member = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="The folder to put it into. [default: `snapshots` in the network's]")
    ] = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Make a snapshot of the newest final state, with the proof that the members signed its root.

    The network may be up meanwhile; members that run apart must be, since their engine gives the proof.

    Examples:
      salus ledger snapshot make
      salus ledger snapshot make --member st-luke --to /srv/archive
    """
    import asyncio

    from salus.cli.actions.snapshots import member_here, reported
    from salus.cli.folder import home_folder
    from salus.engines.cometbft.unit import SNAPSHOTS_FOLDER
    from salus.node.snapshots import make as make_one

    here_only()
    output = Output(OwnStreams(), own_screen(), as_json=as_json)
    folder = home_folder(home)
    name = member_here(folder, member)
    with reported():
        made = asyncio.run(make_one(folder, name, folder / SNAPSHOTS_FOLDER if to is None else output.path(to)))
    output.say(f"{made.place}: block {made.height}, {counted(made.pieces, 'piece')}, {made.size_bytes} bytes.")
    output.say(f"Its hash, to compare with other members': {_hash(made)}")
    output.result(_as_json(made))


def compare(
    places: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders of snapshots. [default: all that lie here]", metavar="[FOLDER]…"),
    ] = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Check every piece of snapshots, and whether those at one height are the same. Exit code 1 where they are not.

    Examples:
      salus ledger snapshot compare
      salus ledger snapshot compare ./snapshots/120 ./of-st-luke/120
    """
    from salus.cli.actions.snapshots import compared
    from salus.cli.folder import home_folder

    here_only()
    output = Output(OwnStreams(), own_screen(), as_json=as_json)
    found = compared(home_folder(home), [output.path(place) for place in places or ()])
    for one in found:
        where = ", ".join(one.places)
        if one.damaged:
            output.say(f"DAMAGED at block {one.height}: {where}: {one.damaged}")
        else:
            output.say(f"block {one.height}: {one.hash} in {counted(len(one.places), 'place')}: {where}")
    heights = [one.height for one in found if not one.damaged]
    differ = sorted({height for height in heights if heights.count(height) > 1})
    for height in differ:
        output.say(f"NOT THE SAME at block {height}: one of these members has another state.")
    is_same = not differ and not any(one.damaged for one in found)
    output.result({"same": is_same, "differ": differ, "snapshots": [one.as_json for one in found]})
    if not is_same:
        raise typer.Exit(1)


def restore(
    place: Annotated[Path, typer.Argument(help="The folder of the snapshot, with its proof.")],
    to: Annotated[Path, typer.Option("--to", help="The folder of the ledger; it must not be there yet.")],
    member: Member = None,
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", help="A checkpoint to trust: for a snapshot long after the genesis.")
    ] = None,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Put a snapshot back as a ledger. Its root is believed by its proof alone, each piece by its hash.

    In a network of one process the member then catches up from the others. A member that runs apart needs none of
    this: with an empty folder it joins by a snapshot itself.

    Examples:
      salus ledger snapshot restore ./snapshots/120 --to ./salus-data/members/mercy/ledger --member mercy
      salus ledger snapshot restore /srv/archive/120 --to ./to-look-at
    """
    from salus.cli.actions.ledger import read_checkpoints
    from salus.cli.actions.snapshots import member_here, reported
    from salus.cli.folder import home_folder
    from salus.cli.words import shown_time
    from salus.node.folder import read_genesis
    from salus.node.snapshots import restore as put_back

    here_only()
    output = Output(OwnStreams(), own_screen(), as_json=as_json)
    folder = home_folder(home)
    genesis, name = read_genesis(folder), member_here(folder, member)
    checkpoints = read_checkpoints(None if checkpoint is None else output.path(checkpoint))
    with reported():
        header = put_back(output.path(place), output.path(to), genesis, member=name, checkpoints=checkpoints)
    output.say(f"{output.path(to)} holds the ledger of {header.chain} as of block {header.height} of")
    output.say(f"{shown_time(header.time)} UTC; its root is the one that the members signed.")
    output.result({"ledger": str(output.path(to)), "height": header.height, "app_hash": header.app_hash.hex()})


def prune(
    keep: Annotated[int, typer.Option("--keep", min=0, help="How many of the newest stay.")],
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Delete the oldest snapshots that were made by hand here. Members prune their own by themselves.

    Examples:
      salus ledger snapshot prune --keep 2
    """
    from salus.cli.folder import home_folder
    from salus.engines.cometbft.unit import SNAPSHOTS_FOLDER
    from salus.engines.snapshots import prune as forget
    from salus.node.folder import read_genesis

    here_only()
    output = Output(OwnStreams(), own_screen(), as_json=as_json)
    folder = home_folder(home)
    read_genesis(folder)
    gone = forget(folder / SNAPSHOTS_FOLDER, keep)
    output.say(f"{counted(len(gone), 'snapshot')} deleted.")
    output.result({"deleted": gone})


def _row(one: "Listed") -> list[str]:
    from salus.cli.words import shown_time

    size = f"{one.size_bytes / (1 << 20):.1f}"
    time = shown_time(one.time) if one.time else "?"
    proof = "yes" if one.is_proven else ""
    return [one.where or _BY_HAND, str(one.height), time, str(one.pieces), size, proof, _hash(one)[:_HASH_SHOWN]]


def _hash(one: "Listed") -> str:
    return "DAMAGED" if one.hash is None else one.hash.hex()


def _as_json(one: "Listed") -> dict[str, object]:
    return {
        "where": one.where,
        "folder": str(one.place),
        "height": one.height,
        "hash": None if one.hash is None else one.hash.hex(),
        "pieces": one.pieces,
        "size_bytes": one.size_bytes,
        "time_ms": one.time,
        "has_proof": one.is_proven,
    }
