"""Spans of a run: its parts in order, below the caller's span."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from sandboxd.config import Config, TracingConfig
from sandboxd.daemon import make_tracing
from sandboxd.errors import ConfigError
from sandboxd.metrics import RunSample
from sandboxd.tracing import Tracing
from sandboxd_client import AsyncClient, InvalidParamsError
from tests.support.service import Service
from tests.support.wait import until

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CALLER = f"00-{TRACE}-{SPAN}-01"
SAMPLE = RunSample(
    run="1",
    language="python",
    status="ok",
    queued=1.0,
    handed_out=0.25,
    ran=2.0,
    cpu=0.5,
    output_bytes=7,
    started_at="2026-01-01T00:00:00+00:00",
    traceparent=None,
)


@pytest.fixture
async def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
async def tracing(exporter: InMemorySpanExporter) -> AsyncIterator[Tracing]:
    opened = Tracing(SimpleSpanProcessor(exporter))
    yield opened
    await opened.close()


def spans(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in exporter.get_finished_spans()}


def seconds(span: ReadableSpan) -> tuple[float, float]:
    """Begin and end, from when the sample's run was asked for."""
    began = 1767225600 * 10**9
    assert span.start_time is not None
    assert span.end_time is not None
    return (span.start_time - began) / 1e9, (span.end_time - began) / 1e9


async def test_a_run_is_a_span_with_its_parts_one_after_the_other(
    tracing: Tracing, exporter: InMemorySpanExporter
) -> None:
    tracing.observe(SAMPLE)
    made = spans(exporter)
    assert {name: seconds(span) for name, span in made.items()} == {
        "queued": (0, 1),
        "handed_out": (1, 1.25),
        "ran": (1.25, 3.25),
        "run": (0, 3.25),
    }
    run = made.pop("run")
    assert run.parent is None
    assert all(part.parent == run.context for part in made.values())
    assert dict(run.attributes or {}) == {
        "sandboxd.run": "1",
        "sandboxd.language": "python",
        "sandboxd.status": "ok",
        "sandboxd.cpu": 0.5,
        "sandboxd.output_bytes": 7,
    }
    assert run.resource.attributes["service.name"] == "sandboxd"


async def test_a_run_belongs_to_its_callers_trace(
    tracing: Tracing, exporter: InMemorySpanExporter, tmp_path: Path
) -> None:
    async with (
        Service(tmp_path, tracing=tracing) as service,
        AsyncClient(service.socket) as aclient,
    ):
        result = await aclient.run("python", "exit 3", traceparent=CALLER)
        await until(lambda: "run" in spans(exporter), "the run is accounted for")
    run = spans(exporter)["run"]
    assert run.parent is not None
    assert f"{run.parent.trace_id:032x}" == TRACE
    assert f"{run.parent.span_id:016x}" == SPAN
    assert (run.attributes or {})["sandboxd.run"] == result.run
    assert run.status.description == "error"


async def test_what_a_caller_does_not_sample_is_not_sampled(
    tracing: Tracing, exporter: InMemorySpanExporter
) -> None:
    tracing.observe(msgspec.structs.replace(SAMPLE, traceparent=f"00-{TRACE}-{SPAN}-00"))
    assert exporter.get_finished_spans() == ()


async def test_a_malformed_traceparent_is_refused(aclient: AsyncClient) -> None:
    with pytest.raises(InvalidParamsError, match="traceparent"):
        await aclient.run("python", "", traceparent="nonsense")


def test_without_the_extra_the_configuration_is_refused_with_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "sandboxd.tracing")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    config = Config(tracing=TracingConfig(endpoint="http://127.0.0.1:1/v1/traces"))
    with pytest.raises(ConfigError, match=r"pip install 'sandboxd\[otel\]'"):
        make_tracing(config)


def test_without_an_endpoint_nothing_of_it_is_loaded() -> None:
    assert make_tracing(Config()) is None
    code = "import sys, sandboxd.daemon; sys.exit(any('telemetry' in each for each in sys.modules))"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
