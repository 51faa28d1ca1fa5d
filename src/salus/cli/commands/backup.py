"""`salus backup, restore, recovery-key`: a member in one encrypted file, and back."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from salus.cli.options import AsJson, HomeFolder, with_examples
from salus.cli.output import Output, OwnStreams, Progress, own_screen
from salus.cli.running import here_only

if TYPE_CHECKING:
    from salus.node.backup.taking import OnProgress, Taken

OfMembers = Annotated[
    list[str] | None, typer.Option("--member", help="Whose backup, if not of all members that live in the folder.")
]
PassphraseFile = Annotated[
    Path | None,
    typer.Option("--passphrase-file", help="A file whose first line is the passphrase. Else it is asked for."),
]
PublicKey = Annotated[
    Path | None,
    typer.Option(
        "--recovery-key", help="Seal the backup to this public key (see `salus recovery-key`), with no passphrase."
    ),
]
SecretKey = Annotated[
    Path | None, typer.Option("--recovery-key", help="Open the backup with this secret key, not with a passphrase.")
]
WithVault = Annotated[
    bool | None,
    typer.Option(
        "--with-vault/--without-vault",
        help="Put the vault's ciphertext in. [default: only where all members run in one process]",
        show_default=False,
    ),
]
PUBLIC = ".pub"
_MIB = 1 << 20


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command("backup", help=with_examples(backup.__doc__))(backup)
    app.command("restore", help=with_examples(restore.__doc__))(restore)
    app.command("recovery-key", help=with_examples(recovery_key.__doc__))(recovery_key)


def backup(
    to_file: Annotated[Path, typer.Argument(help="The file to write. It must not exist yet.")],
    home: HomeFolder = None,
    member: OfMembers = None,
    passphrase_file: PassphraseFile = None,
    recovery_key: PublicKey = None,
    with_vault: WithVault = None,
    as_json: AsJson = False,
) -> None:
    """Write a member's backup into one encrypted file, while it runs.

    In it are the member's secret keys (also those that encrypt its databases and are never in one), its addresses,
    its databases with key shares, consents and access log, the genesis, packs, and its people's keys. Whoever has the
    file and the passphrase IS this member: keep them in two places.

    Not in it, where members run apart: the ledger, which comes back from the other members, and the vault's
    ciphertext, which other vaults have too (`--with-vault` puts it in). Where all members run in one process
    nobody else has them: both are in it, unless you say `--without-vault`. What `stores.toml` names on an S3 server
    stays there. Databases on PostgreSQL are read in one snapshot; `pg_dump` is quicker where they are large.

    Examples:
      salus backup /backups/mercy-monday
      salus backup /backups/mercy-monday --member mercy --passphrase-file /etc/salus/passphrase
      salus backup /backups/mercy-monday --recovery-key recovery.pub
    """
    from salus.cli.folder import home_folder
    from salus.core.ids import MemberId
    from salus.node.backup.taking import take

    output = _begin(as_json)
    folder = home_folder(home)
    recovery = None if recovery_key is None else _read(recovery_key)
    passphrase = None if recovery is not None else _passphrase(passphrase_file, is_new=True)
    _check_members(folder, member or [])
    with output.progress("MiB taken") as progress:
        taken = take(
            folder,
            to_file,
            [MemberId(name) for name in member or []],
            passphrase=passphrase,
            recovery=recovery,
            with_vault=with_vault,
            on_progress=_shown(progress),
        )
    output.say(f"The backup of {', '.join(taken.members)} is in {to_file}: {taken.files} files.")
    output.say(_left_out(taken))
    output.say(
        f"Keep {'the passphrase' if passphrase else 'the secret recovery key'} elsewhere: nothing else opens it."
    )
    output.result({"file": str(to_file), "encrypted_bytes": to_file.stat().st_size, **_as_json(taken)})


def restore(
    file: Annotated[Path, typer.Argument(help="The backup.")],
    into: Annotated[Path, typer.Option("--into", help="A new or empty folder, or a network's that lacks this member.")],
    passphrase_file: PassphraseFile = None,
    recovery_key: SecretKey = None,
    votes_at_once: Annotated[
        bool,
        typer.Option(
            "--votes-at-once",
            help="Validate at once: only if the network stands still without this member, and its old machine is off.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a folder of a backup again, whole or not at all. A file that was changed or cut off is found.

    Turn the old machine off first: one member on two machines signs twice, and is suspended.

    Started there, the member serves nobody until it has caught up: it drops what patients have closed since, fetches
    consents from the other members, gets from authors what its keeper missed, and lets its access log go on above all
    numbers that may have been used. See it with `salus status`. Its validator looks on until the first new block.

    Examples:
      salus restore /backups/mercy-monday --into /srv/salus
      salus restore /backups/mercy-monday --into /srv/salus --passphrase-file /etc/salus/passphrase
      salus restore /backups/mercy-monday --into /srv/salus --recovery-key recovery
    """
    from salus.crypto.hpke import OpeningKey
    from salus.node.backup.putting_back import put_back

    output = _begin(as_json)
    recovery = None if recovery_key is None else OpeningKey(_read(recovery_key))
    passphrase = None if recovery is not None else _passphrase(passphrase_file, is_new=False)
    with output.progress("MiB put back") as progress:
        taken = put_back(
            file,
            into,
            passphrase=passphrase,
            recovery=recovery,
            votes_at_once=votes_at_once,
            on_progress=_shown(progress),
        )
    output.say(f"{', '.join(taken.members)} of {taken.chain} is in {into}, as it was at {_moment(taken)}.")
    output.say(f"Start it with: salus up --home {into}")
    output.say(f"It serves once it has caught up; see: salus status --home {into}")
    output.result({"folder": str(into), **_as_json(taken)})


def recovery_key(
    file: Annotated[Path, typer.Argument(help="Where the secret key goes; the public one beside it, with .pub.")],
    as_json: AsJson = False,
) -> None:
    """Make a key for backups that nobody at the machine can open: the public half seals, the secret half opens.

    Move the secret half away from this machine, onto two media in two safes. Without it those backups are lost.

    Examples:
      salus recovery-key recovery
    """
    import os

    from salus.crypto.hpke import SEED_BYTES, OpeningKey
    from salus.node.keys import FolderError, write_secret

    output = _begin(as_json)
    seed = os.urandom(SEED_BYTES)
    public = file.with_name(file.name + PUBLIC)
    try:
        write_secret(file, seed)
        write_secret(public, OpeningKey(seed).public)
    except OSError as error:
        raise FolderError(reason=error.strerror or type(error).__name__) from None
    output.say(f"The secret key is in {file}: move it to a safe place. Backups need {public} alone.")
    output.result({"secret": str(file), "public": str(public)})


def _begin(as_json: bool) -> Output:
    here_only()
    return Output(OwnStreams(), own_screen(), as_json=as_json)


def _check_members(folder: Path, names: list[str]) -> None:
    from salus.cli.errors import UnknownMemberError
    from salus.node.folder import members_here, read_genesis

    here = members_here(folder, read_genesis(folder))
    for name in names:
        if name not in here:
            raise UnknownMemberError(member=name)


def _passphrase(file: Path | None, *, is_new: bool) -> str:
    if file is not None:
        return _read(file).decode(errors="replace").partition("\n")[0].rstrip("\r")
    typed: str = typer.prompt("Passphrase", hide_input=True, confirmation_prompt=is_new, err=True)
    return typed


def _read(path: Path) -> bytes:
    from salus.cli.errors import FileError

    try:
        return path.read_bytes()
    except OSError as error:
        raise FileError(reason=error.strerror or type(error).__name__) from None


def _shown(progress: Progress) -> "OnProgress":
    return lambda done, now: progress.at(done // _MIB, now)


def _left_out(taken: "Taken") -> str:
    missing = ["the ledger"] * (not taken.has_ledger) + ["the vault"] * (not taken.has_vault)
    if not missing:
        return "Ledger and vault are in it."
    return f"Not in it: {' and '.join(missing)}; the other members have what is in them."


def _moment(taken: "Taken") -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(taken.taken / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _as_json(taken: "Taken") -> dict[str, object]:
    from dataclasses import asdict

    return {**asdict(taken), "members": list(taken.members)}
