"""People at a member: their own keys, and the credential by which the member vouches for them."""

from salus.contracts.credentials.claims import Claims, commitment
from salus.contracts.credentials.messages import Issue, Revoke
from salus.contracts.credentials.reads import credential_of
from salus.core.ids import DAY_MS, CredentialId, Digest, MemberId, Name
from salus.core.wire import Record
from salus.crypto.signatures import SigningKey
from salus.sdk.errors import NoSuchSubjectError
from salus.sdk.gateway import Gateway, new_id, new_secret

CREDENTIAL_MS = 365 * DAY_MS


class Person(Record, tag="person/1", frozen=True):
    """A clinician, researcher or clerk with an own key. Secret as a whole."""

    name: str  # As they are called at their member, such as `clinician`.
    member: Name
    seed: Digest
    credential_id: CredentialId
    claims: Claims

    @property
    def key(self) -> SigningKey:
        """Their own key: signs every request they make."""
        return SigningKey(self.seed)


async def employ(gateway: Gateway, name: str, roles: tuple[str, ...]) -> Person:
    """Give a person of this member a key and a credential; in force on return."""
    seed = new_secret()
    claims = Claims(salt=new_secret(), member=gateway.member, key=SigningKey(seed).public, roles=tuple(sorted(roles)))
    credential_id = new_id()
    expires = gateway.view.time + CREDENTIAL_MS
    await gateway.sponsor(Issue(credential_id=credential_id, commitment=commitment(claims), expires=expires))
    return Person(name=name, member=gateway.member, seed=seed, credential_id=credential_id, claims=claims)


async def dismiss(gateway: Gateway, credential_id: CredentialId) -> None:
    """End a credential for good."""
    credential = credential_of(gateway.view.state, credential_id)
    if credential is None:
        raise NoSuchSubjectError(member=MemberId(gateway.member))
    await gateway.sponsor(Revoke(credential_id=credential_id, version=credential.version))
