"""`make bench-cluster`: what a run costs through Ray, and how it grows with the nodes.

All nodes are on this machine and share its processors: programs that wait show what more
nodes bring, programs that compute show what they cost. What it would be on machines of
their own is a model, printed with what it assumes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sandboxd_client import Program, RunResult
from tests.bench import machine, report
from tests.bench.measure import HELLO, Fact, Figure, Goal, Measured, percentile, timed
from tests.ray.machines import RayCluster, small_daemon
from tests.support.daemon import RunningDaemon, eventually

if TYPE_CHECKING:  # it loads Ray, which tests.ray has to come before
    from sandboxd_client.ray import SandboxCluster

NODES = (1, 2, 4)
SLOTS = 2
SHORT = "import time; time.sleep(0.005)"
LONG = "import time; time.sleep(0.1)"
MODEL = """
On machines of their own, a cluster does so many runs a second:

    the least of  nodes x {node:,.0f}  and  drivers x {driver:,.0f}

where {node:,.0f} is what one node did here with {slots} slots, and {driver:,.0f} what one
driver can give out and take back, by the processor time that it used for each. Assumed:
nodes like this machine, programs like `{code}`, a network that carries a batch of programs
and their output in less time than they run, and a head that does nothing but watch."""


class Spent(NamedTuple):
    """On one program of many, in milliseconds."""

    wall: float
    driver: float
    """Of processor time, in this process."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.cluster", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    arguments = parser.parse_args()
    console = report.open_console()
    about, steps = machine.describe(), machine.constants()
    report.show_machine(console, about, steps)
    measured: list[Measured] = []
    for each in _measure():
        measured.append(each)
        console.print(report.line(each), highlight=False)
    report.show(console, measured)
    node, driver = (_value(measured, name) for name in ("1 node, hello", "a driver, hello"))
    console.print(MODEL.format(node=node, driver=driver, slots=SLOTS, code=HELLO), highlight=False)
    if arguments.json:
        found = {"measured": [report.plain(each) for each in measured]}
        report.write_json(arguments.json, about, steps, found)


def _measure() -> Iterator[Measured]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        machines = stack.enter_context(RayCluster())
        daemons: list[RunningDaemon] = []
        for count in NODES:
            while len(daemons) < count:
                daemons.append(stack.enter_context(small_daemon(folder / str(len(daemons)))))
                machines.add(daemons[-1].socket, slots=SLOTS)
            with machines.client() as cluster:
                _warm(cluster, daemons)
                if count == 1:
                    yield from _cost(cluster, daemons[0])
                yield from _growth(cluster, count)


def _cost(cluster: SandboxCluster, daemon: RunningDaemon) -> Iterator[Measured]:
    against = "the local client"
    for name, code, count in (("hello", HELLO, 1000), ("of 5 ms", SHORT, 600)):
        local = (_local(daemon, code, count), _spread(cluster, code, count).wall)
        again = (_local(daemon, code, count), _spread(cluster, code, count).wall)
        theirs, ours = ((a + b) / 2 for a, b in zip(local, again, strict=True))
        goal = Goal(1.5) if code == SHORT else None
        yield Figure(f"many programs, {name}", ours, theirs, "ms", against, goal)
    with daemon.client() as client:
        alone = percentile(timed(lambda: client.run("python", SHORT), 100), 50)
    ours = percentile(timed(lambda: cluster.run("python", SHORT), 100), 50)
    yield Figure("one program of 5 ms at a time", ours, alone, "ms", against)


def _growth(cluster: SandboxCluster, nodes: int) -> Iterator[Measured]:
    name = f"{nodes} node{'s' if nodes > 1 else ''}"
    hello = _spread(cluster, HELLO, 1000)
    yield Fact(f"{name}, hello", 1000 / hello.wall, "/s")
    yield Fact(f"{name}, waiting 100 ms", 1000 / _spread(cluster, LONG, 60 * nodes).wall, "/s")
    if nodes == 1:
        yield Fact("a driver, hello", 1000 / hello.driver, "/s")


def _local(daemon: RunningDaemon, code: str, count: int) -> float:
    """Milliseconds for each."""
    with daemon.client() as client:
        began = time.perf_counter()
        outcomes = client.map(_programs(code, count), concurrency=2 * SLOTS)
        _check(outcomes)
        return (time.perf_counter() - began) * 1000 / count


def _spread(cluster: SandboxCluster, code: str, count: int) -> Spent:
    used, began = time.process_time(), time.perf_counter()
    _check(cluster.map(_programs(code, count)))
    wall, driver = time.perf_counter() - began, time.process_time() - used
    return Spent(wall * 1000 / count, driver * 1000 / count)


def _programs(code: str, count: int) -> list[Program]:
    return [Program("python", code)] * count


def _check(outcomes: Sequence[object]) -> None:
    for each in outcomes:
        if not isinstance(each, RunResult) or each.status != "ok":
            raise SystemExit(f"a program did not end well: {each}")


def _warm(cluster: SandboxCluster, daemons: Sequence[RunningDaemon]) -> None:
    """All nodes are up, and have had programs."""

    def runs() -> list[int]:
        _check(cluster.map(_programs(HELLO, 20 * len(daemons))))
        return [daemon.client().status().totals.runs for daemon in daemons]

    eventually(lambda: min(runs()) > 0, "all nodes are used")


def _value(measured: Sequence[Measured], name: str) -> float:
    return next(each.value for each in measured if isinstance(each, Fact) and each.name == name)


if __name__ == "__main__":
    main()
