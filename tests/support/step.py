"""What doubles of an engine are made of."""

from __future__ import annotations

import asyncio


class Step:
    """One of the engine's calls, which fails or waits as a test says."""

    def __init__(self) -> None:
        self.calls = 0
        self.at_once = 0
        """The most calls that were under way together."""
        self._under_way = 0
        self._errors: list[Exception] = []
        self._gate = asyncio.Event()
        self._gate.set()

    def fail(self, error: Exception, times: int = 1) -> None:
        """The next calls raise the error."""
        self._errors += [error] * times

    def mend(self) -> None:
        self._errors.clear()

    def hold(self) -> asyncio.Event:
        """Calls from now on wait for this event."""
        self._gate = asyncio.Event()
        return self._gate

    async def play(self) -> None:
        self.calls += 1
        self._under_way += 1
        self.at_once = max(self.at_once, self._under_way)
        try:
            await asyncio.sleep(0)  # no real engine answers at once
            await self._gate.wait()
        finally:
            self._under_way -= 1
        if self._errors:
            raise self._errors.pop(0)
