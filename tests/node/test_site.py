"""Where a member lives: ports that stay its own."""

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from salus.node import site
from salus.node.site import LOOPBACK, SITE_FILE, SiteError, free_ports, local_site, read_site, site_at, write_site

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_what_is_written_of_a_member_is_read_again(tmp_path: Path) -> None:
    own = replace(
        site_at("10.1.0.5", list(range(7101, 7108))),
        peers=("id@host:1",),
        light=("host:2",),
        reach="salus.mercy.example",
        snapshot_every_blocks=7,
        kept_blocks=8,
        trust_height=9,
        trust_hash="AB",
    )
    write_site(tmp_path, own)
    assert read_site(tmp_path) == own


def test_all_blocks_are_kept_where_nothing_is_said(tmp_path: Path) -> None:
    write_site(tmp_path, local_site(list(range(7101, 7108))))
    place = tmp_path / SITE_FILE
    place.write_text("".join(line for line in place.read_text().splitlines(True) if "kept_blocks" not in line))
    assert read_site(tmp_path).kept_blocks == 0


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


def test_ports_of_one_member_lie_in_a_row_beside_what_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    first, *others = free_ports(21)
    assert others == list(range(first + 1, first + 21))
    with socket.socket() as taken:
        taken.bind((LOOPBACK, first + 9))
        monkeypatch.setattr(site, "LISTENING_PORTS", range(first, first + 21))
        found = {free_ports(7)[0] for _ in range(40)}
    assert found <= {first, first + 14}
