"""Where one member lives on its machine: addresses it listens at, its engine's peers, its stores. `member.toml`.

    [engine]
    listen = "127.0.0.1:26656"     # where other members' engines reach this one
    rpc = "127.0.0.1:26657"        # where light clients may ask
    peers = ["<node id>@host:port"]
    [keeper]
    listen = "127.0.0.1:7101"      # keeper and vault
    operator = 7102                # health and metrics of the process, on loopback alone
    [gateway]
    listen = "127.0.0.1:7103"
    operator = 7104
    [ledger]
    operator = 7105

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

    def endpoints(self, node_id: str) -> Endpoints:
        """What the ledger says of it."""
        return Endpoints(engine=f"{node_id}@{self.engine}", keeper=self.keeper, gateway=self.gateway)


def local_site(ports: list[int]) -> Site:
    """A site on this machine alone."""
    engine, rpc, keeper, gateway = (f"{LOOPBACK}:{port}" for port in ports[:4])
    ledger_operator, keeper_operator, gateway_operator = ports[4:]
    return Site(engine, rpc, keeper, gateway, ledger_operator, keeper_operator, gateway_operator)


def free_ports(count: int) -> list[int]:
    """So many ports that nobody uses now, and that no outgoing connection will take while their owner restarts.

    Raises:
        SiteError: there are not so many.
    """
    found: list[int] = []
    with ExitStack() as stack:
        for port in random.sample(LISTENING_PORTS, len(LISTENING_PORTS)):
            if len(found) == count:
                return found
            one = stack.enter_context(socket.socket())
            with suppress(OSError):
                one.bind((LOOPBACK, port))
                found.append(port)
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
        "[keeper]",
        f"listen = {json.dumps(site.keeper)}",
        f"operator = {site.keeper_operator}",
        "[gateway]",
        f"listen = {json.dumps(site.gateway)}",
        f"operator = {site.gateway_operator}",
        "[ledger]",
        f"operator = {site.ledger_operator}",
    ]
    write_secret(folder / SITE_FILE, ("\n".join(lines) + "\n").encode(), replace=True)


def read_site(folder: Path) -> Site:
    """A member's `member.toml`.

    Raises:
        SiteError: it is missing, or does not say all that it must.
    """
    try:
        said = tomllib.loads((folder / SITE_FILE).read_text())
        return Site(
            engine=str(said["engine"]["listen"]),
            rpc=str(said["engine"]["rpc"]),
            keeper=str(said["keeper"]["listen"]),
            gateway=str(said["gateway"]["listen"]),
            ledger_operator=int(said["ledger"]["operator"]),
            keeper_operator=int(said["keeper"]["operator"]),
            gateway_operator=int(said["gateway"]["operator"]),
            peers=tuple(str(peer) for peer in said["engine"]["peers"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        raise SiteError(file=SITE_FILE) from None
