"""Where the `salus` command begins, and the only place where it ends: with an exit code and never with a traceback
for what a person could have foreseen. `told.py` lists the codes.
"""

import os
import sys
from collections.abc import Sequence

from salus.core.errors import SalusError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    from salus.cli.app import parse
    from salus.cli.running import command_line

    words = sys.argv[1:] if argv is None else list(argv)
    token = command_line.set(words)
    try:
        return parse(words)
    except SalusError as error:
        return _told(error, words)
    except BrokenPipeError:
        # Whoever read our output has gone; say nothing more, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    finally:
        command_line.reset(token)


def _told(error: SalusError, words: Sequence[str]) -> int:
    from salus.cli.output import Output, OwnStreams, Screen
    from salus.cli.serving import tell_error

    return tell_error(error, Output(OwnStreams(), Screen(), as_json="--json" in words))


if __name__ == "__main__":
    sys.exit(main())
