"""A collector of traces, as an operator has one: it takes OTLP over HTTP and keeps what comes."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from typing import Any

PATH = "/v1/traces"


@dataclass
class Collector:
    """What came, as it came."""

    endpoint: str
    bodies: list[bytes] = field(default_factory=list)

    @property
    def resources(self) -> list[dict[str, Any]]:
        """All resources with their spans, as OTLP's JSON has them; ids are in base64."""
        service: Any = import_module("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
        json: Any = import_module("google.protobuf.json_format")
        told = [json.MessageToDict(service.ExportTraceServiceRequest.FromString(body)) for body in self.bodies]
        return [resource for one in told for resource in one["resourceSpans"]]

    @property
    def spans(self) -> list[dict[str, Any]]:
        """All spans."""
        return [span for resource in self.resources for scope in resource["scopeSpans"] for span in scope["spans"]]


@contextmanager
def collector() -> Iterator[Collector]:
    """One that listens on this machine until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.path == PATH:
                found.bodies.append(body)
            self.send_response(200 if self.path == PATH else 404)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing: what came is what counts."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Collector(f"http://127.0.0.1:{server.server_address[1]}")
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        try:
            yield found
        finally:
            server.shutdown()
            serving.join(10)
