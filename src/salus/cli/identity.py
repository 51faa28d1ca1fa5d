"""Who acts: a member's person (`clinician@mercy`) or a patient (`patient:1`), as typed after `--as`."""

import re
from dataclasses import dataclass

from salus.cli.errors import UnknownPersonError
from salus.core.ids import MemberId

ROLES: dict[str, tuple[str, ...]] = {
    "clinician": ("clinician",),
    "emergency": ("clinician", "emergency"),
    "researcher": ("researcher",),
    "clerk": ("clerk",),
    "auditor": ("auditor",),
}

_STAFF = re.compile(rf"({'|'.join(ROLES)})(-[a-z0-9]{{1,16}})?@([a-z0-9][a-z0-9-]{{0,31}})")
_PATIENT = re.compile(r"patient:([1-9][0-9]{0,8})")


@dataclass(frozen=True, slots=True)
class StaffName:
    """A person of a member. The first part of the name is their role; `clinician-2@mercy` is a second clinician."""

    name: str
    member: MemberId

    @property
    def roles(self) -> tuple[str, ...]:
        """What the member vouches for."""
        return ROLES[self.name.split("-")[0]]

    def __str__(self) -> str:
        return f"{self.name}@{self.member}"


@dataclass(frozen=True, slots=True)
class PatientName:
    """A patient, by the number that this folder's register gave them."""

    number: int

    def __str__(self) -> str:
        return f"patient:{self.number}"


Who = StaffName | PatientName


def who(text: str) -> Who:
    """Read a person's name.

    Raises:
        UnknownPersonError: it is neither a patient's nor a known role at a member.
    """
    patient = _PATIENT.fullmatch(text)
    if patient is not None:
        return PatientName(int(patient[1]))
    staff = _STAFF.fullmatch(text)
    if staff is None:
        raise UnknownPersonError(roles=", ".join(ROLES))
    return StaffName(staff[1] + (staff[2] or ""), MemberId(staff[3]))


def patient_number(text: str) -> int:
    """A patient's number, from `patient:1` or `1`.

    Raises:
        UnknownPersonError: it is neither.
    """
    named = who(text if ":" in text else f"patient:{text}")
    if not isinstance(named, PatientName):
        raise UnknownPersonError(roles="patient")
    return named.number
