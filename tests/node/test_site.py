"""Where a member lives: ports that stay its own."""

import socket
from pathlib import Path

import pytest

from salus.node import site
from salus.node.site import LOOPBACK, SiteError, free_ports

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_no_outgoing_connection_gets_a_port_on_which_a_member_listens() -> None:
    ports = free_ports(64)
    assert len(set(ports)) == 64
    if RANGE.exists():
        assert max(ports) < int(RANGE.read_text().split()[0])


def test_a_port_that_somebody_uses_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        port = taken.getsockname()[1]
        monkeypatch.setattr(site, "LISTENING_PORTS", range(port, port + 1))
        with pytest.raises(SiteError):
            free_ports(1)
