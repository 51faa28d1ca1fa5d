"""What this room refuses. All are bytes that a sender has to mend; none carries a key, a plaintext or a digest."""

from salus.core.errors import MalformedError


class BadKeyError(MalformedError):
    """These bytes are not a key of this kind."""

    code = "crypto.bad_key"


class UnopenableError(MalformedError):
    """The sealed bytes do not open under this key and context, or what they hold is not what was announced."""

    code = "crypto.unopenable"


class OversizeError(MalformedError):
    """The document does not fit into one chunk."""

    code = "crypto.oversize"


class BadSharesError(MalformedError):
    """The shares, seats or threshold do not belong together."""

    code = "crypto.bad_shares"


class BadProofError(MalformedError):
    """The proof does not have the shape that these leaves and this tree require."""

    code = "crypto.bad_proof"
