"""Who may write what lies in a member's folder, and how much room the disk has."""

import os
import shlex
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from salus.engines.cometbft.unit import ENGINE_FOLDER, LEDGER_FOLDER, SNAPSHOTS_FOLDER
from salus.node.doctor.case import Case
from salus.node.folder import GENESIS_FILE
from salus.node.keys import KEYS_FOLDER
from salus.node.observing.findings import Facts, Finding, found
from salus.node.site import SITE_FILE
from salus.node.stores import SETTINGS_FILE

LOW = 0.1  # Of the disk; as the alert SalusDiskLow has it.
FULL_BYTES = 64 << 20  # A block, a checkpoint of a database and a pack may want as much at once.
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_ENTRIES = (
    "",
    KEYS_FOLDER,
    LEDGER_FOLDER,
    ENGINE_FOLDER,
    SNAPSHOTS_FOLDER,
    "vault",
    "keeper.db",
    "gateway.db",
    SITE_FILE,
    SETTINGS_FILE,
)


def check_rights(case: Case) -> Iterator[Finding]:
    """What others may write, what is somebody else's, and what this user may not use."""
    for path in (case.folder, case.folder / GENESIS_FILE, *(case.place / name for name in _ENTRIES)):
        try:
            about = path.stat()
        except OSError:
            continue  # Not there: whether it must be, others check.
        said = shlex.quote(str(path))
        if about.st_mode & _OTHERS_WRITE:
            yield found("folder.others_write", case.member, path=said, mode=f"{stat.S_IMODE(about.st_mode):o}")
        if about.st_uid != os.geteuid():
            yield found("folder.not_ours", case.member, path=said, owner=about.st_uid, user=os.geteuid())
        elif not os.access(path, os.R_OK | (os.X_OK | os.W_OK if path.is_dir() else 0)):
            yield found("folder.no_right", case.member, path=said)


def check_room(case: Case) -> Iterator[Finding]:
    """Room on the disks that hold its folder and its stores: each may be one of its own."""
    disks: dict[int, Path] = {}
    for name in _ENTRIES:
        path = case.place / name
        if path.exists():
            disks.setdefault(path.stat().st_dev, path)
    for path in disks.values():
        usage = shutil.disk_usage(path)
        said: Facts = {"path": shlex.quote(str(path)), "free_mib": usage.free >> 20}
        if usage.free < FULL_BYTES:
            yield found("disk.full", case.member, **said)
        elif usage.free < LOW * usage.total:
            yield found("disk.low", case.member, **said, percent=100 * usage.free // usage.total)
