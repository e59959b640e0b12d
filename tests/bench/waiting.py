"""Runs that wait: what they cost, who is served when, and what is left of the work."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Iterator

from sandboxd_client import AsyncClient, QueueFullError, SandboxError
from tests.bench.bench import Bench
from tests.bench.measure import HELLO, Fact, Figure, Goal, Measured, cpu_seconds, resident
from tests.bench.throughput import rate
from tests.support.daemon import RunningDaemon

CONTAINERS = 4
NAP = "import time; time.sleep(0.05)"
ENDLESS = "import time; time.sleep(3600)"
CONNECTIONS, WAITING = 1000, 10_000
MANY = f"queue = {WAITING + 100}\n[rpc]\nmax_connections = {CONNECTIONS + 10}"


def hand_out_with_a_queue(bench: Bench) -> Iterator[Measured]:
    """The daemon's work for a run while a thousand others wait, and while one does."""
    with bench.daemon({"python": CONTAINERS}) as daemon:
        ours, theirs = [], []
        for _ in range(3):
            theirs.append(asyncio.run(cpu_a_run(daemon, waiting=1)))
            ours.append(asyncio.run(cpu_a_run(daemon, waiting=1000)))
    name = "CPU a hand-out, 1000 waiting"
    one, many = statistics.median(theirs), statistics.median(ours)
    yield Figure(name, many, one, "µs", "one waiting", Goal(1.3))


async def cpu_a_run(daemon: RunningDaemon, *, waiting: int, count: int = 500) -> float:
    """Microseconds a run: as one ends the next is asked for, so that so many wait."""
    async with AsyncClient(daemon.socket) as client:
        ended = asyncio.Semaphore(0)

        async def loop() -> None:
            while True:
                await client.run("python", HELLO)
                ended.release()

        async with _running(*(loop() for _ in range(CONTAINERS + waiting))):
            for _ in range(100):
                await ended.acquire()
            before = cpu_seconds(daemon.process.pid)
            for _ in range(count):
                await ended.acquire()
            return (cpu_seconds(daemon.process.pid) - before) / count * 1e6


@contextlib.asynccontextmanager
async def _running(*work: object) -> AsyncIterator[None]:
    """Coroutines that run meanwhile and are cancelled at the end."""
    tasks = [asyncio.ensure_future(each) for each in work]  # type: ignore[call-overload]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def fairness(bench: Bench) -> Iterator[Measured]:
    """One client with 990 runs in the queue, beside ten that want one each."""
    with bench.daemon({"python": CONTAINERS}) as daemon:
        waited, service = asyncio.run(wait_beside(daemon, 990, 10))
    against = "a turn of each of 11 clients"
    yield Figure("wait beside 990 of another", waited, 11 * service, "ms", against, Goal(2.0))


async def wait_beside(daemon: RunningDaemon, many: int, few: int) -> tuple[float, float]:
    """Milliseconds that the last of the few waits, and that a run is in a container."""
    async with AsyncClient(daemon.socket) as client:
        alone = [await client.run("python", NAP) for _ in range(5)]
        service = statistics.median(result.duration for result in alone)
        hog = (client.run("python", NAP) for _ in range(many))
        async with _running(*hog):
            await _until_waiting(client, many - CONTAINERS - 10)
            async with contextlib.AsyncExitStack() as stack:
                clients = [
                    await stack.enter_async_context(AsyncClient(daemon.socket)) for _ in range(few)
                ]
                results = await asyncio.gather(*(each.run("python", NAP) for each in clients))
    return max(result.timings.queued for result in results) * 1000, service * 1000


def overload(bench: Bench) -> Iterator[Measured]:
    """Three times as many runs asked for as can be done."""
    with bench.daemon({"python": CONTAINERS}, more="queue = 500") as daemon:
        capacity = asyncio.run(rate(daemon, "python", 800))
        useful, refused = asyncio.run(offer(daemon, 3 * capacity, bench.overload))
        capacity = (capacity + asyncio.run(rate(daemon, "python", 800))) / 2
    name = f"useful work at 3 times capacity, {bench.overload:.0f} s"
    goal = Goal(0.9, at_least=True)
    yield Figure(name, useful, capacity, "/s", "capacity", goal)
    yield Fact("refused with queue_full meanwhile", refused, "/s")


async def offer(daemon: RunningDaemon, each_second: float, seconds: float) -> tuple[float, float]:
    """Runs a second that end well and that are refused, while so many are asked for."""
    done = refused = 0

    async def ask(client: AsyncClient) -> None:
        nonlocal done, refused
        try:
            await client.run("python", HELLO)
            done += 1
        except QueueFullError:
            refused += 1

    async with AsyncClient(daemon.socket) as client:
        asked: set[asyncio.Task[None]] = set()
        began = time.perf_counter()
        while (passed := time.perf_counter() - began) < seconds:
            for _ in range(int(passed * each_second) - len(asked)):
                asked.add(asyncio.create_task(ask(client)))
            await asyncio.sleep(0.01)
        counted = done, refused
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    return counted[0] / seconds, counted[1] / seconds


def many_connections(bench: Bench) -> Iterator[Measured]:
    """What the daemon holds for a run that waits, with a thousand clients."""
    with bench.daemon({"python": 1}, more=MANY) as daemon:
        before = resident(daemon.process.pid)
        held, took = asyncio.run(fill_queue(daemon))
    yield Fact(
        "memory a waiting run, 10,000 of 1000 clients", (held - before) * 1024 / WAITING, "KiB"
    )
    yield Fact("until all of them wait", took, "s")


async def fill_queue(daemon: RunningDaemon) -> tuple[float, float]:
    """MiB that the daemon holds with its queue full, and how long that took."""
    async with contextlib.AsyncExitStack() as stack:
        observer = await stack.enter_async_context(AsyncClient(daemon.socket))
        began = time.perf_counter()
        clients = [
            await stack.enter_async_context(AsyncClient(daemon.socket)) for _ in range(CONNECTIONS)
        ]

        async def ask(client: AsyncClient) -> None:
            with contextlib.suppress(SandboxError):
                await client.run("python", ENDLESS)

        runs = (ask(clients[number % CONNECTIONS]) for number in range(WAITING + 1))
        async with _running(*runs):
            await _until_waiting(observer, WAITING)
            took = time.perf_counter() - began
            held = resident(daemon.process.pid)
    return held, took


async def _until_waiting(client: AsyncClient, count: int) -> None:
    while (await client.status()).queue < count:  # noqa: ASYNC110 - the daemon tells nobody
        await asyncio.sleep(0.02)
