"""Runs a second, and containers a second, with every core busy."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from sandboxd_client import AsyncClient, Client
from sandboxd_client._wire import RunOptions
from sandboxd_client.protocol import PoolStatus
from tests.bench.bench import Bench
from tests.bench.measure import (
    BARE,
    HELLO,
    PYTHON,
    Figure,
    Goal,
    Measured,
    closed_loop,
    command_rate,
    cores,
)
from tests.support.daemon import RunningDaemon, eventually

STARTED = "python-started"
IMPORTS = "import numpy, pandas; print(1)"
STARTED_LANGUAGE = """
name = "{name}"
extension = "py"
start = ["python3", "-I", "-S", "-B", "/sandboxd/started.py"]
runner = "started.py"
message = "fields"
[image]
base = "{base}"
version = ["python3", "--version"]
"""
DATA = """
[profiles.data]
language = "python"
packages = ["numpy", "pandas"]
preload = ["numpy", "pandas"]
min = 4
max = 4
"""


def runs_per_second(bench: Bench) -> Iterator[Measured]:
    """Recycled containers: forked from a template, and each interpreter started."""
    against = f"bare, {cores()} at a time"
    with tempfile.TemporaryDirectory() as folder:
        languages = without_template(bench, Path(folder))
        with bench.daemon({"python": 4, STARTED: 4}, languages=languages) as daemon:
            bare = command_rate(BARE, 400, cores())
            forked = asyncio.run(rate(daemon, "python", 1000))
            started = asyncio.run(rate(daemon, STARTED, 400))
            bare = (bare + command_rate(BARE, 400, cores())) / 2
    yield Figure("runs a second, forked", forked, bare, "/s", against, Goal(1.5, at_least=True))
    yield Figure("runs a second, started", started, bare, "/s", against, Goal(0.8, at_least=True))


async def rate(
    daemon: RunningDaemon, language: str, count: int, code: str = HELLO, at_once: int = 4
) -> float:
    """Runs a second, so many wanted at once, after as many to warm up as there are."""
    return await rate_with(daemon, language, count, code, at_once, {})


async def rate_with(
    daemon: RunningDaemon,
    language: str,
    count: int,
    code: str,
    at_once: int,
    options: RunOptions,
) -> float:
    async with AsyncClient(daemon.socket) as client:

        async def work() -> None:
            result = await client.run(language, code, **options)
            if result.status != "ok":
                raise SystemExit(f"{language} ended as {result.status}: {result.stderr!s}")

        await closed_loop(work, max(at_once, count // 10), at_once)
        return await closed_loop(work, count, at_once)


def without_template(bench: Bench, folder: Path) -> Path:
    """A language like Python whose interpreter is started for each run, and not forked."""
    shutil.copy(Path(__file__).parent / "started.py", folder)
    (folder / "started.toml").write_text(STARTED_LANGUAGE.format(name=STARTED, base=bench.image))
    return folder


def preloaded(bench: Bench) -> Iterator[Measured]:
    """The same where a program imports what takes long to import."""
    with (
        tempfile.TemporaryDirectory() as folder,
        bench.daemon({"data": 4}, more=DATA) as daemon,
    ):
        env = os.environ | {"PYTHONPATH": str(_packages(daemon, Path(folder)))}
        bare = command_rate([*PYTHON, IMPORTS], 4, cores(), env)  # their files are read first
        bare = command_rate([*PYTHON, IMPORTS], 16, cores(), env)
        ours = asyncio.run(rate(daemon, "python", 400, IMPORTS))
    against = f"bare with them, {cores()} at a time"
    name = "runs a second, numpy and pandas"
    yield Figure(name, ours, bare, "/s", against, Goal(20, at_least=True))


def _packages(daemon: RunningDaemon, folder: Path) -> Path:
    """The very wheels of the profile's image, for the interpreter of this host."""
    container = daemon.containers()[0]
    inspected = ["docker", "inspect", "--format", "{{.Config.Image}}", container]
    image = subprocess.run(inspected, check=True, capture_output=True, text=True).stdout.strip()
    created = subprocess.run(
        ["docker", "create", image, "true"], check=True, capture_output=True, text=True
    ).stdout.strip()
    try:
        copy = ["docker", "cp", f"{created}:/sandboxd/packages", str(folder)]
        subprocess.run(copy, check=True, capture_output=True)
    finally:
        subprocess.run(["docker", "rm", created], check=True, capture_output=True)
    return folder / "packages"


def never_reused(bench: Bench) -> Iterator[Measured]:
    """A container for every run."""
    with bench.daemon({"python": 4}) as daemon:
        ours = asyncio.run(rate_with(daemon, "python", 30, HELLO, 8, {"reuse": "never"}))
        bare = bench.engine_rate
        ours = (
            ours + asyncio.run(rate_with(daemon, "python", 30, HELLO, 8, {"reuse": "never"}))
        ) / 2
    goal = Goal(0.9, at_least=True)
    yield Figure("runs a second, never reused", ours, bare, "/s", ENGINE, goal)


ENGINE = "bare engine calls"


def refill(bench: Bench) -> Iterator[Measured]:
    """A pool of which every container has to be replaced, until it is full again."""
    count = 16
    with bench.daemon({"python": count}) as daemon, daemon.client() as client:
        ours = drained_to_full(daemon, client, "[limits]\nnofile = 1000")
    goal = Goal(0.9, at_least=True)
    yield Figure("drained pool to full", ours, bench.engine_rate, "/s", ENGINE, goal)


def drained_to_full(daemon: RunningDaemon, client: Client, change: str) -> float:
    """Containers a second, from a change of the configuration that replaces all of them."""
    before, kept = _pool(client), daemon.config.read_text()
    daemon.config.write_text(f"{kept}\n{change}\n")
    began = time.perf_counter()
    daemon.process.send_signal(signal.SIGHUP)

    def replaced() -> bool:
        pool = _pool(client)
        destroyed = pool.destroyed - before.destroyed
        return destroyed == pool.idle == pool.size == before.size

    eventually(replaced, "every container is replaced", 60)
    took = time.perf_counter() - began
    daemon.config.write_text(kept)
    return before.size / took


def _pool(client: Client) -> PoolStatus:
    return next(pool for pool in client.status().pools if pool.profile == "python")
