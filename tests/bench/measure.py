"""How things are measured: figures, and what takes the time, the processor and the memory."""

from __future__ import annotations

import asyncio
import os
import resource
import statistics
import subprocess
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import NamedTuple

HELLO = "print(1)"
PYTHON = ["/usr/bin/python3", "-S", "-c"]
BARE = [*PYTHON, HELLO]
MIB = 1024**2
GIB = 1024**3


class Goal(NamedTuple):
    """What a ratio is to reach."""

    ratio: float
    at_least: bool = False

    def met(self, ratio: float) -> bool:
        return ratio >= self.ratio if self.at_least else ratio <= self.ratio

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.ratio:.3g}"


class Figure(NamedTuple):
    """One ratio: what was measured, against what, and what is aimed at."""

    name: str
    ours: float
    theirs: float
    unit: str
    against: str
    goal: Goal | None = None

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs


class Fact(NamedTuple):
    """Something measured that there is nothing to measure against."""

    name: str
    value: float
    unit: str


Measured = Figure | Fact


def timed(function: Callable[[], object], count: int, warmup: int = 3) -> list[float]:
    """Milliseconds of each call."""
    for _ in range(warmup):
        function()
    times = []
    for _ in range(count):
        began = time.perf_counter()
        function()
        times.append((time.perf_counter() - began) * 1000)
    return times


def percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def command(
    arguments: Sequence[str | Path], env: dict[str, str] | None = None
) -> Callable[[], object]:
    return lambda: subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL, env=env)


def command_rate(
    arguments: Sequence[str], count: int, at_once: int, env: dict[str, str] | None = None
) -> float:
    """Whole runs of a command a second, so many at a time."""
    began = time.perf_counter()
    running: list[subprocess.Popen[bytes]] = []
    for _ in range(count):
        if len(running) == at_once:
            running.pop(0).wait()
        running.append(subprocess.Popen(arguments, stdout=subprocess.DEVNULL, env=env))
    for process in running:
        process.wait()
    return count / (time.perf_counter() - began)


async def closed_loop(work: Callable[[], Awaitable[object]], count: int, at_once: int) -> float:
    """Calls a second, the next as soon as one has ended."""
    left = iter(range(count))

    async def loop() -> None:
        for _ in left:
            await work()

    began = time.perf_counter()
    await asyncio.gather(*(loop() for _ in range(at_once)))
    return count / (time.perf_counter() - began)


def cpu_seconds(pid: int) -> float:
    """What a process has used of the processors so far, to the nanosecond."""
    spent = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            spent += int((task / "schedstat").read_text().split()[0])
        except FileNotFoundError:
            continue  # a thread that has just ended
    return spent / 1e9


def proportional_memory(pids: Sequence[int]) -> float:
    """MiB that processes hold together, what they share with others in proportion (PSS)."""
    return sum(_field(f"/proc/{pid}/smaps_rollup", "Pss:") for pid in pids) / MIB


def resident(pid: int) -> float:
    """MiB that a process holds."""
    return _field(f"/proc/{pid}/status", "VmRSS:") / MIB


def peak_resident(pid: int) -> float:
    """The most MiB that it has held since `forget_peak`."""
    return _field(f"/proc/{pid}/status", "VmHWM:") / MIB


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _field(path: str, name: str) -> int:
    """Bytes in a line such as `Pss: 12 kB`."""
    for line in Path(path).read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"{path} has no {name}")


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def allow_many_files() -> None:
    """A thousand connections need a thousand descriptors, in the daemon as well."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def cores() -> int:
    return os.cpu_count() or 1
