"""One blocking connection to the daemon: lines out, lines in, and no deadlock."""

from __future__ import annotations

import select
import socket

from sandboxd_client.errors import ConnectionLostError, NotRunningError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

_CHUNK = 256 * 1024


class Connection:
    """A socket and the bytes read from it.

    While a long line is sent, what arrives is read as well: the daemon may be
    waiting for its reader before it reads on.
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
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        """Closes the connection, which cancels the runs it started."""
        self._socket.close()

    def send(self, line: bytes) -> None:
        """Sends a whole line. Raises ConnectionLostError."""
        left = memoryview(line)
        while left:
            try:
                left = left[self._socket.send(left) :]
            except BlockingIOError:
                self._wait_to_send()
            except OSError as error:
                raise ConnectionLostError(f"the daemon closed the connection: {error}") from None

    def _wait_to_send(self) -> None:
        self._poll.modify(self._socket, select.POLLIN | select.POLLOUT)
        try:
            for _, event in self._poll.poll():
                if event & select.POLLIN:
                    self.read_available()
        finally:
            self._poll.modify(self._socket, select.POLLIN)

    def read_available(self) -> None:
        """Takes what has arrived, if anything. Raises ConnectionLostError at the end."""
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
        at = self._buffer.find(b"\n", max(self._searched, self._start), self._end)
        if at < 0:
            self._searched = self._end
            return None
        line = bytes(memoryview(self._buffer)[self._start : at])
        self._start = at + 1
        return line

    def next_bytes(self, count: int, *, whole: bool = False) -> bytes:
        """Of so many bytes that follow a line those that have arrived; all, or none, if whole."""
        at = min(self._start + count, self._end)
        if whole and at < self._start + count:
            return b""
        data = bytes(memoryview(self._buffer)[self._start : at])
        self._start = at
        return data

    def wait(self) -> None:
        """Waits until more has arrived. Raises ConnectionLostError."""
        self._poll.poll()
        self.read_available()

    def read_line(self) -> bytes:
        """Waits for a line. Raises ConnectionLostError."""
        while (line := self.next_line()) is None:
            self.wait()
        return line
