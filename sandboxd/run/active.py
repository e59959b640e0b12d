"""A run between hand-out and end: the guest's events on one side, the client's on the other."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import deque
from collections.abc import Callable
from typing import Protocol

from sandboxd.errors import SandboxdError
from sandboxd.guest import frames
from sandboxd.guest.frames import Event, Verdict
from sandboxd.pool.guest import Guest
from sandboxd.run.output import OutputStream
from sandboxd_client.protocol import STDIN_WINDOW

_NAMES = {Event.STDOUT: "stdout", Event.STDERR: "stderr"}
_NOTES_KEPT = 65536
_EXCHANGE = 60.0
"""Seconds that one file may take between guest and daemon."""


class Sink(Protocol):
    """Where a run's events go. Nothing here waits but `hold`."""

    def queued(self, position: int, estimate: float | None) -> None:
        """It has to wait; see `sandboxd.pool.waiting.Tell`."""

    def started(self, run: str, *, warm: bool, queued: float) -> None: ...

    @property
    def raw(self) -> bool:
        """Whether output may be cut anywhere: nobody decodes it on the way."""

    def output(self, seq: int, stream: str, data: bytes) -> None: ...

    def stdin_taken(self, count: int) -> None: ...

    def when_writable(self, callback: Callable[[], None]) -> bool:
        """False when more can be written now; otherwise True, and the callback
        is called once that is so."""

    async def hold(self, size: int) -> None:
        """Waits until the result may hold so many bytes of files."""


class RunLostError(SandboxdError):
    """The container went away while the program ran."""


class PutFailedError(SandboxdError):
    """A file could not be laid in the work folder, for an errno."""

    def __init__(self, error: int, path: str) -> None:
        super().__init__(f"{path}: {os.strerror(error)}")
        self.error = error
        self.path = path


class ActiveRun:
    """Handles the guest's events for one run; see RunHandler."""

    def __init__(self, guest: Guest, sink: Sink, *, stream: bool, keep: int) -> None:
        self.ended_future: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self.streams = {event: OutputStream(keep=keep, raw=sink.raw) for event in _NAMES}
        self.notes = b""
        self.stalled = False
        """Whether the client's reading is what the run waits for."""
        self._guest = guest
        self._sink = sink
        self._stream = stream
        self._seq = 0
        self._credit = frames.STDIN_WINDOW
        self._backlog: deque[bytes] = deque()
        self._backlog_bytes = 0
        self._stdin_ends = False
        self._stdin_ended = False
        self._streams_stdin = False
        self._on_room: Callable[[], None] | None = None
        self._file: list[bytes] = []
        self._file_end: asyncio.Future[int] | None = None

    # --- stdin ---

    def feed(self, data: bytes, *, eof: bool) -> None:
        """More stdin; what the guest has no room for waits here."""
        if self._stdin_ends or self.ended_future.done():
            return
        if data:
            self._backlog.append(data)
            self._backlog_bytes += len(data)
        self._stdin_ends = eof
        self._send_stdin()

    def stream_stdin(self) -> None:
        """Stdin comes in pieces from the client, which is told how they are taken."""
        self._streams_stdin = True

    def when_room(self, callback: Callable[[], None]) -> bool:
        """False when more stdin is welcome; otherwise True, and the callback is
        called once it is."""
        if self._backlog_bytes < STDIN_WINDOW or self.ended_future.done():
            return False
        self._on_room = callback
        return True

    def credit(self, count: int) -> None:
        self._credit += count
        if self._streams_stdin:
            self._sink.stdin_taken(count)
        self._send_stdin()

    def _send_stdin(self) -> None:
        while self._backlog and self._credit > 0:
            data = self._backlog.popleft()
            if len(data) > self._credit:
                self._backlog.appendleft(data[self._credit :])
                data = data[: self._credit]
            self._credit -= len(data)
            self._backlog_bytes -= len(data)
            self._pass_stdin(data)
        if self._stdin_ends and not self._backlog and not self._stdin_ended:
            self._stdin_ended = True
            self._end_stdin()
        if self._backlog_bytes < STDIN_WINDOW:
            self._room()

    def _pass_stdin(self, data: bytes) -> None:
        self._guest.send_stdin(data)

    def _end_stdin(self) -> None:
        self._guest.end_stdin()

    def _room(self) -> None:
        callback, self._on_room = self._on_room, None
        if callback is not None:
            callback()

    # --- output ---

    def output(self, stream: Event, data: bytes) -> None:
        whole = self.streams[stream].feed(data)
        if whole:
            self._send(stream, whole)

    def _send(self, stream: Event, data: bytes) -> None:
        if not self._stream:
            return
        self._sink.output(self._seq, _NAMES[stream], data)
        self._seq += 1
        if not self.stalled and self._sink.when_writable(self._go_on):
            # The client is slower than the program: the attach stream stalls,
            # the guest's pipe fills, and the program blocks on its own.
            self.stalled = True
            self._guest.pause()

    def _go_on(self) -> None:
        if self.stalled:
            self.stalled = False
            self._guest.resume()

    def interrupt(self, number: signal.Signals) -> None:
        """SIGINT, SIGTERM or SIGHUP to the program, which may mind it or not."""
        if not self.ended_future.done():
            self._guest.interrupt(number)

    def kill(self) -> None:
        """Ends the program; `ended` will follow, with what was printed until then."""
        if not self.ended_future.done():
            self._guest.kill()

    def mute(self) -> None:
        """Nobody listens any more; what still comes is thrown away."""
        self._stream = False
        self._go_on()

    # --- files ---

    async def next_file(self) -> tuple[bytes, int]:
        """The answer to a listing or a file that was asked for or laid, and an errno if
        it broke off. Raises RunLostError, also when it does not come in time."""
        if self._guest.lost:
            raise RunLostError("the container is gone")
        self._file_end = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(_EXCHANGE):
                error = await self._file_end
        except TimeoutError:
            raise RunLostError(f"its guest did not answer within {_EXCHANGE:g} s") from None
        pieces, self._file = self._file, []
        return b"".join(pieces), error

    def file(self, data: bytes) -> None:
        self._file.append(data)

    def file_end(self, error: int) -> None:
        if self._file_end is not None and not self._file_end.done():
            self._file_end.set_result(error)

    def put_failed(self, error: int, path: str) -> None:
        if not self.ended_future.done():
            self.ended_future.set_exception(PutFailedError(error, path))

    # --- the end ---

    def note(self, data: bytes) -> None:
        self.notes = (self.notes + data)[:_NOTES_KEPT]

    def ended(self, verdict: Verdict) -> None:
        for event, stream in self.streams.items():
            written = verdict.stdout_written if event is Event.STDOUT else verdict.stderr_written
            if rest := stream.flush(cut=written > stream.count):
                self._send(event, rest)
        self._go_on()
        if not self.ended_future.done():
            self.ended_future.set_result(verdict)
        self._room()

    def lost(self, why: str) -> None:
        for future in (self.ended_future, self._file_end):
            if future is not None and not future.done():
                future.set_exception(RunLostError(why))
        self._room()
