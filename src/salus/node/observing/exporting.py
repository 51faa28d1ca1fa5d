"""Spans to OpenTelemetry, where it is installed (`opentelemetry-sdk`, `opentelemetry-exporter-otlp-proto-http`) and
OTEL_EXPORTER_OTLP_ENDPOINT says where to. Salus neither needs nor pins it: without it, spans stay in memory.
"""

import importlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from salus.node.observing.traces import Span

ENDPOINT_VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"
SERVICE = "salus"


def exporter() -> "Callable[[Span], None] | None":
    """What takes a span away in the background; None where there is no OpenTelemetry, or nowhere to export to."""
    if not os.environ.get(ENDPOINT_VARIABLE):
        return None
    try:
        otlp: Any = importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        processing: Any = importlib.import_module("opentelemetry.sdk.trace.export")
    except ImportError:
        return None
    return into(processing.BatchSpanProcessor(otlp.OTLPSpanExporter()))


def into(processor: Any) -> "Callable[[Span], None]":
    """Give finished spans to one of OpenTelemetry's span processors."""
    tracing: Any = importlib.import_module("opentelemetry.trace")
    sdk: Any = importlib.import_module("opentelemetry.sdk.trace")
    resources: Any = importlib.import_module("opentelemetry.sdk.resources")
    resource = resources.Resource({"service.name": SERVICE})

    def context(trace: str, span: str) -> Any:
        return tracing.SpanContext(int(trace, 16), int(span, 16), is_remote=False, trace_flags=tracing.TraceFlags(1))

    def export(span: "Span") -> None:
        is_good = span.code == "ok"
        processor.on_end(
            sdk.ReadableSpan(
                name=f"salus.{span.name}",
                context=context(span.trace, span.span),
                parent=context(span.trace, span.parent) if span.parent else None,
                resource=resource,
                attributes={f"salus.{name}": value for name, value in {**span.fields, "code": span.code}.items()},
                start_time=span.began_ns,
                end_time=span.began_ns + span.took_ns,
                status=tracing.Status(tracing.StatusCode.OK if is_good else tracing.StatusCode.ERROR),
            )
        )

    return export
