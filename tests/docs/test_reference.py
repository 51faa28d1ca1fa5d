"""The reference pages are what the code says, and every code is one error's alone."""

from collections import Counter

from tools.make_reference import FILE, FINDINGS, OPERATOR_API, error_classes, findings_text, operator_api_text, text


def test_the_page_of_error_codes_matches_the_code() -> None:
    assert FILE.read_text() == text(), "run: .venv/bin/python -m tools.make_reference"


def test_the_page_of_findings_matches_the_code() -> None:
    assert FINDINGS.read_text() == findings_text(), "run: .venv/bin/python -m tools.make_reference"


def test_the_document_of_the_operators_port_matches_the_code() -> None:
    assert OPERATOR_API.read_text() == operator_api_text(), "run: .venv/bin/python -m tools.make_reference"


def test_no_code_is_used_by_two_errors_unless_one_refines_the_other() -> None:
    by_code = Counter(error.code for error in error_classes())
    shared = {code for code, count in by_code.items() if count > 1}
    for code in shared:
        classes = [error for error in error_classes() if error.code == code]
        first = classes[0]
        related = all(issubclass(one, first) or issubclass(first, one) for one in classes)
        assert related, f"{code} is used by {[one.__name__ for one in classes]}"


def test_every_error_says_what_it_is() -> None:
    assert [error.__name__ for error in error_classes() if not (error.__doc__ or "").strip()] == []
