"""One blocking connection to the daemon: lines out, lines in, and no deadlock."""

from __future__ import annotations

import contextlib
import select
import socket
from _thread import RLock, allocate_lock  # without what else `threading` loads

from sandboxd_client.errors import ConnectionLostError, NotRunningError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

_CHUNK = 256 * 1024


class Connection:
    """A socket and the bytes read from it.

    While a long line is sent, what arrives is read as well: the daemon may be
    waiting for its reader before it reads on. One thread may take what arrives while
    others send, as of a run whose stdin comes from elsewhere.
    """

    def __init__(self, path: str | Path, *, connect_timeout: float = 5.0) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(connect_timeout)
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise NotRunningError(path, error.strerror or str(error)) from None
        self._socket.setblocking(False)
        self.raw = False
        """Whether output was asked to follow its lines as bytes."""
        self.pieces = False
        """Whether large files were asked to come ahead of their answer."""
        self._buffer = bytearray(_CHUNK)
        self._start = self._end = 0
        """Where in the buffer what has been read and not been taken is."""
        self._searched = 0
        """Up to where it holds no newline."""
        self._arrived = False
        """Whether a sender read something that nobody who takes it has waited for."""
        self._sending = RLock()
        """Held for a whole line; a signal's handler may send, too."""
        self._reading = allocate_lock()
        """Held by whoever touches the buffer, or waits to."""

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        """Closes the connection, which cancels the runs it started."""
        with contextlib.suppress(OSError):  # which the other end may have done
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits to send
        self._socket.close()

    def send(self, line: bytes) -> None:
        """Sends a whole line. Raises ConnectionLostError."""
        left = memoryview(line)
        with self._sending:
            while left:
                try:
                    left = left[self._socket.send(left) :]
                except BlockingIOError:
                    self._wait_to_send()
                except OSError as error:
                    raise ConnectionLostError(
                        f"the daemon closed the connection: {error}"
                    ) from None

    def _wait_to_send(self) -> None:
        """Reads as well, unless another thread waits for what arrives."""
        if not self._reading.acquire(blocking=False):
            self._wait_for(select.POLLOUT)
            return
        try:
            if self._wait_for(select.POLLIN | select.POLLOUT) & select.POLLIN:
                self._arrived = True
                self._read()
        finally:
            self._reading.release()

    def _wait_for(self, events: int) -> int:
        poll = select.poll()
        try:
            poll.register(self._socket, events)
        except ValueError:
            raise ConnectionLostError("the connection was closed from this side") from None
        return poll.poll()[0][1]

    def read_available(self) -> None:
        """Takes what has arrived, if anything. Raises ConnectionLostError at the end."""
        with self._reading:
            self._read()

    def _read(self) -> None:
        self._make_room()
        try:
            count = self._socket.recv_into(memoryview(self._buffer)[self._end :])
        except BlockingIOError:
            return
        except OSError as error:
            raise ConnectionLostError(f"the connection broke: {error}") from None
        if not count:
            raise ConnectionLostError(
                "the daemon closed the connection before it answered; its log tells why"
            )
        self._end += count

    def _make_room(self) -> None:
        """What is left moves to the front; a line that fills the buffer gets a larger one."""
        if self._start:
            left = self._end - self._start
            self._buffer[:left] = self._buffer[self._start : self._end]
            self._searched -= self._start
            self._start, self._end = 0, left
        if self._end == 0 and len(self._buffer) > _CHUNK:
            self._buffer = bytearray(_CHUNK)
        if self._end == len(self._buffer):
            self._buffer += bytes(len(self._buffer))

    def next_line(self) -> bytes | None:
        """The next line that has arrived whole, without its newline."""
        with self._reading:
            at = self._buffer.find(b"\n", max(self._searched, self._start), self._end)
            if at < 0:
                self._searched = self._end
                return None
            line = bytes(memoryview(self._buffer)[self._start : at])
            self._start = at + 1
            return line

    def next_bytes(self, count: int, *, whole: bool = False) -> bytes:
        """Of so many bytes that follow a line those that have arrived; all, or none, if whole."""
        with self._reading:
            at = min(self._start + count, self._end)
            if whole and at < self._start + count:
                return b""
            data = bytes(memoryview(self._buffer)[self._start : at])
            self._start = at
            return data

    def wait(self) -> None:
        """Waits until more has arrived. Raises ConnectionLostError."""
        with self._reading:
            if not self._arrived:
                self._wait_for(select.POLLIN)
                self._read()
            self._arrived = False

    def read_line(self) -> bytes:
        """Waits for a line. Raises ConnectionLostError."""
        while (line := self.next_line()) is None:
            self.wait()
        return line
