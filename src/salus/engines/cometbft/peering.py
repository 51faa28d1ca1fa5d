"""Whom a member's engine dials: the peers it was told of when it joined, and what the ledger has said of them since.

A member that joins dials all others, so nobody who runs needs to be told; each learns its address for good when it
starts again. Addresses told by hand go before those of the ledger: a site may reach a peer by another way.
"""

from collections.abc import Sequence

from salus.contracts.members.reads import member_of, members_of
from salus.core.ids import Height, MemberId
from salus.state.state import State


def engine_peers(state: State, height: Height, own: MemberId, told: Sequence[str]) -> tuple[str, ...]:
    """Addresses (`node id@host:port`) of all others. Before the first block only those told count."""
    if not height:
        return tuple(told)
    entries = {name: member_of(state, name) for name in members_of(state)}
    known = {name: entry.endpoints.engine for name, entry in entries.items() if entry and entry.endpoints.engine}
    present = {_node(address) for address in known.values()}
    kept = [address for address in told if _node(address) in present]
    named = {_node(address) for address in kept}
    return (*kept, *(known[name] for name in known if name != own and _node(known[name]) not in named))


def _node(address: str) -> str:
    return address.partition("@")[0].lower()
