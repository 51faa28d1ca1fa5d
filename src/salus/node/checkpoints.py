"""The checkpoints that a member keeps: one a day, a file each in its folder, by height.

    members/mercy/checkpoints/000000004711   a `SignedCheckpoint`

The keeper process writes them (`checkpointing.py`); receipts and `salus checkpoint` read them.
"""

from collections.abc import Iterator
from pathlib import Path

from salus.contracts.members.messages import Genesis
from salus.core.errors import IntegrityError, MalformedError
from salus.core.ids import Height, TimeMs
from salus.core.wire import decode, encode
from salus.engines.cometbft.checkpoints import CheckpointError, SignedCheckpoint, chain_to
from salus.engines.cometbft.light import MS_NS
from salus.engines.cometbft.receipts import POLICY
from salus.node.keys import FolderError, write_secret

CHECKPOINTS_FOLDER = "checkpoints"
_DIGITS = 12


class KeptCheckpointError(IntegrityError):
    """A checkpoint in the member's folder is damaged: delete its file; others have it too."""

    code = "node.kept_checkpoint"


def keep_checkpoint(folder: Path, signed: SignedCheckpoint) -> None:
    """Keep one in a member's folder, durably.

    Raises:
        FolderError: it cannot be written.
    """
    place = folder / CHECKPOINTS_FOLDER
    try:
        place.mkdir(exist_ok=True, mode=0o700)
        write_secret(place / f"{signed.checkpoint.height:0{_DIGITS}}", encode(signed), replace=True)
    except OSError as error:
        raise FolderError(reason=error.strerror or type(error).__name__) from None


def kept_checkpoints(folder: Path, height_max: Height | None = None) -> Iterator[SignedCheckpoint]:
    """Those in a member's folder, up to a height, newest first; each is read when it is asked for.

    Raises:
        KeptCheckpointError: one is damaged.
    """
    named = (path for path in (folder / CHECKPOINTS_FOLDER).glob("[0-9]" * _DIGITS))
    for path in sorted(named, reverse=True):
        if height_max is None or int(path.name) <= height_max:
            try:
                yield decode(SignedCheckpoint, path.read_bytes())
            except (OSError, MalformedError):
                raise KeptCheckpointError(height=int(path.name)) from None


def checkpoints_to(folder: Path, genesis: Genesis, height_max: Height) -> tuple[SignedCheckpoint, ...]:
    """The way from the genesis to the newest checkpoint up to a height; empty where there is none.

    Raises:
        KeptCheckpointError: one is damaged.
        CheckpointError: no way leads there.
    """
    found = kept_checkpoints(folder, height_max)
    newest = next(found, None)
    if newest is None:
        return ()
    try:
        return chain_to((newest,), genesis)
    except CheckpointError:
        return chain_to((newest, *found), genesis)


def is_beyond(genesis: Genesis, time: TimeMs) -> bool:
    """Whether a genesis is too old to vouch for what happened at this time."""
    return genesis.time + POLICY.period_ns // MS_NS <= time
