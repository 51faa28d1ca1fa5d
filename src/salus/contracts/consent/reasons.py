"""Why a decision fell as it did: stable codes, each with one plain sentence for the person who asks.

The patient sees all of them; to a reader a refusal looks like absence unless their jurisdiction says otherwise.
"""

from enum import Enum

from salus.contracts.consent.rules import Effect
from salus.core.wire import Record


class ReasonCode(Enum):
    """In the order in which `decide` considers them. A code is never reused."""

    WRONG_SUBJECT = "wrong_subject"
    UNKNOWN_PURPOSE = "unknown_purpose"
    NO_PACK = "no_pack"
    CUSTODIAN_IS_NOT_PATIENT = "custodian_is_not_patient"
    NOT_OWN_DEVICE = "not_own_device"
    HELD = "held"
    OWN_RECORD = "own_record"
    NOT_A_PROXY = "not_a_proxy"
    CLOSED_TO_PROXIES = "closed_to_proxies"
    NO_CREDENTIAL = "no_credential"
    NO_EMERGENCY_ROLE = "no_emergency_role"
    NO_TYPED_REASON = "no_typed_reason"
    IDENTITY_DENIES = "identity_denies"
    IDENTITY_SILENT = "identity_silent"
    CLOSED_TO_BREAK_GLASS = "closed_to_break_glass"
    BREAK_GLASS = "break_glass"
    STATUTE_DENIES = "statute_denies"
    PATIENT_DENIES = "patient_denies"
    RULE_LACKS_TOKENS = "rule_lacks_tokens"
    PATIENT_PERMITS = "patient_permits"
    NOT_NAMED = "not_named"
    STATUTE_PERMITS = "statute_permits"
    DEFAULT_DENIES = "default_denies"
    DEFAULT_PERMITS = "default_permits"
    NOBODY_PERMITS = "nobody_permits"


SENTENCES: dict[ReasonCode, str] = {
    ReasonCode.WRONG_SUBJECT: "This record belongs to another patient than the consent that was asked.",
    ReasonCode.UNKNOWN_PURPOSE: "The stated purpose is not one that Salus knows.",
    ReasonCode.NO_PACK: "The rules that apply at the author's or the reader's place are not known here.",
    ReasonCode.CUSTODIAN_IS_NOT_PATIENT: "A hospital keeps this patient's keys, so nobody reads as the patient.",
    ReasonCode.NOT_OWN_DEVICE: "This device is not one of the patient's own.",
    ReasonCode.HELD: "A lawful delay of access is in force; the patient can see by whom, why and until when.",
    ReasonCode.OWN_RECORD: "You are reading your own record from your own device.",
    ReasonCode.NOT_A_PROXY: "This person does not, or no longer, act for the patient.",
    ReasonCode.CLOSED_TO_PROXIES: "This record is closed to everyone who acts for the patient.",
    ReasonCode.NO_CREDENTIAL: "The reader has shown no credential.",
    ReasonCode.NO_EMERGENCY_ROLE: "Breaking the glass needs an emergency role, which the reader's credential lacks.",
    ReasonCode.NO_TYPED_REASON: "Breaking the glass needs a typed reason.",
    ReasonCode.IDENTITY_DENIES: "The law does not let this kind of reader ask.",
    ReasonCode.IDENTITY_SILENT: "No law lets this kind of reader ask for this purpose.",
    ReasonCode.CLOSED_TO_BREAK_GLASS: "The law closes this record even to emergencies.",
    ReasonCode.BREAK_GLASS: "The glass was broken in an emergency; the patient is told and a review falls due.",
    ReasonCode.STATUTE_DENIES: "The law forbids this use, whatever the patient has said.",
    ReasonCode.PATIENT_DENIES: "The patient's consent refuses this.",
    ReasonCode.RULE_LACKS_TOKENS: "The patient refuses some of this author's data, unknown which: all stays closed.",
    ReasonCode.PATIENT_PERMITS: "The patient's consent allows this.",
    ReasonCode.NOT_NAMED: "The law wants the patient to name this kind of information, and no consent given does so.",
    ReasonCode.STATUTE_PERMITS: "The law allows this, and the patient has not refused it.",
    ReasonCode.DEFAULT_DENIES: "Unless the patient allows it, this is refused.",
    ReasonCode.DEFAULT_PERMITS: "This is usual where the record was written, and the patient has not refused it.",
    ReasonCode.NOBODY_PERMITS: "Nobody has allowed this; without the patient's consent it stays closed.",
}


class Reason(Record, tag="consent.reason/1", frozen=True):
    """A code, and the rule it comes from: `us/own-treatment` for a pack's, hexadecimal id for a patient's, or empty."""

    code: ReasonCode
    rule: str = ""

    @property
    def sentence(self) -> str:
        """What the person reads."""
        return SENTENCES[self.code]


class Decision(Record, tag="consent.decision/1", frozen=True):
    """What `decide` answers. A permit binds the reader to its obligations; reasons and obligations are sorted."""

    effect: Effect
    obligations: tuple[str, ...]
    reasons: tuple[Reason, ...]

    @property
    def permitted(self) -> bool:
        """Whether a share may leave."""
        return self.effect is Effect.PERMIT
