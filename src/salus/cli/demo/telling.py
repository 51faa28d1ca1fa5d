"""The demo's voice: numbered acts, a few sentences each, and what did not hold."""

from dataclasses import dataclass, field

from salus.cli.output import Output


@dataclass(slots=True)
class Teller:
    """Tells the story, and remembers every promise that was broken on the way."""

    output: Output
    broken: list[str] = field(default_factory=list)
    _act: int = 0

    def act(self, title: str) -> None:
        """Begin the next act."""
        self._act += 1
        bold, plain = ("\x1b[1m", "\x1b[0m") if self.output.screen.is_terminal else ("", "")
        self.output.say(f"{bold}{self._act}. {title}{plain}")

    def say(self, text: str) -> None:
        """A sentence of the act."""
        self.output.say(f"   {text}")

    def hold(self, is_so: bool, promise: str) -> None:
        """Note a promise that the network must keep; a broken one ends the demo with a failure."""
        if not is_so:
            self.broken.append(promise)
            self.output.say(f"   DID NOT HOLD: {promise}")


def counted(count: int, one: str, many: str = "") -> str:
    """`1 record`, `2 records`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def joined(names: list[str]) -> str:
    """`mercy, lakeside and northgate`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
