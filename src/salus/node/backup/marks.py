"""What a member that was put back says of itself, so that its validator looks on first: `engine/restored`.

It is the time of restoring, in milliseconds. Keeper and gateway need no such mark: their databases say it themselves.
"""

from pathlib import Path

from salus.core.errors import IntegrityError
from salus.core.ids import TimeMs
from salus.engines.cometbft.unit import ENGINE_FOLDER
from salus.node.keys import write_secret

RESTORED_FILE = "restored"


class MarkError(IntegrityError):
    """The file that says when this member was restored cannot be read: write the time of restoring into it again."""

    code = "backup.mark"


def mark_restored(member: Path, now: TimeMs) -> None:
    """Let the member's validator look on until a block was made after this moment."""
    (member / ENGINE_FOLDER).mkdir(exist_ok=True, mode=0o700)
    write_secret(member / ENGINE_FOLDER / RESTORED_FILE, str(now).encode())


def restored_at(member: Path) -> TimeMs | None:
    """When this member was put back, if its validator has not begun since.

    Raises:
        MarkError: the file does not say.
    """
    try:
        return int((member / ENGINE_FOLDER / RESTORED_FILE).read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        raise MarkError from None


def forget_restored(member: Path) -> None:
    """From now on it votes."""
    (member / ENGINE_FOLDER / RESTORED_FILE).unlink()
