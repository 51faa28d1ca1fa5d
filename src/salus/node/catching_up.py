"""Where a joiner of a running network begins: at a block that its own light client verified, never at a peer's word.

The invitation holds a block that the inviter's ledger held. From there on the light client follows the validators to
the block of an older snapshot, and asks everybody it knows for the same block: another must confirm it, and nobody may
contradict. It hands height and id to CometBFT, whose state sync verifies the snapshot's root from there. A network too
young for a snapshot is replayed from its genesis.
"""

from collections.abc import Mapping
from contextlib import ExitStack

from salus.core.errors import IntegrityError, MalformedError, RefusalError, UnavailableError
from salus.core.ids import Height, TimeMs
from salus.engines.cometbft.blocks import LightBlock, header_hash
from salus.engines.cometbft.client import Fetch, update
from salus.engines.cometbft.collect import light_block, source
from salus.engines.cometbft.config import StateSync
from salus.engines.cometbft.light import MS_NS, LightBlockError, Policy, check_votes
from salus.engines.cometbft.rpc import CometRpc
from salus.engines.cometbft.witness import contradict
from salus.node.invitations import Invitation
from salus.node.site import host_and_port

ASKING_S = 5.0


class NobodyToAskError(UnavailableError):
    """No member of the network answers where light clients may ask, or none but one whose word nobody confirms."""

    code = "node.nobody_to_ask"


class AttackedError(IntegrityError):
    """Two members tell of different blocks at one height, both signed: an attack, or a network that was cut in two."""

    code = "node.attacked"


class UnconfirmedError(UnavailableError):
    """One member alone tells of the block to begin from; another must say the same before it is believed."""

    code = "node.unconfirmed"


def trust_height(newest: Height, every_blocks: int) -> Height:
    """The height of the older of the snapshots that members keep; 0 where there are not two of them yet."""
    return max(0, (newest // every_blocks - 1) * every_blocks)


async def newest_block(rpc: CometRpc, every_blocks: int) -> LightBlock:
    """What an inviter hands over to begin from: a block of its own engine that a snapshot or two have followed.

    Raises:
        UnavailableError: the engine does not answer, or has no block yet.
    """
    newest = await _height(rpc)
    return await light_block(rpc, max(1, trust_height(newest, every_blocks)))


async def begin_from(invitation: Invitation, now: TimeMs) -> StateSync | None:
    """Where CometBFT's state sync begins; None where the network is replayed from its genesis.

    Raises:
        NobodyToAskError: no member answers.
        LightBlockError, TooFewTrustedError, TrustExpiredError: what they tell does not follow from the invitation.
        AttackedError: they tell of different blocks, all signed.
        UnconfirmedError: one alone tells of the block, though the invitation names others.
    """
    start = invitation.trusted
    if start is None:
        return None
    with ExitStack() as stack:
        clients = {address: CometRpc(host_and_port(address)) for address in invitation.light}
        for client in clients.values():
            stack.callback(client.close)
        heights = await _heights(clients)
        if not heights:
            raise NobodyToAskError(asked=len(clients))
        height = trust_height(max(heights.values()), invitation.snapshot_every_blocks)
        if not height:
            return None
        sources = {address: source(clients[address]) for address in heights}
        block = await verified_block(start, max(height, start.header.height), sources, now)
        if len(sources) == 1 < len(clients):
            raise UnconfirmedError(height=height)
    servers = tuple(f"http://{address}" for address in invitation.light)
    return StateSync(servers, block.header.height, header_hash(block.header).hex().upper())


async def verified_block(start: LightBlock, height: Height, sources: Mapping[str, Fetch], now: TimeMs) -> LightBlock:
    """The block at a height, as it follows from one that is trusted: confirmed, and contradicted by nobody.

    The first source is believed as far as its blocks verify; one of the others must agree, where there are others.
    Whoever tells something else without a proof is passed over.

    Raises:
        LightBlockError, TooFewTrustedError, TrustExpiredError: the trusted block was not signed by enough of its
            validators, or what the first source tells does not follow from it.
        AttackedError: two tell of different blocks, both signed.
        UnconfirmedError: no other source agrees.
    """
    check_votes(start)
    (first, primary), *others = sources.items()
    if height == start.header.height:
        agreed, attacks = await _compared(start, primary, dict(others))
        block = start
    else:
        said = await update(start, height, primary, dict(others), Policy(), now * MS_NS)
        agreed, attacks, block = len(said.agreed), len(said.attacks), said.trace[-1]
    if attacks:
        raise AttackedError(height=height, attacks=attacks)
    if others and not agreed:
        raise UnconfirmedError(height=height, first=first)
    return block


async def _compared(start: LightBlock, primary: Fetch, others: Mapping[str, Fetch]) -> tuple[int, int]:
    """How many have the very block of the invitation, and how many another that as many have signed."""
    height, named = start.header.height, header_hash(start.header)
    if header_hash((await primary(height)).header) != named:
        raise LightBlockError(reason="not the block of the invitation", height=height)
    agreed = attacks = 0
    for fetch in others.values():
        try:
            told = await fetch(height)
            check_votes(told)
        except (UnavailableError, RefusalError, MalformedError):
            continue
        agreed += header_hash(told.header) == named
        attacks += contradict(told, start) and told.header.validators == start.header.validators
    return agreed, attacks


async def _heights(clients: Mapping[str, CometRpc]) -> dict[str, Height]:
    """How far those are who answer."""
    found: dict[str, Height] = {}
    for address, client in clients.items():
        try:
            found[address] = await _height(client)
        except (UnavailableError, KeyError, TypeError, ValueError):
            continue
    return found


async def _height(client: CometRpc) -> Height:
    return int((await client.call("status", ASKING_S))["sync_info"]["latest_block_height"])
