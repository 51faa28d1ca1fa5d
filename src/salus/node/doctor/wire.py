"""A member's addresses, and whether others are reached and prove who they are with a key that the ledger names."""

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress

from salus.contracts.members.reads import member_of, members_of
from salus.core.errors import SalusError
from salus.core.ids import HOUR_MS, MemberId
from salus.node.doctor.case import Case
from salus.node.http.certificates import read_certificate
from salus.node.http.trust import Trust, pins_of
from salus.node.observing.findings import Finding, found
from salus.node.observing.judging import Whose
from salus.node.site import LOOPBACK, host_and_port

REACH_S = 3.0
AT_ONCE = 16


def check_addresses(case: Case, away: Mapping[Whose, int]) -> Iterator[Finding]:
    """Whether its addresses are known, and those of parts that do not run are not taken by some other program."""
    site = case.site
    if site is None:
        if case.is_apart:
            yield found("site.unreadable", case.member)
        return
    own = {
        "ledger": ((site.engine, site.rpc), site.ledger_operator),
        "keeper": ((site.keeper,), site.keeper_operator),
        "gateway": ((site.gateway,), site.gateway_operator),
    }
    for part, (addresses, operator) in own.items():
        if case.is_up and (case.member, part) not in away:
            continue  # Its own process has them.
        # One process holds all gateways of a folder, at the first one's port: nobody listens at the others'.
        is_used = away.get((case.member, part), operator) == operator
        for address in (*addresses, *((f"{LOOPBACK}:{operator}",) if is_used else ())):
            host, port = host_and_port(address)
            if is_taken(host, port):
                yield found("port.taken", case.member, part, port=port)


async def check_peers(case: Case) -> AsyncIterator[Finding]:
    """Every other member's engine, keeper and gateway, at the addresses that the ledger names."""
    if not (case.is_apart and case.is_up and case.ledger is not None and case.secrets is not None and case.site):
        return
    hosts = tuple({host_and_port(address)[0] for address in (case.site.keeper, case.site.gateway)})
    trust = Trust(case.member, case.secrets.tls, pins_of(case.ledger), case.clock, hosts)
    room = asyncio.Semaphore(AT_ONCE)

    async def reached(peer: MemberId, part: str, address: str) -> Finding | None:
        async with room:
            return await _reached(case, trust, peer, part, address)

    asking = []
    for peer in members_of(case.ledger.state):
        entry = member_of(case.ledger.state, peer)
        if peer == case.member or entry is None:
            continue
        addresses = {"engine": entry.endpoints.engine.rpartition("@")[2]}
        addresses |= {"keeper": entry.endpoints.keeper, "gateway": entry.endpoints.gateway}
        asking += [reached(peer, part, address) for part, address in addresses.items() if address]
    for one in await asyncio.gather(*asking):
        if one is not None:
            yield one


def is_taken(host: str, port: int) -> bool:
    """Whether somebody listens where this member would."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # What only lingers is not taken.
        try:
            tried.bind((host, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


async def _reached(case: Case, trust: Trust, peer: MemberId, part: str, address: str) -> Finding | None:
    """Nothing where the peer is there and is who the ledger says."""
    facts = {"peer": peer, "peer_part": part}
    try:
        host, port = host_and_port(address)
        context = None if part == "engine" else trust.calling(peer)
        async with asyncio.timeout(REACH_S):
            _, writer = await asyncio.open_connection(
                host, port, ssl=context, server_hostname=peer if context is not None else None
            )
    except ssl.SSLError:
        return found("peer.not_pinned", case.member, **facts)
    except (OSError, SalusError, TimeoutError):
        return found("peer.unreached", case.member, **facts)
    try:
        return None if context is None else _aged(case, writer, facts)
    finally:
        writer.close()
        with suppress(OSError, ssl.SSLError):
            await writer.wait_closed()


def _aged(case: Case, writer: asyncio.StreamWriter, facts: Mapping[str, str]) -> Finding | None:
    """A certificate is renewed ten days before it ends; one that is about to end is not renewed."""
    connection = writer.get_extra_info("ssl_object")
    shown = read_certificate(connection.getpeercert(binary_form=True))
    left_h = (shown.ends - case.clock()) // HOUR_MS
    return found("peer.certificate_ends", case.member, hours=left_h, **facts) if left_h < CERTIFICATE_H_MIN else None


CERTIFICATE_H_MIN = 8 * 24
