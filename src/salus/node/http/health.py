"""The operator's own port: plain HTTP on this machine's loopback alone, for supervisors and monitoring.

`/healthz` says that the process turns, `/readyz` what it still waits for, `/openapi.json` what may be called here.
Other parts mount theirs beside: metrics, for one. Nothing here tells of a person, and nothing changes anything.
"""

import ipaddress
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from salus.core.errors import RefusalError
from salus.node.http.listening import Listening

Checks = Mapping[str, Callable[[], bool]]
"""What must hold before a process is ready, each with a name of one or two words."""

Look = Callable[[], Awaitable[None]]
"""Finds out what the checks then tell of."""

JSON = "application/json"
HEAD_BYTES_MAX = 8192
IDLE_S = 30.0
GRACE_S = 1.0


class NotLoopbackError(RefusalError):
    """The operator's port listens on this machine's loopback address alone."""

    code = "node.not_loopback"


@dataclass(frozen=True, slots=True)
class Offer:
    """One more thing that may be fetched at the operator's port."""

    path: str
    summary: str
    media_type: str
    answer: Callable[[Request], Awaitable[Any]]  # Gives a Starlette response.
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})


class OperatorPort:
    """A process's health, for who runs it."""

    def __init__(self, version: str, checks: Checks, offers: Sequence[Offer] = (), look: Look | None = None) -> None:
        self._listening = Listening(
            operator_app(version, checks, offers, look), _plain, head_bytes_max=HEAD_BYTES_MAX, idle_s=IDLE_S
        )

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._listening.port

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen.

        Raises:
            NotLoopbackError: others could reach this address.
            OSError: the address cannot be had.
        """
        if host != "localhost" and not _is_loopback(host):
            raise NotLoopbackError
        await self._listening.start(host, port, None, 0)

    async def stop(self) -> None:
        """Stop listening."""
        await self._listening.finish(GRACE_S)
        await self._listening.cut()


def operator_app(version: str, checks: Checks, offers: Sequence[Offer] = (), look: Look | None = None) -> ASGIApp:
    """What answers at the operator's port; `look` is awaited before the checks are made."""

    async def healthz(_: Request) -> JSONResponse:
        return JSONResponse({"status": "up"})

    async def readyz(_: Request) -> JSONResponse:
        if look is not None:
            await look()
        found = {name: check() for name, check in checks.items()}
        is_ready = all(found.values())
        return JSONResponse({"ready": is_ready, "checks": found}, 200 if is_ready else 503)

    async def openapi(_: Request) -> JSONResponse:
        return JSONResponse(document(version, offers))

    routes = [Route("/healthz", healthz), Route("/readyz", readyz), Route("/openapi.json", openapi)]
    routes += [Route(offer.path, offer.answer) for offer in offers]
    hosts = ["localhost", "127.0.0.1", "[::1]"]  # A page in the operator's browser has another.
    app = Starlette(routes=routes, middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=hosts)])
    app.router.redirect_slashes = False  # What is not listed is not there.
    return app


def document(version: str, offers: Sequence[Offer] = ()) -> dict[str, Any]:
    """The port's OpenAPI 3.1 document."""
    up = {"type": "object", "properties": {"status": {"const": "up"}}, "required": ["status"]}
    ready = {
        "type": "object",
        "properties": {
            "ready": {"type": "boolean"},
            "checks": {"type": "object", "additionalProperties": {"type": "boolean"}},
        },
        "required": ["ready", "checks"],
        "additionalProperties": False,
    }
    paths = {
        "/healthz": _get("Whether the process turns.", {"200": _told("It does.", JSON, up)}),
        "/readyz": _get(
            "What the process still waits for.",
            {
                "200": _told("Nothing: it serves.", JSON, ready),
                "503": _told("Something: the checks that are false.", JSON, ready),
            },
        ),
        "/openapi.json": _get("This document.", {"200": _told("OpenAPI 3.1.", JSON, {"type": "object"})}),
    }
    for offer in offers:
        paths[offer.path] = _get(offer.summary, {"200": _told(offer.summary, offer.media_type, dict(offer.schema))})
    for path in paths.values():
        path["get"]["responses"]["400"] = _told("The `Host` is not this machine.", "text/plain", {"type": "string"})
    about = (
        "Plain HTTP on the loopback address of the machine that runs a member: each of its processes has a port. "
        "Nothing here changes anything, and nothing tells of a patient. A path that is not listed is answered with "
        "404, another method than GET or HEAD with 405."
    )
    return {
        "openapi": "3.1.0",
        "info": {"title": "Salus, for operators", "version": version, "description": about},
        "servers": [{"url": "http://127.0.0.1"}],
        "paths": paths,
    }


def _get(summary: str, responses: dict[str, Any]) -> dict[str, Any]:
    return {"get": {"summary": summary, "responses": responses}}


def _told(description: str, media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {media_type: {"schema": schema}}}


def _plain(config: Config, state: ServerState) -> H11Protocol:
    return H11Protocol(config=config, server_state=state, app_state={})


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
