"""What each owner may have at once and in a time. Pure but for the clock it is given.

Rates are token buckets: they fill steadily, and hold a minute's or an hour's worth.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from msgspec import Struct

from sandboxd.config import QuotaConfig
from sandboxd.errors import QuotaExceededError

_MINUTE, _HOUR = 60.0, 3600.0


class Bucket:
    """So many tokens a period, and no more saved up than that."""

    def __init__(self, size: float, period: float, now: float) -> None:
        self._size = size
        self._rate = size / period
        self._level = size
        self._at = now

    def level(self, now: float) -> float:
        self._level = min(self._size, self._level + (now - self._at) * self._rate)
        self._at = now
        return self._level

    def take(self, count: float, now: float) -> None:
        """May go below zero: what something costs may be known only afterwards."""
        self._level = self.level(now) - count

    def wait(self, count: float, now: float) -> float:
        """Seconds until there are so many tokens."""
        return max(0.0, (count - self.level(now)) / self._rate)


class _Usage(Struct):
    """One owner's."""

    quota: QuotaConfig
    slots: asyncio.Semaphore | None
    under_way: int = 0
    minute: Bucket | None = None
    cpu: Bucket | None = None


class Quotas:
    """`quota_of` tells what the operator grants an owner; asked once for each."""

    def __init__(self, quota_of: Callable[[int], QuotaConfig], clock: Callable[[], float]) -> None:
        self._quota_of = quota_of
        self._clock = clock
        self._usage: dict[int, _Usage] = {}

    @asynccontextmanager
    async def admit(self, owner: int, wait: float) -> AsyncIterator[None]:
        """For one run: refuses it, or lets it wait until its owner has a slot free.

        Raises QuotaExceededError, with `retry_after`, also when the wait is over.
        """
        usage = self._of(owner)
        self._check(usage)
        usage.under_way += 1
        if usage.minute is not None:
            usage.minute.take(1, self._clock())
        try:
            await self._take_slot(usage, wait)
            try:
                yield
            finally:
                if usage.slots is not None:
                    usage.slots.release()
        finally:
            usage.under_way -= 1

    async def _take_slot(self, usage: _Usage, wait: float) -> None:
        if usage.slots is None:
            return
        try:
            async with asyncio.timeout(wait):
                await usage.slots.acquire()
        except TimeoutError:
            raise QuotaExceededError(
                f"none of your {usage.quota.runs} runs at once ended within {wait:g} s",
                retry_after=1.0,
            ) from None

    def sessions(self, owner: int) -> int:
        """How many sessions this owner may have; 0 stands for no bound."""
        return self._of(owner).quota.sessions

    def charge(self, owner: int, cpu: float) -> None:
        """A run of this owner has used so many CPU seconds."""
        bucket = self._of(owner).cpu
        if bucket is not None:
            bucket.take(cpu, self._clock())

    def forget(self) -> None:
        """The quotas were configured anew; runs under way are not counted any more."""
        self._usage.clear()

    def _of(self, owner: int) -> _Usage:
        usage = self._usage.get(owner)
        if usage is None:
            quota, now = self._quota_of(owner), self._clock()
            usage = self._usage[owner] = _Usage(
                quota=quota,
                slots=asyncio.Semaphore(quota.runs) if quota.runs else None,
                minute=Bucket(quota.per_minute, _MINUTE, now) if quota.per_minute else None,
                cpu=Bucket(quota.cpu_per_hour, _HOUR, now) if quota.cpu_per_hour else None,
            )
        return usage

    def _check(self, usage: _Usage) -> None:
        quota, now = usage.quota, self._clock()
        if quota.runs and usage.under_way >= quota.runs + quota.queued:
            raise QuotaExceededError(
                f"{usage.under_way} runs of yours are under way; you may have {quota.runs} at "
                f"once and {quota.queued} that wait",
                retry_after=1.0,
            )
        if usage.minute is not None and usage.minute.level(now) < 1:
            raise QuotaExceededError(
                f"you may start {quota.per_minute} runs a minute",
                retry_after=_rounded(usage.minute.wait(1, now)),
            )
        if usage.cpu is not None and usage.cpu.level(now) <= 0:
            raise QuotaExceededError(
                f"your programs have used their {quota.cpu_per_hour:g} CPU seconds an hour",
                retry_after=_rounded(usage.cpu.wait(0, now)),
            )


def _rounded(seconds: float) -> float:
    return math.ceil(seconds * 10) / 10
