"""What is taken while nothing runs, and how soon the first request is served."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.bench import Bench
from tests.bench.measure import (
    HELLO,
    Figure,
    Goal,
    Measured,
    cpu_seconds,
    parent,
    proportional_memory,
)
from tests.support.daemon import RunningDaemon, eventually, pools_are_full

IDLE_SECONDS = 8.0
SOME = 4


def idle_memory(bench: Bench) -> Iterator[Measured]:
    """A warm Python container, its shim included, over an interpreter that waits."""
    with bench.daemon({"python": SOME}) as daemon:
        inside, shim = container_memory(daemon)
    bare = _idle_interpreters(SOME)
    against = "an idle interpreter"
    yield Figure("memory of a warm container", inside + shim, bare, "MiB", against, Goal(2.5))
    yield Figure("the same without the engine's shim", inside, bare, "MiB", against)


def container_memory(daemon: RunningDaemon) -> tuple[float, float]:
    """MiB of each container, and of its shim."""
    pids = [_pids(name) for name in daemon.containers()]
    shims = [parent(min(each)) for each in pids]
    inside = proportional_memory([pid for each in pids for pid in each])
    return inside / len(pids), proportional_memory(shims) / len(pids)


def _pids(container: str) -> list[int]:
    listed = subprocess.run(
        ["docker", "top", container, "-eo", "pid"], check=True, capture_output=True, text=True
    )
    return [int(line) for line in listed.stdout.split()[1:]]


def _idle_interpreters(count: int) -> float:
    """MiB of each, waiting for its first line."""
    waits = ["/usr/bin/python3", "-c", "print(flush=True); input()"]
    with contextlib.ExitStack() as stack:
        running = [
            stack.enter_context(
                subprocess.Popen(waits, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            )
            for _ in range(count)
        ]
        for process in running:
            if process.stdout is not None:
                process.stdout.readline()
        memory = proportional_memory([process.pid for process in running]) / count
        for process in running:
            process.kill()
    return memory


def idle_daemon(bench: Bench) -> Iterator[Measured]:
    """The daemon with its pools full and nobody who asks for anything."""
    with bench.daemon({"python": SOME, "javascript": 2, "bash": 2}) as daemon:
        share = idle_share(daemon)
    yield Figure("idle daemon, full pools", share, 100, "% CPU", "one core", Goal(0.005))


def idle_share(daemon: RunningDaemon) -> float:
    """Percent of a core that a daemon uses while nobody asks for anything."""
    before = cpu_seconds(daemon.process.pid)
    time.sleep(IDLE_SECONDS)
    return (cpu_seconds(daemon.process.pid) - before) / IDLE_SECONDS * 100


def first_request(bench: Bench) -> Iterator[Measured]:
    """From the start of a daemon to the first result, while its pools still fill."""
    served, full = start(bench.python)
    name = "first result after a start"
    yield Figure(name, served, full, "ms", "until all pools are full")


def start(python: str) -> tuple[float, float]:
    """Milliseconds from the start of a daemon to its first result, and to full pools."""
    with tempfile.TemporaryDirectory(prefix="sandboxd-bench-") as folder:
        daemon = RunningDaemon(Path(folder), python=python)
        began = time.perf_counter()
        with daemon, daemon.client() as client:
            client.run("python", HELLO)
            served = time.perf_counter() - began
            eventually(lambda: pools_are_full(client), "the pools are full")
            full = time.perf_counter() - began
    return served * 1000, full * 1000
