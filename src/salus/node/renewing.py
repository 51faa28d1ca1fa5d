"""A member's TLS key, renewed: another one is announced, and the old one ends once every server shows it.

The gateway process does it by itself before a key is older than `TLS_AGE_MS_MAX`; `salus rotate tls` begins it at any
time, or does both steps in one transaction, when the old key was stolen: then peers refuse it from that block on.
"""

import asyncio
import ssl
from collections.abc import Iterable
from pathlib import Path

from salus.contracts.members.messages import AnnounceTls, RotateTls
from salus.contracts.members.reads import member_of
from salus.contracts.members.tables import KEYS, Member
from salus.core.errors import MalformedError, RefusalError
from salus.core.ids import DAY_MS, MemberId, PublicKey, TimeMs
from salus.crypto.digests import digest
from salus.machine.sponsor import Sponsor
from salus.node.http.certificates import read_certificate
from salus.node.http.trust import Trust
from salus.node.keys import made_at, stage_secrets, staged_public
from salus.node.site import host_and_port
from salus.state.state import State

TLS_AGE_MS_MAX = 90 * DAY_MS  # A key lies on a disk, and in backups: a quarter of a year is the usual limit.
SHOWS_S = 5.0


class NotAMemberError(RefusalError):
    """The member has left: nobody asks for its keys any more."""

    code = "node.not_a_member"


def is_old(folder: Path, now: TimeMs) -> bool:
    """Whether the TLS key in a folder of keys is due to be replaced."""
    made = made_at(folder, "tls")
    return made is not None and now - made >= TLS_AGE_MS_MAX


def is_announced(folder: Path, entry: Member) -> bool:
    """Whether the key that the ledger has announced waits in this folder. Raises KeyFileError where it is damaged."""
    return entry.tls_next is not None and staged_public(folder, "tls") == entry.tls_next


async def announce(folder: Path, state: State, member: MemberId, sponsor: Sponsor, *, at_once: bool = False) -> None:
    """Make another TLS key, unless one waits, and let peers accept it; `at_once`: it, and not the old one.

    Raises:
        NotAMemberError: the member has left.
        FolderError, KeyFileError: the key cannot be kept, or read.
        LedgerRefusedError, UnavailableError: as `Sponsor`.
    """
    entry = entry_of(state, member)
    if is_announced(folder, entry):
        messages: list[AnnounceTls | RotateTls] = []
        witnesses = []
    else:
        key = stage_secrets(folder, ("tls",), is_spent=lambda public: KEYS.has(state, digest(public))).tls
        messages, witnesses = [AnnounceTls(version=entry.own_version, key=key.public)], [key]
    if at_once:
        messages.append(RotateTls(version=entry.own_version + len(messages)))
    if messages:
        await sponsor(*messages, witnesses=tuple(witnesses))


async def tend_tls(
    folder: Path, state: State, member: MemberId, sponsor: Sponsor, trust: Trust, addresses: Iterable[str]
) -> bool:
    """What is due: a key announced because the one in use is old, or the old one ended; whether either was.

    Raises as `announce`.
    """
    entry = entry_of(state, member)
    if entry.tls_next is None:
        due = is_old(folder, trust.clock())
        if due:
            await announce(folder, state, member, sponsor)
        return due
    if not is_announced(folder, entry):  # By a thief of the ledger key, perhaps: `salus rotate tls` drops it.
        return False
    context = trust.calling(member)
    shown = [await shown_at(address, member, context) for address in addresses]
    due = all(key == entry.tls_next for key in shown)
    if due:
        await sponsor(RotateTls(version=entry.own_version))
    return due


async def shown_at(address: str, member: MemberId, context: ssl.SSLContext) -> PublicKey | None:
    """The TLS key that a member's server shows; None where it does not answer."""
    try:
        async with asyncio.timeout(SHOWS_S):
            host, port = host_and_port(address)
            _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=member)
    except (OSError, TimeoutError):
        return None
    try:
        connection: ssl.SSLObject = writer.get_extra_info("ssl_object")
        return read_certificate(connection.getpeercert(binary_form=True) or b"").key
    except MalformedError:
        return None
    finally:
        writer.close()


def entry_of(state: State, member: MemberId) -> Member:
    """A member's entry. Raises NotAMemberError where it has left."""
    entry = member_of(state, member)
    if entry is None:
        raise NotAMemberError(member=member)
    return entry
