"""Mixed load under random faults, then the history: `python -m tests.faults.soak --minutes 10 --seed 7`.

Three patients, each with a writer (imports, grants, revocations, freezes, emergencies, one after another) and readers
beside it; meanwhile, one at a time, processes are killed and stopped, the network is cut and slowed. In the end all is
mended, and `history.py` says what must hold. A failure prints the seed and keeps the folder.
"""

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from salus.cli.actions.ledger import verify_file
from salus.machine.block import ACCEPTED
from tests.faults.client import LOST, UNAVAILABLE, Answer, Client
from tests.faults.history import DONE, REFUSED, UNKNOWN, History, Operation, broken, ended, enough_happened
from tests.faults.members import GATEWAY, Members, members
from tests.faults.part import Plan
from tests.faults.people import Person, admitted, observations, reading
from tests.faults.proxy import FAIR, HALF_OPEN, Weather

WRITERS = ("mercy", "st-luke", "lakeside")
FOREIGN = "northgate"  # Writes about nobody: what its clinicians see, a consent lets them see.
PATIENTS = 3
PATIENCE_S = 40.0
RECEIPTS = 12
SLOW = Weather(delay_s=0.1, jitter_s=0.02, loss=0.02)
FAIL_POINTS = ("application.finalize:before", "application.commit:before", "application.commit:after")


@dataclass
class Soak:
    """One run."""

    net: Members
    client: Client
    chance: random.Random
    history: History = field(default_factory=History)
    people: list[Person] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    restarts: Counter[str] = field(default_factory=Counter)
    _handled: set[tuple[str, str]] = field(default_factory=set)  # Processes that a fault has in hand.
    _over: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, minutes: float) -> list[str]:
        """Load and faults for so long, then the checks; what does not hold."""
        await self.net.start()
        for number in range(1, PATIENTS + 1):
            person, sources = await admitted(self.net.folder, self.client, number, WRITERS)
            self.people.append(person)
            first = self.history.begin("import", number, 0.0, sorted(sources))
            ended(first, time.monotonic(), DONE)
        for role in ("clinician", "emergency"):  # Employed, once, while nothing fails.
            await self.client("read", *reading(self.people[0], f"{role}@{FOREIGN}"))
        seeds = [self.chance.random() for _ in range(2 * PATIENTS)]
        workers = [self._writes(person, random.Random(seeds.pop())) for person in self.people]
        workers += [self._reads(person, random.Random(seeds.pop())) for person in self.people]
        tasks = [asyncio.create_task(work) for work in (*workers, self._breaks_things(), self._supervises())]
        with suppress(TimeoutError):
            async with asyncio.timeout(minutes * 60):
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
                for task in done:
                    await task
        self._over.set()
        await asyncio.gather(*tasks)
        await self._mend()
        happened = enough_happened(self.history, self.faults.total(), minutes)
        held = broken(self.history, await self._final())
        return [*happened, *held, *await self._ledgers(), *await self._receipts()]

    async def _writes(self, person: Person, chance: random.Random) -> None:
        is_open, is_frozen, label = False, False, 0
        while not self._over.is_set():
            if is_frozen:
                is_frozen = await self._change(person, "thaw", "thaw") not in (DONE, REFUSED)
            elif chance.random() < 0.5:
                label += 1
                at = tuple(chance.sample(WRITERS, chance.randint(1, 2)))
                await self._import(person, f"n{label}", at)
            elif chance.random() < 0.12:
                is_frozen = True
                await self._change(person, "freeze", "freeze")
            elif chance.random() < 0.08:
                await self._emergency(person)
            elif is_open:
                is_open = await self._change(person, "revoke", "revoke", "--to", FOREIGN) != DONE
            else:
                is_open = True
                await self._change(person, "grant", "grant", "--to", FOREIGN, "--for", "TREAT")
            await self._pause(chance.uniform(0.1, 1.0))

    async def _import(self, person: Person, label: str, at: tuple[str, ...]) -> None:
        path, sources = person.bundle(label, at)
        one = self.history.begin("import", person.number, time.monotonic(), sources)
        give_up = time.monotonic() + PATIENCE_S
        while True:
            answer = await self.client("import", str(path), patience_s=PATIENCE_S)
            if answer.code == 0:
                return ended(one, time.monotonic(), DONE)
            if time.monotonic() > give_up:
                return ended(one, time.monotonic(), UNKNOWN)
            await asyncio.sleep(0.3)

    async def _change(self, person: Person, kind: str, *words: str) -> str:
        one = self.history.begin(kind, person.number, time.monotonic())
        answer = await self.client("consent", words[0], "--as", person.name, *words[1:], patience_s=PATIENCE_S)
        self._note(one, answer)
        return one.outcome

    async def _emergency(self, person: Person) -> None:
        one = self.history.begin("emergency", person.number, time.monotonic())
        words = ("--as", f"emergency@{FOREIGN}", "--patient", str(person.number), "--reason", "found unconscious")
        self._note(one, await self.client("break-glass", *words, patience_s=PATIENCE_S))

    async def _reads(self, person: Person, chance: random.Random) -> None:
        while not self._over.is_set():
            is_own = chance.random() < 0.4
            kind, as_ = ("own-read", person.name) if is_own else ("read", f"clinician@{FOREIGN}")
            via = chance.choice(self.net.names) if is_own else None
            one = self.history.begin(kind, person.number, time.monotonic())
            self._note(one, await self.client("read", *reading(person, as_, via), patience_s=PATIENCE_S))
            await self._pause(chance.uniform(0.05, 0.5))

    def _note(self, one: Operation, answer: Answer) -> None:
        now = time.monotonic()
        if answer.code in (UNAVAILABLE, LOST):
            return ended(one, now, UNKNOWN)
        if answer.code != 0:
            return ended(one, now, REFUSED, code=answer.error or str(answer.code))
        said = answer.json
        facts = {"height": int(said.get("height", 0))}
        if "documents" in said:
            facts |= {
                "sources": tuple(sorted(observations(said))),
                "gaps": len(said["gaps"]),
                "is_stale": said["is_stale"],
            }
        return ended(one, now, DONE, **facts)

    async def _breaks_things(self) -> None:
        kinds: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            ("ledger killed", lambda: self._killed("ledger")),
            ("keeper killed", lambda: self._killed("keeper")),
            ("gateway killed", lambda: self._killed(GATEWAY)),
            ("member killed", self._member_killed),
            ("fail-point", self._fail_point),
            ("stopped", self._stopped),
            ("cut 3-1", lambda: self._cut(1)),
            ("cut 2-2", lambda: self._cut(2)),
            ("bad lines", self._bad_lines),
            ("half-open", self._half_open),
            ("restarted", self._restarted),
        ]
        while not self._over.is_set():
            await self._pause(self.chance.uniform(1.0, 4.0))
            if self._over.is_set():
                return
            name, act = self.chance.choice(kinds)
            self.faults[name] += 1
            await act()

    async def _killed(self, part: str) -> None:
        name = "" if part == GATEWAY else self._anyone()
        await self._away((part, name))

    async def _member_killed(self) -> None:
        name = self._anyone()
        await self._away(("ledger", name), ("keeper", name))

    async def _away(self, *keys: tuple[str, str]) -> None:
        self._handled |= set(keys)
        for key in keys:
            await self.net.kill(*key)
        await self._pause(self.chance.uniform(0.2, 5.0))
        for key in keys:
            await self.net.start_one(*key)
        self._handled -= set(keys)

    async def _fail_point(self) -> None:
        name = self._anyone()
        point = self.chance.choice([*FAIL_POINTS, f"ledger.{name}.block:before", f"ledger.{name}.block:after"])
        self._handled.add(("ledger", name))
        await self.net.kill("ledger", name)
        await self.net.start_one("ledger", name, Plan(point=point, at=self.chance.randint(1, 6)))
        with suppress(TimeoutError):
            await self.net.ended("ledger", name, timeout_s=15.0)
        await self.net.kill("ledger", name)
        await self.net.start_one("ledger", name)
        self._handled.discard(("ledger", name))

    async def _stopped(self) -> None:
        name = self._anyone()
        self.net.freeze(name)
        await self._pause(self.chance.uniform(0.5, 6.0))
        self.net.freeze(name, is_frozen=False)

    async def _cut(self, away: int) -> None:
        gone = self.chance.sample(self.net.names, away)
        self.net.partition(gone, [name for name in self.net.names if name not in gone])
        await self._pause(self.chance.uniform(1.0, 6.0))
        self.net.partition()

    async def _bad_lines(self) -> None:
        for link in self.net.links.values():
            link.weather = SLOW
        await self._pause(self.chance.uniform(2.0, 6.0))
        self._fair()

    async def _half_open(self) -> None:
        one, other = self.chance.sample(self.net.names, 2)
        for pair in ((one, other), (other, one)):
            self.net.links[pair].weather = HALF_OPEN
        await self._pause(self.chance.uniform(1.0, 5.0))
        self.net.partition(
            [one], [name for name in self.net.names if name != one]
        )  # What lost bytes must be dialled anew.
        await asyncio.sleep(0.05)
        self._fair()

    async def _restarted(self) -> None:
        name = self._anyone()
        keys = {("ledger", name), ("keeper", name)}
        self._handled |= keys
        for part in ("keeper", "ledger"):
            await self.net.stop_one(part, name)
        for part in ("ledger", "keeper"):
            await self.net.start_one(part, name)
        self._handled -= keys

    async def _supervises(self) -> None:
        """Start again what ended by itself, as `salus up` does."""
        while not self._over.is_set():
            for key, process in list(self.net.processes.items()):
                if process.returncode is not None and key not in self._handled:
                    self.restarts[f"{key[0]} ended {process.returncode}"] += 1
                    await self.net.kill(*key)
                    await self.net.start_one(*key)
            await asyncio.sleep(0.3)

    async def _mend(self) -> None:
        self._fair()
        for name in self.net.names:
            self.net.freeze(name, is_frozen=False)
        for part in ("ledger", "keeper", GATEWAY):
            for name in [""] if part == GATEWAY else self.net.names:
                if not self.net.is_up(part, name):
                    await self.net.kill(part, name)
                    await self.net.start_one(part, name)
        for part, name in list(self.net.processes):
            await self.net.serves(part, name)
        await self.net.level()

    async def _final(self) -> dict[str, dict[int, list[str]]]:
        """What each patient sees at each member, once every gap has closed."""
        shown: dict[str, dict[int, list[str]]] = {}
        for name in self.net.names:
            for person in self.people:
                record = await person.record(person.name, via=name)
                documents: list[dict[str, str]] = record["documents"]  # type: ignore[assignment]
                found = [one["source"] for one in documents if one["type"] == "Observation"]
                shown.setdefault(name, {})[person.number] = found
        return shown

    async def _ledgers(self) -> list[str]:
        """Equal headers at equal heights, and no transaction accepted twice."""
        height = await self.net.level()
        found: list[str] = []
        first = [self.net.follower(self.net.names[0]).block(at).header for at in range(1, height + 1)]
        for name in self.net.names:
            blocks = [self.net.follower(name).block(at) for at in range(1, height + 1)]
            found += [
                f"{name} differs at {b.header.height}" for a, b in zip(first, blocks, strict=True) if a != b.header
            ]
            accepted = Counter(r.tx_id for block in blocks for r in block.results if r.code == ACCEPTED)
            found += [f"{name} applied {tx_id.hex()} twice" for tx_id, times in accepted.items() if times > 1]
        return found

    async def _receipts(self) -> list[str]:
        """Receipts of what was accepted, fetched from the network and checked against the genesis alone."""
        follower = self.net.follower(self.net.names[0])
        ids = [
            r.tx_id for at in range(1, follower.height + 1) for r in follower.block(at).results if r.code == ACCEPTED
        ]
        found: list[str] = []
        for tx_id in self.chance.sample(ids, min(RECEIPTS, len(ids))):
            place = self.net.folder / f"{tx_id.hex()[:16]}.receipt"
            answer = await self.client("receipt", tx_id.hex(), "-o", str(place))
            if answer.code != 0:
                found.append(f"no receipt of {tx_id.hex()}: {answer.out} {answer.err}")
            elif verify_file(place, self.net.folder / "genesis").tx_id != tx_id:
                found.append(f"the receipt of {tx_id.hex()} is of another transaction")
        return found

    def _fair(self) -> None:
        for link in self.net.links.values():
            link.weather = FAIR

    def _anyone(self) -> str:
        return self.chance.choice(self.net.names)

    async def _pause(self, pause_s: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), pause_s)


async def soak(folder: Path, minutes: float, seed: int) -> list[str]:
    """One run in a folder; what does not hold."""
    async with members(folder, proxied=True) as net:
        run = Soak(net, Client(folder), random.Random(seed))
        try:
            return await run.run(minutes)
        finally:
            refused = Counter(f"{one.kind}: {one.code}" for one in run.history.operations if one.outcome == REFUSED)
            for said in (run.history.counts(), dict(run.faults), dict(run.restarts), dict(refused)):
                print(said, flush=True)
            heights = await net.heights()
            print(f"heights {heights}", flush=True)


def main() -> int:
    """Run it; the exit code."""
    parser = argparse.ArgumentParser(description="Mixed load under random faults.")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    asked = parser.parse_args()
    print(f"seed {asked.seed}: repeat with `make soak MINUTES={asked.minutes:g} SEED={asked.seed}`", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    try:
        found = asyncio.run(soak(folder, asked.minutes, asked.seed))
    except BaseException:
        print(f"it broke off; the folder {folder} is kept, and the seed was {asked.seed}", flush=True)
        raise
    for sentence in found:
        print(f"BROKEN: {sentence}", flush=True)
    if found:
        print(f"the folder {folder} is kept, and the seed was {asked.seed}", flush=True)
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    print("everything holds", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
