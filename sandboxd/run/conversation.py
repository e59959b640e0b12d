"""A session's guest, for all of its life: output to the run under way, ends from the driver."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable

from sandboxd.guest.frames import OUTPUT_FLOOD, Cause, Event, Verdict
from sandboxd.pool.guest import Guest
from sandboxd.run.active import ActiveRun, Sink
from sandboxd.run.driver import READY, DriverError, Word, WordReader

_WORDS_KEPT = 4096
_PAST_FLOOD = 16 * 1024 * 1024
"""Bytes that a run may go on printing after that, while it is interrupted."""
_BETWEEN_MOST = 64 * 1024 * 1024
"""Bytes that may be printed, and are thrown away, between two runs."""
_MICRO = 1e-6


class Nowhere:
    """A sink for what nobody is told of; see Sink."""

    raw = True

    def queued(self, position: int, estimate: float | None) -> None: ...

    def started(self, run: str, *, warm: bool, queued: float) -> None: ...

    def output(self, seq: int, stream: str, data: bytes) -> None: ...

    def stdin_taken(self, count: int) -> None: ...

    def when_writable(self, callback: Callable[[], None]) -> bool:
        return False

    async def hold(self, size: int) -> None: ...


class _CellRun(ActiveRun):
    """Its stdin is that of the streams that were made for it, and its end not the guest's."""

    def __init__(
        self,
        guest: Guest,
        sink: Sink,
        kill: Callable[[], None],
        begun: asyncio.Future[None],
        *,
        stream: bool,
        keep: int,
    ) -> None:
        super().__init__(guest, sink, stream=stream, keep=keep)
        self._kill = kill
        self._begun = begun

    def _pass_stdin(self, data: bytes) -> None:
        self._guest.send_input(data)

    def _end_stdin(self) -> None:
        self._guest.end_input()

    def interrupt(self, number: signal.Signals) -> None:
        """Before it has begun its driver would pass it over, or end."""
        if self._begun.done():
            super().interrupt(number)
        else:
            self._begun.add_done_callback(lambda _: ActiveRun.interrupt(self, number))

    def kill(self) -> None:
        if not self.ended_future.done():
            self._kill()


class Cell:
    """One run in a session: its output, up to a limit, until its end is told."""

    def __init__(
        self, guest: Guest, sink: Sink, number: int, *, stream: bool, keep: int, limit: int
    ) -> None:
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when it can be interrupted; before that, nobody would mind."""
        self.active: ActiveRun = _CellRun(
            guest, sink, lambda: self.stop(Cause.KILLED), self.begun, stream=stream, keep=keep
        )
        self.number = number
        self.end: Word | None = None
        """What the driver said; None when its interpreter ended instead."""
        self.cause = Cause.EXITED
        """Why it was interrupted or killed, if it was."""
        self.stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when it is to be interrupted."""
        self.started = time.monotonic()
        self._limit = limit
        self._written = {Event.STDOUT: 0, Event.STDERR: 0}

    def output(self, stream: Event, data: bytes) -> bool:
        """False when even an interrupt does not end its flood."""
        left = self._limit - self._written[stream]
        self._written[stream] += len(data)
        if left > 0:
            self.active.output(stream, data[:left])
        if self._written[stream] // OUTPUT_FLOOD > self._limit:
            self.stop(Cause.OUTPUT)
        return self._written[stream] <= OUTPUT_FLOOD * self._limit + _PAST_FLOOD

    def stop(self, cause: Cause) -> None:
        """It is to be interrupted, and killed if it does not obey."""
        if not self.stopped.done():
            self.cause = cause
            self.stopped.set_result(None)

    def ended(self, verdict: Verdict) -> None:
        """`verdict` is the session's, or one in its manner of what the driver said."""
        stdout, stderr = self._written[Event.STDOUT], self._written[Event.STDERR]
        self.active.ended(
            verdict._replace(
                cause=self.cause if self.cause is not Cause.EXITED else verdict.cause,
                ran_us=round((time.monotonic() - self.started) / _MICRO),
                stdout_written=stdout,
                stderr_written=stderr,
            )
        )


class Conversation:
    """Handles the guest's events of a session; see RunHandler."""

    def __init__(self, guest: Guest) -> None:
        self.life = ActiveRun(guest, Nowhere(), stream=False, keep=_WORDS_KEPT)
        """All that is not a run's: stdin, files, and the end of the session."""
        self.up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the driver is, or has ended before."""
        self.cpu = 0.0
        """Seconds that its runs are known to have used."""
        self.broken: str | None = None
        """What the program or its driver did that a session cannot bear."""
        self._guest = guest
        self._words = WordReader()
        self._cell: Cell | None = None
        self._between = 0

    def begin(self, cell: Cell, streams: str, piece: bytes) -> None:
        """`streams` is the name in the work folder that the piece tells the driver."""
        self._cell, self._between = cell, 0
        self._guest.make_streams(streams, cell.active.credit)
        self.life.feed(piece, eof=False)

    def output(self, stream: Event, data: bytes) -> None:
        if self._cell is not None:
            if not self._cell.output(stream, data):
                self._break("a run went on printing after it had printed far too much")
        elif not self.up.done():
            self.life.output(stream, data)
        else:
            # What goes on in the background between two runs has nobody to print to.
            self._between += len(data)
            if self._between > _BETWEEN_MOST:
                self._break("it printed far too much while no run was under way")

    def note(self, data: bytes) -> None:
        if self.broken is not None:
            return
        try:
            for word in self._words.feed(data):
                self._told(word)
        except DriverError as error:
            self._break(str(error))

    def _told(self, word: Word) -> None:
        cell = self._cell
        if word.run == READY and not self.up.done():
            self.cpu = word.cpu
            self.up.set_result(None)
        elif cell is None or cell.number != word.run:
            raise DriverError(f"its driver told of a run that is not there: {word.run}")
        elif word.exit_code is None:
            if cell.begun.done():
                raise DriverError("its driver told the beginning of a run twice")
            cell.begun.set_result(None)
        else:
            self._cell, cell.end = None, word
            used, self.cpu = word.cpu - self.cpu, max(self.cpu, word.cpu)
            cell.ended(
                Verdict(
                    cause=Cause.EXITED,
                    exit_code=word.exit_code,
                    signal=0,
                    ran_us=0,
                    cpu_us=max(0, round(used / _MICRO)),
                    rss_bytes=word.memory,
                    stdout_written=0,
                    stderr_written=0,
                    oom_kills=0,
                )
            )

    def _break(self, why: str) -> None:
        if self.broken is None:
            self.broken = why
            self._guest.kill()

    # --- the end of it all ---

    def ended(self, verdict: Verdict) -> None:
        used = max(0, verdict.cpu_us - round(self.cpu / _MICRO))
        if self._cell is not None:
            self._cell.ended(verdict._replace(cpu_us=used))
            self.cpu += used * _MICRO
        self._over()
        self.life.ended(verdict)

    def lost(self, why: str) -> None:
        if self._cell is not None:
            self._cell.active.lost(why)
        self._over()
        self.life.lost(why)

    def _over(self) -> None:
        self._cell = None
        if not self.up.done():
            self.up.set_result(None)

    # --- the rest is the life's ---

    def credit(self, count: int) -> None:
        self.life.credit(count)

    def file(self, data: bytes) -> None:
        self.life.file(data)

    def file_end(self, error: int) -> None:
        self.life.file_end(error)

    def put_failed(self, error: int, path: str) -> None:
        if self._cell is not None:
            self._cell.active.put_failed(error, path)
        self._over()
        self.life.put_failed(error, path)
