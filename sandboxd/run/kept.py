"""Runs that outlive their connection: what they print is kept, and sent to whoever follows.

A kept run writes into memory and waits for no reader. Each follower reads from there
at its own pace, so nothing is sent twice or lost over a reattach, and a slow one holds
up nobody.
"""

from __future__ import annotations

import asyncio
from array import array
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
import structlog

from sandboxd.errors import InvalidParamsError, SandboxdError
from sandboxd.run.active import ActiveRun, Sink
from sandboxd.run.books import Books
from sandboxd.run.output import OutputStream
from sandboxd.run.plan import RunRequest
from sandboxd_client.protocol import (
    AttachParams,
    RunRecord,
    RunResult,
    SkippedFile,
    from_blob,
)

_log = structlog.get_logger("sandboxd.run")

_STREAMS = ("stdout", "stderr")
_KILL_GRACE = 10.0
"""Seconds the guest may be late with the end of a run that was killed."""
_REMEMBERED_RUNS = 1000
_REMEMBERED_BYTES = 64 * 1024 * 1024
"""Of the runs that have ended: the history has them afterwards."""
_PIECE = 64 * 1024
_TURN = 64
"""Pieces that one follower is sent before the others have their turn."""

Run = Callable[[RunRequest, Sink, Callable[[ActiveRun], None]], Awaitable[RunResult]]
"""See Runner.run."""


class Recording:
    """Output in pieces, numbered from 0; ten bytes a piece beside what was printed."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._ends = array("Q")
        self._streams = bytearray()

    def __len__(self) -> int:
        return len(self._ends)

    @property
    def size(self) -> int:
        """Bytes that were printed."""
        return len(self._data)

    def add(self, stream: str, data: bytes) -> None:
        self._data += data
        self._ends.append(len(self._data))
        self._streams.append(_STREAMS.index(stream))

    def piece(self, seq: int) -> tuple[str, bytes]:
        begin = self._ends[seq - 1] if seq else 0
        return _STREAMS[self._streams[seq]], bytes(self._data[begin : self._ends[seq]])

    async def send(self, sink: Sink, seq: int) -> int:
        """Sends what there is from a seq on, as it is read; returns the next seq."""
        while seq < len(self):
            room = asyncio.Event()
            if sink.when_writable(room.set):
                await room.wait()
                continue
            sink.output(seq, *self.piece(seq))
            seq += 1
            if seq % _TURN == 0:
                await asyncio.sleep(0)
        return seq


class KeptRun:
    """A run that belongs to no connection, and the Sink of its events."""

    raw = False  # what is cut between characters serves both kinds of follower

    def __init__(
        self,
        request: RunRequest,
        starter: Sink,
        on_active: Callable[[ActiveRun], None],
        on_started: Callable[[KeptRun], None],
    ) -> None:
        self.owner = request.owner
        self.run = ""
        """Its id, from its start on."""
        self.recording = Recording()
        self.task: asyncio.Task[RunResult]
        self._streams_stdin = request.stdin_streamed
        self._starter: Sink | None = starter
        self._left = False
        self._on_active: Callable[[ActiveRun], None] | None = on_active
        self._on_started = on_started
        self._active: ActiveRun | None = None
        self._news: set[asyncio.Event] = set()

    # --- as the sink of the run ---

    def queued(self, position: int, estimate: float | None) -> None:
        if self._starter is not None:
            self._starter.queued(position, estimate)

    def started(self, run: str, *, warm: bool, queued: float) -> None:
        self.run = run
        self._on_started(self)
        if self._starter is not None:
            self._starter.started(run, warm=warm, queued=queued)

    def output(self, seq: int, stream: str, data: bytes) -> None:
        self.recording.add(stream, data)
        self._wake()

    def stdin_taken(self, count: int) -> None:
        if self._starter is not None:
            self._starter.stdin_taken(count)

    def when_writable(self, callback: Callable[[], None]) -> bool:
        return False  # its limits bound what is kept

    async def hold(self, size: int) -> None:
        """See `_REMEMBERED_BYTES`."""

    def is_active(self, active: ActiveRun) -> None:
        self._active = active
        if self._on_active is not None:
            self._on_active(active)
        if self._left:
            self._end_stdin(active)

    # --- as what is followed ---

    async def follow(self, sink: Sink, after: int = -1, *, stream: bool = True) -> RunResult:
        """Sends what is printed after a seq, and gives the result, or raises what the
        run failed with. Cancelling this leaves the run alone.

        Raises InvalidParamsError for a seq that there has not been.
        """
        if after < -1 or after >= len(self.recording):
            raise InvalidParamsError(
                f"after is {after}; it must be the seq of output that has come, and there are "
                f"{len(self.recording)} so far, counted from 0"
            )
        seq = after + 1
        news = asyncio.Event()
        self._news.add(news)
        try:
            while True:
                news.clear()
                if stream:
                    seq = await self.recording.send(sink, seq)
                if self.task.done():
                    return self.task.result()
                await news.wait()
        finally:
            self._news.discard(news)

    async def kill(self) -> None:
        """Returns once the run has ended; one that waits for a container never begins."""
        active = self._active
        if active is None:
            self.task.cancel()
        else:
            active.kill()
            await asyncio.wait([self.task], timeout=_KILL_GRACE)
            if not active.ended_future.done():
                active.lost("its guest did not obey a kill")
        await asyncio.wait([self.task])

    def leave(self) -> None:
        """Whoever started it has gone; there will be no more stdin."""
        self._left = True
        if self._active is not None:
            self._end_stdin(self._active)

    def _end_stdin(self, active: ActiveRun) -> None:
        if self._streams_stdin:
            active.feed(b"", eof=True)

    def ended(self) -> None:
        """Lets go of all that is not needed to tell of it."""
        self._starter = self._on_active = self._active = None
        self._wake()

    def _wake(self) -> None:
        for news in self._news:
            news.set()


class KeptRuns:
    """All of them: under way, and for a while after their end."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._under_way: set[KeptRun] = set()
        self._by_id: dict[str, KeptRun] = {}
        """From a run's start until it is forgotten."""
        self._ended: deque[tuple[KeptRun, int]] = deque()
        """With the bytes that each takes, the oldest first."""
        self._ended_bytes = 0

    def start(
        self,
        run: Run,
        request: RunRequest,
        starter: Sink,
        on_active: Callable[[ActiveRun], None],
    ) -> KeptRun:
        """Starts a run; all that can go wrong with it is raised by `follow`."""
        kept = KeptRun(request, starter, on_active, self._started)
        # Whoever starts it may want no output, and others may attach still.
        request = msgspec.structs.replace(request, stream=True)
        kept.task = asyncio.ensure_future(run(request, kept, kept.is_active))
        kept.task.add_done_callback(partial(self._end, kept))
        self._under_way.add(kept)
        return kept

    async def attach(self, reader: int | None, params: AttachParams, sink: Sink) -> RunResult:
        """A run's output and its result, for its owner or, where that is None, for anybody.

        One that only the history has is sent as it was kept, from the beginning or
        not at all: how it was once cut into pieces is not known any more. Raises
        RunNotFoundError, InvalidParamsError, and what the run itself failed with.
        """
        kept = self._find(reader, params.run)
        if kept is not None:
            return await kept.follow(sink, -1 if params.after is None else params.after)
        record = await self._books.get(reader, params.run)
        if params.after is None:
            await _recording(record).send(sink, 0)
        return _without_files(record.result)

    async def kill(self, reader: int | None, run: str) -> bool:
        """False for one that has ended already, which is no error. Raises RunNotFoundError."""
        kept = self._find(reader, run)
        if kept is None:
            await self._books.get(reader, run)
        if kept is None or kept.task.done():
            return False
        await kept.kill()
        return True

    def _find(self, reader: int | None, run: str) -> KeptRun | None:
        kept = self._by_id.get(run)
        return kept if kept is not None and reader in (None, kept.owner) else None

    def _started(self, kept: KeptRun) -> None:
        self._by_id[kept.run] = kept

    def _end(self, kept: KeptRun, task: asyncio.Task[RunResult]) -> None:
        kept.ended()
        self._under_way.discard(kept)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, SandboxdError):
            _log.error("a kept run failed for a reason nobody foresaw", exc_info=error)
        if not kept.run:
            return
        size = 2 * kept.recording.size  # what was captured is in the result once more
        if error is None and not task.cancelled():
            size += sum(file.size for file in task.result().files)
        self._ended.append((kept, size))
        self._ended_bytes += size
        while len(self._ended) > _REMEMBERED_RUNS or self._ended_bytes > _REMEMBERED_BYTES:
            forgotten, size = self._ended.popleft()
            self._ended_bytes -= size
            del self._by_id[forgotten.run]


def _recording(record: RunRecord) -> Recording:
    """What the history kept of a run's output, one stream after the other."""
    recording = Recording()
    for stream, blob in zip(_STREAMS, (record.result.stdout, record.result.stderr), strict=True):
        cut, data = OutputStream(keep=0), b"" if blob is None else from_blob(blob)
        pieces = [cut.feed(data[at : at + _PIECE]) for at in range(0, len(data), _PIECE)]
        for piece in filter(None, [*pieces, cut.flush()]):
            recording.add(stream, piece)
    return recording


def _without_files(result: RunResult) -> RunResult:
    """The history has the names of the files that a run gave back, and no more."""
    why = "the history keeps no files"
    gone = [SkippedFile(file.path, why, named=True) for file in result.files]
    return msgspec.structs.replace(result, files=[], files_skipped=[*result.files_skipped, *gone])
