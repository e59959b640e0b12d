"""All pools of the daemon: one for each profile, and for each variant that was asked for."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Self

import msgspec
import structlog
from msgspec import Struct

from sandboxd.engine.port import LABEL_INSTANCE, Engine, Resources
from sandboxd.errors import (
    ImageUnavailableError,
    SandboxdError,
    ShuttingDownError,
    UnknownLanguageError,
)
from sandboxd.pool.container import Plan, Slots
from sandboxd.pool.core import Settings
from sandboxd.pool.pool import Lease, Pool
from sandboxd.pool.reaper import sweep
from sandboxd.pool.waiting import Tell
from sandboxd_client.protocol import PoolStatus

_log = structlog.get_logger("sandboxd.pool")

_TICK = 1.0
_SWEEP_EVERY = 60


class Variant(Struct, frozen=True):
    """What a run may ask for that its container must have been made with.

    All of this bears on isolation, so it is part of what finds a pool: a member
    made with a network is never seen by a run that must not have one.
    """

    network: bool = False
    writable_root: bool = False

    @property
    def ordinary(self) -> bool:
        return not self.network and not self.writable_root


class PoolSpec(Struct, frozen=True):
    """How to make the pools of one profile."""

    plan: Callable[[Variant], Plan]
    settings: Settings
    warm: Variant
    """The variant that is kept ready; others are made on demand."""
    key: object
    """All that sets its containers apart: while it is equal they stay."""


_Key = tuple[str, Variant]


class Fleet:
    """Opened by entering, which sweeps what an earlier daemon left; emptied by leaving,
    or before that by `close`."""

    def __init__(self, engine: Engine, instance: str, starts: int) -> None:
        self._engine = engine
        self._instance = instance
        self._starts = asyncio.Semaphore(starts)
        self._slots = Slots()
        self._specs: dict[str, PoolSpec] = {}
        self._pools: dict[_Key, Pool] = {}
        self._leaving: set[Pool] = set()
        """Pools of profiles that are configured no more, while they empty themselves."""
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
        await self.close()

    async def close(self) -> None:
        """Ends the runs that are under way, and removes all containers."""
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
        """Makes the pools what the specs say; a profile that is gone keeps no containers."""
        for key in [key for key in self._pools if key[0] not in specs]:
            task = asyncio.create_task(self._close(self._pools.pop(key)))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        before, self._specs = self._specs, specs
        for (profile, variant), pool in self._pools.items():
            spec = specs[profile]
            if spec.key != before[profile].key:
                pool.reconfigure(spec.plan(variant), _settings(spec, variant))
        for profile, spec in specs.items():
            self._pool(profile, spec.warm)

    def _pool(self, profile: str, variant: Variant) -> Pool:
        """The pool for a variant, which is made if it is asked for the first time."""
        pool = self._pools.get((profile, variant))
        if pool is None:
            spec = self._specs[profile]
            pool = Pool(
                spec.plan(variant),
                _settings(spec, variant),
                self._engine,
                self._slots,
                self._starts,
            )
            self._pools[profile, variant] = pool
            pool.tick()
        return pool

    async def _close(self, pool: Pool) -> None:
        self._leaving.add(pool)
        await pool.close(UnknownLanguageError("this language was removed from the configuration"))
        self._leaving.discard(pool)

    async def lease(  # noqa: PLR0913 - what one run may want of its container
        self,
        profile: str,
        variant: Variant,
        owner: int,
        *,
        client: int = 0,
        fresh: bool,
        timeout: float,
        resources: Resources,
        tell: Tell | None = None,
    ) -> Lease:
        """See Pool.lease."""
        if self._closed:
            raise ShuttingDownError("the daemon stops and takes no more runs")
        if profile not in self._specs:
            raise ImageUnavailableError(
                f"the image of {profile} is not here yet; `health` tells how far it is",
                retry_after=5.0,
            )
        pool = self._pool(profile, variant)
        return await pool.lease(
            owner, client=client, fresh=fresh, timeout=timeout, resources=resources, tell=tell
        )

    def refuse(self) -> None:
        """From here on no run begins; those under way go on."""
        self._closed = True

    def status(self) -> list[PoolStatus]:
        return [pool.status() for pool in self._pools.values()]

    def removals(self) -> dict[str, dict[str, int]]:
        """Containers removed since the start, by profile and cause."""
        totals: dict[str, Counter[str]] = {}
        for (profile, _), pool in self._pools.items():
            totals.setdefault(profile, Counter()).update(pool.counters.destroyed_by)
        return {profile: dict(causes) for profile, causes in totals.items()}

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
        except Exception:
            _log.exception("stray containers not swept, for a reason nobody foresaw")

    def _names(self) -> set[str]:
        pools = [*self._pools.values(), *self._leaving]
        return set[str]().union(*(pool.names() for pool in pools))


def _settings(spec: PoolSpec, variant: Variant) -> Settings:
    """Containers that are not the ordinary ones are used once, and kept ready only if
    the operator made them the profile's own."""
    settings = spec.settings
    if not variant.ordinary:
        settings = msgspec.structs.replace(settings, reuse="never")
    if variant != spec.warm:
        settings = msgspec.structs.replace(settings, min=0)
    return settings
