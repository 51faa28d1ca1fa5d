"""The operator's port is as its OpenAPI document says: every route, every status, every field."""

import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from salus.core.ids import HOUR_MS, TimeMs
from salus.node.folder import found, usual_names
from salus.node.http.health import operator_app
from salus.node.network import Network
from salus.node.observing.logs import Logs
from salus.node.observing.operating import Operating
from salus.node.observing.parts_here import show_network
from salus.node.observing.traces import begin
from salus.node.settings import Settings, system_clock
from tests.node.stage import Stage, permit
from tests.support.schema import wrong_with
from tools.make_reference import OPERATOR_API

DOCUMENT: dict[str, Any] = json.loads(OPERATOR_API.read_text())


class Clock:
    """This machine's time, and what a test adds."""

    ahead: TimeMs = 0

    def __call__(self) -> TimeMs:
        return system_clock() + self.ahead


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[tuple[httpx.AsyncClient, Clock]]:
    """The port of a network in which somebody has read a record."""
    found(tmp_path / "network", usual_names(4))
    clock, tracer = Clock(), begin()
    async with Network(tmp_path / "network", Settings(clock=clock, heartbeat_s=1e9, tend_every_s=None)) as network:
        on = Stage(network, clock)  # type: ignore[arg-type]
        wallet = await on.patient("mercy", rules=(permit("lakeside"),))
        await on.seal("mercy", wallet, "a")
        reading = network["lakeside"].reading(await on.clinician("lakeside"), on.wanted(wallet))
        await reading.read()
        shown = Operating("network", Logs(io.StringIO(), part="network"), tracer)
        show_network(shown, network)
        async with (
            shown.listening(0),
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{shown.port}", trust_env=False) as http,
        ):
            yield http, clock


def is_as_documented(path: str, reply: httpx.Response) -> None:
    """Status, media type and body of a reply."""
    told = DOCUMENT["paths"][path]["get"]["responses"][str(reply.status_code)]["content"]
    (media_type,) = told
    assert reply.headers["content-type"].split(";")[0] == media_type, path
    body = reply.json() if media_type == "application/json" else reply.text
    assert list(wrong_with(body, told[media_type]["schema"])) == [], path


async def test_every_path_answers_as_documented_with_every_status(port: tuple[httpx.AsyncClient, Clock]) -> None:
    client, clock = port
    seen: set[tuple[str, str]] = set()
    for ahead, host in ((0, "127.0.0.1"), (HOUR_MS, "127.0.0.1"), (0, "evil.example")):
        clock.ahead = ahead
        for path in DOCUMENT["paths"]:
            reply = await client.get(path, headers={"host": host})
            is_as_documented(path, reply)
            seen.add((path, str(reply.status_code)))
    told = {(path, status) for path, said in DOCUMENT["paths"].items() for status in said["get"]["responses"]}
    assert seen == told


async def test_what_is_shown_is_not_empty_when_it_is_compared(port: tuple[httpx.AsyncClient, Clock]) -> None:
    client, clock = port
    assert {span["name"] for span in (await client.get("/traces")).json()["spans"]} >= {"read", "call", "submit"}
    clock.ahead = HOUR_MS
    status = (await client.get("/status")).json()
    assert status["ready"] is False
    assert len(status["parts"]) == 12
    assert {one["code"] for one in status["wrong"]} >= {"ledger.view_old"}


async def test_what_is_not_documented_is_not_there(port: tuple[httpx.AsyncClient, Clock]) -> None:
    client, _ = port
    for path in ("/", "/debug", "/metrics/", "/openapi.yaml"):
        assert (await client.get(path)).status_code == 404, path
    for path in DOCUMENT["paths"]:
        assert (await client.head(path)).status_code in (200, 503), path
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
            assert (await client.request(method, path)).status_code == 405, path


def test_every_route_is_in_the_document() -> None:
    here = Operating("ledger", Logs(io.StringIO()), begin())
    app: Any = operator_app("0", {}, here._offers())
    assert {route.path for route in app.routes} == set(DOCUMENT["paths"])
    assert DOCUMENT["openapi"].startswith("3.1.")


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        ({"a": 1}, {"type": "object", "properties": {"a": {"type": "string"}}}),
        ({}, {"type": "object", "properties": {}, "required": ["a"]}),
        ({"b": 1}, {"type": "object", "properties": {}, "additionalProperties": False}),
        ({"b": 1}, {"type": "object", "properties": {}, "additionalProperties": {"type": "boolean"}}),
        ([1, "2"], {"type": "array", "items": {"type": "integer"}}),
        (True, {"type": "integer"}),
        (-1, {"type": "integer", "minimum": 0}),
        ("x", {"anyOf": [{"type": "null"}, {"type": "string", "pattern": "^y$"}]}),
        ("x", {"enum": ["y"]}),
        ("x", {"const": "y"}),
    ],
)
def test_the_comparison_finds_what_is_otherwise(value: object, schema: dict[str, Any]) -> None:
    assert list(wrong_with(value, schema))
