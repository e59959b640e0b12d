"""Clients at work while things go wrong around the daemon, and what is left afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import NamedTuple, TypeVar

from sandboxd_client import AsyncClient
from tests.bench.measure import resident
from tests.soak.ground import Ground, Rest
from tests.soak.ledger import PATIENCE, Harm, Ledger
from tests.soak.scenarios import Client, act
from tests.support.private_engine import PrivateEngine

_T = TypeVar("_T")

RESTARTED = "engine restarted"
KILLED = "engine killed"
FIFTHS = 5
"""The first of them is the warm-up."""
_WORKERS = 6
_LOST = frozenset({"engine_unavailable", "session_not_found", "start_failed"})
"""What a client may be told whose container has gone."""
_AWAY = _LOST | {"queue_full"}
"""And while there is no engine."""


class Plan(NamedTuple):
    seed: int
    seconds: float
    languages: Sequence[str]
    restarts: int
    """How often the engine is to end, where that may be."""


class Outcome(NamedTuple):
    plan: Plan
    ledger: Ledger
    harm: Harm
    first: list[float]
    """Seconds that the plain programs of the first fifth took, from request to result."""
    last: list[float]
    warm: Rest
    """After the first fifth."""
    end: Rest
    peak: float
    """MiB that the daemon held at most."""
    left: list[str]
    """What has leaked."""
    complaints: list[str]
    """The daemon's own, in its log."""


class Soak:
    """All of it. What clients choose depends on the seed alone, when it comes on the machine."""

    def __init__(self, plan: Plan, ground: Ground, hand: ThreadPoolExecutor) -> None:
        """The thread of `hand` must outlive the engine, which ends with who started it."""
        self.plan = plan
        self.harm = Harm()
        self.ledger = Ledger(self.harm)
        self.memory = self.peak = resident(ground.pid)
        """MiB that the daemon holds."""
        self.began = time.monotonic()
        self._ground = ground
        self._hand = hand
        self._workers = [Random(f"{plan.seed}-{number}") for number in range(_WORKERS)]
        self._chance = Random(f"{plan.seed}-harm")
        self._restarts = 0

    async def run(self, tell: Callable[[Soak], None]) -> Outcome:
        """`tell` is called every second."""
        ground, plan = self._ground, self.plan
        watching = asyncio.create_task(self._watch(tell))
        first = plan.seconds / FIFTHS
        await self._load(first)
        warm, left = await self._by_hand(ground.settle)
        warmed_up = len(self.ledger.latencies)
        await self._load(plan.seconds - first)
        ended = time.monotonic()
        end, left_at_end = await self._by_hand(lambda: ground.settle(warm))
        watching.cancel()
        return Outcome(
            plan=plan,
            ledger=self.ledger,
            harm=self.harm,
            first=[took for _, took in self.ledger.latencies[:warmed_up]],
            last=[took for at, took in self.ledger.latencies[warmed_up:] if at > ended - first],
            warm=warm,
            end=end,
            peak=self.peak,
            left=[*left, *left_at_end, *await self._by_hand(ground.stop)],
            complaints=ground.complaints(),
        )

    async def _load(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for random in self._workers:
                group.create_task(self._work(random, until))
            group.create_task(self._harm(until))

    async def _work(self, random: Random, until: float) -> None:
        """One client after the other."""
        while (now := time.monotonic()) < until:
            self._ground.must_live()
            socket = self._ground.daemon.socket
            await act(Client(socket, self.ledger, random, self.plan.languages, now))

    async def _watch(self, tell: Callable[[Soak], None]) -> None:
        while True:
            self.memory = resident(self._ground.pid)
            self.peak = max(self.peak, self.memory)
            tell(self)
            await asyncio.sleep(1)

    async def _by_hand(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._hand, work)

    # --- harm ---

    async def _harm(self, until: float) -> None:
        pause = min(5.0, self.plan.seconds / 20)
        while time.monotonic() + pause < until:
            await asyncio.sleep(self._chance.uniform(0, 2 * pause))
            self._ground.must_live()
            due = (time.monotonic() - self.began) / self.plan.seconds * self.plan.restarts
            if self._ground.engine is not None and self._restarts < int(due + 0.5):
                self._restarts += 1
                await self._end_engine(self._ground.engine)
            else:
                await self._chance.choice([self._reload, self._kill_container])()

    async def _reload(self) -> None:
        """It costs nobody anything, and so excuses nothing."""
        with self.harm.done("configuration reloaded", ()):
            self._ground.configure(replace=self._chance.random() < 0.5)
            self._ground.reload()

    async def _kill_container(self) -> None:
        with self.harm.done("container killed", _LOST):
            containers = await self._by_hand(self._ground.daemon.containers)
            if containers:
                name = self._chance.choice(sorted(containers))
                await self._by_hand(lambda: self._ground.kill_container(name))

    async def _end_engine(self, engine: PrivateEngine) -> None:
        deeds = {
            RESTARTED: [engine.restart],
            KILLED: [engine.kill, engine.start],
            "engine held up": [engine.hang, lambda: time.sleep(3), engine.go_on],
        }
        what = self._chance.choice([*deeds])
        with self.harm.done(what, _AWAY):
            for deed in deeds[what]:
                await self._by_hand(deed)
            await self._recovered(what)

    async def _recovered(self, what: str) -> None:
        """Waits until the daemon says that all is well, and has containers again."""
        try:
            async with asyncio.timeout(PATIENCE), AsyncClient(self._ground.daemon.socket) as client:
                while not await _is_well(client):  # noqa: ASYNC110 - no event tells of it
                    await asyncio.sleep(0.2)
        except TimeoutError:
            self.ledger.fail(what, "no recovery", f"not within {PATIENCE:g} s")


async def _is_well(client: AsyncClient) -> bool:
    if (await client.health()).status != "ok":
        return False
    return all(pool.size for pool in (await client.status()).pools)
