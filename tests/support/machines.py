"""Members as if each were on a machine of its own: a folder each, nothing shared but what is sent by mail."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from salus.cli.main import main
from salus.core.ids import MemberId
from salus.node.folder import member_folder
from salus.node.site import read_site, write_site
from tests.support.apart import UP_S, apart, started

FOUR = ("mercy", "st-luke", "lakeside", "northgate")
Said = Callable[[], tuple[bytes, bytes]]


@dataclass
class Machines:
    """All machines of a test. `mail` is where files lie that people send each other."""

    place: Path
    said: Said
    processes: dict[str, int] = field(default_factory=dict)  # Of their supervisors, by member.
    _stacks: dict[str, ExitStack] = field(default_factory=dict)

    @property
    def mail(self) -> Path:
        folder = self.place / "mail"
        folder.mkdir(exist_ok=True)
        return folder

    def folder(self, name: str) -> Path:
        return self.place / name

    def run(self, name: str, *words: str) -> tuple[int, str, str]:
        """A command on a member's machine: exit code, standard output, standard error."""
        self.said()
        code = main([*words, "--home", str(self.folder(name))])
        out, err = self.said()
        return code, out.decode(), err.decode()

    def json(self, name: str, *words: str) -> dict[str, object]:
        """The JSON result of a command that must succeed."""
        code, out, err = self.run(name, *words, "--json")
        assert code == 0, out + err
        result = json.loads(out.splitlines()[-1])
        assert isinstance(result, dict)
        return result

    def refused(self, name: str, *words: str) -> str:
        """The code of the error by which a command ends that must not succeed."""
        code, out, err = self.run(name, *words, "--json")
        assert code in (3, 4, 5, 6), out + err
        found = json.loads(out.splitlines()[-1])["error"]["code"]
        assert isinstance(found, str)
        return found

    def refused_or_none(self, name: str, *words: str) -> str | None:
        """The code of the error by which a command ends, if it does not succeed."""
        code, out, _ = self.run(name, *words, "--json")
        return None if code == 0 else str(json.loads(out.splitlines()[-1])["error"]["code"])

    def init(self, name: str, *options: str, snapshot_every_blocks: int | None = None) -> Path:
        """Begin a member, and send its card."""
        made = self.json(name, "init", name, *options)
        if snapshot_every_blocks is not None:
            place = member_folder(self.folder(name), MemberId(name))
            write_site(place, replace(read_site(place), snapshot_every_blocks=snapshot_every_blocks))
        card = self.mail / f"{name}.card"
        card.write_bytes(Path(str(made["card"])).read_bytes())
        return card

    def founded(self, names: Sequence[str] = FOUR, snapshot_every_blocks: int | None = None) -> dict[str, object]:
        """A network of these members, who all have joined; what the inviter was told."""
        first, *others = names
        cards = {name: self.init(name, snapshot_every_blocks=snapshot_every_blocks) for name in names}
        invitation = self.mail / "all.invitation"
        told = self.json(first, "invite", *(str(cards[name]) for name in others), "--to", str(invitation))
        for name in others:
            self.json(name, "join", str(invitation), "--fingerprint", str(told["fingerprint"]))
        return told

    def up(self, *names: str) -> None:
        """Start these, each by itself."""
        for name in names:
            stack = self._stacks[name] = ExitStack()
            self.processes[name] = stack.enter_context(apart(self.folder(name)))

    def up_for_a_moment(self, name: str) -> None:
        """Start one that must end by itself, in order."""
        process = started(self.folder(name))
        assert process.wait(UP_S) == 0, self.log(name)

    def down(self, *names: str) -> None:
        """Stop these in order."""
        for name in names:
            self._stacks.pop(name).close()

    def log(self, name: str) -> str:
        """What `salus up` has said on a member's machine."""
        return (self.folder(name) / "up.log").read_text()


@contextmanager
def machines(place: Path, said: Said) -> Iterator[Machines]:
    """Machines, all of which are down at the end."""
    made = Machines(place, said)
    try:
        yield made
    finally:
        made.down(*list(made._stacks))
