"""From request to result, one at a time."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from sandboxd_client import AsyncClient, Output
from tests.bench.bench import Bench, Echo
from tests.bench.measure import BARE, HELLO, Figure, Goal, Measured, command, percentile, timed
from tests.support.daemon import RunningDaemon

SANDBOX = str(Path(sys.executable).parent / "sandbox")
PRINTS_AND_SLEEPS = "import os, time; os.write(1, b'1'); time.sleep(0.02)"


def hand_out(bench: Bench) -> Iterator[Measured]:
    """A warm run while the pool refills as it likes, and its first byte."""
    with bench.daemon({"python": 4}) as daemon:
        bare = timed(command(BARE), 150)
        with daemon.client() as client:
            ours = timed(lambda: client.run("python", HELLO), 400)
        bare += timed(command(BARE), 150)
        middle, against = statistics.median(bare), "bare interpreter"
        p50, p99 = statistics.median(ours), percentile(ours, 99)
        yield Figure("hand-out, p50", p50, middle, "ms", against, Goal(0.5))
        yield Figure("hand-out, p99", p99, middle, "ms", against, Goal(1.5))
        trip = statistics.median(asyncio.run(_attach_round_trips(bench, 200)))
        first = statistics.median(asyncio.run(first_bytes(daemon, 100)))
        against = "a byte through attach, and 2 ms"
        yield Figure("first byte, p50", first, trip + 2, "ms", against, Goal(1.0))


async def first_bytes(daemon: RunningDaemon, count: int) -> list[float]:
    times: list[float] = []
    async with AsyncClient(daemon.socket) as client:
        for _ in range(count):
            began = time.perf_counter()
            async with client.stream("python", PRINTS_AND_SLEEPS) as stream:
                times += [
                    (time.perf_counter() - began) * 1000
                    async for event in stream
                    if isinstance(event, Output)
                ]
    return times


async def _attach_round_trips(bench: Bench, count: int) -> list[float]:
    times = []
    async with bench.engine() as opened:
        engine, spec = opened.containers, bench.own_container("cat")
        await engine.create(spec)
        echo = Echo()
        attachment = await engine.attach(spec.name, echo)
        await engine.start(spec.name)
        for _ in range(count):
            echo.arrived.clear()
            began = time.perf_counter()
            attachment.write(b"x")
            await echo.arrived.wait()
            times.append((time.perf_counter() - began) * 1000)
        attachment.close()
        await engine.remove(spec.name)
    return times


def commands(bench: Bench) -> Iterator[Measured]:
    """`sandbox run` as it is typed, against the engine's own commands."""
    name = bench.own_container().name
    create = ["docker", "run", "--detach", "--rm", "--network=none", "--name", name]
    create += ["--entrypoint", "sleep", bench.image, "600"]
    run = ["docker", "run", "--rm", "--network=none", "--entrypoint", "python3", bench.image]
    with bench.daemon({"python": 4}) as daemon:
        sandbox = [SANDBOX, "run", "python", "--socket", str(daemon.socket)]
        subprocess.run(create, check=True, stdout=subprocess.DEVNULL)
        try:
            execs = timed(command(["docker", "exec", name, "python3", "-S", "-c", HELLO]), 20)
        finally:
            subprocess.run(["docker", "rm", "-f", name], check=True, stdout=subprocess.DEVNULL)
        runs = timed(command([*run, "-S", "-c", HELLO]), 10)
        ours = statistics.median(timed(command([*sandbox, "-c", HELLO]), 40))
        yield Figure("sandbox run", ours, statistics.median(execs), "ms", "docker exec", Goal(1.0))
        yield Figure("sandbox run", ours, statistics.median(runs), "ms", "docker run", Goal(0.2))
        bare = statistics.median(timed(command(BARE), 60))
        over = statistics.median(over_its_program([*sandbox, "--json"], 20))
        yield Figure("sandbox run, over its program", over, bare, "ms", "bare interpreter")


def over_its_program(sandbox: list[str], count: int) -> list[float]:
    """Milliseconds that the command takes beyond what its program does."""
    over = []
    for _ in range(count):
        began = time.perf_counter()
        done = subprocess.run(
            [*sandbox, "-c", "import time; time.sleep(0.1)"], check=True, capture_output=True
        )
        whole = time.perf_counter() - began
        over.append((whole - json.loads(done.stdout)["duration"]) * 1000)
    return over
