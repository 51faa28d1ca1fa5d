"""Who signs a request, and what their policy decides: the same checks at a keeper and at an author's own gateway."""

from collections.abc import Iterable, Sequence

from salus.contracts.consent import (
    Decider,
    Pack,
    PolicySet,
    ReadKind,
    ReadRequest,
    device_handle,
    pack_root,
    proxy_handle,
)
from salus.contracts.credentials.claims import Claims, commitment
from salus.contracts.credentials.reads import credential_of, is_active
from salus.contracts.members.reads import jurisdictions, member_of, pack_root_of
from salus.contracts.reads.opening import Opening, to_sign
from salus.core.clock import Clock
from salus.core.ids import CredentialId, Digest, MemberId, PublicKey, Signature
from salus.crypto.signatures import verify
from salus.keeper.errors import PersonError
from salus.machine.view import View

_DECIDERS_KEPT = 1024


class Persons:
    """Checks people against the ledger and the policy in force."""

    def __init__(self, view: View, clock: Clock) -> None:
        self._view = view
        self._clock = clock

    def reader(
        self, opening: Opening, signature: Signature, claims: Claims | None, policy: PolicySet | None
    ) -> ReadRequest:
        """As whom the opening's key signs: a patient's device, a proxy, or a member's person by credential.

        Raises:
            PersonError: the signature, key or credential does not hold.
        """
        if not verify(opening.key, to_sign(opening), signature):
            raise PersonError(reason="signature")
        member = member_of(self._view.state, opening.member)
        if member is None:
            raise PersonError(reason="member")
        kind, handle = ReadKind.CLINICIAN, None
        roles: tuple[str, ...] = ()
        if opening.credential_id is not None:
            roles = self.roles(opening.credential_id, claims, opening.member, opening.key)
        else:
            device = None if policy is None else device_handle(policy, opening.key)
            proxy = None if policy is None else proxy_handle(policy, opening.key, self._clock())
            if device is None and proxy is None:
                raise PersonError(reason="no device of this patient")
            kind, handle = (ReadKind.PATIENT, device) if device is not None else (ReadKind.PROXY, proxy)
        return ReadRequest(
            member=opening.member,
            roles=roles,
            credential=opening.credential_id,
            jurisdiction=member.jurisdiction,
            kind=kind,
            handle=handle,
            purpose=opening.purpose,
            reason=opening.reason,
            history=opening.selection.history,
        )

    def roles(
        self, credential_id: CredentialId, claims: Claims | None, member: MemberId, key: PublicKey
    ) -> tuple[str, ...]:
        """The roles that a credential vouches for, if it is in force, this member's, and binds this key.

        Raises:
            PersonError: it does not hold.
        """
        credential = credential_of(self._view.state, credential_id)
        now = max(self._view.time, self._clock())
        if (
            credential is None
            or claims is None
            or not is_active(self._view.state, credential_id, now)
            or credential.commitment != commitment(claims)
            or credential.issuer != claims.member
            or claims.member != member
            or claims.key != key
        ):
            raise PersonError(reason="credential")
        return claims.roles


class Deciders:
    """Compiled policies, one per version, with the packs that the ledger says are in force."""

    def __init__(self, view: View, packs: Sequence[Pack]) -> None:
        self._view = view
        self._packs: dict[Digest, Pack] = {}
        self._kept: dict[object, Decider] = {}
        self.take(packs)

    def take(self, packs: Iterable[Pack]) -> None:
        """Know these packs too, for when the ledger names them."""
        self._packs.update({pack_root(pack): pack for pack in packs})

    def of(self, policy: PolicySet, named: Digest) -> Decider:
        """The decider of a policy version, `named` by its commitment, under the packs and places in force now."""
        roots, places = self._in_force(), jurisdictions(self._view.state)
        key = (named, tuple(roots.items()), tuple(places.items()))  # A pack's next version is another root.
        decider = self._kept.get(key)
        if decider is None:
            if len(self._kept) >= _DECIDERS_KEPT:
                self._kept.clear()
            packs = {place: self._packs[root] for place, root in roots.items()}
            decider = self._kept[key] = Decider(policy, packs, places)
        return decider

    def _in_force(self) -> dict[str, Digest]:
        roots = {pack.jurisdiction: pack_root_of(self._view.state, pack.jurisdiction) for pack in self._packs.values()}
        return {place: root for place, root in roots.items() if root is not None and root in self._packs}
