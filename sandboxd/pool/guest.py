"""One container's guest, seen from the daemon: frames in, frames out.

Nothing here waits. What the guest says goes at once to whoever has the lease,
and what it should not say ends the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Protocol

import structlog

from sandboxd.engine.port import Attachment
from sandboxd.errors import StartFailedError
from sandboxd.guest import frames
from sandboxd.guest.frames import Command, Event, Verdict

_log = structlog.get_logger("sandboxd.guest")

_OUTPUT = (Event.STDOUT, Event.STDERR)
_STDERR_KEPT = 4096


class RunHandler(Protocol):
    """Who runs something in the guest. Called in the event loop."""

    def output(self, stream: Event, data: bytes) -> None: ...

    def credit(self, count: int) -> None:
        """The program's side took so many bytes of stdin."""

    def note(self, data: bytes) -> None:
        """The runner says something about itself."""

    def ended(self, verdict: Verdict) -> None:
        """The program and all its processes are gone."""

    def file(self, data: bytes) -> None:
        """Bytes that answer `list_files` or `read_file`."""

    def file_end(self, error: int) -> None:
        """That answer is whole, or broke off with this errno."""

    def put_failed(self, error: int, path: str) -> None:
        """A file could not be laid: there will be no run."""

    def lost(self, why: str) -> None:
        """The container is gone, and the run with it."""


def _nobody_told(_: int) -> None:
    """Before there are streams."""


class Guest:
    """The receiver of a container's attachment, and the sender of its commands."""

    def __init__(self, *, on_ready: Callable[[], None], on_lost: Callable[[str], None]) -> None:
        loop = asyncio.get_running_loop()
        self.hello: asyncio.Future[dict[str, str]] = loop.create_future()
        self.up: asyncio.Future[None] = loop.create_future()
        """Done when the first child waits; raises StartFailedError."""
        self._on_ready = on_ready
        self._on_lost = on_lost
        self._reader = frames.FrameReader()
        self._attachment: Attachment | None = None
        self._handler: RunHandler | None = None
        self._words = b""
        self._pieces: list[bytes] | None = None
        self._streams = 0
        self._heard = True
        """Whether output is that of the streams that were made last."""
        self._input_taken: Callable[[int], None] = _nobody_told
        self.proof = b""
        """What the first child said of itself, in the kernel's words."""
        self.waits = False
        """Whether a child waits for a program."""
        self.lost = False
        """Whether the container is gone or given up."""

    async def next_child(self) -> None:
        """Waits until the next child waits. Raises StartFailedError."""
        self.up = asyncio.get_running_loop().create_future()
        if self.lost:
            raise StartFailedError("the container is gone")
        if self.waits:
            self.up.set_result(None)
        await self.up

    @property
    def namespaces(self) -> bool:
        """Whether each run gets fresh namespaces, so that the container may be used again."""
        return self.hello.done() and self.hello.result().get("namespaces") == "1"

    # --- to the guest ---

    def attached(self, attachment: Attachment) -> None:
        self._attachment = attachment

    def welcome(self) -> None:
        """Says that the engine knows this container. Without that word its guest soon ends:
        an engine that ends amid a start forgets the container, and nobody could remove it."""
        self._write(frames.encode(Command.WELCOME))

    def begin(self, handler: RunHandler, preparation: bytes) -> None:
        """Hands over a run; `preparation` is its frames, GO the last of them."""
        if self.lost:
            handler.lost("its container ended before the program was handed over")
            return
        self._handler = handler
        self._streams = 0
        self._heard = True
        self.waits = False
        self._write(preparation)

    def forget(self) -> None:
        """The run's handler wants to hear nothing more."""
        self._handler = None

    def send_stdin(self, data: bytes) -> None:
        self._write(frames.encode_data(Command.STDIN, data))

    def end_stdin(self) -> None:
        self._write(frames.encode(Command.STDIN_EOF))

    def make_streams(self, name: str, taken: Callable[[int], None]) -> None:
        """Makes standard streams for the next run of a session: fifos in the work folder,
        whose names are this and a dot and the descriptor's number. What earlier runs left
        behind is not heard from here on.

        `taken` is told of bytes of `send_input` that the program's side took.
        """
        self._streams += 1
        self._heard = False
        self._input_taken = taken
        self._write(frames.encode(Command.STREAMS, name.encode()))

    def send_input(self, data: bytes) -> None:
        """For the stdin among these."""
        self._write(frames.encode_data(Command.INPUT, data))

    def end_input(self) -> None:
        self._write(frames.encode(Command.INPUT_EOF))

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> None:
        """SIGINT, SIGTERM or SIGHUP to the program and its process group, before any stdin
        that follows."""
        self._write(frames.encode_interrupt(number))

    def kill(self) -> None:
        """Ends the run under way; `ended` will follow."""
        self._write(frames.encode(Command.KILL))

    def list_files(self) -> None:
        """Asks what is in the work folder; `file` and `file_end` will follow."""
        self._write(frames.encode(Command.LIST))

    def read_file(self, path: str, offset: int, length: int) -> None:
        """Asks for so much of a file; `file` and `file_end` will follow."""
        self._write(frames.encode_read(path, offset, length))

    def write_file(self, laying: bytes) -> None:
        """Lays a file in the work folder while a program runs, by its frames; `file_end`
        will follow."""
        self._write(laying + frames.encode(Command.PUT_END))

    def release(self) -> None:
        """Nothing more is wanted of a run that was held after its end."""
        self._write(frames.encode(Command.RELEASE))

    def pause(self) -> None:
        if self._attachment is not None:
            self._attachment.pause()

    def resume(self) -> None:
        if self._attachment is not None:
            self._attachment.resume()

    def close(self) -> None:
        """Lets go: the guest's stdin ends, and with it the container."""
        self._lose("closed by the daemon")
        if self._attachment is not None:
            self._attachment.close()

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """What is written meanwhile goes in one piece: each wakes all who pass it on."""
        pieces: list[bytes] = []
        self._pieces = pieces
        try:
            yield
        finally:
            self._pieces = None
            self._write(b"".join(pieces))

    def _write(self, data: bytes) -> None:
        if self._pieces is not None:
            self._pieces.append(data)
        elif self._attachment is not None and not self.lost:
            self._attachment.write(data)

    # --- from the guest ---

    def stdout(self, data: bytes) -> None:
        """Adjoining pieces of one stream go on as one: a million one-byte writes
        are not a million messages."""
        stream: int | None = None
        pieces: list[memoryview] = []
        try:
            for kind, payload in self._reader.feed(data):
                if kind != stream and pieces:
                    self._output(stream, pieces)
                    pieces = []
                if kind in _OUTPUT:
                    stream = kind
                    pieces.append(payload)
                else:
                    self._event(kind, bytes(payload))
        except frames.FrameError as error:
            self._output(stream, pieces)
            self._break(f"its guest broke the protocol: {error}")
        else:
            self._output(stream, pieces)

    def stderr(self, data: bytes) -> None:
        """The guest writes nothing here; what appears is a runtime's complaint."""
        self._words = (self._words + data)[-_STDERR_KEPT:]

    def closed(self) -> None:
        words = self._words.decode(errors="replace").strip()
        self._lose("its container ended" + (f": {words}" if words else ""))

    def _output(self, stream: int | None, pieces: list[memoryview]) -> None:
        if pieces and self._handler is not None and stream is not None and self._heard:
            self._handler.output(Event(stream), b"".join(pieces))

    def _event(self, kind: int, payload: bytes) -> None:
        match kind:
            case Event.READY:
                self.waits = True
                self.proof = self.proof or payload
                if not self.up.done():
                    self.up.set_result(None)
                else:
                    self._on_ready()
            case Event.HELLO:
                self._greeted(frames.decode_hello(payload))
            case Event.FATAL:
                self._break(f"its guest gave up: {payload.decode(errors='replace')}")
            case Event.STREAMS | Event.INPUT_CREDIT:
                self._streams_event(kind, payload)
            case _:
                self._run_event(kind, payload)

    def _streams_event(self, kind: int, payload: bytes) -> None:
        """What is said of earlier streams means nothing any more."""
        if kind == Event.STREAMS:
            self._heard = frames.decode_streams(payload) == self._streams
            return
        streams, count = frames.decode_input_credit(payload)
        if streams == self._streams:
            self._input_taken(count)

    def _run_event(self, kind: int, payload: bytes) -> None:
        handler = self._handler
        if handler is None:
            return  # its run is not wanted any more
        match kind:
            case Event.EXIT:
                handler.ended(frames.decode_verdict(payload))
            case Event.CREDIT:
                handler.credit(frames.decode_credit(payload))
            case Event.NOTE:
                handler.note(payload)
            case Event.FILE:
                handler.file(payload)
            case Event.FILE_END:
                handler.file_end(frames.decode_error(payload)[0])
            case Event.PUT_FAILED:
                handler.put_failed(*frames.decode_error(payload))
            case _:
                self._break(f"its guest sent a frame that does not exist: {kind:#04x}")

    def _greeted(self, hello: dict[str, str]) -> None:
        if hello.get("version") != str(frames.VERSION):
            self._break(
                f"its guest speaks frames {hello.get('version')}, not {frames.VERSION}: "
                "the image is of another version, `sandboxd images build` makes it anew"
            )
        elif not self.hello.done():
            self.hello.set_result(hello)

    def _break(self, why: str) -> None:
        self._lose(why)
        if self._attachment is not None:
            self._attachment.close()

    def _lose(self, why: str) -> None:
        if self.lost:
            return
        self.lost = True
        for future in (self.hello, self.up):
            if not future.done():
                future.set_exception(StartFailedError(f"a container did not start: {why}"))
                future.exception()  # whoever waits still gets it; nobody may be waiting
        handler, self._handler = self._handler, None
        if handler is not None:
            handler.lost(why)
        self._on_lost(why)
