"""What `salus status` shows: how every part of every member here stands.

Where members run apart, each process is asked at its operator's port (`node/observing/asking.py`); a network in one
process is asked through its socket. Both tell the same figures, and `node/observing/judging.py` judges them.
"""

from salus.node.network import Network
from salus.node.observing.judging import PARTS, PartStatus, Status, judged, read_figures

COLUMNS = (
    "member",
    "part",
    "ready",
    "height",
    "age",
    "peers",
    "queue",
    "outbox",
    "root age",
    "refused/min",
    "MiB",
    "version",
)


async def status_of_network(network: Network) -> Status:
    """Of whole members in this process."""
    import io

    from salus.node.observing.logs import Logs
    from salus.node.observing.operating import Operating
    from salus.node.observing.parts_here import show_network
    from salus.node.observing.traces import Tracer

    here = Operating("network", Logs(io.StringIO()), Tracer())
    show_network(here, network)
    figures = read_figures((await here.figures()).decode())
    return judged([(str(member.name), part) for member in network.members for part in PARTS], figures, {})


def row(part: PartStatus) -> list[str]:
    """For people; see `COLUMNS`."""
    root = _seconds(part.log_root_age_s) + (" overdue" if part.log_root_overdue else "")
    return [
        part.member,
        part.part,
        "yes" if part.ready else "NO",
        _number(part.height),
        _seconds(part.view_age_s),
        _number(part.peers),
        _number(part.queue),
        _number(part.outbox),
        root,
        _number(part.refusals_last_minute),
        "" if part.store_bytes is None else f"{part.store_bytes / (1 << 20):.1f}",
        part.version,
    ]


def _number(value: int | None) -> str:
    return "" if value is None else str(value)


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.0f} s"
