"""What a transition may know besides the state and its message: who signed, which block, what time it says."""

from collections.abc import Callable

import msgspec

from salus.core.ids import ChainId, Height, MemberId, PublicKey, Signature, TimeMs

Verify = Callable[[PublicKey, bytes, Signature], bool]  # Ed25519; a pure function, so its verdicts may be remembered.


class Context(msgspec.Struct, frozen=True, gc=False):
    """One transaction inside one block. `signers` holds keys whose signatures over this transaction were verified.

    One is made for each transaction, which a frozen dataclass would take ten times as long for.
    """

    chain: ChainId
    height: Height
    time: TimeMs  # Block time: the same on every member.
    valid_until: TimeMs  # The transaction's own limit; receipts it carries must not run out before it.
    sponsor: MemberId
    signers: frozenset[PublicKey]
    verify: Verify

    def signed_by(self, key: PublicKey) -> bool:
        """Whether this key signed the transaction."""
        return key in self.signers
