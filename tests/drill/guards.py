"""What each attack is kept out by, as the patches that take it away: attack → (dotted target, replacement)s.

Where two checks stand behind one another, both are listed: the drill asks whether an attack can succeed at all. A row
in which the replacement stands for a mistake (a lookup that forgot whose record it is) says so.
"""

from collections.abc import Mapping

from salus.contracts.consent.plan import Plan
from salus.contracts.consent.purposes import PARENTS
from salus.contracts.consent.reasons import Decision
from salus.core.ids import PublicKey, Signature, Token
from tests.drill.patches import Patch, answering, rewritten, without

_AUTHENTICATE = "salus.machine.admission.authenticate"
_CELLS = "salus.contracts.cells.transitions"
_RECORDS = "salus.contracts.records.transitions"
_CREDENTIALS = "salus.contracts.credentials.transitions"
_READS = "salus.contracts.reads.transitions"
_ANSWERS = "salus.keeper.answers.Answers"
_PERSONS = "salus.keeper.persons.Persons"
_SETTLE = "salus.contracts.consent.plan.Plan.settle"

_FOR_ANYONE = answering("salus.contracts.members.reads.may_act_for", lambda state, actor, author: True)
_GOVERNING = "salus.contracts.members.governing"
_ANY_VERSION = without(f"{_GOVERNING}._own", "StaleVersionError")
_REPLAYABLE = without(f"{_CELLS}._owned", "StaleVersionError", "NotOwnerError", "CellClosedError")
_NO_STANDING = without(f"{_ANSWERS}.standing", "NoRequestError")
_NO_DENY = without(_SETTLE, "denies")


def _openssl_says(key: PublicKey, message: bytes, signature: Signature) -> bool:
    """Another library's verdict, which takes keys of small order."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


_settle = Plan.settle


def _settle_unnamed(plan: Plan, terms: frozenset[Token], _explicit: tuple[Token, ...]) -> Decision:
    return _settle(plan, terms, ())


# The version that was granted, whatever the ledger says since: version 0 is the patient's first, 1 the grant.
_HELD_BEFORE = """self._held(cell_id, self._store.connection.execute(
    sa.select(POLICIES.c.commitment).where(POLICIES.c.cell == cell_id, POLICIES.c.version == min(cell.version, 1))
).scalar_one())"""

GUARDS: Mapping[str, tuple[Patch, ...]] = {
    # ledger
    "forged signature": (without(_AUTHENTICATE, "BadSignatureError"),),
    "wrong member's signature": (without(_AUTHENTICATE, "BadSignatureError"),),
    "another member's credential revoked": (without(f"{_CREDENTIALS}.revoke", "NotIssuerError"),),
    "forged owner's signature": (rewritten("salus.machine.admission._signers", "if not verify(", "if verify("),),
    "stranger's key on a cell": (without(f"{_CELLS}._owned", "NotOwnerError"),),
    "stale version": (without(f"{_CELLS}._owned", "StaleVersionError"),),
    "expired transaction": (without(_AUTHENTICATE, "ExpiredError"),),
    "transaction valid for ever": (without(_AUTHENTICATE, "TooFarAheadError"),),
    "transaction of another chain": (without(_AUTHENTICATE, "OtherChainError"),),
    "non-canonical bytes": (without("salus.core.wire.decode", "_encoder.encode(value) != data"),),
    "low-order key": (answering("salus.crypto.signatures.verify", _openssl_says),),
    "oversize transaction": (without("salus.machine.admission._check_size", "TooLargeError", "TooManyMessagesError"),),
    "too many messages": (without("salus.machine.admission._check_size", "TooManyMessagesError"),),
    "over quota": (without("salus.machine.machine._Quotas.take", "OverQuotaError"),),
    "flood against a revocation": (rewritten("salus.machine.admission._read", "is_lane=is_lane", "is_lane=False"),),
    # replays
    "replay of create": (without(f"{_CELLS}.create", "CellExistsError"),),
    "replay of advance": (_REPLAYABLE, without(f"{_CELLS}._check_receipts", "BadReceiptError")),
    "replay of freeze": (_REPLAYABLE,),
    "replay of thaw": (_REPLAYABLE,),
    "replay of close": (_REPLAYABLE,),
    "replay of issue": (without(f"{_CREDENTIALS}.issue", "CredentialExistsError"),),
    "replay of revoke": (without(f"{_CREDENTIALS}.revoke", "StaleVersionError", "CredentialRevokedError"),),
    "replay of anchor": (without(f"{_RECORDS}.anchor", "BatchExistsError"),),
    "replay of attest": (without(f"{_RECORDS}.attest", "AttestedBeforeError"),),
    "replay of withdraw": (without(f"{_RECORDS}.withdraw", "AlreadyWithdrawnError"),),
    "replay of request": (without(f"{_READS}.request", "RequestExistsError"),),
    "replay of log_root": (without(f"{_READS}.log_root", "StaleVersionError"),),
    "replay of propose": (without(f"{_GOVERNING}.propose", "ProposalExistsError"),),
    "replay of vote": (without(f"{_GOVERNING}.vote", "VotedAlreadyError"),),
    "replay of move": (_ANY_VERSION,),
    "replay of announce_tls": (_ANY_VERSION, without(f"{_GOVERNING}.announce_tls", "KeyTwiceError")),
    "replay of rotate_tls": (_ANY_VERSION,),
    "replay of rotate_gateway": (_ANY_VERSION, without(f"{_GOVERNING}.rotate_gateway", "KeyTwiceError")),
    # reading
    "read without request": (
        rewritten(
            f"{_ANSWERS}.standing",
            "request = request_of(self._view.state, opening.request_id)",
            "return OpenRequest(sender, NO_DIGEST, NO_DIGEST, self._clock() + 1_000, 0)",
        ),
    ),
    "opening that differs from its commitment": (_NO_STANDING,),
    "answer to another key": (_NO_STANDING,),
    "another reader's request": (_NO_STANDING,),
    "request signed by somebody else": (without(f"{_PERSONS}.reader", "reason='signature'"),),
    "another person's credential": (rewritten(f"{_PERSONS}.roles", "or claims.key != key", ""),),
    "expired request": (without(f"{_ANSWERS}.standing", "RequestExpiredError"),),
    "request for longer than an encounter": (without(f"{_READS}.request", "ExpiresTooLateError"),),
    "revoked credential": (
        rewritten(f"{_PERSONS}.roles", "or not is_active(self._view.state, credential_id, now)", ""),
    ),
    "consent revoked in between": (
        rewritten("salus.keeper.policies.Policies.current", "self._held(cell_id, cell.commitment)", _HELD_BEFORE),
    ),
    "memory outlives consent": (
        rewritten("salus.sdk.unified.UnifiedRead._still_holds", "and self._commitment() == self._policy", ""),
    ),
    "cell frozen in between": (without(f"{_ANSWERS}._judged", "Status.FROZEN"),),
    # consents
    "denied by label": (_NO_DENY,),
    "denied by author": (_NO_DENY,),
    "denied by type": (_NO_DENY,),
    "denied by period": (_NO_DENY,),
    "outside a permit's period": (
        rewritten("salus.contracts.consent.answers.answer", "if group.isdisjoint(terms):", "if False:"),
    ),
    "sensitive record not named": ((_SETTLE, _settle_unnamed),),
    "wrong purpose": (("salus.contracts.consent.answers.reached_by", lambda asked, effect: frozenset(PARENTS)),),
    "treatment permit used for research": (  # The tree alone, without the four that only their own name permits.
        (
            "salus.contracts.consent.answers.reached_by",
            lambda asked, effect: frozenset({asked, PARENTS[asked]}),
        ),
    ),
    "permit for another member": (
        rewritten("salus.contracts.consent.answers._is_reader", "reader.member in (None, request.member)", "True"),
    ),
    "break-glass without the role": (
        rewritten(f"{_ANSWERS}._check_break_glass", "EMERGENCY_ROLE not in facts.roles or ", ""),
        without("salus.contracts.consent.identity._clinician_fault", "NO_EMERGENCY_ROLE"),
    ),
    "break-glass into a closed record": (without("salus.contracts.consent.plan._break_glass", "NO_BREAK_GLASS"),),
    # authors
    "stranger writing to a subject": (
        rewritten(
            "salus.keeper.deposits.Deposits._may_write", "is_writer(held.policy, shares.author, self._clock())", "True"
        ),
    ),
    "author amending another's record": (_FOR_ANYONE,),
    "author withdrawing another's record": (_FOR_ANYONE,),
    "custodian reading as the patient": (
        without("salus.contracts.consent.policy.device_handle", "custodian is not None"),
        without("salus.contracts.consent.identity._patient_fault", "custodian is not None"),
    ),
    "custodian widening alone": (without("salus.keeper.policies.Policies._check_custodian", "WIDENING_WAITS_MS"),),
    "custodian acting after the claim": (without(f"{_CELLS}._owned", "NotOwnerError"),),
}
