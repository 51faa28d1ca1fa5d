"""CometBFT beside a member's ledger: installed, of a version that is known, with the others' time, height and roots.

What is asked of it is signed by the others: their votes for the newest block carry each one's own time, and the block
after a height names the root that more than two thirds computed there.
"""

import subprocess
from collections.abc import AsyncIterator, Iterator
from statistics import median

from salus.core.errors import SalusError
from salus.core.ids import Height
from salus.engines.cometbft.blocks import LightBlock, address_of
from salus.engines.cometbft.collect import light_block
from salus.engines.cometbft.light import check_votes
from salus.engines.cometbft.rpc import CometRpc
from salus.engines.cometbft.supervisor import NoEngineError, find_binary
from salus.engines.cometbft.unit import engine_rpc
from salus.engines.cometbft.witness import contradict
from salus.node.doctor.case import Case
from salus.node.doctor.copies import header_at
from salus.node.observing.findings import Finding, found
from salus.node.observing.judging import BEHIND_MAX
from salus.node.site import host_and_port

VERSIONS = ("0.38.", "0.39.", "0.40.")
VERSION_S = 5.0
SKEW_S_MAX = 5.0  # Votes of one round come within a second or so of each other.
_SECOND_NS = 1_000_000_000


def check_binary(case: Case) -> Iterator[Finding]:
    """Whether it is installed, and which version."""
    if not case.is_apart:
        return
    try:
        binary = find_binary()
        said = subprocess.run(
            [str(binary), "version"], capture_output=True, text=True, timeout=VERSION_S, check=True
        ).stdout
    except NoEngineError:
        yield found("engine.missing", case.member, "ledger")
        return
    except (OSError, subprocess.SubprocessError):
        yield found("engine.broken", case.member, "ledger", binary=binary.name)
        return
    version = said.strip().removeprefix("v")
    if not version.startswith(VERSIONS):
        shown = version if version.replace(".", "").isalnum() and len(version) < 24 else "another"
        yield found("engine.version", case.member, "ledger", version=shown)


async def check_engine(case: Case) -> AsyncIterator[Finding]:
    """What the member's running CometBFT says of the others. That it does not answer is `judging.py`'s to say."""
    if not (case.is_apart and case.is_up and case.site is not None and case.ledger is not None):
        return
    rpc = engine_rpc(case.place)
    try:
        newest = int((await rpc.call("status", 3.0))["sync_info"]["latest_block_height"])
        heights = heights_of_peers(await rpc.call("dump_consensus_state", 3.0))
        block = await light_block(rpc, newest) if newest else None
    except (SalusError, KeyError, TypeError, ValueError):
        return
    finally:
        rpc.close()
    if heights and max(heights) - 1 - newest > BEHIND_MAX:
        yield found("ledger.behind", case.member, "ledger", blocks=max(heights) - 1 - newest)
    if block is not None:
        for one in (*of_clock(case, block), *of_root(case, block)):
            yield one


async def check_witnesses(case: Case) -> AsyncIterator[Finding]:
    """Whether other members tell of the same block as this member's engine does, where light clients may ask them."""
    if not (case.is_apart and case.is_up and case.site is not None):
        return
    for address in case.site.light:
        own, theirs = engine_rpc(case.place), CometRpc(host_and_port(address))
        try:
            newest = int((await theirs.call("status", 3.0))["sync_info"]["latest_block_height"])
            told = await light_block(theirs, newest)
            mine = await light_block(own, newest)
            check_votes(told)
        except (SalusError, KeyError, TypeError, ValueError):
            continue  # Away, behind, or no block that anybody signed.
        finally:
            own.close()
            theirs.close()
        if contradict(mine, told):
            yield found("ledger.forked", case.member, "ledger", height=newest, address=address)


def of_clock(case: Case, block: LightBlock) -> Iterator[Finding]:
    """This member's own vote against the others' for the same block."""
    if case.secrets is None:
        return
    own = address_of(case.secrets.validator.public)
    mine = [vote.time for vote in block.votes if vote.validator == own]
    others = [vote.time for vote in block.votes if vote.validator != own]
    if not mine or not others:
        return
    ahead_s = (mine[0] - median(others)) / _SECOND_NS
    if abs(ahead_s) > SKEW_S_MAX:
        code = "clock.ahead_of_peers" if ahead_s > 0 else "clock.behind_peers"
        yield found(code, case.member, seconds=round(abs(ahead_s)))


def of_root(case: Case, block: LightBlock) -> Iterator[Finding]:
    """The root that the others computed at the height before, against this member's own."""
    assert case.ledger is not None
    height: Height = block.header.height - 1
    own = header_at(case.ledger, height) if height <= case.ledger.height else None
    try:
        check_votes(block)
    except SalusError:
        return  # Too few votes are known of the newest block; the next time there are more.
    if own is not None and own.app_hash != block.header.app_hash:
        yield found("ledger.roots_differ", case.member, "ledger", height=height, other="more than two thirds")


def heights_of_peers(said: dict[str, object]) -> list[int]:
    """At which height each peer works, as the engine knows it."""
    peers = said["peers"]
    assert isinstance(peers, list)
    return [int(peer["peer_state"]["round_state"]["height"]) for peer in peers]
