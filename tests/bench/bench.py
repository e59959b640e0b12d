"""`make bench`: how fast it is, as ratios against what the same machine does without it.

Everything is measured in one run, side by side, and nothing is asserted:
absolute times move with the machine, ratios much less.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from sandboxd.config import Config
from sandboxd.daemon import make_shape
from sandboxd.engine import host
from sandboxd.engine.docker import DockerEngine
from sandboxd.engine.images import Wanted, image_tag
from sandboxd.engine.port import ContainerSpec
from sandboxd.engine.spec import Placement, container_spec
from sandboxd.languages import BUILTIN, load
from sandboxd.pool.fleet import Variant
from sandboxd.run.profiles import make_profiles
from sandboxd_client import AsyncClient, Output
from tests.support.daemon import RunningDaemon, eventually, pools_are_full

HELLO = "print(1)"
PYTHON = ["/usr/bin/python3", "-S", "-c", HELLO]
GIB = 1024**3
BIN = Path(sys.executable).parent
_console = Console()


class Figure(NamedTuple):
    """One ratio: what was measured, against what, and what is aimed at."""

    name: str
    ours: float
    theirs: float
    unit: str
    against: str
    goal: str
    higher_is_better: bool = False

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs


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


def percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def command(arguments: list[str]) -> Callable[[], object]:
    return lambda: subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)


def rate(arguments: list[str], count: int, at_once: int) -> float:
    """Whole runs of a command a second, so many at a time."""
    began = time.perf_counter()
    running: list[subprocess.Popen[bytes]] = []
    for _ in range(count):
        if len(running) == at_once:
            running.pop(0).wait()
        running.append(subprocess.Popen(arguments, stdout=subprocess.DEVNULL))
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


class Echo:
    """Times a byte through a held attach stream and back."""

    def __init__(self) -> None:
        self.arrived = asyncio.Event()

    def stdout(self, data: bytes) -> None:
        self.arrived.set()

    def stderr(self, data: bytes) -> None: ...

    def closed(self) -> None: ...


class Bench:
    def __init__(self, daemon: RunningDaemon) -> None:
        self.daemon = daemon
        self.figures: list[Figure] = []
        self.config = Config()
        profile = make_profiles(self.config, load(BUILTIN))["python"]
        self.image = image_tag(Wanted(profile.language))
        self.shape = make_shape(self.config, profile, self.image, Variant())

    def add(self, figure: Figure) -> None:
        self.figures.append(figure)
        _console.print(f"  {figure.name}: {figure.ratio:.2f} of {figure.against}", highlight=False)

    def hand_out(self) -> None:
        """Request to result, one at a time, while the pool refills as it likes."""
        bare = timed(command(PYTHON), 200)
        with self.daemon.client() as client:
            ours = timed(lambda: client.run("python", HELLO), 500)
        middle = statistics.median(bare)
        against = "bare interpreter"
        self.add(Figure("hand-out p50", statistics.median(ours), middle, "ms", against, "≤ 0.5"))
        self.add(Figure("hand-out p99", percentile(ours, 99), middle, "ms", against, "≤ 1.5"))

    async def first_byte(self) -> None:
        """Request to the first byte of a program that prints and then sleeps."""
        trip = statistics.median(await self._attach_round_trips(200))
        times: list[float] = []
        code = "import os, time; os.write(1, b'1'); time.sleep(0.02)"
        async with AsyncClient(self.daemon.socket) as client:
            for _ in range(100):
                began = time.perf_counter()
                async with client.stream("python", code) as stream:
                    times += [
                        (time.perf_counter() - began) * 1000
                        async for event in stream
                        if isinstance(event, Output)
                    ]
        ours = statistics.median(times)
        goal = f"≤ {(trip + 2) / trip:.1f} (2 ms over it)"
        self.add(Figure("first byte p50", ours, trip, "ms", "attach round trip", goal))

    async def _attach_round_trips(self, count: int) -> list[float]:
        config = {"Image": self.image, "Entrypoint": ["cat"], "OpenStdin": True, "Tty": False}
        config |= {"StdinOnce": True, "HostConfig": {"NetworkMode": "none", "AutoRemove": True}}
        name = f"sandboxd-bench-{os.getpid()}"
        times = []
        async with DockerEngine(host.address(None), self.config.engine) as engine:
            await engine.create(ContainerSpec(name, 0, config))
            echo = Echo()
            attachment = await engine.attach(name, echo)
            await engine.start(name)
            for _ in range(count):
                echo.arrived.clear()
                began = time.perf_counter()
                attachment.write(b"x")
                await echo.arrived.wait()
                times.append((time.perf_counter() - began) * 1000)
            attachment.close()
            await engine.remove(name)
        return times

    async def throughput(self) -> None:
        bare = rate(PYTHON, 600, at_once=2)
        async with AsyncClient(self.daemon.socket) as client:
            work = lambda: client.run("python", HELLO)  # noqa: E731
            await closed_loop(work, 100, 4)
            recycled = await closed_loop(work, 1000, 4)
        self.add(
            Figure(
                "runs a second, recycled",
                recycled,
                bare,
                "/s",
                "bare, two at a time",
                "≥ 0.5",
                True,
            )
        )

    async def never_reused(self) -> None:
        bare = await self._engine_loop(40)
        async with AsyncClient(self.daemon.socket) as client:
            work = lambda: client.run("python", HELLO, reuse="never")  # noqa: E731
            await closed_loop(work, 10, 4)
            ours = await closed_loop(work, 60, 8)
        self.add(
            Figure("runs a second, never reused", ours, bare, "/s", "engine calls", "≥ 0.9", True)
        )

    async def _engine_loop(self, count: int) -> float:
        """Create, attach, start, wait for a byte and remove the same container, bare."""
        serial = iter(range(10**6))
        async with DockerEngine(host.address(None), self.config.engine) as engine:

            async def one() -> None:
                number = next(serial)
                placement = Placement("bench", f"{os.getpid()}-{number}", number, 60706 + number)
                spec = container_spec(self.shape, placement)
                await engine.create(spec)
                echo = Echo()
                attachment = await engine.attach(spec.name, echo)
                await engine.start(spec.name)
                await echo.arrived.wait()
                attachment.close()
                await engine.remove(spec.name)

            rates = [await closed_loop(one, count, at_once) for at_once in (2, 4)]
        return max(rates)

    def streaming(self) -> None:
        """A GiB from a program to a pipe, counted at its end."""
        code = f"import os\nb = bytes(1 << 20)\nfor _ in range({GIB >> 20}): os.write(1, b)"
        bare = _drain([*PYTHON[:2], "-c", code])
        ours = _drain(
            [
                str(BIN / "sandbox"),
                "run",
                "python",
                "-c",
                code,
                "--output-limit",
                "2GiB",
                "--socket",
                str(self.daemon.socket),
            ]
        )
        self.add(Figure("1 GiB of output", ours, bare, "MB/s", "a plain pipe", "≥ 0.25", True))

    def commands(self) -> None:
        """The whole command, as it is typed."""
        sandbox = [str(BIN / "sandbox"), "run", "python", "-c", HELLO]
        sandbox += ["--socket", str(self.daemon.socket)]
        name = f"sandboxd-bench-exec-{os.getpid()}"
        create = ["docker", "run", "--detach", "--rm", "--network=none", "--name", name]
        create += ["--entrypoint", "sleep", self.image, "600"]
        subprocess.run(create, check=True, stdout=subprocess.DEVNULL)
        run = ["docker", "run", "--rm", "--network=none", "--entrypoint", "python3", self.image]
        try:
            execs = timed(command(["docker", "exec", name, "python3", "-S", "-c", HELLO]), 20)
            runs = timed(command([*run, "-S", "-c", HELLO]), 10)
            ours = statistics.median(timed(command(sandbox), 40))
        finally:
            subprocess.run(["docker", "rm", "-f", name], check=True, stdout=subprocess.DEVNULL)
        self.add(Figure("sandbox run", ours, statistics.median(execs), "ms", "docker exec", "≤ 1"))
        self.add(Figure("sandbox run", ours, statistics.median(runs), "ms", "docker run", "≤ 0.2"))

    def run(self) -> None:
        self.hand_out()
        asyncio.run(self.first_byte())
        asyncio.run(self.throughput())
        asyncio.run(self.never_reused())
        self.streaming()
        self.commands()


def _drain(arguments: list[str]) -> float:
    """Megabytes a second that a command writes to a pipe."""
    began = time.perf_counter()
    total = 0
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, bufsize=0) as process:
        if process.stdout is None:
            raise AssertionError("a pipe was asked for")
        while chunk := process.stdout.read(1 << 20):
            total += len(chunk)
    if total != GIB:
        raise SystemExit(f"{arguments[0]} wrote {total} bytes, not {GIB}")
    return total / 1e6 / (time.perf_counter() - began)


def constants() -> dict[str, float]:
    """What the machine takes for the steps that everything is made of, in ms."""
    return {
        "start of a process": statistics.median(timed(command(["/bin/true"]), 100)),
        "start of the interpreter": statistics.median(timed(command(PYTHON), 50)),
    }


def show(figures: list[Figure]) -> None:
    table = Table("FIGURE", "OURS", "AGAINST", "THEIRS", "RATIO", "GOAL", box=None)
    for each in figures:
        table.add_row(
            each.name,
            f"{each.ours:.2f} {each.unit}",
            each.against,
            f"{each.theirs:.2f} {each.unit}",
            f"{each.ratio:.2f}",
            each.goal,
        )
    _console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, RunningDaemon(Path(folder)) as daemon:
        with daemon.client() as client:
            eventually(lambda: pools_are_full(client), "the pools are full")
        bench = Bench(daemon)
        bench.run()
    show(bench.figures)
    if arguments.json:
        report: dict[str, Any] = {
            "machine": {"cores": os.cpu_count(), "kernel": os.uname().release, **constants()},
            "figures": [each._asdict() | {"ratio": each.ratio} for each in bench.figures],
        }
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
