"""What is asked of each of two daemons by turns, and what is read of it each time."""

from __future__ import annotations

import asyncio
import functools
import itertools
import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from sandboxd_client import Client
from tests.bench import output, resources, throughput, waiting
from tests.bench.hand_out import first_bytes, over_its_program
from tests.bench.measure import (
    HELLO,
    command,
    cpu_seconds,
    forget_peak,
    peak_resident,
    percentile,
    timed,
)
from tests.bench.modes import WARM, WAYS, call, when_ready
from tests.support.daemon import RunningDaemon

_SERIAL = itertools.count(1000)


class Reading(NamedTuple):
    """One figure of one turn."""

    name: str
    value: float
    unit: str
    more_is_better: bool = False


class Side(NamedTuple):
    """One of the two: its daemon, a client of it, and the interpreter of its environment."""

    daemon: RunningDaemon
    client: Client
    python: str

    @property
    def sandbox(self) -> list[str]:
        """`sandbox run` of its own client, for Python."""
        program = str(Path(self.python).parent / "sandbox")
        return [program, "run", "python", "--socket", str(self.daemon.socket)]


Turn = Callable[[Side], Iterator[Reading]]


class Group(NamedTuple):
    """Turns of the same two daemons, each so many times."""

    warm: dict[str, int]
    turns: Sequence[tuple[Turn, int]]
    more: str = ""
    started: bool = False
    """With a language whose interpreter is started for each run."""


def _hand_out(side: Side) -> Iterator[Reading]:
    times = timed(lambda: side.client.run("python", HELLO), 100)
    yield Reading("hand-out, p50", statistics.median(times), "ms")
    yield Reading("hand-out, p99", percentile(times, 99), "ms")


def _first_byte(side: Side) -> Iterator[Reading]:
    times = asyncio.run(first_bytes(side.daemon, 10))
    yield Reading("first byte, p50", statistics.median(times), "ms")


def _command(side: Side) -> Iterator[Reading]:
    times = timed(command([*side.sandbox, "-c", HELLO]), 5, warmup=0)
    yield Reading("sandbox run", statistics.median(times), "ms")
    over = over_its_program([*side.sandbox, "--json"], 3)
    yield Reading("sandbox run, over its program", statistics.median(over), "ms")


def _a_way(name: str, side: Side, *, ready: bool) -> Iterator[Reading]:
    run = call(side.client, name)
    if ready:
        yield Reading(f"{name}, when one is ready", when_ready(side.daemon, run, 5), "ms")
    else:
        times = timed(run, 10, warmup=1)
        yield Reading(f"{name}, without a pause", statistics.median(times), "ms")


def _in_a_session(side: Side) -> Iterator[Reading]:
    with side.client.session("python") as session:
        times = timed(lambda: session.run(HELLO), 30)
    yield Reading("in a session", statistics.median(times), "ms")


def _forked(side: Side) -> Iterator[Reading]:
    rate = asyncio.run(throughput.rate(side.daemon, "python", 300))
    yield Reading("runs a second, forked", rate, "/s", more_is_better=True)


def _started(side: Side) -> Iterator[Reading]:
    rate = asyncio.run(throughput.rate(side.daemon, throughput.STARTED, 100))
    yield Reading("runs a second, started", rate, "/s", more_is_better=True)


def _preloaded(side: Side) -> Iterator[Reading]:
    rate = asyncio.run(throughput.rate(side.daemon, "python", 300, throughput.IMPORTS))
    yield Reading("runs a second, numpy and pandas", rate, "/s", more_is_better=True)


def _never_reused(side: Side) -> Iterator[Reading]:
    never = throughput.rate_with(side.daemon, "python", 16, HELLO, 8, {"reuse": "never"})
    yield Reading("runs a second, never reused", asyncio.run(never), "/s", more_is_better=True)


def _refill(side: Side) -> Iterator[Reading]:
    change = f"[limits]\nnofile = {next(_SERIAL)}"
    rate = throughput.drained_to_full(side.daemon, side.client, change)
    yield Reading("drained pool to full", rate, "/s", more_is_better=True)


def _a_gibibyte(side: Side) -> Iterator[Reading]:
    pid = side.daemon.process.pid
    used = cpu_seconds(pid)
    forget_peak(pid)
    rate = output.drain(output.flood(side.daemon, side.sandbox[0]))
    yield Reading("1 GiB of output", rate, "MB/s", more_is_better=True)
    yield Reading("daemon's memory at its most", peak_resident(pid), "MiB")
    yield Reading("daemon CPU a GiB", cpu_seconds(pid) - used, "s")


def _single_bytes(side: Side) -> Iterator[Reading]:
    yield Reading("messages of a million writes", output.messages(side.client), "")


def _with_a_queue(side: Side) -> Iterator[Reading]:
    cpu = asyncio.run(waiting.cpu_a_run(side.daemon, waiting=1000, count=200))
    yield Reading("CPU a hand-out, 1000 waiting", cpu, "µs")


def _fairness(side: Side) -> Iterator[Reading]:
    waited, _ = asyncio.run(waiting.wait_beside(side.daemon, 990, 10))
    yield Reading("wait beside 990 of another", waited, "ms")


def _overload(side: Side) -> Iterator[Reading]:
    useful, _ = asyncio.run(waiting.offer(side.daemon, 1000, 3))
    yield Reading("useful work, 1000 a second asked", useful, "/s", more_is_better=True)


def _connections(side: Side) -> Iterator[Reading]:
    held, took = asyncio.run(waiting.fill_queue(side.daemon))
    yield Reading("daemon with 10,000 waiting runs", held, "MiB")
    yield Reading("until all of them wait", took, "s")


def _memory(side: Side) -> Iterator[Reading]:
    inside, shim = resources.container_memory(side.daemon)
    yield Reading("memory of a warm container", inside + shim, "MiB")
    yield Reading("the same without the shim", inside, "MiB")


def _idle(side: Side) -> Iterator[Reading]:
    yield Reading("idle daemon, full pools", resources.idle_share(side.daemon), "% CPU")


def start(python: str) -> Iterator[Reading]:
    served, full = resources.start(python)
    yield Reading("first result after a start", served, "ms")
    yield Reading("all pools full after a start", full, "ms")


def _modes() -> list[tuple[Turn, int]]:
    """Each way of asking, with a container that is ready and without a pause."""
    return [
        (functools.partial(_a_way, name, ready=ready), 15)
        for name in WAYS
        for ready in (True, False)
    ]


GROUPS: dict[str, Group] = {
    "hand-out": Group(
        {"python": 4}, [(_hand_out, 12), (_first_byte, 30), (_command, 15), (_in_a_session, 40)]
    ),
    "modes": Group(WARM, _modes()),
    "runs": Group({"python": 4}, [(_forked, 15), (_never_reused, 8)]),
    "started": Group({throughput.STARTED: 4}, [(_started, 15)], started=True),
    "preloaded": Group({"data": 4}, [(_preloaded, 10)], more=throughput.DATA),
    "refill": Group({"python": 16}, [(_refill, 5)]),
    "output": Group({"python": 1}, [(_a_gibibyte, 7), (_single_bytes, 5)]),
    "queue": Group({"python": waiting.CONTAINERS}, [(_with_a_queue, 7), (_fairness, 3)]),
    "overload": Group({"python": waiting.CONTAINERS}, [(_overload, 5)], more="queue = 500"),
    "connections": Group({"python": 1}, [(_connections, 3)], more=waiting.MANY),
    "memory": Group({"python": 4}, [(_memory, 1)]),
    "idle": Group({"python": 4, "javascript": 2, "bash": 2}, [(_idle, 3)]),
}
