"""What keeps lying keepers, dealers, vaults, disks and searches out, as the patches that take it away.

As `guards.py`, for the families of the parties that hold something. Where several checks stand behind one another, all
are listed.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from salus.contracts.cells.reads import cell_of
from salus.contracts.cells.tables import Cell
from salus.core.ids import SubjectId
from salus.core.wire import replace
from salus.crypto.sealing_at_rest import NONCE_BYTES, TAG_BYTES
from salus.keeper.policies import Held, Policies
from salus.keeper.reconciling import Reconciling
from salus.keeper.store import POLICIES
from salus.sdk.wallet import Wallet, new_wallet
from tests.drill.patches import Patch, answering, rewritten, without

_CHECKS = "salus.sdk.checks.Checks"
_BATCHES = "salus.sdk.checks._Batches"
_CHECK = "salus.engines.check"
_REPAIRS = "salus.keeper.repairs.Repairs"
_RECONCILING = "salus.keeper.reconciling.Reconciling"
_TAKEN = "salus.sdk.fetching._Fetching._take"

_EVERY_PATH = rewritten(f"{_BATCHES}._check", "is_open and share_root == dealing.share_root", "True")
_EVERY_POLICY = answering("salus.sdk.hearing.Hearing._leave_out_other_policies", lambda self: None)
_EVERY_KEY = rewritten(
    f"{_CHECKS}._dealt_again",
    "is_dealt and key_commitment(chain=self._view.chain, record=record, key=key) == key_com",
    "True",
)
_EVERY_BLOB = rewritten(_TAKEN, "sha256(blob).digest() == want.digest", "True")
_NO_NOTICE = rewritten(_TAKEN, 'self._findings.notice(vault, "missing_blob")', "pass")
_BLOBS_AS_THEY_ARE = rewritten("salus.vault.vault.BlobStore._read_once", "and sha256(blob).digest() == digest", "")
_NO_ANCHOR = answering("salus.sdk.patient_log._anchored", lambda gateway, source, told, heads: (0, None))
_EVERY_PROOF = ("salus.sdk.patient_log.verify", lambda *_: True)
_ANY_SUCCESSOR = answering(f"{_REPAIRS}._check_successor", lambda self, sender, author: None)
_NO_COMPARISON = answering(f"{_CHECK}._compare", lambda view, anew, newest: None)
_NO_REBUILDING = answering(f"{_CHECK}._rebuild", lambda view, rebuilt, newest, report: None)


def _unwrapped_unseen(key: bytes, wrapped: bytes, context: bytes) -> bytes:
    """AES-GCM without looking at its tag."""
    start = wrapped[:NONCE_BYTES] + (2).to_bytes(4, "big")
    return Cipher(AES(key), CTR(start)).decryptor().update(wrapped[NONCE_BYTES:-TAG_BYTES])


def _all_unwrapped_unseen(key: bytes, rows: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    return [_unwrapped_unseen(key, wrapped, context) for wrapped, context in rows]


async def _first_permit_held(self: Policies, subject: SubjectId) -> Held | None:
    """The version before the one in force, whatever the cell says: a keeper that goes by what it has."""
    cell_id = self._cell_of(self._store.tag(subject))
    assert cell_id is not None
    cell: Cell | None = cell_of(self._view.state, cell_id)
    assert cell is not None
    newest = sa.select(POLICIES.c.commitment).where(POLICIES.c.cell == cell_id, POLICIES.c.version < cell.version)
    named = self._store.connection.execute(newest.order_by(POLICIES.c.version.desc()).limit(1)).scalar_one()
    policy = self._held(cell_id, named)
    return None if policy is None else Held(policy=policy, commitment=named, cell=cell)


async def _nothing_to_drop(self: Reconciling) -> None:
    """What is closed stays."""


def _named_wallet(*given: Any) -> Wallet:
    """A wallet whose cell is called as its patient is."""
    return replace(new_wallet(*given), cell=b"Ashdown, Martin ")


GUARDS: Mapping[str, tuple[Patch, ...]] = {
    # keepers
    "keeper with a bad share": (without(f"{_CHECKS}._take_share", "is_whole"),),
    "keeper with a bad share and a hash to match": (_EVERY_PATH,),
    "keeper with a wrong header": (_EVERY_PATH,),
    "keeper with another patient's records": (without(f"{_CHECKS}._rows", "header.subject"),),
    "keeper that leaves records out": (answering(f"{_CHECKS}.omissions", lambda self, heard: None),),
    "keeper that misses a grant": (_EVERY_POLICY,),
    "keeper that ignores a revocation": (_EVERY_POLICY,),
    "t-1 keepers pooling all they have": (("salus.sdk.dealing.threshold", lambda seats: seats // 2),),
    # dealers
    "dealer whose shares are not what it promised": (
        without("salus.keeper.checking.check_shares", "sha256(entry.share)"),
    ),
    "dealer of one share off the curve": (_EVERY_KEY,),
    "dealer that commits to another key": (_EVERY_KEY,),
    "two headers for one leaf, half and half": (
        answering(
            "salus.contracts.records.transitions._check_signatures",
            lambda committee, named, root, author, ctx, msg: None,
        ),
    ),
    "two headers for one leaf, one keeper apart": (
        _EVERY_PATH,
        without("salus.keeper.answers.Answers._held_and_final", "batch_root"),
    ),
    # epochs
    "new dealing without a quorum": (
        without("salus.contracts.records.transitions._check_seats", "TooFewReceiptsError"),
    ),
    "new dealing under another share root": (
        answering(
            "salus.contracts.records.transitions._check_signatures",
            lambda committee, named, root, author, ctx, msg: None,
        ),
    ),
    "dealer of other keys at a new epoch": (
        _EVERY_KEY,
        rewritten(
            "salus.sdk.reader.OpenRead._documents",
            'findings.accuse(record.author, "inconsistent_dealer", record)',
            "pass",
        ),
    ),
    "keeper with a share of an earlier epoch": (_EVERY_PATH,),
    "t-1 keepers pooling shares of two epochs": (
        rewritten("salus.contracts.records.batch.share_contexts_prefix", "committee, epoch,", "committee, 0,"),
    ),
    # successors
    "shares of a departed author for a stranger": (_ANY_SUCCESSOR,),
    "shares of an author that is there still": (_ANY_SUCCESSOR,),
    "shares of a frozen record for a successor": (without(f"{_REPAIRS}._held", "RepairWaitsError"),),
    "successor that leaves a record out": (without(f"{_REPAIRS}._check_witnesses", "continue", "WitnessError"),),
    "successor that deals other keys": (
        _EVERY_KEY,
        rewritten(
            "salus.sdk.reader.OpenRead._documents",
            'findings.accuse(record.author, "inconsistent_dealer", record)',
            "pass",
        ),
    ),
    # logs
    "keeper that leaves its newest log entry out": (_NO_ANCHOR,),
    "keeper that rewrites its newest log entry": (_NO_ANCHOR,),
    "keeper that rewrites an older log entry": (
        rewritten("salus.sdk.patient_log._checked", "entry.previous != heads[last] or", "False and"),
    ),
    "keeper that denies any use": (_EVERY_PROOF,),
    "keeper that drops log entries from its store": (_EVERY_PROOF,),
    "log entry rewritten in the store": (answering("salus.keeper.messages.log_entry_digest", lambda entry: bytes(32)),),
    # restored
    "restored keeper store before a revocation": (
        ("salus.keeper.policies.Policies.current", _first_permit_held),
        _EVERY_POLICY,
    ),
    "old keeper put back": (answering(f"{_RECONCILING}.is_done", lambda self: True),),
    "restored keeper store before an erasure": ((f"{_RECONCILING}._drop_closed", _nothing_to_drop),),
    "restored keeper store before a batch": (answering(f"{_RECONCILING}._missing", lambda self: iter(())),),
    "restored keeper store before a log root": (
        answering("salus.keeper.access_log.AccessLog._bridged", lambda self, tag, number: (number, *self._last(tag))),
    ),
    # vaults
    "vault with another blob": (_EVERY_BLOB,),
    "vault with a blob cut short": (_EVERY_BLOB,),
    "vault that hands out nothing": (_NO_NOTICE,),
    "vault that answers with fewer blobs than asked": (_NO_NOTICE,),
    "flipped byte in a vault's pack": (_BLOBS_AS_THEY_ARE,),
    "flipped byte in an author's own vault": (_BLOBS_AS_THEY_ARE,),
    # stores
    "flipped byte in a keeper's or gateway's store": (("salus.keeper.store.unwrap", _unwrapped_unseen),),
    "flipped byte in a keeper's share": (("salus.keeper.store.unwrap_all", _all_unwrapped_unseen),),
    "flipped byte in a block's signature": (answering(f"{_CHECK}._check_signed", lambda stored, before, signed: None),),
    "flipped byte in a block's transaction": (
        answering(f"{_CHECK}._applied", lambda stored, anew, machine: stored.header),
        _NO_COMPARISON,
        _NO_REBUILDING,
    ),
    "flipped byte in a value of the state": (_NO_COMPARISON, _NO_REBUILDING),
    # secrecy
    "search of the ledger for what keepers hold": (
        answering("salus.contracts.consent.policy.subject_handle", lambda cell, handle_salt: cell),
    ),
    "search of the ledger for what patients' records say": (("salus.cli.drill.world.new_wallet", _named_wallet),),
    "search of logs and messages for patients' data": (
        rewritten(
            "salus.sdk.author.Author._committee_of",
            "member=self._gateway.member",
            "member=self._gateway.member, subject=subject",
        ),
    ),
}
