"""Something that listens where a daemon should, and answers as a test says."""

from __future__ import annotations

import fcntl
import socket
import sys
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.wait import DEADLINE

Behaviour = Callable[[socket.socket], None]


def read_line(connection: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n") and (byte := connection.recv(1)):
        line += byte
    return line


def drain(connection: socket.socket) -> None:
    """Reads until the other side closes."""
    while connection.recv(1 << 20):
        pass


def wait_until_read(connection: socket.socket) -> None:
    """Waits until the other side has taken all that was sent to it."""
    deadline = time.monotonic() + DEADLINE
    while int.from_bytes(fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)), sys.byteorder):
        if time.monotonic() > deadline:
            raise AssertionError("what was sent is not read")


class Impostor:
    """Treats each connection by the next behaviour, in a thread, and then closes it."""

    def __init__(self, folder: Path, *behaviours: Behaviour) -> None:
        self.socket = folder / "impostor.sock"
        self._behaviours = behaviours
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.socket))
        self._listener.listen()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._thread.join(DEADLINE)
        self._listener.close()
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        for behaviour in self._behaviours:
            connection, _ = self._listener.accept()
            with connection:
                connection.settimeout(DEADLINE)
                behaviour(connection)
