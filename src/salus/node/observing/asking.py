"""Asks the processes of members that run apart how they stand, at their operators' ports on this machine."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from salus.core.ids import MemberId
from salus.node.folder import member_folder, members_here, read_genesis
from salus.node.observing.judging import PARTS, Figures, Status, Whose, judged, read_figures
from salus.node.site import LOOPBACK, Site, read_site

ANSWER_S = 3.0
_OURS = "salus_build_info"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the processes of a folder answered."""

    members: tuple[MemberId, ...]
    figures: Figures
    away: Mapping[Whose, int]  # Parts that do not answer, with the port where they should.

    @property
    def is_up(self) -> bool:
        """Whether any process answers."""
        return len(self.away) < len(PARTS) * len(self.members)

    @property
    def status(self) -> Status:
        """How every part stands."""
        return judged([(name, part) for part in PARTS for name in self.members], self.figures, self.away)


async def asked(folder: Path) -> Asked:
    """Ask every process of the members that live in a folder.

    Raises:
        NoNetworkError: there is no network in it.
        SiteError: a member's addresses cannot be read.
    """
    names = members_here(folder, read_genesis(folder))
    ports = operator_ports({name: read_site(member_folder(folder, name)) for name in names})
    distinct = sorted(set(ports.values()))
    told = dict(zip(distinct, await asyncio.gather(*map(_scraped, distinct)), strict=True))
    figures = read_figures("".join(text for text in told.values() if text is not None))
    away = {whose: port for whose, port in ports.items() if told[port] is None}
    return Asked(tuple(names), figures, away)


def operator_ports(sites: Mapping[MemberId, Site]) -> dict[Whose, int]:
    """Where each part is asked. One process holds all gateways of a folder, at the first member's port."""
    first = next(iter(sites.values())).gateway_operator if sites else 0
    return {
        **{(name, "ledger"): site.ledger_operator for name, site in sites.items()},
        **{(name, "keeper"): site.keeper_operator for name, site in sites.items()},
        **{(name, "gateway"): first for name in sites},
    }


async def _scraped(port: int) -> str | None:
    """What a process of ours says of itself; None where none answers."""
    import httpx

    try:
        async with httpx.AsyncClient(trust_env=False, timeout=ANSWER_S) as client:
            answer = await client.get(f"http://{LOOPBACK}:{port}/metrics")
    except (httpx.HTTPError, OSError):
        return None
    return answer.text if answer.status_code == 200 and _OURS in answer.text else None
