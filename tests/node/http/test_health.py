"""The operator's port: what it says, to whom, and that its document says the same."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from salus.node.http.health import NotLoopbackError, Offer, OperatorPort, document, operator_app


async def metrics(_: Request) -> PlainTextResponse:
    return PlainTextResponse("salus_up 1\n")


OFFER = Offer("/metrics", "Figures for Prometheus.", "text/plain", metrics)


@asynccontextmanager
async def operator(checks: dict[str, bool], *offers: Offer) -> AsyncIterator[httpx.AsyncClient]:
    """The port, open, and a client of it."""
    port = OperatorPort("1.2", {name: lambda found=found: found for name, found in checks.items()}, offers)  # type: ignore[misc]
    await port.start()
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port.port}", trust_env=False) as client:
            yield client
    finally:
        await port.stop()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
async def test_an_address_that_others_reach_is_refused(host: str) -> None:
    with pytest.raises(NotLoopbackError):
        await OperatorPort("1.2", {}).start(host)


async def test_a_page_in_a_browser_is_refused() -> None:
    async with operator({}) as client:
        assert (await client.get("/healthz", headers={"host": "evil.example"})).status_code == 400


async def test_nothing_can_be_changed() -> None:
    async with operator({}, OFFER) as client:
        for path in ("/healthz", "/readyz", "/openapi.json", "/metrics"):
            for method in ("POST", "PUT", "DELETE", "PATCH"):
                assert (await client.request(method, path)).status_code == 405


async def test_a_process_is_ready_when_all_its_checks_hold() -> None:
    async with operator({"ledger": True, "keeper": False}) as client:
        assert (await client.get("/healthz")).json() == {"status": "up"}
        waiting = await client.get("/readyz")
        assert waiting.status_code == 503
        assert waiting.json() == {"ready": False, "checks": {"ledger": True, "keeper": False}}
    async with operator({"ledger": True}) as client:
        assert (await client.get("/readyz")).json() == {"ready": True, "checks": {"ledger": True}}


async def test_the_document_names_every_path_and_each_answers_as_it_says() -> None:
    async with operator({"ledger": True}, OFFER) as client:
        told: dict[str, Any] = (await client.get("/openapi.json")).json()
        assert told == document("1.2", [OFFER])
        assert told["openapi"] == "3.1.0"
        app: Any = operator_app("1.2", {}, [OFFER])
        assert sorted(told["paths"]) == sorted(route.path for route in app.routes)
        for path, methods in told["paths"].items():
            assert list(methods) == ["get"]
            reply = await client.get(path)
            said = methods["get"]["responses"][str(reply.status_code)]["content"]
            (media_type,) = said
            assert reply.headers["content-type"].split(";")[0] == media_type
            if media_type == "application/json":
                schema = said[media_type]["schema"]
                assert set(schema.get("required", [])) <= set(reply.json())
