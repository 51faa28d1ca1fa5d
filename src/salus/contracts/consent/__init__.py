"""Consent, the smart contract: what a patient says, what the law adds, and whether a reader may have a record.

Read `README.md` for the promise, `decide.py` for the order of layers, `answers.py` for what one rule answers.
"""

from salus.contracts.consent.blinding import TermKeys, blind_rule
from salus.contracts.consent.dates import date_terms, record_date_terms
from salus.contracts.consent.decide import Decider, decide
from salus.contracts.consent.narrowing import narrows, without
from salus.contracts.consent.pack import Pack, pack_root, read_pack
from salus.contracts.consent.policy import (
    Device,
    PolicySet,
    Proxy,
    Writer,
    check_policy,
    commitment,
    device_handle,
    is_subject_of,
    is_writer,
    proxy_handle,
    subject_handle,
    writers_without_tokens,
)
from salus.contracts.consent.reasons import SENTENCES, Decision, Reason, ReasonCode
from salus.contracts.consent.requests import ReadKind, ReadRequest
from salus.contracts.consent.rules import ANYONE, AuthorTerms, ClearRule, Effect, Handle, Reader, Rule, RuleId
from salus.contracts.consent.sealing import SealFacts, padded, seal_facts

__all__ = [
    "ANYONE",
    "SENTENCES",
    "AuthorTerms",
    "ClearRule",
    "Decider",
    "Decision",
    "Device",
    "Effect",
    "Handle",
    "Pack",
    "PolicySet",
    "Proxy",
    "ReadKind",
    "ReadRequest",
    "Reader",
    "Reason",
    "ReasonCode",
    "Rule",
    "RuleId",
    "SealFacts",
    "TermKeys",
    "Writer",
    "blind_rule",
    "check_policy",
    "commitment",
    "date_terms",
    "decide",
    "device_handle",
    "is_subject_of",
    "is_writer",
    "narrows",
    "pack_root",
    "padded",
    "proxy_handle",
    "read_pack",
    "record_date_terms",
    "seal_facts",
    "subject_handle",
    "without",
    "writers_without_tokens",
]
