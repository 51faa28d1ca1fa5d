"""The operator's port of a process: what it shows follows what is there, and a taken port stops nobody."""

import io
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from salus.core.ids import HOUR_MS, TimeMs
from salus.engines.cometbft.rpc import EngineAwayError
from salus.node.folder import found, usual_names
from salus.node.network import Network
from salus.node.observing import operating
from salus.node.observing.families import FAMILIES, HISTOGRAM
from salus.node.observing.fields import is_allowed
from salus.node.observing.logs import Logs
from salus.node.observing.operating import EngineWord, Operating, Seldom
from salus.node.observing.parts_here import show_network, size_bytes_of
from salus.node.observing.traces import Tracer
from salus.node.settings import Settings, system_clock
from tests.observing.rules import names_in


class Clock:
    """This machine's time, and what a test adds."""

    ahead: TimeMs = 0

    def __call__(self) -> TimeMs:
        return system_clock() + self.ahead


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[tuple[Network, Operating, Clock]]:
    """A network in this process, and its operator's port."""
    found(tmp_path / "network", usual_names(4))
    clock, logs = Clock(), Logs(io.StringIO(), part="network")
    async with Network(tmp_path / "network", Settings(clock=clock, tend_every_s=None)) as network:
        shown = Operating("network", logs, Tracer())
        show_network(shown, network)
        async with shown.listening(0):
            yield network, shown, clock


async def get(shown: Operating, path: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.get(f"http://127.0.0.1:{shown.port}{path}")


async def test_a_network_in_one_process_is_ready_and_shows_every_member(
    here: tuple[Network, Operating, Clock],
) -> None:
    network, shown, _ = here
    ready = await get(shown, "/readyz")
    assert ready.status_code == 200
    assert {name.split(".")[0] for name in ready.json()["checks"]} == {member.name for member in network.members}
    text = (await get(shown, "/metrics")).text
    for member in network.members:
        for part in ("ledger", "keeper", "gateway"):
            assert f'salus_height{{member="{member.name}",part="{part}"}}' in text
    assert (await get(shown, "/traces")).json() == {"spans": []}
    paths = (await get(shown, "/openapi.json")).json()["paths"]
    assert set(paths) == {"/healthz", "/readyz", "/openapi.json", "/metrics", "/status", "/traces"}


async def test_every_figure_is_of_the_table_and_every_label_is_allowed(here: tuple[Network, Operating, Clock]) -> None:
    _, shown, _ = here
    known = {*FAMILIES} | {
        f"{name}{end}" for name, family in FAMILIES.items() if family.kind == HISTOGRAM
        for end in ("_bucket", "_count", "_sum")
    }  # fmt: skip
    await shown.figures()
    assert {name for name in names_in((await shown.figures()).decode()) if name.startswith("salus_")} <= known
    for family in shown.registry.collect():
        for sample in family.samples:
            for label, value in sample.labels.items():
                assert label in ("le", "store", "stage", "key") or is_allowed(label, value), (sample.name, label, value)


async def test_an_old_view_and_an_overdue_root_make_it_unready(here: tuple[Network, Operating, Clock]) -> None:
    network, shown, clock = here
    network.engine._heartbeat_s = 1e9  # No block comes meanwhile.
    clock.ahead = HOUR_MS
    answer = await get(shown, "/readyz")
    assert answer.status_code == 503
    checks = answer.json()["checks"]
    assert not checks["mercy.keeper.view_fresh"]
    assert not checks["mercy.gateway.view_fresh"]
    assert checks["mercy.keeper.store_open"]
    assert 'salus_ready{check="view_fresh",member="mercy",part="keeper"} 0.0' in (await shown.figures()).decode()


async def test_a_store_that_is_away_makes_it_unready_and_takes_no_other_figure_with_it(
    here: tuple[Network, Operating, Clock], tmp_path: Path
) -> None:
    network, shown, _ = here
    store = network["mercy"].keeping._store
    store._connection.close()
    store._engine.dispose()
    answer = await get(shown, "/readyz")
    text = (await shown.figures()).decode()
    assert answer.status_code == 503
    assert not answer.json()["checks"]["mercy.keeper.store_open"]
    assert answer.json()["checks"]["st-luke.keeper.store_open"]
    assert 'salus_height{member="st-luke",part="keeper"}' in text
    store._connection = store._engine.connect()


async def test_a_member_that_went_is_shown_no_more(here: tuple[Network, Operating, Clock]) -> None:
    network, shown, _ = here
    network._let_go(network["northgate"].name)
    assert "northgate" not in (await get(shown, "/readyz")).text
    assert 'salus_height{member="northgate"' not in (await shown.figures()).decode()


async def test_a_port_that_is_taken_stops_nobody_and_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operating, "PORT_AGAIN_S", 0.05)
    said = io.StringIO()
    shown = Operating("keeper", Logs(said), Tracer())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = int(taken.getsockname()[1])
        await shown.start(port)
        assert shown.port is None
    for _ in range(100):
        if shown.port is not None:
            break
        await operating.asyncio.sleep(0.05)
    assert shown.port == port
    assert (await get(shown, "/healthz")).json() == {"status": "up"}
    await shown.stop()


async def test_an_engine_that_does_not_answer_is_said_to_be_away() -> None:
    answers = {
        "status": {"sync_info": {"catching_up": False}},
        "net_info": {"n_peers": "3"},
        "num_unconfirmed_txs": {"total": "17"},
    }

    async def call(method: str, _timeout_s: float) -> dict[str, object]:
        if method not in answers:
            raise EngineAwayError
        return dict(answers[method])

    word = EngineWord("mercy", call)
    await word.look()
    assert (word.answers, word.catching_up, word.peers, word.pool) == (True, False, 3, 17)
    answers.clear()
    await word.look()
    assert not word.answers


async def test_a_look_is_taken_seldom() -> None:
    looks: list[int] = []

    async def look() -> None:
        looks.append(1)

    seldom = Seldom(look, every_s=60.0)
    for _ in range(5):
        await seldom()
    assert len(looks) == 1


def test_a_store_is_as_large_as_its_files(tmp_path: Path) -> None:
    assert size_bytes_of(tmp_path / "keeper.db") == 0
    (tmp_path / "keeper.db").write_bytes(bytes(range(256)) * 64)
    (tmp_path / "keeper.db-wal").write_bytes(bytes(range(256)) * 16)
    assert size_bytes_of(tmp_path / "keeper.db") >= 80 * 256
    (tmp_path / "vault" / "a").mkdir(parents=True)
    (tmp_path / "vault" / "a" / "pack").write_bytes(bytes(range(256)) * 64)
    assert size_bytes_of(tmp_path / "vault") >= 64 * 256
    assert json.dumps(size_bytes_of(tmp_path / "nothing")) == "0"
