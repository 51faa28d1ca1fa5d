"""Traces: what a read led to, in which process of which member, and how long each step took.

A trace begins where somebody reads. Its id travels as W3C's `traceparent`: in a header between members, in the message
that hands a transaction to the ledger process. Spans stay in memory, the newest few hundred, and the operator's port
shows them; where OpenTelemetry is installed and OTEL_EXPORTER_OTLP_ENDPOINT is set, they are exported as well
(`exporting.py`).

A span says what it was, where, of which type of message, and how it ended (`fields.py`): nothing of who or whom.
"""

import asyncio
import os
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from salus.core.errors import SalusError
from salus.engines.trace import carried, carrying, sound
from salus.node.observing.exporting import Exporting, exporter
from salus.node.observing.fields import FAULT, OK, OTHER, allowed, code_of

KEPT = 1_024
NAMES = frozenset({"read", "call", "answer", "submit"})
_SAMPLED = "01"


@dataclass(slots=True)
class Span:
    """One step of a trace."""

    trace: str
    span: str
    parent: str  # Empty for the first.
    name: str
    began_ns: int
    took_ns: int = 0
    code: str = OK
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def as_json(self) -> dict[str, object]:
        """For the operator's port."""
        shown = {"trace": self.trace, "span": self.span, "parent": self.parent or None, "name": self.name}
        times = {"began_ms": self.began_ns // 1_000_000, "took_ms": round(self.took_ns / 1_000_000, 3)}
        return {**shown, **times, "code": self.code, **self.fields}


class Tracer:
    """Keeps the newest spans of a process; passes each on to `export`."""

    def __init__(self, kept: int = KEPT, export: Exporting | None = None) -> None:
        self.spans: deque[Span] = deque(maxlen=kept)
        self._export = export

    @contextmanager
    def noting(self, name: str, fields: Mapping[str, object]) -> Iterator[Span]:
        """Note the block as a step of the trace at hand, or as the first of a new one."""
        span = _begun(name if name in NAMES else OTHER, sound(carried.get()), fields)
        try:
            with carrying(f"00-{span.trace}-{span.span}-{_SAMPLED}"):
                yield span
        except BaseException as error:
            span.code = code_of(error.code) if isinstance(error, SalusError) else _how_it_ended(error)
            raise
        finally:
            span.took_ns = time.time_ns() - span.began_ns
            self.spans.append(span)
            if self._export is not None:
                self._export(span)

    async def flush(self) -> None:
        """Let the last spans be exported, before their process ends."""
        if self._export is not None:
            await asyncio.to_thread(self._export.flush)


_current: Tracer | None = None


def begin(tracer: Tracer | None = None) -> Tracer:
    """Let this process keep traces."""
    global _current
    _current = Tracer(export=exporter()) if tracer is None else tracer
    return _current


def first_step(name: str, /, **fields: object) -> AbstractContextManager[Span | None]:
    """Note the block as the first step of a new trace, if this process keeps traces."""
    return nullcontext() if _current is None else _current.noting(name, fields)


def step(name: str, /, **fields: object) -> AbstractContextManager[Span | None]:
    """Note the block as a step of the trace at hand, if there is one and this process keeps traces."""
    return nullcontext() if _current is None or not carried.get() else _current.noting(name, fields)


def _begun(name: str, before: str, fields: Mapping[str, object]) -> Span:
    trace, parent = (before[3:35], before[36:52]) if before else (os.urandom(16).hex(), "")
    return Span(trace, os.urandom(8).hex(), parent, name, time.time_ns(), fields=allowed(fields)[0])


def _how_it_ended(error: BaseException) -> str:
    return FAULT if isinstance(error, Exception) else "cancelled"
