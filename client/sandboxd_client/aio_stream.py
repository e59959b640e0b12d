"""A run under way, for the asynchronous client: its events as they come, and its stdin."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from sandboxd_client._files import pieces, split
from sandboxd_client._wire import (
    STDIN_CHUNK,
    Event,
    Following,
    Incoming,
    Piece,
    end_of_input_line,
    input_lines,
    notification_line,
    request_line,
)
from sandboxd_client.errors import SandboxError
from sandboxd_client.protocol import (
    AttachParams,
    Blob,
    CancelParams,
    InterruptParams,
    Method,
    RunParams,
    Signal,
)

if TYPE_CHECKING:
    from sandboxd_client.aio import AsyncClient

BUFFERED_EVENTS = 256
"""Events a slow consumer may leave lying before the connection is read no further."""


class AsyncRunStream(Following):
    """A run under way: iterate over its events, then look at `result`.

    Leaving it before the end kills the program, unless it is a kept one. All runs of
    a client share its connection: one whose events nobody takes holds up the others.
    """

    _ENTERING = "async with client.stream(…) as run"

    def __init__(self, client: AsyncClient, params: RunParams | AttachParams) -> None:
        super().__init__(params)
        self._client = client
        self._incoming: asyncio.Queue[Incoming | SandboxError] = asyncio.Queue(BUFFERED_EVENTS)

    async def __aenter__(self) -> Self:
        self._entered = self._client._next_id()
        params, following = split(self._params)
        line = request_line(self._request, self._method, params)
        if self._has_outputs:
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

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._ended:
            event = await self._next()
            if event is not None:
                return event
        raise StopAsyncIteration

    async def _next(self) -> Event | None:
        if self._entered is None:
            raise self._not_entered()
        message = await self._incoming.get()
        if isinstance(message, SandboxError):
            self._ended = True
            raise message
        event = self._digest(message)
        if isinstance(event, Piece):
            raise SandboxError("the daemon sends raw output, which this client has not asked for")
        return event

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
                while self.stdin_room < STDIN_CHUNK:
                    if self._ended:
                        return
                    await self._next()
                await self.send_stdin(chunk[start : start + STDIN_CHUNK])
        await self.end_stdin()

    async def interrupt(self, signal: Signal | Literal["INT", "TERM", "HUP"] = "INT") -> None:
        """Sends the program a signal, as Ctrl-C sends SIGINT; nothing before it has started."""
        params = InterruptParams(id=self._request, signal=Signal(signal))
        await self._client._send(notification_line(Method.RUN_INTERRUPT, params))

    async def cancel(self) -> None:
        """Asks for the program to be killed; the iteration then ends in CancelledError.

        Of one that was attached to, only the following ends: see `AsyncClient.kill`.
        """
        params = CancelParams(id=self._request)
        if not self._client._connected:
            return  # the run went with its connection
        await self._client._send(notification_line(Method.CANCEL, params))
