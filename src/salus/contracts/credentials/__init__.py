"""Credentials: what a member vouches for about a person, as a salted commitment that can be revoked.

`messages.py` what an issuer may say; `transitions.py` what it does; `claims.py` what a commitment hides; `tables.py`
what is kept; `reads.py` what others ask; `errors.py` refusals; `invariants.py` what always holds. Begin with
`README.md`.
"""

from salus.contracts.credentials.messages import Issue, Revoke
from salus.contracts.credentials.reads import credential_of, is_active
from salus.contracts.credentials.tables import Credential, Status
from salus.contracts.credentials.transitions import issue, revoke

__all__ = ["Credential", "Issue", "Revoke", "Status", "credential_of", "is_active", "issue", "revoke"]
