"""What a person reads of an error, and the exit code a script gets: the one place where errors leave this program.

0  done
1  it ran, and what it checked does not hold
2  the command line is not one that Salus knows
3  refused: a rule says no; ask otherwise
4  malformed: mend what was sent
5  unavailable: wait, try again
6  integrity: what is stored contradicts itself; look before going on
"""

from collections.abc import Iterator
from dataclasses import dataclass

from salus.core.errors import IntegrityError, MalformedError, RefusalError, SalusError, UnavailableError

USAGE = 2
INTERRUPTED = 130  # What shells say of a program that Ctrl-C stopped.
EXITS: dict[type[SalusError], tuple[str, int]] = {
    RefusalError: ("refused", 3),
    MalformedError: ("malformed", 4),
    UnavailableError: ("unavailable", 5),
    IntegrityError: ("integrity", 6),
}
BY_FAMILY = {
    "refused": "Nothing was changed. Ask otherwise.",
    "malformed": "Nothing was changed. Mend what was given and try again.",
    "unavailable": "Wait a little, then try the same again; to repeat it is harmless.",
    "integrity": "Stop here: keep a copy of the folder and let whoever runs this member look at it.",
}
TO_DO = {
    "backup.damaged": "Take another copy of the backup, or an older one. What is wrong with this one, a second look at "
    "the medium may tell.",
    "backup.database_in_use": "Give the member an empty database, and name it in stores.toml; or restore where the old "
    "one is gone.",
    "backup.mark": "Write the time of restoring, in milliseconds, into engine/restored of the member's folder.",
    "backup.not_a_backup": "Take a file that `salus backup` wrote.",
    "backup.not_empty": "Name a new folder: --into DIR. Nothing is ever put over what is there.",
    "backup.passphrase": "Type it again, or take the one that was in use when the backup was made.",
    "backup.weak_passphrase": "Take twelve letters or more: six words drawn by chance are easy to keep on paper.",
    "cells.closed": "The patient has ended this consent for good; nothing follows from here.",
    "cells.frozen": "The record is frozen. The patient opens it again: salus consent thaw --as patient:N",
    "cells.stale_version": "The consent has changed meanwhile. Look at it and try again: salus consent show",
    "cli.already_up": "Use it as it is: other commands find it by themselves. To stop it, press Ctrl-C where it runs.",
    "cli.already_own": "Nothing is left to do; see it with: salus patient list",
    "cli.ambiguous_document": "Type more of the id, as `salus read` shows it.",
    "cli.connection_lost": "Look at what was done before you repeat it: salus ledger show",
    "cli.custodial": "The patient claims the record first: salus patient claim --as patient:N --witness MEMBER "
    "--evidence FILE",
    "cli.file": "Check the path, its owner and rights, and the space left on the disk.",
    "cli.no_signed_checkpoint": "Ask again tomorrow: members that run apart sign one each day.",
    "cli.no_witness": "Name another hospital that writes about this patient, or claim without one and wait 24 hours.",
    "cli.not_a_checkpoint": "Take a checkpoint as members publish it: --checkpoint FILE",
    "cli.not_a_genesis": "Take the file `genesis` of the network's folder: --genesis DIR/genesis",
    "cli.not_a_receipt": "Write it again: salus receipt TRANSACTION -o FILE",
    "cli.not_theirs": "Act as the right person: --as patient:1, or --as clinician@mercy",
    "cli.not_up": "Start them, and leave them running: salus up",
    "cli.past": "Give a later day for --until. To end a rule now: salus consent revoke --as patient:N --rule NUMBER",
    "cli.policy_away": "Bring a hospital back that writes about the patient, then try again.",
    "cli.unknown_document": "See what there is: salus read --as … --patient …",
    "cli.unknown_member": "See who takes part: salus ledger show",
    "cli.unknown_patient": "See who is known here: salus patient list",
    "cli.unknown_person": "Say who acts: --as patient:1, or --as clinician@mercy (also emergency, researcher, clerk, "
    "auditor)",
    "cli.ambiguous_proposal": "Type more of the id, as `salus proposals --all` shows it.",
    "cli.apart": "There: salus init NAME --to FOLDER --chain CHAIN. Here, with the card it makes: "
    "salus invite NAME.card --to FILE",
    "cli.elsewhere": "Give the command on that member's machine, in its own folder.",
    "cli.not_apart": "Let it in where it is: salus propose add-member NAME --as MEMBER",
    "cli.several_members": "Name it: --as MEMBER",
    "cli.stopping": "Start it again (salus up) and look at what was done before you repeat it: salus ledger show",
    "cli.other_engine": "Leave --engine out, or make a new network in a fresh folder: --home DIR",
    "cli.other_pack": "Ask whoever proposed it for the file; `salus proposals --json` shows its root.",
    "cli.seats_held": "Name who takes its seats (--seat-to MEMBER), or let there be fewer: --fewer-seats",
    "cli.unknown_committee": "See the committees and their ids: salus members",
    "cli.unknown_proposal": "See what there is to decide: salus proposals --all",
    "cli.unknown_rule": "See the rules and their numbers: salus consent show --as patient:N",
    "cli.unknown_transaction": "See the newest ones: salus ledger show",
    "cli.word": "Use one of the words shown above.",
    "consent.bad_period": "The period of the data is empty, or outside the years 1900 to 2099.",
    "engines.disk_full": "Make space on the disk; nothing that was acknowledged is lost.",
    "engines.folder_in_use": "Another program has this folder open. If it is `salus up`, wait until it serves; else "
    "let that program end.",
    "engines.not_writable": "Give yourself the right to write into the folder, or choose another: --home DIR",
    "engine.checkpoint": "Take the checkpoint from another member, and check that the genesis file is the right one.",
    "engine.light_block": "This receipt proves nothing on this network. Check that the genesis file is the right one.",
    "engine.no_proof": "Too few members may be up. The same command can be repeated.",
    "engine.not_final": "Too few members are up. Bring them back; the same command can be repeated.",
    "engine.receipt": "This receipt proves nothing on this network. Check that the genesis file is the right one.",
    "engine.no_such_transaction": "Ask a member that still holds the block.",
    "engine.snapshot": "Take another snapshot, or make one elsewhere: salus ledger snapshot make --member MEMBER",
    "engine.too_few_trusted": "Validators have changed, or too few signed: ask a member for the receipt again, or "
    "name a checkpoint not newer than it: --checkpoint FILE",
    "engine.trust_expired": "Name a newer checkpoint that is not newer than the receipt: --checkpoint FILE",
    "fhir.unreadable": "Check the path, your right to read it, and that it holds *.json or *.ndjson (also .gz, .xz).",
    "keeper.break_glass": 'Act with an emergency role and type a reason: --as emergency@MEMBER --reason "…"',
    "keeper.log_overdue": "The keepers' logs are being anchored; try again in a minute.",
    "keeper.person": "The person's key or credential does not hold here. A patient whose keys a hospital keeps cannot "
    "read as themselves: salus patient claim",
    "keeper.quota": "The daily number is used up. For break-glass a second emergency person may sign: "
    "--second emergency-2@MEMBER",
    "keeper.restored": "The keeper catches up by itself; see how far it is: salus status",
    "keeper.stale": "The keepers are catching up; try again in a moment.",
    "keeper.widening_waits": "A hospital that keeps a patient's keys may not widen access alone: show evidence and a "
    "second hospital's signature (--evidence FILE --witness MEMBER), or repeat it after 24 hours.",
    "machine.unknown_rules": "Install the version of Salus that knows these rules, then start again. Nothing is lost: "
    "no block was applied by rules that this version does not know.",
    "members.proposal_closed": "It is decided; see how: salus proposals --all",
    "members.proposal_expired": "Propose it again: seven days are over.",
    "members.quota_too_small": "Give at least 16384 bytes.",
    "members.shares_held": "Let authors and successors deal what it holds to others first; what is left: salus members",
    "members.seat_held": "Move its seats first, in the same proposal: --seat-to MEMBER or --fewer-seats",
    "members.stale_version": "It has been changed meanwhile. Make the proposal anew.",
    "members.suspended": "Other members decide on that: salus propose reinstate MEMBER --as ANOTHER",
    "members.voted_already": "A vote stands as it was given.",
    "node.folder": "Check the folder's owner and rights, and the space left on the disk. A network that is here "
    "already is used by: salus up. What an interrupted `salus new` left has no file `genesis`: "
    "remove it and begin again.",
    "node.attacked": "Start nothing. Ask the other members' operators which block is theirs, and tell them of this.",
    "node.departed": "Nothing more is to be done here. Keep the folder as long as the law asks for its records.",
    "node.false_card": "Ask for the card again, and compare its fingerprint by telephone.",
    "node.false_invitation": "Ask for the invitation again, and compare its fingerprint by telephone.",
    "node.fingerprint": "Do not join. Ask the inviter how the file reached you, and for a new one.",
    "node.invitation_expired": "Ask for a new one: whoever invited gives the same `salus invite` again.",
    "node.joined_already": "Take another folder for another member or network: --home DIR (or --to DIR)",
    "node.unconfirmed": "Check that this machine reaches the others' ports for light clients, then try again.",
    "node.nobody_to_ask": "Check that this machine reaches the others' ports for light clients, then try again.",
    "node.not_a_card": "Take the file NAME.card that `salus init` made.",
    "node.not_an_invitation": "Take the file that `salus invite` wrote, whole.",
    "node.not_begun": "Make keys and a card first: salus init NAME --to DIR",
    "node.not_invited": "Send the card in this folder to the inviter, and ask for an invitation of that card.",
    "node.not_joined": "Accept an invitation (salus join FILE), or found a network of others' cards (salus invite).",
    "node.other_chain": "That member gives `salus init` again, with --chain of this network, and sends the new card.",
    "engine.first_light": "Keep the folder as it is and use the version of Salus that wrote it; ask its makers.",
    "node.key_file": "Restore the file from a backup: what it protects cannot be opened without it.",
    "node.kept_checkpoint": "Delete that file in the member's folder `checkpoints`: it comes again from the others.",
    "node.no_pack": "Put the file that was voted on into the folder `packs` of this network.",
    "node.ledger_there": "Name a folder that is not there yet (--to DIR), or move the ledger that is there away.",
    "node.no_network": "Make a network here with `salus up` (or `salus new`), or name another folder: --home DIR",
    "node.snapshot_unproven": "Make one with its proof: salus ledger snapshot make. A member that runs apart joins by "
    "the others' snapshots without it.",
    "node.not_a_network": "Restore the file `genesis` from another member or a backup, or name another "
    "folder: --home DIR",
    "sdk.no_such_subject": "The hospital is not linked to this patient, or the code is mistyped or was used. "
    "The patient links it: salus patient link --as patient:N --to MEMBER",
    "sdk.not_a_writer": "The patient names the hospital as a writer: salus patient link --as patient:N --to MEMBER",
    "sdk.old_policy": "Try again in a moment: the policy in force is asked for anew. In an emergency, break the glass.",
    "sdk.old_wallet": "Use the wallet that owns the record now; this one's keys no longer count.",
    "sdk.too_few_seats": "Too few keepers answered. Bring members back; the same command can be repeated.",
}
REASONS = {  # What an import notes beside errors.
    "fhir.ambiguous_reference": "Several resources carry the identifier that a reference asks for; it stays as it is.",
    "fhir.dangling_reference": "A reference leads to nothing that is here; it stays as it is.",
    "fhir.entry_without_resource": "The entry holds no resource, so there was nothing to take in.",
    "fhir.no_organisation": "Nobody is known to have provided it; it went to a hospital that treats the patient.",
    "fhir.no_patient": "It names no patient, so it belongs to nobody's record.",
    "fhir.several_patients": "It is about several patients; sealed for one it would show them the others.",
}


@dataclass(frozen=True, slots=True)
class Told:
    """An error, ready to be shown."""

    code: str
    family: str
    sentence: str
    to_do: str
    facts: dict[str, str]
    exit_code: int

    @property
    def lines(self) -> tuple[str, ...]:
        """For people."""
        facts = ", ".join(f"{name}: {value}" for name, value in self.facts.items())
        return (f"salus: {self.sentence}{f' ({facts})' if facts else ''} [{self.code}]", f"       {self.to_do}")

    @property
    def as_json(self) -> dict[str, object]:
        """For programs."""
        shown = {"code": self.code, "family": self.family, "message": self.sentence, "to_do": self.to_do}
        return {"error": {**shown, "facts": self.facts}}


def tell(error: SalusError) -> Told:
    """Say what happened and what to do. What a peer or the ledger said counts more than that it said no."""
    family, exit_code = family_of(type(error))
    said = error.facts.get("said")
    cause = by_code(said) if isinstance(said, str) else None
    kind = cause or type(error)
    code = kind.code if cause else error.code
    hidden = ("said", "peer") if cause else ()
    facts = {k: v.hex() if isinstance(v, bytes) else str(v) for k, v in error.facts.items() if k not in hidden}
    return Told(code, family, _sentence(kind), TO_DO.get(code, BY_FAMILY[family]), facts, exit_code)


def reason(code: str) -> str:
    """What a code means, as an import tells it."""
    kind = by_code(code)
    return REASONS.get(code) or (code if kind is None else _sentence(kind))


def family_of(kind: type[SalusError]) -> tuple[str, int]:
    """A class's family and exit code; what has no family of its own is an alarm."""
    return next((shown for family, shown in EXITS.items() if issubclass(kind, family)), EXITS[IntegrityError])


def by_code(code: str) -> type[SalusError] | None:
    """The class that bears a code, among those that are loaded."""
    return next((kind for kind in every_error() if kind.code == code), None)


def every_error(root: type[SalusError] = SalusError) -> Iterator[type[SalusError]]:
    """All classes of errors that are loaded, families first."""
    for kind in root.__subclasses__():
        yield kind
        yield from every_error(kind)


def _sentence(kind: type[SalusError]) -> str:
    return " ".join((kind.__doc__ or kind.code).split("\n\n")[0].split())
