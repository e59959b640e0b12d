"""One client's connection: requests in, exactly one answer out for each."""

from __future__ import annotations

import asyncio
import resource
import select
import signal
import socket
import struct
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import structlog
from msgspec import Struct, UnsetType

from sandboxd.errors import InvalidParamsError, NotPermittedError, PayloadTooLargeError, WireError
from sandboxd.rpc import dispatch
from sandboxd.rpc.dispatch import RequestError
from sandboxd.rpc.framing import LineReader, LineTooLong
from sandboxd.rpc.methods import HANDLERS, Handler, Methods
from sandboxd.rpc.transfers import Contents, Transfer
from sandboxd_client.protocol import (
    CANCELLED,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    STDIN_WINDOW,
    CancelParams,
    ErrorObject,
    FilesInputParams,
    FilesRead,
    InputFile,
    InputParams,
    InterruptParams,
    Method,
    Request,
    RequestId,
    RunOutput,
    RunQueued,
    RunResult,
    RunStarted,
    RunStdin,
    from_blob,
    to_blob,
)

if TYPE_CHECKING:
    from sandboxd.config import RpcConfig
    from sandboxd.run.active import ActiveRun
    from sandboxd.run.laid import LaidFile

_log = structlog.get_logger("sandboxd.rpc")

_WRITE_BUFFER = 256 * 1024
_SOCKET_BUFFER = 512 * 1024
"""Output that the kernel takes at once spares a copy of what it would not."""
_UNREAD_MAX = 16 * 1024 * 1024
"""Bytes of answers that may wait for a client which goes on asking."""
_PEEK = 0.2
_UNREAD, _EARLY = "unread answers", "early stdin"
_PEER = struct.Struct("3i")  # pid, uid, gid


class Hub(Struct, eq=False):
    """What all connections of a server share."""

    methods: Methods
    config: RpcConfig
    connections: set[Connection]
    may_use: Callable[[int], bool]
    """Whether an owner may use the daemon."""

    @property
    def most_connections(self) -> int:
        """Half of the descriptors are kept back, for containers above all."""
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return min(self.config.max_connections, descriptors // 2)


class Connection(asyncio.Protocol):
    """Requests run concurrently; output is written as it comes, and a client that
    does not read holds up its own programs and nobody else's."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._lines = LineReader(hub.config.max_line)
        self._tasks: dict[RequestId, asyncio.Task[Any]] = {}
        self._runs: dict[RequestId, ActiveRun] = {}
        self._early_input: dict[RequestId, list[InputParams]] = {}
        self.contents = Contents()
        self._paused = False
        self._when_writable: list[Callable[[], None]] = []
        self._stall: asyncio.TimerHandle | None = None
        self._holders: set[object] = set()
        """Why nothing is read at the moment: each reason is taken back by itself."""
        self._peek: asyncio.TimerHandle | None = None
        self._closing = False
        self.owner = -1
        self.raw = False
        """Whether output follows its notification as bytes instead of being in it."""
        self.pieces = False
        """Whether large files come ahead of their answer instead of being in it."""
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    # --- the transport's side ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_WRITE_BUFFER)
        peer: socket.socket = transport.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER)
        credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
        self.owner = _PEER.unpack(credentials)[1]
        self._allowed = self._hub.may_use(self.owner)
        if len(self._hub.connections) >= self._hub.most_connections:
            _log.warning("connection refused", owner=self.owner, open=len(self._hub.connections))
            self._transport.abort()
            return
        self._hub.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._hub.connections.discard(self)
        self._disarm()
        if self._peek is not None:
            self._peek.cancel()
        for task in self._tasks.values():
            task.cancel()
        self._hub.methods.client_left(id(self))
        self.resume_writing()
        self.closed.set_result(None)

    @property
    def patience(self) -> float:
        """Seconds that the client may keep the daemon waiting."""
        return self._hub.config.stall_timeout

    def close(self) -> None:
        """Takes no more requests; closes once those that were taken are answered."""
        self._closing = True
        self._hold(self)
        self._close_if_answered()

    def _close_if_answered(self) -> None:
        if self._closing and not self._tasks:
            self._transport.close()  # once all that was written has been sent

    def abort(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        for line in self._lines.feed(data):
            if isinstance(line, LineTooLong):
                error = PayloadTooLargeError(
                    f"a line may have {self._hub.config.max_line} bytes ([rpc] max_line); this "
                    "one was not read: code, files and stdin can follow their request in pieces"
                )
                identity = dispatch.id_in(line.start)
                self._write(dispatch.error_line(identity, dispatch.to_error_object(error)))
            else:
                self._take(line)

    def pause_writing(self) -> None:
        self._paused = True
        loop = asyncio.get_running_loop()
        self._stall = loop.call_later(self._hub.config.stall_timeout, self._stalled)

    def resume_writing(self) -> None:
        self._paused = False
        self._disarm()
        self._release(_UNREAD)
        callbacks, self._when_writable = self._when_writable, []
        for callback in callbacks:
            callback()

    def _stalled(self) -> None:
        _log.warning("connection dropped: its output was not read", owner=self.owner)
        self._transport.abort()

    def _disarm(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _write(self, line: bytes | memoryview) -> None:
        if not self._transport.is_closing():
            self._transport.write(line)
            if self._transport.get_write_buffer_size() > _UNREAD_MAX:
                self._hold(_UNREAD)

    def _hold(self, holder: object) -> None:
        """Reads no more, for a reason: the client has to wait."""
        self._holders.add(holder)
        self._transport.pause_reading()
        if self._peek is None:
            self._peek = asyncio.get_running_loop().call_later(_PEEK, self._look)

    def _release(self, holder: object) -> None:
        self._holders.discard(holder)
        if not self._holders:
            self._transport.resume_reading()

    def _look(self) -> None:
        """While nothing is read, the end of the connection is not seen by itself."""
        self._peek = None
        if not self._holders or self._transport.is_closing():
            return
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLRDHUP)
        if poll.poll(0):
            self._transport.abort()
        else:
            self._peek = asyncio.get_running_loop().call_later(_PEEK, self._look)

    def notify(self, method: Method, params: Any, behind: bytes = b"") -> None:
        """A notification, with raw bytes behind its line."""
        line = dispatch.notification_line(method, params)
        # Of a view, what is not sent at once is copied once, and not twice.
        self._write(memoryview(b"".join((line, behind))) if behind else line)

    def when_writable(self, callback: Callable[[], None]) -> bool:
        """False when more can be written now; otherwise the callback comes once it can."""
        if self._paused:
            self._when_writable.append(callback)
        return self._paused

    # --- the requests' side ---

    def _take(self, line: bytes) -> None:
        try:
            request = dispatch.parse(line)
            if isinstance(request.id, UnsetType):
                self._notified(request)
            else:
                self._asked(request, request.id)
        except RequestError as error:
            self._write(dispatch.error_line(error.request, ErrorObject(error.code, str(error))))

    def _notified(self, request: Request) -> None:
        """A notification has no answer, also when nothing comes of it."""
        try:
            match request.method:
                case Method.CANCEL:
                    self._cancel(dispatch.parse_params(request, CancelParams).id)
                case Method.RUN_INPUT:
                    self._input(dispatch.parse_params(request, InputParams))
                case Method.FILES_INPUT:
                    piece = dispatch.parse_params(request, FilesInputParams)
                    self.contents.take(piece, asked=piece.id in self._tasks)
                case Method.RUN_INTERRUPT:
                    self._interrupt(dispatch.parse_params(request, InterruptParams))
                case _:
                    _log.debug("notification passed over", method=request.method[:80])
        except RequestError as error:
            _log.debug("notification passed over", why=str(error))

    def _asked(self, request: Request, identity: RequestId) -> None:
        if identity in self._tasks:
            raise RequestError(
                INVALID_REQUEST, f"the id {identity!r} is in flight on this connection", identity
            )
        if not self._allowed:
            error = NotPermittedError("the operator does not let you use this daemon")
            self._write(dispatch.error_line(identity, dispatch.to_error_object(error)))
            return
        handler = HANDLERS.get(request.method)
        if handler is None:
            raise RequestError(
                METHOD_NOT_FOUND,
                f"there is no method {request.method!r}; there are {', '.join(HANDLERS)}",
                identity,
            )
        params = dispatch.parse_params(request, handler.params)
        work = self._work(identity, handler, params)
        task = self._tasks[identity] = asyncio.create_task(work)
        task.add_done_callback(partial(self._answer, identity))

    async def _work(self, identity: RequestId, handler: Handler, params: Any) -> Any:
        methods = self._hub.methods
        files = Transfer(identity, self, methods.incoming, methods.outgoing)
        try:
            context = _RequestContext(self, identity, files)
            result = await handler.call(methods, params, context)
            if self.pieces and isinstance(result, RunResult | FilesRead):
                return await files.send(result)
            return result
        finally:
            files.end()

    def _answer(self, identity: RequestId, task: asyncio.Task[Any]) -> None:
        """Every request comes by here once, also one that was cancelled before it began."""
        self._runs.pop(identity, None)
        if not self.closed.done():  # else a kept run may begin yet, and gets it
            self._early_input.pop(identity, None)
        self._release((_EARLY, identity))
        self.contents.answered(identity)
        del self._tasks[identity]
        try:
            line = self._answer_line(identity, task)
        except Exception:
            _log.exception("a request failed for a reason nobody foresaw", owner=self.owner)
            message = "internal error; the daemon's log tells more"
            line = dispatch.error_line(identity, ErrorObject(INTERNAL_ERROR, message))
        self._write(line)
        self._close_if_answered()

    def _answer_line(self, identity: RequestId, task: asyncio.Task[Any]) -> bytes:
        """The one place where an exception becomes an error on the wire."""
        try:
            return dispatch.result_line(identity, task.result())
        except asyncio.CancelledError:
            error = ErrorObject(CANCELLED, "cancelled")
        except WireError as failure:
            error = dispatch.to_error_object(failure)
        except InvalidParamsError as failure:
            error = ErrorObject(INVALID_PARAMS, str(failure))
        return dispatch.error_line(identity, error)

    def _cancel(self, identity: RequestId) -> None:
        """One that has been answered meanwhile is no error."""
        task = self._tasks.get(identity)
        if task is not None:
            task.cancel()

    # --- runs under way ---

    def _interrupt(self, params: InterruptParams) -> None:
        """One that has not started has nothing to interrupt yet."""
        run = self._runs.get(params.id)
        if run is not None:
            run.interrupt(signal.Signals[f"SIG{params.signal}"])

    def run_is_active(self, identity: RequestId, run: ActiveRun) -> None:
        self._runs[identity] = run
        for params in self._early_input.pop(identity, ()):
            self._feed(run, params)
        self._release((_EARLY, identity))

    def _input(self, params: InputParams) -> None:
        run = self._runs.get(params.id)
        if run is not None:
            self._feed(run, params)
        elif params.id in self._tasks:
            # Its run still waits for a container.
            early = self._early_input.setdefault(params.id, [])
            early.append(params)
            if sum(len(str(each.data)) for each in early) > STDIN_WINDOW:
                self._hold((_EARLY, params.id))

    def _feed(self, run: ActiveRun, params: InputParams) -> None:
        try:
            data = b"" if params.data is None else from_blob(params.data)
        except ValueError as error:
            raise RequestError(INVALID_PARAMS, f"run.input: {error}") from None
        run.feed(data, eof=params.eof)
        if run.when_room(partial(self._release, run)):
            # A client that minds run.stdin never comes to this.
            self._hold(run)


class _RequestContext:
    """What a handler gets of its connection: who asks, and where events go."""

    def __init__(self, connection: Connection, identity: RequestId, files: Transfer) -> None:
        self._connection = connection
        self._identity = identity
        self._files = files
        self.owner = connection.owner
        self.client = id(connection)

    @property
    def connected(self) -> bool:
        return not self._connection.closed.done()

    def is_active(self, run: ActiveRun) -> None:
        self._connection.run_is_active(self._identity, run)

    def queued(self, position: int, estimate: float | None) -> None:
        self._connection.notify(
            Method.RUN_QUEUED, RunQueued(id=self._identity, position=position, estimate=estimate)
        )

    def started(self, run: str, *, warm: bool, queued: float) -> None:
        self._connection.notify(
            Method.RUN_STARTED, RunStarted(id=self._identity, run=run, warm=warm, queued=queued)
        )

    @property
    def raw(self) -> bool:
        return self._connection.raw

    def use_forms(self, *, raw: bool, pieces: bool) -> None:
        self._connection.raw = raw
        self._connection.pieces = pieces

    async def receive(self, files: Mapping[str, str | InputFile], most: int) -> dict[str, LaidFile]:
        return await self._files.receive(files, most, self._connection.patience)

    def hand_over(self) -> Callable[[], None]:
        return self._files.hand_over()

    async def hold(self, size: int) -> None:
        await self._files.hold(size)

    def output(self, seq: int, stream: str, data: bytes) -> None:
        if self._connection.raw:
            params = RunOutput(id=self._identity, seq=seq, stream=stream, size=len(data))
            self._connection.notify(Method.RUN_OUTPUT, params, data)
        else:
            params = RunOutput(id=self._identity, seq=seq, stream=stream, data=to_blob(data))
            self._connection.notify(Method.RUN_OUTPUT, params)

    def stdin_taken(self, count: int) -> None:
        self._connection.notify(Method.RUN_STDIN, RunStdin(id=self._identity, taken=count))

    def when_writable(self, callback: Callable[[], None]) -> bool:
        return self._connection.when_writable(callback)
