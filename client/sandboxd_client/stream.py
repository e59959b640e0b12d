"""A run under way, for the synchronous client: its events as they come, and its stdin."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from msgspec import structs

from sandboxd_client._files import pieces, split
from sandboxd_client._wire import (
    STDIN_CHUNK,
    Event,
    Following,
    Output,
    Piece,
    end_of_input_line,
    input_lines,
    notification_line,
    parse_line,
    request_line,
)
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
    from sandboxd_client._connection import Connection
    from sandboxd_client.sync import Client


class RunStream(Following):
    """A run under way: iterate over its events, then look at `result`.

        with client.stream("python", code) as run:
            for event in run:
                ...
        print(run.result.exit_code)

    Leaving it before the end kills the program, unless it is a kept one.
    """

    def __init__(self, client: Client, params: RunParams | AttachParams) -> None:
        super().__init__(params)
        self._client = client
        self._link: Connection | None = None
        self._streams = not isinstance(params, RunParams) or params.stream
        self._raw: Piece | None = None
        """Output whose bytes, or the last of them, have not arrived yet."""
        self._keeps_count = not isinstance(params, RunParams) or params.keep
        """Pieces are handed out whole, so that `seq` tells what the caller has."""

    def __enter__(self) -> Self:
        self._link = self._client._acquire()
        self._entered = self._client._next_id()
        params, following = split(self._params)
        try:
            self._client._agree(self._connection, raw=self._streams, pieces=self._has_outputs)
            self._connection.send(request_line(self._request, self._method, params))
            if following:
                self._send_files(following)
        except BaseException:
            self._connection.close()
            raise
        return self

    @property
    def _connection(self) -> Connection:
        """Raises UsageError before it is entered."""
        if self._link is None:
            raise self._not_entered()
        return self._link

    def _send_files(self, following: dict[str, Blob]) -> None:
        """Sends the content that the line had no room for, once it is wanted."""
        while not self._files_wanted:
            if self._next() is None and not self._files_wanted:
                self._connection.wait()
        for piece in pieces(self._request, following):
            self._connection.send(notification_line(Method.FILES_INPUT, piece))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._ended:
            self._client._release(self._connection)
        else:
            self._connection.close()

    def fileno(self) -> int:
        """Readable when `take` may have something."""
        return self._connection.fileno()

    def __iter__(self) -> Iterator[Event]:
        while True:
            event = self._next()
            if event is not None:
                yield event
            elif self._ended:
                return
            else:
                self._connection.wait()

    def take(self) -> Iterator[Event]:
        """The events that have arrived, without waiting for more."""
        self._connection.read_available()
        while (event := self._next()) is not None:
            yield event

    def _next(self) -> Event | None:
        """The next event that has arrived; None when there is none, or no more."""
        while not self._ended:
            if (piece := self._raw) is not None:
                data = self._connection.next_bytes(piece.size, whole=self._keeps_count)
                left = piece.size - len(data)
                self._raw = structs.replace(piece, size=left) if left else None
                if not left:
                    self.seq = piece.seq
                if data:
                    return Output(piece.stream, data)
                if left:
                    return None
            line = self._connection.next_line()
            if line is None:
                return None
            message = parse_line(line)
            if message.method is None and message.id not in (self._request, None):
                continue  # it answers what the connection was told before
            event = self._digest(message)
            if isinstance(event, Piece):
                self._raw = event
            elif event is not None:
                return event
        return None

    def send_stdin(self, data: bytes) -> None:
        """Sends stdin to a run that was started with it streamed."""
        self._stdin_sent += len(data)
        for line in input_lines(self._request, data):
            self._connection.send(line)

    def end_stdin(self) -> None:
        self._connection.send(end_of_input_line(self._request))

    def feed(self, chunks: Iterable[bytes]) -> None:
        """Sends all of stdin as the program takes it, passing over events meanwhile."""
        for chunk in chunks:
            for start in range(0, len(chunk), STDIN_CHUNK):
                while self.stdin_room < STDIN_CHUNK and not self._ended:
                    # What it has passed over may have told of room, and be the last to come.
                    if self._next() is None and self.stdin_room < STDIN_CHUNK and not self._ended:
                        self._connection.wait()
                if self._ended:
                    return
                self.send_stdin(chunk[start : start + STDIN_CHUNK])
        self.end_stdin()

    def interrupt(self, signal: Signal | Literal["INT", "TERM", "HUP"] = "INT") -> None:
        """Sends the program a signal, as Ctrl-C sends SIGINT; nothing before it has started."""
        params = InterruptParams(id=self._request, signal=Signal(signal))
        self._connection.send(notification_line(Method.RUN_INTERRUPT, params))

    def cancel(self) -> None:
        """Asks for the program to be killed; the iteration then ends in CancelledError.

        Of one that was attached to, only the following ends: see `Client.kill`.
        """
        params = CancelParams(id=self._request)
        self._connection.send(notification_line(Method.CANCEL, params))
