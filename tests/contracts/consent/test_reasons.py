"""Reasons are a promise to people: each has a sentence, and the README lists them all."""

from pathlib import Path

import salus.contracts.consent as consent
from salus.contracts.consent import SENTENCES, Decision, Effect, Reason, ReasonCode, errors
from salus.core.errors import MalformedError
from salus.core.wire import decode, encode

README = (Path(consent.__file__).parent / "README.md").read_text()


def test_every_reason_has_one_plain_sentence_and_stands_in_the_readme() -> None:
    assert set(SENTENCES) == set(ReasonCode)
    assert len(set(SENTENCES.values())) == len(ReasonCode)
    assert [code.value for code in ReasonCode if f"`{code.value}` | {SENTENCES[code]}" not in README] == []


def test_every_error_code_stands_in_the_readme() -> None:
    own = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, MalformedError)]
    codes = {error.code for error in own if error is not MalformedError}
    assert len(codes) == len(own) - 1
    assert [code for code in sorted(codes) if f"`{code}`" not in README] == []


def test_a_decision_travels_and_speaks() -> None:
    decision = Decision(Effect.DENY, (), (Reason(ReasonCode.NOT_NAMED),))
    assert decode(Decision, encode(decision)) == decision
    assert decision.reasons[0].sentence.startswith("The law wants the patient to name")
    assert not decision.permitted
