"""A network's folder of first light becomes one of today: when it is opened, whole or not at all.

    genesis                          gets a key for checkpoints for each member
    members/…/keys/checkpoint        that key
    members/…/ledger                 the same blocks, applied by today's rules
    genesis.first, …/ledger.first    as they were; delete them once all is well

Receipts that were given out before hold on: the validators, whose keys signed them, are the genesis's still.

The genesis is written last: whatever a crash left before it is done again. Databases and vaults see to themselves.
"""

import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from salus.core.errors import SalusError
from salus.core.ids import MemberId
from salus.core.wire import encode
from salus.engines.first_light import STORE_FORMAT, apply_anew, blocks_of, genesis_from, read_first_genesis
from salus.engines.lmdb_store import LmdbStore
from salus.engines.replica import Replica
from salus.machine.machine import Machine
from salus.node.keys import FolderError, load_secrets, make_missing, write_secret

GENESIS_FILE = "genesis"
BEFORE = ".first"
BESIDE = ".next"


def is_of_first_light(folder: Path) -> bool:
    """Whether a folder's genesis is one of first light."""
    try:
        read_first_genesis((folder / GENESIS_FILE).read_bytes())
    except (OSError, SalusError):
        return False
    return True


def bring_up(folder: Path, verify: Callable[[bytes, bytes, bytes], bool]) -> int:
    """Bring a folder of first light to today's form; how many blocks its ledger has.

    Raises:
        FirstLightError: a block does not lead to the results it had.
        FolderInUseError: another process has it open.
        FolderError: the folder cannot be written.
        KeyFileError: a member's keys are not all there.
    """
    path = folder / GENESIS_FILE
    first = read_first_genesis(path.read_bytes())
    places = {MemberId(one.member): folder / "members" / one.member for one in first.members}
    try:
        for place in places.values():
            make_missing(place / "keys", ("checkpoint",))
        secrets = {name: load_secrets(place / "keys") for name, place in places.items()}
        genesis = genesis_from(first, {name: one.public.checkpoint for name, one in secrets.items()})
        validators = {MemberId(one.member) for one in first.members if one.validator}
        keys = {name: one.validator for name, one in secrets.items() if name in validators}
        with ExitStack() as stack:
            machine, replicas, sources = Machine(verify), [], []
            for name, place in places.items():
                sources.append(stack.enter_context(LmdbStore(_source(place), form=STORE_FORMAT)))
                shutil.rmtree(place / ("ledger" + BESIDE), ignore_errors=True)
                replicas.append(Replica(name, genesis, LmdbStore(place / ("ledger" + BESIDE)), machine))
                stack.callback(replicas[-1].close)
            longest = max(sources, key=lambda store: sum(1 for _ in store.scan(b"b")))
            count = apply_anew(blocks_of(longest), replicas, keys)
        for place in places.values():
            _swap(place)
        if not (folder / (GENESIS_FILE + BEFORE)).exists():
            write_secret(folder / (GENESIS_FILE + BEFORE), path.read_bytes())
        write_secret(path, encode(genesis), replace=True)
    except OSError as error:
        raise FolderError(reason=error.strerror or type(error).__name__) from None
    return count


def _source(place: Path) -> Path:
    """The ledger of first light: set aside already where a crash came between."""
    aside = place / ("ledger" + BEFORE)
    return aside if aside.exists() else place / "ledger"


def _swap(place: Path) -> None:
    if not (place / ("ledger" + BEFORE)).exists():
        os.replace(place / "ledger", place / ("ledger" + BEFORE))
    shutil.rmtree(place / "ledger", ignore_errors=True)
    os.replace(place / ("ledger" + BESIDE), place / "ledger")
