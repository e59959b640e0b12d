"""Much output, in large pieces and in small ones."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Iterator

from sandboxd_client import Client, Limits, Output
from tests.bench.bench import Bench
from tests.bench.hand_out import SANDBOX
from tests.bench.measure import (
    GIB,
    MIB,
    PYTHON,
    Fact,
    Figure,
    Goal,
    Measured,
    cpu_seconds,
    forget_peak,
    peak_resident,
    resident,
)
from tests.support.daemon import RunningDaemon

FLOOD = f"import os\nb = bytes(range(256)) * 4096\nfor _ in range({GIB // MIB}): os.write(1, b)"
MEBIBYTE = bytes(range(256)) * 4096
SINGLE_BYTES = 1_000_000
DRIBBLE = f"import os\nfor _ in range({SINGLE_BYTES}): os.write(1, b'x')"
TIMES = 3


def a_gibibyte(bench: Bench) -> Iterator[Measured]:
    """From a program through the daemon and `sandbox run` to a pipe.

    Every byte is compared once, and counted when it is timed.
    """
    with bench.daemon({"python": 1}) as daemon:
        sandbox = flood(daemon)
        pid = daemon.process.pid
        drain(sandbox, check=True)
        bare, ours = [], []
        before, used = resident(pid), cpu_seconds(pid)
        forget_peak(pid)
        for _ in range(TIMES):
            bare.append(drain([*PYTHON, FLOOD]))
            ours.append(drain(sandbox))
        goal = Goal(0.25, at_least=True)
        yield Figure("1 GiB of output", max(ours), max(bare), "MB/s", "a plain pipe", goal)
        attach = max([asyncio.run(_attach_rate(bench)) for _ in range(TIMES)])
        yield Figure("1 GiB of output", max(ours), attach, "MB/s", "the engine's attach alone")
        grown = peak_resident(pid) - before
        yield Figure("daemon's memory meanwhile", grown, 1024, "MiB", "what passed", Goal(0.02))
        yield Fact("daemon CPU a GiB", (cpu_seconds(pid) - used) / TIMES, "s")


def flood(daemon: RunningDaemon, sandbox: str = SANDBOX) -> list[str]:
    """The command that writes the gibibyte."""
    options = ["--output-limit", "2GiB", "--socket", str(daemon.socket)]
    return [sandbox, "run", "python", "-c", FLOOD, *options]


def drain(arguments: list[str], *, check: bool = False) -> float:
    """Megabytes a second that a command writes to a pipe, counted or compared."""
    block, at, whole = memoryview(bytearray(MIB)), 0, 0
    began = time.perf_counter()
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, bufsize=0) as process:
        if process.stdout is None:
            raise AssertionError("a pipe was asked for")
        while count := os.readv(process.stdout.fileno(), [block[at:]]):
            at += count
            if at == MIB:
                if check and block != MEBIBYTE:
                    raise SystemExit(f"{arguments[0]}: other bytes after {whole} MiB")
                at, whole = 0, whole + 1
    if whole != GIB // MIB or at:
        raise SystemExit(f"{arguments[0]} wrote {whole} MiB and {at} bytes, not 1 GiB")
    return GIB / 1e6 / (time.perf_counter() - began)


class _Counter:
    """Receives from an attach stream, and throws it away; see Receiver."""

    def __init__(self) -> None:
        self.count = 0
        self.ended = asyncio.Event()

    def stdout(self, data: bytes) -> None:
        self.count += len(data)

    def stderr(self, data: bytes) -> None: ...

    def closed(self) -> None:
        self.ended.set()


async def _attach_rate(bench: Bench) -> float:
    """Megabytes a second from a container of its own to its attach stream, and no further."""
    async with bench.engine() as opened:
        engine, spec = opened.containers, bench.own_container("python3", "-c", FLOOD)
        await engine.create(spec)
        counter = _Counter()
        await engine.attach(spec.name, counter)
        began = time.perf_counter()
        await engine.start(spec.name)
        await counter.ended.wait()
    if counter.count != GIB:
        raise SystemExit(f"{counter.count} bytes came through attach, not 1 GiB")
    return GIB / 1e6 / (time.perf_counter() - began)


def single_bytes(bench: Bench) -> Iterator[Measured]:
    """Writes of one byte each: they are sent on as they come, and not one by one."""
    with bench.daemon({"python": 1}) as daemon, daemon.client() as client:
        count = messages(client)
    name = "messages of a million one-byte writes"
    yield Figure(name, count, SINGLE_BYTES, "", "the writes")


def messages(client: Client) -> int:
    """How many carry a million bytes that are written one by one."""
    with client.stream("python", DRIBBLE, limits=Limits(output=2 * MIB)) as run:
        sizes = [len(event.data) for event in run if isinstance(event, Output)]
    if sum(sizes) != SINGLE_BYTES:
        raise SystemExit(f"{sum(sizes)} bytes came of {SINGLE_BYTES}")
    return len(sizes)
