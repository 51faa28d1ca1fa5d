"""What may be found wrong with a member: each kind under a stable code, with how bad it is, one sentence, what to do.

`salus status` and `salus doctor` say the same of the same thing, since both say it from this table. A sentence is
filled with facts by name: members, codes, numbers, and files of the member's own folder; nothing of a person.
`docs/reference/findings.md` is made from it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"  # Something does not serve, or is not safe.
    WARNING = "warning"  # It will be so, unless somebody acts.
    NOTE = "note"  # Something is left to do.


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of finding."""

    severity: Severity
    says: str
    to_do: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be. Whose it is stays empty where it is everybody's."""

    severity: str
    code: str
    member: str
    part: str
    what: str
    to_do: str

    @property
    def as_json(self) -> dict[str, str]:
        """For programs; what `Finding(**…)` takes."""
        return asdict(self)


def _error(says: str, to_do: str) -> Kind:
    return Kind(Severity.ERROR, says, to_do)


def _warning(says: str, to_do: str) -> Kind:
    return Kind(Severity.WARNING, says, to_do)


def _note(says: str, to_do: str) -> Kind:
    return Kind(Severity.NOTE, says, to_do)


KINDS: Mapping[str, Kind] = {
    # What runs, as it says of itself (`judging.py`).
    "network.down": _error("no network is up in this folder", "salus up"),
    "process.silent": _error(
        "nothing answers at its operator's port {port}", "See logs/{log}.log. If nothing runs, start it: salus up"
    ),
    "engine.no_answer": _error("its ordering engine does not answer", "See cometbft.log in its folder `engine`."),
    "engine.stopped": _error("the engine has stopped", "See logs/network.log, then start it again: salus up"),
    "engine.catching_up": _error("it still fetches blocks", "Wait; if it does not end, see whether it has peers."),
    "engine.undecided": _error(
        "its engine answers and decides nothing: the newest block is {age_s} s old, a heartbeat comes every 15",
        "Bring members back until more than two thirds of the validators are up: salus status --once",
    ),
    "engine.few_peers": _warning(
        "its engine is connected to {peers} of {others} others",
        "See whether they are up, and whether the addresses under `peers` in its member.toml are right.",
    ),
    "engine.halted": _error(
        "it came to another result than the others and stopped",
        "Keep a copy of its folder, then let it join anew from a snapshot: salus ledger check --member {member}",
    ),
    "ledger.view_old": _error(
        "its view of the ledger is older than a minute, so it releases nothing",
        "See whether more than two thirds of the members are up, and whether the clocks agree.",
    ),
    "ledger.behind": _warning("it is {blocks} blocks behind", "Wait; if it does not catch up, see its log."),
    "engine.looking_on": _warning(
        "it was restored, and looks on until the next block before it votes",
        "Wait. If no block comes because this member is missing, see docs/backup.md.",
    ),
    "store.catching_up": _warning(
        "its store was put back from a backup, or lost, so it serves nothing until it has caught up",
        "Wait until the other members are up and have sent what is missing; see docs/backup.md.",
    ),
    "store.missed": _warning(
        "it serves, and records that became final while it was away are still on their way to it",
        "Stop no other member meanwhile. If it lasts longer than a minute, bring their authors back.",
    ),
    "store.unreadable": _error("its store cannot be read", "Check the disk, or the database it is in."),
    "log.root_overdue": _error(
        "its log's root is overdue, so it answers break-glass alone",
        "See whether its ledger process takes transactions.",
    ),
    "outbox.stuck": _warning(
        "a final batch still lacks a seat after ten minutes", "Bring the member back that is away."
    ),
    "peer.away": _warning("{peer} does not answer it", "See whether that member is up, and its certificate."),
    "tls.certificate_old": _error(
        "its certificate should have been renewed {hours} hours ago",
        "Check its clock, then restart the process: it makes a new one at its start.",
    ),
    # Folders, disks, keys.
    "folder.others_write": _error("others may write {path} (mode {mode})", "chmod go-w {path}"),
    "folder.not_ours": _error(
        "{path} belongs to user {owner}, and this is user {user}", "Run it as that user, or: chown {user} {path}"
    ),
    "folder.no_right": _error("this user may not use {path}", "chmod u+rwX {path}"),
    "disk.full": _error(
        "{free_mib} MiB are free at {path}: it stops there, and loses nothing acknowledged",
        "Make room, or enlarge the disk.",
    ),
    "disk.low": _warning(
        "{percent} % of the disk is free at {path} ({free_mib} MiB)", "Make room, or enlarge the disk."
    ),
    "keys.open": _error("others may read its keys: {file} has mode {mode}", "chmod {wanted} {path}"),
    "keys.missing": _error(
        "its key file {duty} is missing", "Restore it from a backup: what it protects cannot be opened without it."
    ),
    "keys.damaged": _error(
        "its key file {duty} has {size_bytes} bytes and not 32",
        "Restore it from a backup: what it protects cannot be opened without it.",
    ),
    "keys.not_on_ledger": _error(
        "its key {duty} is not the one that the ledger names",
        "Restore the right file from a backup. If it is lost, make another: salus rotate {duty} --as {member}",
    ),
    "keys.staged": _warning(
        "its new key {duty} is in force on the ledger and not taken into use", "Restart its processes: they take it."
    ),
    "keys.kek_other": _error(
        "its key {duty} does not open {store}", "Restore key and store from the same backup; they belong together."
    ),
    "keys.old": _warning(
        "its key {duty} is {days} days old", "Replace it while everything runs: salus rotate {duty} --as {member}"
    ),
    "keys.kek_old": _note(
        "its key {duty} is {days} days old",
        "No command replaces it yet: it is replaced when its store is written anew.",
    ),
    "keys.node_missing": _error(
        "its engine's node key is missing or damaged", "Restore engine/config/node_key.json from a backup."
    ),
    "keys.node_not_on_ledger": _error(
        "its engine's node key is not the one that the ledger names, so peers refuse it",
        "Restore engine/config/node_key.json from a backup.",
    ),
    "site.unreadable": _error(
        "its member.toml is missing, or does not say all that it must", "Restore it from a backup, or write it again."
    ),
    # Stores.
    "store.gone": _error(
        "its store {store} is not there, though it has run before", "Restore the member from a backup."
    ),
    "store.format": _error(
        "its store {store} has format {found}, and this version reads {expected}",
        "Install the version of Salus that wrote it, or a newer one.",
    ),
    "store.older": _note(
        "its store {store} has format {found}; at the next start it becomes {expected}",
        "Keep a copy of its folder; then start it: salus up",
    ),
    "network.older": _note(
        "the folder is of the first version of Salus; at the next start it becomes one of this version",
        "Keep a copy of it; then start it: salus up. What was before stays beside it, with the ending .first.",
    ),
    "store.corrupt": _error(
        "its store {store} is damaged",
        "Stop it and keep a copy of its folder; then restore it, or join anew from a snapshot.",
    ),
    "store.other_network": _error(
        "its ledger is another network's",
        "Put the right `genesis` into the network's folder, or the right ledger into the member's.",
    ),
    "store.away": _error("its store {store} cannot be looked at ({error})", "Check the disk, or the server it is on."),
    # The ledger.
    "ledger.root_wrong": _error(
        "its ledger's values do not have the root that the header of block {height} names",
        "Stop it, keep a copy of its folder, then see: salus ledger check --member {member}",
    ),
    "ledger.roots_differ": _error(
        "at block {height} it has another header than {other}",
        "Stop it, keep a copy of its folder, then see: salus ledger check --member {member}",
    ),
    "clock.behind_ledger": _error(
        "its clock is {seconds} s behind the newest block", "Set the clock right: NTP on every member. See: timedatectl"
    ),
    "clock.behind_peers": _error(
        "its clock is {seconds} s behind the other members'",
        "Set the clock right: NTP on every member. See: timedatectl",
    ),
    "clock.ahead_of_peers": _error(
        "its clock is {seconds} s ahead of the other members'",
        "Set the clock right: NTP on every member. See: timedatectl",
    ),
    "ledger.forked": _error(
        "of block {height} another member, at {address}, tells otherwise: an attack, or a network that was cut in two",
        "Stop it, keep a copy of its folder, and speak with the other members before anything else.",
    ),
    "snapshot.missing": _warning(
        "its snapshot of block {height} is missing: nobody can join by it",
        "See whether the disk has room; the next one is made by itself.",
    ),
    "snapshot.damaged": _warning(
        "its snapshot of block {height} is damaged: {reason}", "Delete it, so that nobody is offered it: rm -r {path}"
    ),
    "snapshot.differs": _error(
        "its snapshot of block {height} is not the one of {other}",
        "One of them has another state: salus ledger snapshot compare; salus ledger check --member {member}",
    ),
    # How the member stands.
    "member.unknown": _warning(
        "the ledger does not know it", "Other members decide: salus propose add-member --help. See: salus members"
    ),
    "member.left": _note(
        "it is no member any more; {successor} answers for what it wrote",
        "Keep its folder as long as the law asks, then destroy it.",
    ),
    "validator.suspended": _error(
        "it neither validates nor votes since block {since}: it was shown to have done {offence} at block {height}",
        "Find out whether its key runs on two machines; then others decide: salus propose reinstate {member}",
    ),
    "validator.taken_out": _note(
        "it validates no more: the members decided so",
        "If it should, let one propose it: salus propose validator --help",
    ),
    "proposal.waits": _note(
        "{proposer}'s proposal waits for its vote, for {days} more days",
        "salus proposals; then: salus vote {id} --as {member}",
    ),
    "rules.unknown": _error(
        "rules {rules} are in force from block {height} on, and this version knows up to {known}",
        "Install a version that knows them before that block; then restart its processes, one member after the other.",
    ),
    "pack.missing": _error(
        "{packs} of the packs in force are not here: nothing is decided under their law",
        "Install the version that ships them, or put the file into the folder `packs`; then restart its processes.",
    ),
    # Batches.
    "outbox.lacks": _warning(
        "{peer} lacks shares or ciphertext of {batches} of its batches, the oldest final for {hours} hours",
        "Bring {peer} back; they are dealt to it by themselves.",
    ),
    "outbox.behind": _warning(
        "{batches} of its batches are dealt to the keepers of before still",
        "They are dealt again by themselves while enough of the new keepers are up: salus members; salus status --once",
    ),
    "repair.behind": _warning(
        "{batches} batches of authors that it succeeded are dealt to the keepers of before still",
        "They are dealt again by themselves while keepers of before and of now are up; a frozen record stops its "
        "batch: salus members; salus status --once",
    ),
    "pack.reseal": _note(
        "{batches} of its batches were sealed under a pack for {jurisdiction} that changed at block {height}",
        "Seal again what the change affects: import those documents anew.",
    ),
    "vault.copy_missing": _error(
        "{missing} of {sampled} pieces of ciphertext that its vault should keep are missing or wrong",
        "Check the disk; restore the vault from a backup. Other copies serve meanwhile.",
    ),
    # The engine and the wire.
    "engine.missing": _error("CometBFT is not installed", "Build it: make engine. Or name where it is: SALUS_COMETBFT"),
    "engine.broken": _error("{binary} does not run", "Build it anew: make engine. Or name another: SALUS_COMETBFT"),
    "engine.version": _error(
        "CometBFT is of version {version}, which is not one of 0.38 to 0.40", "Build it anew: make engine"
    ),
    "port.taken": _error(
        "another program has its port {port}", "See which: ss -tlnp. End it, or name another port in member.toml"
    ),
    "peer.unreached": _warning(
        "it does not reach {peer}'s {peer_part}",
        "See whether that member is up, and the network between: salus members",
    ),
    "peer.not_pinned": _error(
        "whoever answers as {peer}'s {peer_part} does not show a key that the ledger names for it",
        "Ask that member whether it replaced its key; believe no answer meanwhile.",
    ),
    "peer.certificate_ends": _warning(
        "the certificate of {peer}'s {peer_part} ends in {hours} hours and was not renewed",
        "Tell that member to restart it.",
    ),
    # The doctor itself.
    "doctor.not_checked": _warning(
        "{check} could not be checked ({error})", "See the code in docs/reference/errors.md."
    ),
}


Facts = dict[str, int | str]


def found(code: str, member: str = "", part: str = "", /, **facts: int | str) -> Finding:
    """A finding of a kind, with its facts put in."""
    kind = KINDS[code]
    facts = {"member": member, "part": part, **facts}
    return Finding(kind.severity, code, member, part, kind.says.format(**facts), kind.to_do.format(**facts))
