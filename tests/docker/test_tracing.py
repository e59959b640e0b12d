"""Spans of runs on the real engine, as a receiver on the same machine gets them."""

from __future__ import annotations

import gzip
import http.server
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from mcp.types import RequestParamsMeta
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.daemon import RunningDaemon
from tests.support.mcp import connect

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CALLER = f"00-{TRACE}-{SPAN}-01"


class Receiver(http.server.ThreadingHTTPServer):
    """Takes OTLP over HTTP on the loopback interface."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: queue.Queue[bytes] = queue.Queue()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1/traces"

    def spans(self) -> list[Span]:
        """Those of the next request."""
        request = ExportTraceServiceRequest.FromString(self.bodies.get(timeout=30))
        return [
            span
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        packed = self.headers.get("Content-Encoding") == "gzip"
        self.server.bodies.put(gzip.decompress(body) if packed else body)
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - the library's name


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


async def test_a_models_call_and_its_run_are_one_trace(receiver: Receiver, tmp_path: Path) -> None:
    daemon = RunningDaemon(tmp_path, {"SANDBOXD_TRACING__ENDPOINT": receiver.endpoint})
    daemon.config.write_text("[pool]\nmin = 0\n")
    with daemon:
        async with connect(daemon.socket) as model:
            result = await model.call_tool(
                "run_code",
                {"language": "python", "code": "print(1)"},
                meta=cast("RequestParamsMeta", {"traceparent": CALLER}),
            )
    spans = {span.name: span for span in receiver.spans()}
    assert set(spans) == {"run", "queued", "handed_out", "ran"}
    assert {span.trace_id.hex() for span in spans.values()} == {TRACE}
    assert spans["run"].parent_span_id.hex() == SPAN
    assert {span.parent_span_id for name, span in spans.items() if name != "run"} == {
        spans["run"].span_id
    }
    told = {each.key: each.value.string_value for each in spans["run"].attributes}
    assert told["sandboxd.run"] == result.structured_content["run"]


def test_a_receiver_that_is_away_holds_nothing_up(tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:9/v1/traces"
    daemon = RunningDaemon(tmp_path, {"SANDBOXD_TRACING__ENDPOINT": nowhere})
    daemon.config.write_text("[pool]\nmin = 0\n")
    with daemon, daemon.client() as client:
        assert client.run("python", "print(1)").stdout == "1\n"
    assert daemon.process.returncode == 0
