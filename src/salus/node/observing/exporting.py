"""Spans to OpenTelemetry, where its extra is installed (`salus[otel]`) and OTEL_EXPORTER_OTLP_ENDPOINT says where to.

Salus itself does not need it: without it, spans stay in memory. They go as OTLP over HTTP, a few seconds after they
ended; the last ones when their process stops. All other variables of OpenTelemetry's exporter count too: headers,
certificates, rhythm. What is exported is a `Span`, with its allowed fields, and nothing else.
"""

import importlib
import os
import threading
from typing import TYPE_CHECKING, Any

from salus.node.observing.logs import say

if TYPE_CHECKING:
    from salus.node.observing.traces import Span

ENDPOINT_VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"
SERVICE = "salus"
LAST_S = 3.0  # For a collector to take the last spans; less than a supervisor's patience.


class Exporting:
    """Gives finished spans to one of OpenTelemetry's span processors."""

    def __init__(self, processor: Any) -> None:
        resources: Any = importlib.import_module("opentelemetry.sdk.resources")
        self._processor = processor
        self._tracing: Any = importlib.import_module("opentelemetry.trace")
        self._sdk: Any = importlib.import_module("opentelemetry.sdk.trace")
        self._resource = resources.Resource({"service.name": SERVICE})

    def __call__(self, span: "Span") -> None:
        """Take a span away, in the background where the processor does so."""
        codes = self._tracing.StatusCode
        self._processor.on_end(
            self._sdk.ReadableSpan(
                name=f"salus.{span.name}",
                context=self._context(span.trace, span.span),
                parent=self._context(span.trace, span.parent) if span.parent else None,
                resource=self._resource,
                attributes={f"salus.{name}": value for name, value in {**span.fields, "code": span.code}.items()},
                start_time=span.began_ns,
                end_time=span.began_ns + span.took_ns,
                status=self._tracing.Status(codes.OK if span.code == "ok" else codes.ERROR),
            )
        )

    def flush(self, within_s: float = LAST_S) -> None:
        """Let all be gone that was taken; a collector that is away is waited for no longer than this."""
        flushing = threading.Thread(target=self._processor.force_flush, daemon=True)
        flushing.start()
        flushing.join(within_s)

    def _context(self, trace: str, span: str) -> Any:
        flags = self._tracing.TraceFlags(1)
        return self._tracing.SpanContext(int(trace, 16), int(span, 16), is_remote=False, trace_flags=flags)


def exporter() -> Exporting | None:
    """What takes spans away in the background; None where there is nowhere to export to, or no OpenTelemetry."""
    if not os.environ.get(ENDPOINT_VARIABLE):
        return None
    try:
        otlp: Any = importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        processing: Any = importlib.import_module("opentelemetry.sdk.trace.export")
    except ImportError:
        say("not_exported", "warning")
        return None
    return Exporting(processing.BatchSpanProcessor(otlp.OTLPSpanExporter()))
