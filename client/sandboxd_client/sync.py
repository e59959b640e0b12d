"""The synchronous client: a plain socket, and no asyncio.

    with Client() as client:
        print(client.run("python", "print(6 * 7)").stdout)

A client may be shared between threads: each call under way has a connection of
its own, kept for the next. The events of a stream are one thread's; others may send
it stdin, interrupt it and cancel it meanwhile.
"""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar, Unpack

from sandboxd_client._connection import Connection
from sandboxd_client._files import Arriving, pieces, split
from sandboxd_client._wire import (
    DebugFacts,
    Incoming,
    RunOptions,
    forms_line,
    notification_line,
    parse_line,
    request_line,
    run_params,
    to_event,
    to_result,
)
from sandboxd_client.errors import ConnectionLostError
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
    RunRecord,
    RunResult,
    RunSummary,
    SessionInfo,
    SessionParams,
    Status,
    StatusResult,
    default_socket,
)
from sandboxd_client.session import Session, SessionOptions, session_params
from sandboxd_client.stream import RunStream

if TYPE_CHECKING:
    from sandboxd_client.batch import Outcome, Programs, Progress

_Result = TypeVar("_Result")


class Client:
    """Talks to the daemon on `socket` (by default where it listens by default)."""

    def __init__(self, socket: str | Path | None = None) -> None:
        self.socket = Path(socket) if socket else default_socket()
        self._idle: list[Connection] = []
        self._closed = False
        self._ids = itertools.count(1)

    def __enter__(self) -> Self:
        self._closed = False
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections that are not in use, and each of the others once it is not."""
        self._closed = True
        self._close_idle()

    def _close_idle(self) -> None:
        with contextlib.suppress(IndexError):  # another thread may take the last one
            while True:
                self._idle.pop().close()

    def run(self, language: str, code: str, **options: Unpack[RunOptions]) -> RunResult:
        """Runs a program to its end.

        Raises NotRunningError without a daemon, and RemoteError when the daemon
        refuses or cannot. A program that fails is a result.
        """
        with RunStream(self, run_params(language, code, options, stream=False)) as stream:
            stdin = options.get("stdin")
            if stdin is not None and not isinstance(stdin, str | bytes):
                stream.feed(stdin)
            for _ in stream:
                pass
            return stream.result

    def stream(self, language: str, code: str, **options: Unpack[RunOptions]) -> RunStream:
        """A run whose events are seen as they come; see RunStream.

        To stream stdin, pass `stdin=()` and use `send_stdin` and `end_stdin`.
        """
        return RunStream(self, run_params(language, code, options, stream=True))

    def attach(self, run: str, *, after: int | None = None) -> RunStream:
        """A kept run, joined from any client of its owner's, also after its end.

        `after` is the `seq` of a stream that was left: only what follows it comes.
        Iterating raises RunNotFoundError for a run that is not there, or another's.
        """
        return RunStream(self, AttachParams(run=run, after=after))

    def kill(self, run: str) -> bool:
        """Ends a kept run; returns once it has ended, False where it had before. Raises
        RunNotFoundError."""
        return not self._call(Method.RUN_KILL, KillParams(run=run), Killed).had_ended

    def map(
        self, programs: Programs, concurrency: int = 8, progress: Progress | None = None
    ) -> list[Outcome]:
        """Runs many programs, so many at once; results in order, errors in their place."""
        from sandboxd_client.batch import map_programs  # noqa: PLC0415 - it imports this module

        return map_programs(self, programs, concurrency, progress)

    def session(self, language: str, **options: Unpack[SessionOptions]) -> Session:
        """A session, opened by entering it."""
        return Session(self, session_params(language, options))

    def sessions(self) -> list[SessionInfo]:
        """The open ones of this user, oldest first; root sees everybody's."""
        return self._call(Method.SESSION_LIST, NoParams(), list[SessionInfo])

    def close_session(self, session: str) -> None:
        """Ends one by its id, such as one that was kept. Raises SessionNotFoundError."""
        self._call(Method.SESSION_CLOSE, SessionParams(session=session), Nothing)

    def initialize(self) -> InitializeResult:
        params = InitializeParams(client="sandboxd-client")
        return self._call(Method.INITIALIZE, params, InitializeResult)

    def languages(self) -> list[LanguageInfo]:
        return self._call(Method.LANGUAGES, NoParams(), list[LanguageInfo])

    def status(self) -> StatusResult:
        return self._call(Method.STATUS, NoParams(), StatusResult)

    def health(self) -> HealthResult:
        return self._call(Method.HEALTH, NoParams(), HealthResult)

    def history(
        self,
        *,
        limit: int = 50,
        before: str | None = None,
        status: Status | None = None,
        language: str | None = None,
    ) -> list[RunSummary]:
        """Runs that have ended, the newest first; `before` is a run to go on after."""
        params = HistoryListParams(limit=limit, before=before, status=status, language=language)
        return self._call(Method.HISTORY_LIST, params, list[RunSummary])

    def history_get(self, run: str) -> RunRecord:
        """All that is kept of a run. Raises RunNotFoundError."""
        return self._call(Method.HISTORY_GET, HistoryGetParams(run=run), RunRecord)

    def debug_report(self, run: str | None = None, **facts: Unpack[DebugFacts]) -> DebugReport:
        """What went wrong in a run of the history, or in one whose facts are given."""
        params = DebugParams(run=run, **facts)
        return self._call(Method.DEBUG_REPORT, params, DebugReport)

    def _call(self, method: Method, params: Params, kind: type[_Result]) -> _Result:
        connection = self._acquire()
        try:
            self._agree(connection, pieces=kind is FilesRead)
            message, arriving = self._exchange(connection, method, params)
        except BaseException:
            connection.close()
            raise
        self._release(connection)
        return arriving.put_into(to_result(message, kind))

    def _ask(
        self, connection: Connection, method: Method, params: Params, kind: type[_Result]
    ) -> _Result:
        """The same on a connection that the caller has, and keeps."""
        return to_result(self._exchange(connection, method, params)[0], kind)

    def _exchange(
        self, connection: Connection, method: Method, params: Params
    ) -> tuple[Incoming, Arriving]:
        request, arriving = self._next_id(), Arriving()
        params, following = split(params)
        connection.send(request_line(request, method, params))
        while True:
            message = parse_line(connection.read_line())
            # What it was told before may be answered first.
            if message.method is None and message.id in (request, None):
                return message, arriving
            match to_event(message):
                case FilesWanted():
                    for piece in pieces(request, following):
                        connection.send(notification_line(Method.FILES_INPUT, piece))
                case FilesOutput() as output:
                    arriving.add(output)

    def _agree(self, connection: Connection, *, raw: bool = False, pieces: bool = False) -> None:
        """Asks for the forms of output and files that are still missing on a connection."""
        if (raw and not connection.raw) or (pieces and not connection.pieces):
            connection.raw = connection.raw or raw
            connection.pieces = True
            connection.send(forms_line(self._next_id(), raw=connection.raw))

    def _next_id(self) -> int:
        return next(self._ids)

    def _acquire(self) -> Connection:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return Connection(self.socket)
            try:
                connection.read_available()
            except ConnectionLostError:
                connection.close()  # the daemon was restarted meanwhile
            else:
                return connection

    def _release(self, connection: Connection) -> None:
        self._idle.append(connection)
        if self._closed:  # by another thread, maybe just now
            self._close_idle()
