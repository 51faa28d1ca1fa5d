"""A member's keys, replaced: its TLS and gateway keys by its own word, the others by the members' decision.

New keys are made in the member's folder and leave it as public keys alone; its processes turn to them by themselves,
once what was asked for is final (`node/keyring.py`, `node/renewing.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from salus.cli.actions.governance import Standing, entry_of, follow, propose, rekeying, state_of
from salus.cli.home import Home
from salus.contracts.members.messages import RotateGateway
from salus.contracts.members.tables import KEYS
from salus.crypto.digests import digest
from salus.node.folder import is_apart
from salus.node.keys import KEYS_FOLDER, stage_secrets
from salus.node.renewing import announce

OWN_DUTIES = ("tls", "gateway")  # A member changes these alone.


@dataclass(frozen=True, slots=True)
class Rotated:
    """What was done at once, and what the members are to decide."""

    in_use: tuple[str, ...]  # The ledger has these anew.
    announced: tuple[str, ...]  # Accepted beside the old ones, which end by themselves.
    proposed: tuple[str, ...]
    standing: Standing | None


async def rotate(home: Home, by: str, duties: Sequence[str], *, at_once: bool) -> Rotated:
    """Replace a member's keys of these duties.

    Raises:
        UnknownMemberError: nobody of this name runs here.
        FolderError, KeyFileError: its keys cannot be kept, or read.
        LedgerRefusedError: a rule says no, with its code.
    """
    in_use: list[str] = []
    announced: list[str] = []
    member = home.member(by)
    ends_now = at_once or not is_apart(home.folder)  # In one process nobody shows or pins a certificate.
    if "tls" in duties:
        folder, sponsor = member.folder / KEYS_FOLDER, member.gateway.sponsor
        await announce(folder, state_of(home), member.name, sponsor, at_once=ends_now)
        (in_use if ends_now else announced).append("tls")
    if "gateway" in duties:
        await _rotate_gateway(home, by)
        in_use.append("gateway")
    await follow(home)
    voted = tuple(duty for duty in duties if duty not in OWN_DUTIES)
    standing = (await propose(home, by, (rekeying(home, by, voted),)))[0] if voted else None
    return Rotated(tuple(in_use), tuple(announced), voted, standing)


async def _rotate_gateway(home: Home, by: str) -> None:
    member, state = home.member(by), state_of(home)
    keys = stage_secrets(
        member.folder / KEYS_FOLDER, ("gateway",), is_spent=lambda public: KEYS.has(state, digest(public))
    )
    message = RotateGateway(version=entry_of(home, by).own_version, key=keys.gateway.public)
    await member.gateway.sponsor(message)
