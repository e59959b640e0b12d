"""The history of runs: kept in SQLite, within bounds, and in nobody's way.

`record` puts a run into a queue and returns. One thread owns the only connection
that writes, and writes what has come, in batches. Whoever reads waits until what
was recorded before is written, by a place in the same queue, and the thread hurries
while somebody waits. A history that cannot be written costs nothing but records.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import msgspec
import structlog

from sandboxd.errors import InvalidParamsError
from sandboxd.run import history_schema as schema
from sandboxd.run.history_writer import TOO_SLOW, Barrier, HistorySettings, Losses, Mailbox, Writer
from sandboxd_client.protocol import (
    HistoryListParams,
    RunRecord,
    RunSummary,
)

_T = TypeVar("_T")

_log = structlog.get_logger("sandboxd.history")

_LIST_MAX = 1000
_READ_TIMEOUT = 5.0
"""Seconds a reader waits for the writer before it takes what is there."""
_CLOSE_TIMEOUT = 15.0
"""Seconds for the rest to be written at the end."""


class History:
    """The runs that have ended. Opened once, by `async with`.

    Reading raises sqlite3.Error where there is no file that can be read.
    """

    def __init__(self, path: Path, settings: HistorySettings) -> None:
        self._path = path
        self._settings = settings
        self._losses = Losses()
        self._mailbox = Mailbox()
        self._writer = Writer(path, settings, self._mailbox, self._losses)

    async def __aenter__(self) -> Self:
        """Raises SetupError for a file of a newer version, or of another program.

        A file that cannot be written is a `problem`, and is tried again.
        """
        if self._settings.enabled:
            opened = asyncio.get_running_loop().create_future()
            self._ended = asyncio.Event()
            self._writer.start(opened, self._ended)
            try:
                await opened
            except BaseException:
                self._mailbox.close()
                raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """What was recorded is written; what comes later is dropped."""
        if not self._settings.enabled:
            return
        self._mailbox.close()
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                await self._ended.wait()
        except TimeoutError:
            _log.warning("history not closed in time", unwritten=self._mailbox.pending)

    @property
    def problem(self) -> str | None:
        """Why runs are not recorded at the moment. Names no path: clients are told it."""
        if self._writer.problem is None and self._mailbox.full:
            return TOO_SLOW
        return self._writer.problem

    @property
    def written(self) -> int:
        return self._writer.written

    @property
    def dropped(self) -> int:
        return self._losses.count

    def record(self, record: RunRecord) -> None:
        """Takes a run into the history. Returns at once and raises nothing."""
        if not self._settings.enabled:
            return
        why = self._mailbox.put(_kept(record, self._settings))
        if why is not None:
            self._losses.add(1, why)

    async def list(self, owner: int | None, params: HistoryListParams) -> Summaries:
        """The newest runs of an owner, or of all where that is None; the newest first.

        Raises InvalidParamsError, and RunNotFoundError when `before` is not there.
        """
        if not 1 <= params.limit <= _LIST_MAX:
            raise InvalidParamsError(
                f"limit is {params.limit}; it must be from 1 to {_LIST_MAX}: for more, "
                "ask again with `before` as the last run of what came"
            )
        if not self._settings.enabled:
            return []
        return await self._read(lambda connection: schema.select_runs(connection, owner, params))

    async def get(self, owner: int | None, run: str) -> RunRecord:
        """All that is kept of a run. Raises RunNotFoundError."""
        if not self._settings.enabled:
            raise schema.not_found(run)
        return await self._read(lambda connection: schema.select_record(connection, owner, run))

    async def flush(self) -> None:
        """Returns once all that was recorded before is on disk, or counted as dropped."""
        if self._settings.enabled:
            await self._turn(sync=True)

    async def _read(self, question: Callable[[sqlite3.Connection], _T]) -> _T:
        if self._mailbox.pending:
            await self._turn_in_time()
        try:
            return await asyncio.to_thread(self._ask, question)
        except sqlite3.DatabaseError as error:
            if not schema.is_broken(error):
                raise
        await self._turn_in_time(suspect=True)
        return await asyncio.to_thread(self._ask, question)

    def _ask(self, question: Callable[[sqlite3.Connection], _T]) -> _T:
        # A connection for each question costs a tenth of a millisecond, belongs to
        # no thread, and cannot be one to a file that has been set aside.
        with contextlib.closing(schema.open_for_reading(self._path)) as connection:
            return question(connection)

    async def _turn_in_time(self, *, suspect: bool = False) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_READ_TIMEOUT):
                await self._turn(suspect=suspect)

    async def _turn(self, *, sync: bool = False, suspect: bool = False) -> None:
        """Waits until the writer has come to this place in the queue."""
        reached = asyncio.get_running_loop().create_future()
        if self._mailbox.wait(Barrier(reached, sync=sync, suspect=suspect)):
            await reached


Summaries = list[RunSummary]
"""In `History` itself, `list` is the method."""


def _kept(record: RunRecord, settings: HistorySettings) -> RunRecord:
    """The parts of a record that are kept, so that the queue holds no others."""
    if record.result.files:
        files = [msgspec.structs.replace(each, data="") for each in record.result.files]
        result = msgspec.structs.replace(record.result, files=files)
        record = msgspec.structs.replace(record, result=result)
    return schema.bare(record, code=settings.keep_code, output=settings.keep_output)
