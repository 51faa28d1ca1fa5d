"""Key files: all there, readable by their owner alone, not old, and their public halves those that the ledger names."""

import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from salus.contracts.members.messages import MemberKeys
from salus.core.errors import SalusError
from salus.core.ids import DAY_MS
from salus.engines.cometbft.config import node_id
from salus.engines.cometbft.unit import ENGINE_FOLDER, LEDGER_FOLDER
from salus.node.doctor.case import Case
from salus.node.keys import BEFORE, DUTIES, KEYS_FOLDER, PUBLIC_DUTIES, SECRET_BYTES, STAGED, made_at, public_of
from salus.node.observing.findings import Finding, found
from salus.node.renewing import TLS_AGE_MS_MAX

AGE_DAYS_MAX = 400  # As the alert SalusKeyOld has it.
TLS_AGE_DAYS_MAX = TLS_AGE_MS_MAX // DAY_MS + 10  # A gateway that runs has replaced it by then.
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def check_files(case: Case) -> Iterator[Finding]:
    """Each key file by itself."""
    folder = case.place / KEYS_FOLDER
    if folder.stat().st_mode & _OTHERS:
        yield _open_to_others(case, folder)
    others = sorted([*(folder / STAGED).glob("*"), *(folder / BEFORE).glob("*")])
    for path in (*(folder / duty for duty in DUTIES), *others):
        duty = path.name
        if not path.is_file():
            yield found("keys.missing", case.member, duty=duty)
            continue
        about = path.stat()
        if about.st_mode & _OTHERS:
            yield _open_to_others(case, path)
        if about.st_size != SECRET_BYTES:
            yield found("keys.damaged", case.member, duty=duty, size_bytes=about.st_size)
        age_days = (case.clock() - (made_at(folder, duty) or 0)) // DAY_MS
        if path.parent == folder and age_days > (TLS_AGE_DAYS_MAX if duty == "tls" else AGE_DAYS_MAX):
            code = "keys.old" if duty in PUBLIC_DUTIES else "keys.kek_old"
            yield found(code, case.member, duty=duty, days=age_days)


def check_against_ledger(case: Case) -> Iterator[Finding]:
    """Each key that the ledger names, against the one in the folder."""
    named = _named(case)
    if named is None:
        return
    for duty in PUBLIC_DUTIES:
        wanted = {getattr(named, duty)}
        if duty == "tls" and case.entry is not None and case.entry.tls_next is not None:
            wanted.add(case.entry.tls_next)
        here = _public(case.place / KEYS_FOLDER / duty, duty)
        if here is None or here in wanted:
            continue  # A file that is missing or damaged has its own finding.
        if _public(case.place / KEYS_FOLDER / STAGED / duty, duty) in wanted:
            yield found("keys.staged", case.member, duty=duty)
        else:
            yield found("keys.not_on_ledger", case.member, duty=duty)


def check_node_key(case: Case) -> Iterator[Finding]:
    """The key by which other members' engines know this one's."""
    if not case.is_apart:
        return
    try:
        own = node_id(case.place / ENGINE_FOLDER)
    except SalusError:
        yield found("keys.node_missing", case.member)
        return
    entry = case.entry
    if entry is not None and entry.endpoints.engine and entry.endpoints.engine.partition("@")[0] != own:
        yield found("keys.node_not_on_ledger", case.member)


def _open_to_others(case: Case, path: Path) -> Finding:
    mode, wanted = f"{stat.S_IMODE(path.stat().st_mode):o}", "700" if path.is_dir() else "600"
    file = path.relative_to(case.place)
    return found("keys.open", case.member, file=str(file), mode=mode, wanted=wanted, path=shlex.quote(str(path)))


def _named(case: Case) -> MemberKeys | None:
    """The member's keys by the ledger, or by the genesis where there is no ledger yet."""
    if case.ledger is not None:
        return None if case.entry is None else case.entry.keys
    if (case.place / LEDGER_FOLDER).exists():
        return None  # It cannot be read, and others say why.
    return next((one.keys for one in case.genesis.members if one.member == case.member), None)


def _public(path: Path, duty: str) -> bytes | None:
    try:
        seed = path.read_bytes()
    except OSError:
        return None
    return public_of(duty, seed) if len(seed) == SECRET_BYTES else None
