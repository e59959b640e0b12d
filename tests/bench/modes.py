"""What each way of asking for a run costs: what to know before choosing one."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Iterator, Mapping

from sandboxd_client import Client, Limits
from sandboxd_client._wire import RunOptions
from tests.bench.bench import Bench
from tests.bench.measure import BARE, HELLO, Figure, Measured, command, timed
from tests.support.daemon import RunningDaemon

_WARM = {"python": 2, "bash": 2, "sh": 2, "ruby": 2, "javascript": 2, "go": 2}
_HELLOS = {
    "bash": "echo 1",
    "sh": "echo 1",
    "ruby": "puts 1",
    "javascript": "console.log(1)",
    "go": "package main\nfunc main() { println(1) }",
}
_WAYS: Mapping[str, RunOptions] = {
    "a file in, a file out": {"files": {"in": "x"}, "outputs": ["in"]},
    "limits of its own": {"limits": Limits(memory="256MiB")},
    "a container that nobody used": {"reuse": "never"},
    "a root that can be written to": {"read_only": False},
}
_COUNT = 20


def modes(bench: Bench) -> Iterator[Measured]:
    """A hello each, when the pool is full and again without a pause, so that each run waits
    for what the one before it left to be made again."""
    with bench.daemon(_WARM) as daemon, daemon.client() as client:
        bare = statistics.median(timed(command(BARE), 60))
        for name, run in _ways(client):
            took = _when_ready(bench, daemon, run)
            yield Figure(f"{name}, when one is ready", took, bare, "ms", "bare interpreter")
            took = statistics.median(timed(run, _COUNT))
            yield Figure(f"{name}, without a pause", took, bare, "ms", "bare interpreter")
        with client.session("python") as session:
            took = statistics.median(timed(lambda: session.run(HELLO), _COUNT))
        yield Figure("in a session", took, bare, "ms", "bare interpreter")


def _ways(client: Client) -> Iterator[tuple[str, Callable[[], object]]]:
    yield "python", functools.partial(client.run, "python", HELLO)
    for language, hello in _HELLOS.items():
        yield language, functools.partial(client.run, language, hello)
    for name, options in _WAYS.items():
        yield f"python, {name}", functools.partial(client.run, "python", HELLO, **options)


def _when_ready(bench: Bench, daemon: RunningDaemon, run: Callable[[], object]) -> float:
    """Milliseconds of a call for which a container waits."""
    times = []
    for _ in range(_COUNT):
        bench.wait_until_full(daemon, _WARM)
        began = time.perf_counter()
        run()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)
