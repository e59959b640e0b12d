"""A profile's own program, run in a container before it counts as ready."""

from __future__ import annotations

import asyncio

from sandboxd.errors import StartFailedError
from sandboxd.guest.frames import Event, Verdict
from sandboxd.pool.guest import Guest

_WORDS_KEPT = 4096


class _WarmUp:
    """Handles the guest's events while the profile's own program runs; see RunHandler."""

    def __init__(self) -> None:
        self.end: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._words = b""

    def output(self, stream: Event, data: bytes) -> None:
        if stream is Event.STDERR:
            self._words = (self._words + data)[-_WORDS_KEPT:]

    def ended(self, verdict: Verdict) -> None:
        if self.end.done():
            return
        if verdict.exit_code == 0:
            self.end.set_result(verdict)
        else:
            words = self._words.decode(errors="replace")
            self.end.set_exception(
                StartFailedError(f"the warm-up failed (exit {verdict.exit_code}): {words}")
            )

    def lost(self, why: str) -> None:
        if self.end.done():
            return
        self.end.set_exception(StartFailedError(f"the container was lost at its warm-up: {why}"))

    def credit(self, count: int) -> None: ...

    def note(self, data: bytes) -> None: ...

    def file(self, data: bytes) -> None: ...

    def file_end(self, error: int) -> None: ...

    def put_failed(self, error: int, path: str) -> None: ...


async def warm_up(guest: Guest, run: bytes) -> None:
    """The profile's own program first, so that the next finds its files in memory."""
    handler = _WarmUp()
    guest.begin(handler, run)
    await handler.end
    guest.forget()
    await guest.next_child()
