"""A run as OpenTelemetry spans, a child of its caller's where the caller names one.

Needs the extra `otel`; nothing else of the daemon imports it. Spans are made from a
run's own timings once it has ended, so that a run under way costs nothing for them.
"""

from __future__ import annotations

import asyncio
from datetime import datetime

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from sandboxd import __version__
from sandboxd.metrics import RunSample

_log = structlog.get_logger("sandboxd.tracing")

_EXPORT_TIMEOUT = 5.0
_NANO = 1_000_000_000


def exporting(endpoint: str) -> Tracing:
    """Spans go to an OTLP receiver over HTTP, from a thread of the SDK's."""
    _log.info("tracing", endpoint=endpoint)
    exporter = OTLPSpanExporter(endpoint=endpoint, timeout=_EXPORT_TIMEOUT)
    return Tracing(BatchSpanProcessor(exporter))


class Tracing:
    """`observe` takes runs until `close`."""

    def __init__(self, processor: SpanProcessor) -> None:
        resource = Resource.create({"service.name": "sandboxd", "service.version": __version__})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("sandboxd", __version__)
        self._propagator = TraceContextTextMapPropagator()

    def observe(self, sample: RunSample) -> None:
        """A run has ended."""
        carrier = {"traceparent": sample.traceparent} if sample.traceparent else {}
        began = round(datetime.fromisoformat(sample.started_at).timestamp() * _NANO)
        run = self._tracer.start_span(
            "run",
            context=self._propagator.extract(carrier),
            kind=SpanKind.SERVER,
            start_time=began,
            attributes={
                "sandboxd.run": sample.run,
                "sandboxd.language": sample.language,
                "sandboxd.status": sample.status,
                "sandboxd.cpu": sample.cpu,
                "sandboxd.output_bytes": sample.output_bytes,
            },
        )
        if sample.status != "ok":
            run.set_status(Status(StatusCode.ERROR, sample.status))
        within, at = set_span_in_context(run), began
        for name in ("queued", "handed_out", "ran"):
            part = self._tracer.start_span(name, context=within, start_time=at)
            at += round(getattr(sample, name) * _NANO)
            part.end(at)
        run.end(at)

    async def close(self) -> None:
        """Sends what has not been sent; a receiver that is away is not waited for long."""
        await asyncio.to_thread(self._provider.shutdown)
