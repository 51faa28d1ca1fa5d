"""Where one member lives on its machine: addresses it listens at, its engine's peers, its stores. `member.toml`.

    [engine]
    listen = "127.0.0.1:7101"      # where other members' engines reach this one
    rpc = "127.0.0.1:7102"         # where light clients may ask, see `http/light.py`
    peers = ["<node id>@host:port"]
    light = ["host:port"]          # where other members' light clients may ask, as far as it was told
    snapshot_every_blocks = 2000   # the same on all members
    kept_blocks = 0                # of the engine's own, at least; 0: all, without which no receipt of old entries
    trust_height = 12000           # of a joiner: the block from which it begins, and its id
    trust_hash = "..."
    [keeper]
    listen = "127.0.0.1:7103"      # keeper and vault
    operator = 7106                # health and metrics of the process, on loopback alone
    [gateway]
    listen = "127.0.0.1:7104"
    operator = 7107
    [ledger]
    operator = 7105
    [member]
    reach = "salus.mercy.example"  # the host by which others reach all of these, where it is not the one above

What others must know of it stands on the ledger as the member's endpoints.
"""

import json
import random
import socket
import tomllib
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from salus.contracts.members.messages import Endpoints
from salus.core.errors import IntegrityError
from salus.engines.snapshots import EVERY_BLOCKS
from salus.node.keys import write_secret

SITE_FILE = "member.toml"
PORTS = 7
LOOPBACK = "127.0.0.1"
LISTENING_PORTS = range(20_000, 32_000)  # Below those that systems give to outgoing connections.


class SiteError(IntegrityError):
    """A member's `member.toml` is missing or cannot be read: restore it, or write it again."""

    code = "node.site"


@dataclass(frozen=True, slots=True)
class Site:
    """A member's addresses, as `host:port`; operator ports are on loopback."""

    engine: str
    rpc: str
    keeper: str
    gateway: str
    ledger_operator: int
    keeper_operator: int
    gateway_operator: int
    peers: tuple[str, ...] = ()
    light: tuple[str, ...] = ()
    reach: str = ""
    snapshot_every_blocks: int = EVERY_BLOCKS
    kept_blocks: int = 0  # 0: all; see `engines/cometbft/retaining.py`.
    trust_height: int = 0  # 0: it has all blocks from the first on.
    trust_hash: str = ""

    def endpoints(self, node_id: str) -> Endpoints:
        """What the ledger says of it."""
        engine, keeper, gateway = (self.reached(one) for one in (self.engine, self.keeper, self.gateway))
        return Endpoints(engine=f"{node_id}@{engine}", keeper=keeper, gateway=gateway)

    def reached(self, address: str) -> str:
        """An address of its own as others know it."""
        host, port = host_and_port(address)
        return address_at(self.reach or host, port)


def local_site(ports: list[int]) -> Site:
    """A site on this machine alone."""
    return site_at(LOOPBACK, ports)


def site_at(host: str, ports: list[int]) -> Site:
    """A site that listens at a host of this machine."""
    engine, rpc, keeper, gateway = (address_at(host, port) for port in ports[:4])
    ledger_operator, keeper_operator, gateway_operator = ports[4:]
    return Site(engine, rpc, keeper, gateway, ledger_operator, keeper_operator, gateway_operator)


def address_at(host: str, port: int) -> str:
    """Both halves as one; an IPv6 address stands in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def free_ports(count: int) -> list[int]:
    """So many ports in a row that nobody uses, and that no outgoing connection takes while their owner restarts.

    In a row, so that a firewall needs one rule, and two who look at the same time seldom find the same.

    Raises:
        SiteError: there are not so many.
    """
    firsts = LISTENING_PORTS[: 1 - count or None : count]
    for first in random.sample(firsts, len(firsts)):
        ports = list(range(first, first + count))
        with ExitStack() as stack, suppress(OSError):
            for port in ports:
                stack.enter_context(socket.socket()).bind((LOOPBACK, port))
            return ports
    raise SiteError(reason="too few free ports", wanted=count)


def host_and_port(address: str) -> tuple[str, int]:
    """The two halves of `host:port`.

    Raises:
        SiteError: it is no such thing.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise SiteError(reason="an address is host:port")
    return host.strip("[]"), int(port)


def write_site(folder: Path, site: Site) -> None:
    """Write a member's `member.toml`, replacing the one before."""
    lines = [
        "[engine]",
        f"listen = {json.dumps(site.engine)}",
        f"rpc = {json.dumps(site.rpc)}",
        f"peers = {json.dumps(list(site.peers))}",
        f"light = {json.dumps(list(site.light))}",
        f"snapshot_every_blocks = {site.snapshot_every_blocks}",
        f"kept_blocks = {site.kept_blocks}",
        f"trust_height = {site.trust_height}",
        f"trust_hash = {json.dumps(site.trust_hash)}",
        "[keeper]",
        f"listen = {json.dumps(site.keeper)}",
        f"operator = {site.keeper_operator}",
        "[gateway]",
        f"listen = {json.dumps(site.gateway)}",
        f"operator = {site.gateway_operator}",
        "[ledger]",
        f"operator = {site.ledger_operator}",
        "[member]",
        f"reach = {json.dumps(site.reach)}",
    ]
    write_secret(folder / SITE_FILE, ("\n".join(lines) + "\n").encode(), replace=True)


def read_site(folder: Path) -> Site:
    """A member's `member.toml`.

    Raises:
        SiteError: it is missing, or does not say all that it must.
    """
    try:
        said = tomllib.loads((folder / SITE_FILE).read_text())
        engine = said["engine"]
        return Site(
            engine=str(engine["listen"]),
            rpc=str(engine["rpc"]),
            keeper=str(said["keeper"]["listen"]),
            gateway=str(said["gateway"]["listen"]),
            ledger_operator=int(said["ledger"]["operator"]),
            keeper_operator=int(said["keeper"]["operator"]),
            gateway_operator=int(said["gateway"]["operator"]),
            peers=tuple(str(peer) for peer in engine["peers"]),
            light=tuple(str(address) for address in engine.get("light", ())),
            reach=str(said.get("member", {}).get("reach", "")),
            snapshot_every_blocks=int(engine.get("snapshot_every_blocks", EVERY_BLOCKS)),
            kept_blocks=int(engine.get("kept_blocks", 0)),
            trust_height=int(engine.get("trust_height", 0)),
            trust_hash=str(engine.get("trust_hash", "")),
        )
    except (OSError, ValueError, KeyError, TypeError):
        raise SiteError(file=SITE_FILE) from None
