"""The asynchronous client: any number of runs at once over one connection.

async with AsyncClient() as client:
    print((await client.run("python", "print(6 * 7)")).stdout)
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar, Unpack

from sandboxd_client._files import Arriving, pieces, split
from sandboxd_client._wire import (
    STDIN_CHUNK,
    DebugFacts,
    Event,
    Incoming,
    Output,
    Piece,
    Queued,
    RunOptions,
    Started,
    StdinTaken,
    about,
    end_of_input_line,
    forms_line,
    input_lines,
    notification_line,
    parse_line,
    request_line,
    run_params,
    to_event,
    to_result,
)
from sandboxd_client.errors import ConnectionLostError, NotRunningError, SandboxError
from sandboxd_client.protocol import (
    STDIN_WINDOW,
    AttachParams,
    Blob,
    CancelParams,
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
    InterruptParams,
    KillParams,
    LanguageInfo,
    Method,
    NoParams,
    Nothing,
    Params,
    RequestId,
    RunParams,
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
_BUFFERED_EVENTS = 256
"""Events a slow consumer may leave lying before the connection is read no further."""
_LINE_LIMIT = 256 * 1024 * 1024


class AsyncRunStream:
    """A run under way: iterate over its events, then look at `result`.

    Leaving it before the end kills the program, unless it is a kept one. All runs of
    a client share its connection: one whose events nobody takes holds up the others.
    """

    queued: Queued | None = None
    """Where the run stands, while it waits for a container."""
    seq: int | None = None
    """The number of the last output that came, for `AsyncClient.attach`."""

    def __init__(self, client: AsyncClient, params: RunParams | AttachParams) -> None:
        self._client = client
        self._params = params
        self._request: RequestId = client._next_id()
        self._incoming: asyncio.Queue[Incoming | SandboxError] = asyncio.Queue(_BUFFERED_EVENTS)
        self._stdin_sent = 0
        self._stdin_taken = 0
        self._files_wanted = False
        self._arriving = Arriving()
        self._result: RunResult | None = None
        self._ended = False

    async def __aenter__(self) -> Self:
        attaches = isinstance(self._params, AttachParams)
        params, following = split(self._params)
        line = request_line(self._request, Method.RUN_ATTACH if attaches else Method.RUN, params)
        if not isinstance(self._params, RunParams) or self._params.outputs:
            await self._client._want_pieces()
        await self._client._send(line, self._request, self._incoming)
        if following:
            try:
                await self._send_files(following)
            except BaseException as error:
                await self.__aexit__(type(error), error, None)
                raise
        return self

    async def _send_files(self, following: dict[str, Blob]) -> None:
        """Sends the content that the line had no room for, once it is wanted."""
        while not self._files_wanted:
            await self._next()
        for piece in pieces(self._request, following):
            await self._client._send(notification_line(Method.FILES_INPUT, piece))

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._client._forget(self._request)
        kept = isinstance(self._params, RunParams) and self._params.keep
        if not self._ended and not kept:
            with contextlib.suppress(SandboxError):
                await self.cancel()

    @property
    def result(self) -> RunResult:
        """The result, known once the iteration has ended."""
        if self._result is None:
            raise RuntimeError("the run has not ended: iterate over its events first")
        return self._result

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._ended:
            event = await self._next()
            if event is not None:
                return event
        raise StopAsyncIteration

    async def _next(self) -> Event | None:
        message = await self._incoming.get()
        if isinstance(message, SandboxError):
            self._ended = True
            raise message
        if message.method is None:
            self._ended = True
            self._result = self._arriving.put_into(to_result(message, RunResult))
            return None
        return self._digest(message)

    def _digest(self, message: Incoming) -> Event | None:
        match event := to_event(message):
            case Piece():
                if event.data is None:
                    raise SandboxError(
                        "the daemon sends raw output, which this client has not asked for"
                    )
                self.seq = event.seq
                return Output(event.stream, event.data)
            case Started():
                self.queued = None
                return event
            case Queued():
                self.queued = event
            case StdinTaken():
                self._stdin_taken += event.count
            case FilesWanted():
                self._files_wanted = True
            case FilesOutput():
                self._arriving.add(event)
        return None

    async def send_stdin(self, data: bytes) -> None:
        """Sends stdin to a run that was started with it streamed."""
        self._stdin_sent += len(data)
        for line in input_lines(self._request, data):
            await self._client._send(line)

    async def end_stdin(self) -> None:
        await self._client._send(end_of_input_line(self._request))

    async def feed(self, chunks: Iterable[bytes]) -> None:
        """Sends all of stdin as the program takes it, passing over events meanwhile."""
        for chunk in chunks:
            for start in range(0, len(chunk), STDIN_CHUNK):
                while self._stdin_sent - self._stdin_taken > STDIN_WINDOW - STDIN_CHUNK:
                    if self._ended:
                        return
                    await self._next()
                await self.send_stdin(chunk[start : start + STDIN_CHUNK])
        await self.end_stdin()

    async def interrupt(self) -> None:
        """Sends the program SIGINT, as Ctrl-C does; nothing before it has started."""
        params = InterruptParams(id=self._request)
        await self._client._send(notification_line(Method.RUN_INTERRUPT, params))

    async def cancel(self) -> None:
        """Asks for the program to be killed; the iteration then ends in CancelledError.

        Of one that was attached to, only the following ends: see `AsyncClient.kill`.
        """
        params = CancelParams(id=self._request)
        if not self._client._connected:
            return  # the run went with its connection
        await self._client._send(notification_line(Method.CANCEL, params))


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

    async def kill(self, run: str) -> None:
        """Ends a kept run; returns once it has ended. Raises RunNotFoundError."""
        await self._call(Method.RUN_KILL, KillParams(run=run), Nothing)

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
        answer: asyncio.Queue[Incoming | SandboxError] = asyncio.Queue(_BUFFERED_EVENTS)
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
