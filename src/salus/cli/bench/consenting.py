"""`consent`: how long a patient's word takes to count everywhere.

Grant: from the wallet's change to the first verified document of a fresh request. Revocation: from the wallet's change
until a request that was open, and had just been served, is answered by every seat with nothing. Floor: the envelopes
and durable writes that the protocol asks of four members for each, bare and one after the other.
"""

import asyncio
import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from salus.cli.bench.figures import RUNS_MIN, Figure, Options, Outcome, Stopwatch, at_most, median_ms, percentiles
from salus.cli.bench.stage import Patient, Stage, everything, stage
from salus.core.wire import replace
from salus.crypto.hpke import OpeningKey, seal
from salus.node.gateway_side import GatewaySide
from salus.node.hosted import Hosted
from salus.node.network import Network
from salus.sdk import consent
from salus.sdk.reader import Reader
from salus.sdk.wallet import Wallet

NAME = "consent"
TARGETS = {"grant_p95_ms": at_most(80), "revoke_p95_ms": at_most(80)}
WARM_UP = 3
_FLOOR_RUNS = 10
_ASKED_MAX = 20
_MEMBERS = 4
# Per member: the policy to its keeper and to it as a writer; then the ask and the answer.
_ENVELOPES = 4 * _MEMBERS
# Per member: the policy at its keeper and its desk, the block that advances the cell, the log entry.
_WRITES_REVOKE = 4 * _MEMBERS
_WRITES_GRANT = _WRITES_REVOKE + _MEMBERS  # And the block with the request.
_ENVELOPE_BYTES = 4096
_WRITE_BYTES = 4096


def measure(options: Options) -> Outcome:
    """A grant and a revocation in turn, of one patient with one record; `short` takes three of each."""
    return asyncio.run(_measure(options.folder, 3 if options.short else RUNS_MIN + 10))


async def _measure(folder: Path | None, runs: int) -> Outcome:
    grant, revoke = Stopwatch(), Stopwatch()
    async with stage(folder) as scene:
        await turns(scene, runs, grant, revoke, partial(_check_vaults, scene))
        floors = _floors(scene.folder.parent)
    figures: dict[str, Figure] = percentiles("grant", grant.samples_ms)
    return Outcome(NAME, figures | percentiles("revoke", revoke.samples_ms), TARGETS, floors)


async def turns(
    scene: Stage[Hosted],
    runs: int,
    grant: Stopwatch,
    revoke: Stopwatch,
    check: Callable[[GatewaySide], None] | None = None,
) -> None:
    """So many grants and revocations in turn, after some to warm up; `check` looks closer after each of the latter."""
    author, member, *_ = scene.network.members
    patient, reader = await scene.patient(), await scene.reader(member)
    await scene.seal(author, scene.documents(patient.subject, 1))
    wallets = patient.wallet, replace(patient.wallet, rules=everything(member.name))
    for _ in range(runs + WARM_UP):
        await _turn(scene, patient, reader, wallets, grant, revoke)
        if check is not None:
            check(member)
    for watch in (grant, revoke):
        del watch.samples_ms[:WARM_UP]


async def _turn(
    scene: Stage[Hosted],
    patient: Patient,
    reader: Reader,
    wallets: tuple[Wallet, Wallet],
    grant: Stopwatch,
    revoke: Stopwatch,
) -> None:
    shut, opened = wallets
    wallet_at, member = scene.network.members[:2]
    with grant.lap():
        await consent.change(wallet_at.gateway, shut, opened)
        reading = member.reading(reader, patient.wanted)
        unified = await reading.read()
    assert len(unified.view.records) == 1, "The grant does not hold."
    with revoke.lap():
        await consent.change(wallet_at.gateway, opened, shut)
        unified = await reading.read()
        for _ in range(
            _ASKED_MAX
        ):  # On a busy machine a seat may be too slow for this read; it counts until all refuse.
            if unified.view.answered == len(scene.network.members):
                break
            unified = await reading.read()
    assert unified.view.answered == len(scene.network.members), "A seat did not answer."
    assert unified.view.records == [], "The revocation does not hold everywhere."


def _check_vaults(scene: Stage[Network], reading: GatewaySide) -> None:
    """No vault may serve what was open before."""
    for member in scene.network.members:
        permitted = member.keeper.answers.permitted.values()
        assert not any(one.blobs for one in permitted if one.member == reading.name), "A vault would still serve."


def _floors(folder: Path) -> dict[str, Figure]:
    with tempfile.TemporaryFile(dir=folder) as file:

        def write() -> None:
            os.write(file.fileno(), bytes(_WRITE_BYTES))
            os.fsync(file.fileno())

        grant = median_ms(_bare(_WRITES_GRANT, write), _FLOOR_RUNS)
        revoke = median_ms(_bare(_WRITES_REVOKE, write), _FLOOR_RUNS)
    return {"bare_grant_p50_ms": grant, "bare_revoke_p50_ms": revoke}


def _bare(writes: int, write: Callable[[], None]) -> Callable[[], None]:
    key, message = OpeningKey(bytes(32)), bytes(_ENVELOPE_BYTES)

    def work() -> None:
        for _ in range(_ENVELOPES):
            key.open(seal(key.public, message, b"bench"), b"bench")
        for _ in range(writes):
            write()

    return work
