"""Where a request goes: to a member's keeper and vault, or to its gateway; and at which address.

A request's tag says which of the two answers it, so that whoever asks need not know how a member is divided.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum

from salus.contracts.members.messages import Endpoints
from salus.contracts.members.reads import member_of
from salus.core.ids import MemberId
from salus.machine.view import View


class Part(StrEnum):
    """A process of a member that others speak to."""

    KEEPER = "keeper"
    GATEWAY = "gateway"


PARTS: Mapping[str, Part] = {  # By the beginning of a request's tag; the longest counts.
    "keeper.": Part.KEEPER,
    "vault.": Part.KEEPER,
    "checkpoint.": Part.KEEPER,
    "keeper.something_new/": Part.GATEWAY,
    "keeper.widening_notice/": Part.GATEWAY,
    "keeper.batches_lost/": Part.GATEWAY,
    "link.": Part.GATEWAY,
    "desk.": Part.GATEWAY,
    "directory.": Part.GATEWAY,
}
_BY_LENGTH = sorted(PARTS.items(), key=lambda item: -len(item[0]))

Places = Callable[[MemberId, Part], str]
"""The address (`host:port`) of a member's part; empty where it has none."""


def places_of(view: View, local: Mapping[tuple[MemberId, Part], str] | None = None) -> Places:
    """Addresses from the ledger; a local table goes before it."""
    overrides = local or {}

    def place(member: MemberId, part: Part) -> str:
        if (member, part) in overrides:
            return overrides[member, part]
        entry = member_of(view.state, member)
        return address_in(entry.endpoints if entry is not None else Endpoints(), part)

    return place


def address_in(endpoints: Endpoints, part: Part) -> str:
    """A part's address among a member's."""
    return endpoints.keeper if part is Part.KEEPER else endpoints.gateway


def part_of(request: bytes) -> Part:
    """Which part answers a request. What no part knows goes to the keeper, whose door says so."""
    tag = tag_of(request)
    return next((part for prefix, part in _BY_LENGTH if tag.startswith(prefix)), Part.KEEPER)


def tag_of(data: bytes) -> str:
    """The tag of a typed message, without reading the rest; empty if there is none."""
    at = {0xDC: 3, 0xDD: 5}.get(data[0], 1) if data else 0  # After an array's head.
    head = data[at : at + 1]
    if not data or not (0x90 <= data[0] <= 0x9F or at > 1) or not head:
        return ""
    if 0xA0 <= head[0] <= 0xBF:
        begin, size = at + 1, head[0] & 0x1F
    elif head[0] == 0xD9 and len(data) > at + 1:
        begin, size = at + 2, data[at + 1]
    else:
        return ""
    return data[begin : begin + size].decode("ascii", "replace")
