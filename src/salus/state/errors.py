"""What can be wrong with what this room reads back. Keys are named by their hashes, as in the tree."""

from salus.core.errors import IntegrityError


class CorruptValueError(IntegrityError):
    """A stored value, or its key, is not what its table holds."""

    code = "state.corrupt_value"


class CorruptPageError(IntegrityError):
    """A page of the tree is missing or not in the one form of its content."""

    code = "state.corrupt_page"
