"""Counters and histograms for Prometheus, named in one place.

What the pools count already is read from them when somebody asks; only what happens
to a run is observed as it happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from sandboxd_client.protocol import PoolStatus

_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0)


class RunSample(Struct, frozen=True, kw_only=True):
    """What a run that has ended adds to metrics and traces. Durations in seconds."""

    run: str
    language: str
    status: str
    queued: float
    handed_out: float
    ran: float
    cpu: float
    output_bytes: int
    started_at: str
    """UTC, ISO 8601."""
    traceparent: str | None


class _OfLanguage(Struct, frozen=True, kw_only=True):
    """Kept, since to find these by their labels takes longer than to count."""

    queued: Histogram
    handed_out: Histogram
    ran: Histogram
    cpu: Counter
    output: Counter


class Metrics:
    """`pools` and `removals` are asked at each scrape."""

    def __init__(
        self,
        pools: Callable[[], list[PoolStatus]],
        removals: Callable[[], Mapping[str, Mapping[str, int]]],
        connections: Callable[[], int],
    ) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Pools(pools, removals, connections))
        labels = ["language"]
        self._languages: dict[str, _OfLanguage] = {}
        self._runs = Counter(
            "sandboxd_runs", "Runs that have ended.", [*labels, "status"], registry=self._registry
        )
        self._queued = self._histogram("queue", "Time until a container was there.")
        self._handed_out = self._histogram("hand_out", "Time to hand a program over.")
        self._ran = self._histogram("run", "Time that programs ran.")
        self._cpu = Counter(
            "sandboxd_cpu_seconds", "CPU time of programs.", labels, registry=self._registry
        )
        self._output = Counter(
            "sandboxd_output_bytes", "Bytes that programs wrote.", labels, registry=self._registry
        )

    def observe(self, sample: RunSample) -> None:
        """A run has ended."""
        self._runs.labels(sample.language, sample.status).inc()
        own = self._languages.get(sample.language)
        if own is None:
            own = self._languages[sample.language] = self._of_language(sample.language)
        own.queued.observe(sample.queued)
        own.handed_out.observe(sample.handed_out)
        own.ran.observe(sample.ran)
        own.cpu.inc(sample.cpu)
        own.output.inc(sample.output_bytes)

    def _of_language(self, name: str) -> _OfLanguage:
        return _OfLanguage(
            queued=self._queued.labels(name),
            handed_out=self._handed_out.labels(name),
            ran=self._ran.labels(name),
            cpu=self._cpu.labels(name),
            output=self._output.labels(name),
        )

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry)

    def _histogram(self, name: str, help_: str) -> Histogram:
        return Histogram(
            f"sandboxd_{name}_seconds",
            help_,
            ["language"],
            buckets=_BUCKETS,
            registry=self._registry,
        )


class _Pools:
    """The pools' own books."""

    def __init__(
        self,
        pools: Callable[[], list[PoolStatus]],
        removals: Callable[[], Mapping[str, Mapping[str, int]]],
        connections: Callable[[], int],
    ) -> None:
        self._pools = pools
        self._removals = removals
        self._connections = connections

    def collect(self) -> Iterator[Metric]:
        labels = ["language", "profile"]
        members = GaugeMetricFamily(
            "sandboxd_pool_members", "Containers by state.", labels=[*labels, "state"]
        )
        waiting = GaugeMetricFamily("sandboxd_pool_waiting", "Runs that wait.", labels=labels)
        handed = CounterMetricFamily("sandboxd_pool_handed_out", "Hand-outs.", labels=labels)
        recycled = CounterMetricFamily(
            "sandboxd_pool_recycled", "Containers that were made ready again.", labels=labels
        )
        failed = CounterMetricFamily(
            "sandboxd_pool_start_failures", "Containers that did not start.", labels=labels
        )
        for pool in self._pools():
            values = [pool.language, pool.profile]
            for state in ("idle", "busy", "starting"):
                members.add_metric([*values, state], getattr(pool, state))
            waiting.add_metric(values, pool.waiting)
            handed.add_metric(values, pool.handed_out)
            recycled.add_metric(values, pool.recycled)
            failed.add_metric(values, pool.failures)
        removed = CounterMetricFamily(
            "sandboxd_pool_removed", "Containers removed, by cause.", labels=["profile", "cause"]
        )
        for profile, causes in self._removals().items():
            for cause, count in causes.items():
                removed.add_metric([profile, cause], count)
        connections = GaugeMetricFamily("sandboxd_connections", "Clients that are connected.")
        connections.add_metric([], self._connections())
        yield from (members, waiting, handed, recycled, failed, removed, connections)
