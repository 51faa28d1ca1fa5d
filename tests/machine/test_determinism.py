"""The same blocks give the same bytes in another process, whatever order its sets and dictionaries hash in."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import salus
from salus.contracts.reads.messages import LogKind, LogRoot
from salus.core.ids import HOUR_MS
from salus.crypto.digests import digest
from tests.support.network import Ledger, network

ROOT = Path(__file__).parents[2]
PROGRAM = "from tests.machine.test_determinism import told; print(told())"


def told() -> str:
    """The header ids and roots of a short, busy history."""
    net = network(4)
    ledger = Ledger(net)
    said = []
    for number in range(3):
        cells = [net.id16("cell", number, i) for i in range(9)]
        until = ledger.time + HOUR_MS
        txs = [ledger.tx("mercy", net.create(cell)) for cell in cells]
        txs += [ledger.tx("lakeside", net.freeze(c, 0), witnesses=[net.owner(c, 0)]) for c in cells[::2]]
        txs += [ledger.tx("st-luke", net.anchor("st-luke", net.id16("b", number), good_until=until))]
        txs += [ledger.tx("northgate", LogRoot(log=LogKind.KEEPER, version=number, root=digest(bytes((number,)))))]
        txs += [ledger.tx("mercy", net.request(net.id16("r", number), expires=ledger.time + 2_000))]
        ledger.block(*txs, after_ms=2 * HOUR_MS if number == 2 else 1_000)
        said += [ledger.previous.hex(), ledger.app_hash.hex()]
    return " ".join(said)


@pytest.mark.parametrize("hash_seed", ["0", "1", "4242"])
def test_another_process_with_another_hash_seed_says_the_same(hash_seed: str) -> None:
    source = str(Path(salus.__file__).parents[1])
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": f"{source}{os.pathsep}{ROOT}"}
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout.strip() == told()
