"""All pools of the daemon, one for each language."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Self

import structlog
from msgspec import Struct

from sandboxd.engine.port import LABEL_INSTANCE, Engine
from sandboxd.errors import (
    ImageUnavailableError,
    SandboxdError,
    ShuttingDownError,
    UnknownLanguageError,
)
from sandboxd.pool.core import Settings
from sandboxd.pool.pool import Lease, Plan, Pool, Slots
from sandboxd.pool.reaper import sweep
from sandboxd_client.protocol import PoolStatus

_log = structlog.get_logger("sandboxd.pool")

_TICK = 1.0
_SWEEP_EVERY = 60


class PoolSpec(Struct, frozen=True):
    plan: Plan
    settings: Settings
    key: object
    """All that sets its containers apart: while it is equal they stay."""


class Fleet:
    """Opened by entering, which sweeps what an earlier daemon left; emptied by leaving."""

    def __init__(self, engine: Engine, instance: str, starts: int) -> None:
        self._engine = engine
        self._instance = instance
        self._starts = asyncio.Semaphore(starts)
        self._slots = Slots()
        self._pools: dict[str, Pool] = {}
        self._keys: dict[str, object] = {}
        self._leaving: set[Pool] = set()
        """Pools of languages that are configured no more, while they empty themselves."""
        self._closing: set[asyncio.Task[None]] = set()
        self._ticking: asyncio.Task[None] | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        await self._sweep()
        self._ticking = asyncio.create_task(self._tick_forever(), name="pools")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticking
        pools = [*self._pools.values(), *self._leaving]
        for pool in pools:
            pool.abandon()
        why = ShuttingDownError("the daemon stops")
        await asyncio.gather(*(pool.close(why) for pool in pools))

    def configure(self, specs: dict[str, PoolSpec]) -> None:
        """Makes the pools what the specs say; a language that is gone keeps no containers."""
        for name in self._pools.keys() - specs.keys():
            task = asyncio.create_task(self._close(self._pools.pop(name)))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        for name, spec in specs.items():
            if name not in self._pools:
                pool = Pool(spec.plan, spec.settings, self._engine, self._slots, self._starts)
                self._pools[name] = pool
                pool.tick()
            elif spec.key != self._keys[name]:
                self._pools[name].reconfigure(spec.plan, spec.settings)
            self._keys[name] = spec.key

    async def _close(self, pool: Pool) -> None:
        self._leaving.add(pool)
        await pool.close(UnknownLanguageError("this language was removed from the configuration"))
        self._leaving.discard(pool)

    async def lease(self, profile: str, owner: int, *, fresh: bool, timeout: float) -> Lease:
        """See Pool.lease."""
        if self._closed:
            raise ShuttingDownError("the daemon stops and takes no more runs")
        pool = self._pools.get(profile)
        if pool is None:
            raise ImageUnavailableError(
                f"the image of {profile} is not here yet; `health` tells how far it is",
                retry_after=5.0,
            )
        return await pool.lease(owner, fresh=fresh, timeout=timeout)

    def refuse(self) -> None:
        """From here on no run begins; those under way go on."""
        self._closed = True

    def status(self) -> list[PoolStatus]:
        return [pool.status() for pool in self._pools.values()]

    async def _tick_forever(self) -> None:
        ticks = 0
        while True:
            await asyncio.sleep(_TICK)
            ticks += 1
            for pool in self._pools.values():
                pool.tick()
            if ticks % _SWEEP_EVERY == 0:
                await self._sweep()

    async def _sweep(self) -> None:
        try:
            await sweep(self._engine, {LABEL_INSTANCE: self._instance}, self._names)
        except SandboxdError as error:
            _log.warning("stray containers not swept", error=str(error))

    def _names(self) -> set[str]:
        pools = [*self._pools.values(), *self._leaving]
        return set[str]().union(*(pool.names() for pool in pools))
