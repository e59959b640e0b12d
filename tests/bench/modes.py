"""What each way of asking for a run costs: what to know before choosing one."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Iterator, Mapping

from sandboxd_client import Client, Limits
from sandboxd_client._wire import RunOptions
from tests.bench.bench import Bench, wait_until_full
from tests.bench.measure import BARE, HELLO, Figure, Measured, command, timed
from tests.support.daemon import RunningDaemon

WARM = {"python": 2, "bash": 2, "sh": 2, "ruby": 2, "javascript": 2, "go": 2}
WAYS: Mapping[str, tuple[str, str, RunOptions]] = {
    "python": ("python", HELLO, {}),
    "bash": ("bash", "echo 1", {}),
    "sh": ("sh", "echo 1", {}),
    "ruby": ("ruby", "puts 1", {}),
    "javascript": ("javascript", "console.log(1)", {}),
    "go": ("go", "package main\nfunc main() { println(1) }", {}),
    "python, a file in, a file out": ("python", HELLO, {"files": {"in": "x"}, "outputs": ["in"]}),
    "python, limits of its own": ("python", HELLO, {"limits": Limits(memory="256MiB")}),
    "python, a container that nobody used": ("python", HELLO, {"reuse": "never"}),
    "python, a root that can be written to": ("python", HELLO, {"read_only": False}),
}
"""Of each its language, its program and what else is asked for."""
_COUNT = 20


def modes(bench: Bench) -> Iterator[Measured]:
    """A hello each, when the pool is full and again without a pause, so that each run waits
    for what the one before it left to be made again."""
    with bench.daemon(WARM) as daemon, daemon.client() as client:
        bare = statistics.median(timed(command(BARE), 60))
        for name in WAYS:
            run = call(client, name)
            took = when_ready(daemon, run)
            yield Figure(f"{name}, when one is ready", took, bare, "ms", "bare interpreter")
            took = statistics.median(timed(run, _COUNT))
            yield Figure(f"{name}, without a pause", took, bare, "ms", "bare interpreter")
        with client.session("python") as session:
            took = statistics.median(timed(lambda: session.run(HELLO), _COUNT))
        yield Figure("in a session", took, bare, "ms", "bare interpreter")


def call(client: Client, name: str) -> Callable[[], object]:
    """A run in one of the ways."""
    language, code, options = WAYS[name]
    return functools.partial(client.run, language, code, **options)


def when_ready(daemon: RunningDaemon, run: Callable[[], object], count: int = _COUNT) -> float:
    """Milliseconds of a call for which a container waits."""
    times = []
    for _ in range(count):
        wait_until_full(daemon, WARM)
        began = time.perf_counter()
        run()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)
