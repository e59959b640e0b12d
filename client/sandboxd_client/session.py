"""Sessions: runs that find what the ones before them left.

    with client.session("python") as session:
        session.run("x = 6")
        print(session.run("x * 7").value)

The asynchronous one is the same with `async with` and `await`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypedDict, TypeVar, Unpack

from sandboxd_client._files import Files, wire_files, written_files
from sandboxd_client._wire import RunOptions
from sandboxd_client.errors import (
    ConnectionLostError,
    NotRunningError,
    SessionNotFoundError,
    UsageError,
)
from sandboxd_client.protocol import (
    FileInfo,
    FilePart,
    FilesListParams,
    FilesRead,
    FilesReadParams,
    FilesWriteParams,
    Limits,
    Method,
    Nothing,
    Params,
    RunResult,
    SessionOpened,
    SessionOpenParams,
)

if TYPE_CHECKING:
    from sandboxd_client.aio import AsyncClient
    from sandboxd_client.aio_stream import AsyncRunStream
    from sandboxd_client.stream import RunStream
    from sandboxd_client.sync import Client

_Result = TypeVar("_Result")
_GONE = (SessionNotFoundError, ConnectionLostError, NotRunningError)


class SessionOptions(TypedDict, total=False):
    """What a session may be asked for besides its language; see `SessionOpenParams`."""

    limits: Limits
    """Of its container; those of output and time hold for each run."""
    network: bool
    read_only: bool
    profile: str | None
    packages: list[str]
    env: dict[str, str]
    files: Files
    ttl: float
    """Seconds that it may lie unused."""
    keep: bool
    """It is not closed with its connection, nor on leaving."""


def session_params(language: str, options: SessionOptions) -> SessionOpenParams:
    rest: dict[str, Any] = dict(options)
    if "files" in rest:
        rest["files"] = wire_files(rest["files"])
    return SessionOpenParams(language=language, **rest)


class _Base:
    _ENTERING = "with client.session(…) as session"

    def __init__(self, params: SessionOpenParams) -> None:
        self._params = params
        self._opened: SessionOpened | None = None

    @property
    def id(self) -> str:
        """Raises UsageError before it is entered, as all does that is asked of it."""
        if self._opened is None:
            raise UsageError(f"the session is not open: enter it first, by `{self._ENTERING}:`")
        return self._opened.session

    @property
    def language(self) -> str:
        return self._params.language

    def _its(self, options: RunOptions) -> Any:
        return {**options, "session": self.id}


class SessionFiles(_Base):
    """What the sessions of the blocking clients have in common."""

    def _ask(self, method: Method, params: Params, kind: type[_Result]) -> _Result:
        raise NotImplementedError

    def write_files(self, files: Files) -> None:
        """Lays files anew, or with an offset writes into those that are there; see `File`."""
        params = FilesWriteParams(session=self.id, files=written_files(files))
        self._ask(Method.FILES_WRITE, params, Nothing)

    def read_files(self, paths: Iterable[str | FilePart]) -> FilesRead:
        """Regular files, or parts of them; what does not come is listed with the reason."""
        params = FilesReadParams(session=self.id, paths=list(paths))
        return self._ask(Method.FILES_READ, params, FilesRead)

    def list_files(self, path: str | None = None) -> list[FileInfo]:
        """All that is in the work folder, or in a folder of it, and below."""
        params = FilesListParams(session=self.id, path=path)
        return self._ask(Method.FILES_LIST, params, list[FileInfo])


class Session(SessionFiles):
    """Opened by entering, closed by leaving; see `Client.session`."""

    def __init__(self, client: Client, params: SessionOpenParams) -> None:
        super().__init__(params)
        self._client = client

    def __enter__(self) -> Self:
        # A connection of its own: a run that is left early closes the one it had.
        self._connection = self._client._acquire()
        try:
            self._opened = self._client._ask(
                self._connection, Method.SESSION_OPEN, self._params, SessionOpened
            )
        except BaseException:
            self._connection.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if not self._params.keep:
                self.close()
        finally:
            self._connection.close()

    def close(self) -> None:
        """Ends it, and what runs in it. One that is gone already is no error."""
        with contextlib.suppress(*_GONE):
            self._client.close_session(self.id)

    def run(self, code: str, **options: Unpack[RunOptions]) -> RunResult:
        """See `Client.run`. `state` tells whether the next run finds what this one left."""
        return self._client.run(self.language, code, **self._its(options))

    def stream(self, code: str, **options: Unpack[RunOptions]) -> RunStream:
        """See `Client.stream`."""
        return self._client.stream(self.language, code, **self._its(options))

    def _ask(self, method: Method, params: Params, kind: type[_Result]) -> _Result:
        return self._client._call(method, params, kind)


class AsyncSession(_Base):
    """Opened by entering, closed by leaving; see `AsyncClient.session`."""

    _ENTERING = "async with client.session(…) as session"

    def __init__(self, client: AsyncClient, params: SessionOpenParams) -> None:
        super().__init__(params)
        self._client = client

    async def __aenter__(self) -> Self:
        self._opened = await self._client._call(Method.SESSION_OPEN, self._params, SessionOpened)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._params.keep:
            await self.close()

    async def close(self) -> None:
        """Ends it, and what runs in it. One that is gone already is no error."""
        with contextlib.suppress(*_GONE):
            await self._client.close_session(self.id)

    async def run(self, code: str, **options: Unpack[RunOptions]) -> RunResult:
        """See `AsyncClient.run`. `state` tells whether the next run finds what this one left."""
        return await self._client.run(self.language, code, **self._its(options))

    def stream(self, code: str, **options: Unpack[RunOptions]) -> AsyncRunStream:
        """See `AsyncClient.stream`."""
        return self._client.stream(self.language, code, **self._its(options))

    async def write_files(self, files: Files) -> None:
        params = FilesWriteParams(session=self.id, files=written_files(files))
        await self._client._call(Method.FILES_WRITE, params, Nothing)

    async def read_files(self, paths: Iterable[str | FilePart]) -> FilesRead:
        """Regular files, or parts of them; what does not come is listed with the reason."""
        params = FilesReadParams(session=self.id, paths=list(paths))
        return await self._client._call(Method.FILES_READ, params, FilesRead)

    async def list_files(self, path: str | None = None) -> list[FileInfo]:
        """All that is in the work folder, or in a folder of it, and below."""
        params = FilesListParams(session=self.id, path=path)
        return await self._client._call(Method.FILES_LIST, params, list[FileInfo])
