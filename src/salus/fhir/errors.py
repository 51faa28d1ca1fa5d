"""Every way an import refuses its input, and the note it leaves instead when it can go on.

An error names a place (`entry[12]`, `line[3]`, `byte 80`) and numbers, never what the document says.
"""

from typing import ClassVar

import msgspec

from salus.core.errors import MalformedError


class FhirInputError(MalformedError):
    """The input cannot be taken in; the sender can mend it."""

    code: ClassVar[str] = "fhir.input"


class TooLargeError(FhirInputError):
    """The input is larger than an import takes."""

    code = "fhir.too_large"


class ByteOrderMarkError(FhirInputError):
    """The file starts with a byte-order mark; remove it (FHIR JSON is UTF-8 without one)."""

    code = "fhir.byte_order_mark"


class NotUtf8Error(FhirInputError):
    """The bytes are not UTF-8; convert the file."""

    code = "fhir.not_utf8"


class NotJsonError(FhirInputError):
    """The bytes are not JSON."""

    code = "fhir.not_json"


class TooDeepError(FhirInputError):
    """Objects and arrays are nested deeper than an import follows."""

    code = "fhir.too_deep"


class BadTextError(FhirInputError):
    """A string holds a NUL or half of a surrogate pair."""

    code = "fhir.bad_text"


class DuplicateKeyError(FhirInputError):
    """An object names one key twice, so two readers could read two things."""

    code = "fhir.duplicate_key"


class NotFhirError(FhirInputError):
    """The JSON is no FHIR resource: it has no usable `resourceType`, `id` or `entry`."""

    code = "fhir.not_fhir"


class UnknownTypeError(FhirInputError):
    """The `resourceType` is none of FHIR R4."""

    code = "fhir.unknown_type"


class BadDateError(FhirInputError):
    """A date is none of the calendar."""

    code = "fhir.bad_date"


class EmptyBundleError(FhirInputError):
    """There is no resource to take in."""

    code = "fhir.empty_bundle"


class SameIdTwiceError(FhirInputError):
    """Two resources claim one identity."""

    code = "fhir.same_id_twice"


class DecompressionError(FhirInputError):
    """The compressed file is broken or cut short."""

    code = "fhir.bad_compression"


class UnreadableFileError(FhirInputError):
    """The file or folder cannot be read."""

    code = "fhir.unreadable"


# Reasons of problems that are no exceptions: the rest of the import goes on.
NO_PATIENT = "fhir.no_patient"  # The entry is not taken in.
SEVERAL_PATIENTS = "fhir.several_patients"  # Not taken in: sealing it for one would show them the other.
NOT_A_RESOURCE = "fhir.entry_without_resource"  # A request or response without content: nothing to take in.
DANGLING_REFERENCE = "fhir.dangling_reference"  # A warning: taken in as it is.
AMBIGUOUS_REFERENCE = "fhir.ambiguous_reference"  # A warning: several resources carry the identifier asked for.
NO_ORGANISATION = "fhir.no_organisation"  # A warning: nobody is known to have provided it.
WARNINGS = frozenset({DANGLING_REFERENCE, AMBIGUOUS_REFERENCE, NO_ORGANISATION, NOT_A_RESOURCE})


class Problem(msgspec.Struct, frozen=True):
    """What an import could not take in, or took in with a doubt."""

    file: str  # As the person named it; shown to them, not logged: file names may carry a patient's name.
    place: str
    reason: str  # An error code.
    count: int = 1  # How often in this place.

    @property
    def warning(self) -> bool:
        """Whether the resource was taken in all the same."""
        return self.reason in WARNINGS
