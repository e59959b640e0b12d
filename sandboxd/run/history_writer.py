"""The writing side of the history: a queue, and the thread that empties it into the file."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import structlog
from msgspec import Struct

from sandboxd.errors import SandboxdError
from sandboxd.run import history_schema as schema
from sandboxd_client.protocol import RunRecord

_log = structlog.get_logger("sandboxd.history")

_LINGER = 0.025
"""Seconds that a record waits for others to be written with, unless somebody waits for it."""
_BATCH = 500
_BATCH_BYTES = 16 * 1024**2
_QUEUE = 10_000
_QUEUE_BYTES = 64 * 1024**2
"""Bounds of what waits to be written, and so of what a kill or a full disk can cost."""
_RECORD_WEIGHT = 1024
"""Bytes that a record is taken to have beside its code and output."""
_RETRY = 10.0
"""Seconds until a file that could not be written is tried again without a record."""
_AGE_CHECK = 600.0
"""Seconds between looks for runs that are too old, while none are recorded."""
_COMPLAINT = 60.0
"""Seconds between two lines in the log about records that were dropped."""
TOO_SLOW = "records come faster than they can be written"


class HistorySettings(Struct, frozen=True):
    """What is kept, and how much of it; the oldest goes first."""

    enabled: bool = True
    keep_code: bool = True
    """A hash of it is kept in any case."""
    keep_output: bool = True
    max_count: int = 10_000
    max_age: float = 30 * 24 * 3600.0
    """Seconds since a run was started."""
    max_bytes: int = 256 * 1024**2
    """Of the file, compressed as it is; its log may take a few MiB more."""


def _weight(record: RunRecord) -> int:
    """About how many bytes of memory a record takes."""
    weight = _RECORD_WEIGHT + len(record.code or "")
    for blob in (record.result.stdout, record.result.stderr):
        if blob is not None:
            weight += len(blob if isinstance(blob, str) else blob.base64)
    return weight


class Losses:
    """Counts the records that were not kept, and tells of them now and then."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()
        self._untold = 0
        self._told_at: float | None = None

    def add(self, count: int, why: str) -> None:
        now = time.monotonic()
        with self._lock:
            self.count += count
            self._untold += count
            if self._told_at is not None and now - self._told_at < _COMPLAINT:
                return
            self._told_at = now
            untold, self._untold = self._untold, 0
        _log.warning("history not written", why=why, dropped=untold)

    def tell(self) -> None:
        """The rest, at the end."""
        with self._lock:
            untold, self._untold = self._untold, 0
        if untold:
            _log.warning("history not written", dropped=untold)


class Barrier(NamedTuple):
    """The place in the queue of somebody who waits for what is before it."""

    reached: asyncio.Future[None]
    sync: bool
    """Whether that has to be on disk, where a reader is content with it committed."""
    suspect: bool
    """Whether a reader found the file broken."""


class Batch(NamedTuple):
    records: list[RunRecord]
    barriers: list[Barrier]
    last: bool
    """Nothing comes after it: the history is closed."""


class Mailbox:
    """The queue between everybody and the writer's thread; its lock is held for no I/O."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._items: deque[tuple[RunRecord, int] | Barrier] = deque()
        self._records = 0
        self._bytes = 0
        self._barriers = 0
        self._in_hand = 0
        self._closed = False
        self._ended = False

    @property
    def pending(self) -> int:
        """Records that are neither written nor dropped."""
        return self._records + self._in_hand

    @property
    def full(self) -> bool:
        return self._records >= _QUEUE or self._bytes >= _QUEUE_BYTES

    def put(self, record: RunRecord) -> str | None:
        """Returns why a record is not taken, if it is not."""
        weight = _weight(record)
        with self._changed:
            if self._closed:
                return "the history is closed"
            # One that alone is past the bound is taken when there is no other.
            if self._records >= _QUEUE or (self._records and self._bytes + weight > _QUEUE_BYTES):
                return TOO_SLOW
            was_empty, was_hurried = not self._items, self._hurried()
            self._items.append((record, weight))
            self._records += 1
            self._bytes += weight
            # Each wake-up of the other thread costs this one; between the first
            # record of a batch and the last there is nothing to wake it for.
            if was_empty or (not was_hurried and self._hurried()):
                self._changed.notify()
        return None

    def wait(self, barrier: Barrier) -> bool:
        """Returns False where there is nobody any more to wait for."""
        with self._changed:
            if self._ended:
                return False
            self._items.append(barrier)
            self._barriers += 1
            self._changed.notify()
            return True

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    def take(self, timeout: float) -> Batch:
        """What has come; empty when nothing has within so many seconds."""
        records: list[RunRecord] = []
        barriers: list[Barrier] = []
        weight = 0
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed, timeout)
            if self._items:
                self._changed.wait_for(self._hurried, _LINGER)
            self._ended = self._closed and not self._items
            while self._items and len(records) < _BATCH and weight < _BATCH_BYTES:
                item = self._items.popleft()
                if isinstance(item, Barrier):
                    barriers.append(item)
                else:
                    records.append(item[0])
                    weight += item[1]
            self._records -= len(records)
            self._bytes -= weight
            self._barriers -= len(barriers)
            self._in_hand = len(records)
            return Batch(records, barriers, last=self._ended)

    def settled(self) -> None:
        """What was taken is written or dropped."""
        with self._changed:
            self._in_hand = 0

    def _hurried(self) -> bool:
        return (
            self._barriers > 0
            or self._closed
            or self._records >= _BATCH
            or self._bytes >= _BATCH_BYTES
        )


class Writer:
    """The thread that writes, and what belongs to it alone."""

    def __init__(
        self, path: Path, settings: HistorySettings, mailbox: Mailbox, losses: Losses
    ) -> None:
        self.problem: str | None = None
        self.written = 0
        self._path = path
        self._settings = settings
        self._mailbox = mailbox
        self._losses = losses
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._count = 0
        self._more = False
        """Whether more is to be deleted or given back than one step does."""

    def start(self, opened: asyncio.Future[None], ended: asyncio.Event) -> None:
        self._loop = asyncio.get_running_loop()
        # A daemon thread: a disk that does not answer must not keep the process.
        threading.Thread(
            target=self._run, args=(opened, ended), name="history", daemon=True
        ).start()

    def _run(self, opened: asyncio.Future[None], ended: asyncio.Event) -> None:
        try:
            self._write([])
        except Exception as error:
            self._tell(_fail, opened, error)
        else:
            self._tell(_reach, [opened])
            self._serve()
        self._close()
        self._losses.tell()
        self._tell(ended.set)

    def _serve(self) -> None:
        last = False
        while not last:
            batch = self._mailbox.take(self._patience())
            last = batch.last
            try:
                self._step(batch)
            except Exception:
                _log.exception("history not written")
                self._losses.add(len(batch.records), "an internal error")
            self._mailbox.settled()
            if batch.barriers:
                self._tell(_reach, [barrier.reached for barrier in batch.barriers])

    def _patience(self) -> float:
        if self._more:
            return 0.0
        return _AGE_CHECK if self.problem is None else _RETRY

    def _tell(self, callback: Callable[..., object], *args: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits
            self._loop.call_soon_threadsafe(callback, *args)

    # --- a step ---

    def _step(self, batch: Batch) -> None:
        self._more = False
        try:
            if any(barrier.suspect for barrier in batch.barriers):
                self._examine()
            self._write(batch.records)
        except SandboxdError as error:  # another file came to the place of ours
            self._failed(error, len(batch.records))
        if self.problem is None and self._connection is not None:
            self._tidy(self._connection, sync=any(barrier.sync for barrier in batch.barriers))

    def _write(self, records: Sequence[RunRecord], *, anew: bool = False) -> None:
        """Stores all of them or counts what it cannot; raises what is a bug, and SetupError."""
        try:
            self._commit(records)
        except SandboxdError:
            raise
        except Exception as error:
            if not anew and schema.is_broken(error) and self._set_aside(error):
                self._write(records, anew=True)
            elif isinstance(error, sqlite3.OperationalError | OSError) or schema.is_broken(error):
                self._failed(error, len(records))
            elif len(records) > 1:
                for record in records:  # one of them is at fault, and the others are not
                    self._write([record], anew=anew)
            elif records:
                self._losses.add(1, f"it cannot be stored: {error}")
            else:
                raise

    def _commit(self, records: Sequence[RunRecord]) -> None:
        settings = self._settings
        rows = [schema.encode(record, settings.max_bytes // 2) for record in records]
        since = time.time() - settings.max_age
        bounds = schema.Bounds(settings.max_count, settings.max_bytes, since)
        connection = self._open()
        with schema.transaction(connection):
            if rows:
                schema.insert(connection, rows)
            elif self.problem is not None:
                schema.touch(connection, len(schema.MIGRATIONS))
            deleted, more = schema.prune(connection, self._count + len(rows), bounds)
        self._count += len(rows) - deleted
        self._more = more
        self.written += len(rows)
        self.problem = None

    def _tidy(self, connection: sqlite3.Connection, *, sync: bool) -> None:
        try:
            self._more = schema.shrink(connection) or self._more
            if sync:
                schema.checkpoint(connection)
        except sqlite3.Error as error:
            if schema.is_broken(error) and self._set_aside(error):
                self._more = True  # the next step comes at once, and begins the new file
            else:
                self._failed(error, 0)

    def _failed(self, error: Exception, count: int) -> None:
        if isinstance(error, SandboxdError):
            self.problem = "the file is a newer sandboxd's, or another program's"
        else:
            self.problem = (isinstance(error, OSError) and error.strerror) or str(error)
        self._losses.add(count, self.problem)

    # --- the file ---

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None and _identity(self._path) == self._file:
            return self._connection
        # What is written to a file that was moved or removed, nobody would read.
        self._close()
        with contextlib.ExitStack() as stack:
            connection = schema.open_for_writing(self._path, schema.MIGRATIONS)
            stack.callback(connection.close)
            self._count = schema.count_runs(connection)
            self._file = _identity(self._path)
            stack.pop_all()
        self._connection = connection
        return connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _examine(self) -> None:
        """Somebody found the file broken who may not touch it."""
        try:
            if not schema.is_sound(self._path):
                self._set_aside("found by a reader")
        except sqlite3.Error as error:
            self._failed(error, 0)

    def _set_aside(self, why: object) -> bool:
        self._close()
        try:
            aside = schema.set_aside(self._path)
        except OSError as error:
            self._failed(error, 0)
            return False
        _log.error(
            "history broken, and a new one begun",
            path=str(self._path),
            kept=str(aside),
            why=str(why),
        )
        return True


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _reach(waiting: Sequence[asyncio.Future[None]]) -> None:
    for future in waiting:
        if not future.done():
            future.set_result(None)


def _fail(waiting: asyncio.Future[None], error: Exception) -> None:
    if not waiting.done():
        waiting.set_exception(error)
