"""What those who wait for a container are told: their place, and how long it may take.

Only a run that does wait comes by here. It is told at once, which costs a look at the
other owners and clients, and then in one pass over the queue a second, whoever it is for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from msgspec import Struct

from sandboxd.pool.core import PoolCore
from sandboxd.pool.queue import Waiter
from sandboxd.pool.state import State

EVERY = 1.0
"""Seconds between two words to the same waiter, at least."""
_WEIGHT = 0.2
"""Of the last run among those that say how long a run has its container."""
_SERVING = (State.STARTING, State.IDLE, State.LEASED, State.RECYCLING)

Tell = Callable[[int, float | None], None]
"""Takes a position, 1 for who is next, and an estimate in seconds, if there is one."""


class _Told(Struct, eq=False):
    tell: Tell
    position: int = 0
    at: float = 0.0


class Announcer:
    """For one pool."""

    def __init__(self, core: PoolCore) -> None:
        self._core = core
        self._told: dict[Waiter, _Told] = {}
        self._held: float | None = None
        """Seconds that a run of late has had its container."""
        self._timer: asyncio.TimerHandle | None = None

    def served(self, seconds: float) -> None:
        """A run has had its container for so long."""
        before = seconds if self._held is None else self._held
        self._held = before + (seconds - before) * _WEIGHT

    def estimate(self, position: int) -> float | None:
        """Seconds until a place in the queue is served; None before any run has ended."""
        if self._held is None:
            return None
        return round(position * self._held / max(1, self._core.count(*_SERVING)), 3)

    def join(self, waiter: Waiter, tell: Tell) -> None:
        """Somebody has to wait, and wants to know."""
        told = self._told[waiter] = _Told(tell)
        self._say(told, self._core.position(waiter), time.monotonic())
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(EVERY, self._pass)

    def leave(self, waiter: Waiter) -> None:
        """Waits no more."""
        self._told.pop(waiter, None)
        if not self._told and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _pass(self) -> None:
        now = time.monotonic()
        for position, waiter in enumerate(self._core.queue(), start=1):
            told = self._told.get(waiter)
            if told is not None and told.position != position and now - told.at >= EVERY:
                self._say(told, position, now)
        self._timer = asyncio.get_running_loop().call_later(EVERY, self._pass)

    def _say(self, told: _Told, position: int, now: float) -> None:
        told.position, told.at = position, now
        told.tell(position, self.estimate(position))
