"""The asynchronous client: any number of runs at once over one connection.

async with AsyncClient() as client:
    print((await client.run("python", "print(6 * 7)")).stdout)
"""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar, Unpack

from sandboxd_client._files import Arriving, pieces, split
from sandboxd_client._wire import (
    DebugFacts,
    Incoming,
    RunOptions,
    about,
    forms_line,
    notification_line,
    parse_line,
    request_line,
    run_params,
    to_event,
    to_result,
)
from sandboxd_client.aio_stream import BUFFERED_EVENTS, AsyncRunStream
from sandboxd_client.errors import ConnectionLostError, NotRunningError, SandboxError
from sandboxd_client.protocol import (
    AttachParams,
    DebugParams,
    DebugReport,
    FilesOutput,
    FilesRead,
    FilesWanted,
    HealthResult,
    HistoryGetParams,
    HistoryListParams,
    InitializeParams,
    InitializeResult,
    Killed,
    KillParams,
    LanguageInfo,
    Method,
    NoParams,
    Nothing,
    Params,
    RequestId,
    RunRecord,
    RunResult,
    RunSummary,
    SessionInfo,
    SessionParams,
    Status,
    StatusResult,
    default_socket,
)
from sandboxd_client.session import AsyncSession, SessionOptions, session_params

if TYPE_CHECKING:
    from sandboxd_client.batch import AsyncPrograms, Outcome, Programs, Progress

_Result = TypeVar("_Result")
_LINE_LIMIT = 256 * 1024 * 1024


class AsyncClient:
    """Talks to the daemon on `socket` (by default where it listens by default)."""

    def __init__(self, socket: str | Path | None = None) -> None:
        self.socket = Path(socket) if socket else default_socket()
        self._ids = itertools.count(1)
        self._waiting: dict[RequestId, asyncio.Queue[Incoming | SandboxError]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._connecting = asyncio.Lock()
        self._pieces = False
        """Whether this connection was asked for files in pieces."""

    async def __aenter__(self) -> Self:
        await self._connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection, which cancels the runs that are under way."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
        self._reading = None

    async def run(self, language: str, code: str, **options: Unpack[RunOptions]) -> RunResult:
        """Runs a program to its end; cancelling the task kills the program, unless it is kept.

        Raises NotRunningError without a daemon, and RemoteError when the daemon
        refuses or cannot. A program that fails is a result.
        """
        async with AsyncRunStream(
            self, run_params(language, code, options, stream=False)
        ) as stream:
            stdin = options.get("stdin")
            if stdin is not None and not isinstance(stdin, str | bytes):
                await stream.feed(stdin)
            async for _ in stream:
                pass
            return stream.result

    def stream(self, language: str, code: str, **options: Unpack[RunOptions]) -> AsyncRunStream:
        """A run whose events are seen as they come; see AsyncRunStream.

        To stream stdin, pass `stdin=()` and use `send_stdin` and `end_stdin`.
        """
        return AsyncRunStream(self, run_params(language, code, options, stream=True))

    def attach(self, run: str, *, after: int | None = None) -> AsyncRunStream:
        """A kept run, joined from any client of its owner's, also after its end.

        `after` is the `seq` of a stream that was left: only what follows it comes.
        Iterating raises RunNotFoundError for a run that is not there, or another's.
        """
        return AsyncRunStream(self, AttachParams(run=run, after=after))

    async def kill(self, run: str) -> bool:
        """Ends a kept run; returns once it has ended, False where it had before. Raises
        RunNotFoundError."""
        return not (await self._call(Method.RUN_KILL, KillParams(run=run), Killed)).had_ended

    async def map(
        self,
        programs: Programs | AsyncPrograms,
        concurrency: int = 8,
        progress: Progress | None = None,
    ) -> list[Outcome]:
        """Runs many programs, so many at once; results in order, errors in their place."""
        from sandboxd_client.batch import amap_programs  # noqa: PLC0415 - it imports this module

        return await amap_programs(self, programs, concurrency, progress)

    def session(self, language: str, **options: Unpack[SessionOptions]) -> AsyncSession:
        """A session, opened by entering it."""
        return AsyncSession(self, session_params(language, options))

    async def sessions(self) -> list[SessionInfo]:
        """The open ones of this user, oldest first; root sees everybody's."""
        return await self._call(Method.SESSION_LIST, NoParams(), list[SessionInfo])

    async def close_session(self, session: str) -> None:
        """Ends one by its id, such as one that was kept. Raises SessionNotFoundError."""
        await self._call(Method.SESSION_CLOSE, SessionParams(session=session), Nothing)

    async def initialize(self) -> InitializeResult:
        params = InitializeParams(client="sandboxd-client")
        self._pieces = False  # as these params say
        return await self._call(Method.INITIALIZE, params, InitializeResult)

    async def languages(self) -> list[LanguageInfo]:
        return await self._call(Method.LANGUAGES, NoParams(), list[LanguageInfo])

    async def status(self) -> StatusResult:
        return await self._call(Method.STATUS, NoParams(), StatusResult)

    async def health(self) -> HealthResult:
        return await self._call(Method.HEALTH, NoParams(), HealthResult)

    async def history(
        self,
        *,
        limit: int = 50,
        before: str | None = None,
        status: Status | None = None,
        language: str | None = None,
    ) -> list[RunSummary]:
        """Runs that have ended, the newest first; `before` is a run to go on after."""
        params = HistoryListParams(limit=limit, before=before, status=status, language=language)
        return await self._call(Method.HISTORY_LIST, params, list[RunSummary])

    async def history_get(self, run: str) -> RunRecord:
        """All that is kept of a run. Raises RunNotFoundError."""
        return await self._call(Method.HISTORY_GET, HistoryGetParams(run=run), RunRecord)

    async def debug_report(
        self, run: str | None = None, **facts: Unpack[DebugFacts]
    ) -> DebugReport:
        """What went wrong in a run of the history, or in one whose facts are given."""
        params = DebugParams(run=run, **facts)
        return await self._call(Method.DEBUG_REPORT, params, DebugReport)

    async def _call(self, method: Method, params: Params, kind: type[_Result]) -> _Result:
        request = self._next_id()
        answer: asyncio.Queue[Incoming | SandboxError] = asyncio.Queue(BUFFERED_EVENTS)
        arriving = Arriving()
        params, following = split(params)
        if kind is FilesRead:
            await self._want_pieces()
        try:
            await self._send(request_line(request, method, params), request, answer)
            while not isinstance(message := await answer.get(), SandboxError):
                if message.method is None:
                    return arriving.put_into(to_result(message, kind))
                match to_event(message):
                    case FilesWanted():
                        for piece in pieces(request, following):
                            await self._send(notification_line(Method.FILES_INPUT, piece))
                    case FilesOutput() as output:
                        arriving.add(output)
        finally:
            self._forget(request)
        raise message

    async def _want_pieces(self) -> None:
        await self._connect()
        if not self._pieces:
            self._pieces = True
            await self._send(forms_line(self._next_id()))

    @property
    def _connected(self) -> bool:
        return self._writer is not None

    def _next_id(self) -> int:
        return next(self._ids)

    def _forget(self, request: RequestId) -> None:
        queue = self._waiting.pop(request, None)
        while queue is not None and not queue.empty():
            queue.get_nowait()  # the reader may be waiting for room in it

    async def _send(
        self,
        line: bytes,
        request: RequestId | None = None,
        answers: asyncio.Queue[Incoming | SandboxError] | None = None,
    ) -> None:
        writer = await self._connect()
        if request is not None and answers is not None:
            self._waiting[request] = answers
        try:
            writer.write(line)
            await writer.drain()
        except OSError as error:
            raise ConnectionLostError(f"the daemon closed the connection: {error}") from None

    async def _connect(self) -> asyncio.StreamWriter:
        async with self._connecting:
            if self._writer is None:
                try:
                    reader, self._writer = await asyncio.open_unix_connection(
                        str(self.socket), limit=_LINE_LIMIT
                    )
                except OSError as error:
                    raise NotRunningError(self.socket, error.strerror or str(error)) from None
                self._pieces = False
                self._reading = asyncio.create_task(self._read(reader), name="sandboxd-client")
            return self._writer

    async def _read(self, reader: asyncio.StreamReader) -> None:
        lost = ConnectionLostError("the client was closed before the daemon answered")
        try:
            while line := await reader.readline():
                message = parse_line(line)
                queue = self._waiting.get(about(message) or 0)
                if queue is not None:
                    await queue.put(message)
            lost = ConnectionLostError("the daemon closed the connection before it answered")
        except (OSError, ValueError) as error:
            lost = ConnectionLostError(f"the connection broke: {error}")
        except SandboxError as error:
            lost = ConnectionLostError(str(error))
        finally:
            if self._writer is not None:
                self._writer.close()
            self._writer = None
            for queue in self._waiting.values():
                while queue.full():
                    queue.get_nowait()
                queue.put_nowait(lost)
