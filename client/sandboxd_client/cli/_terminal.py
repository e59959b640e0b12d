"""What a program gets of the terminal or the pipes that `sandbox run` stands in."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys

from sandboxd_client.errors import SandboxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import Self

_STANDARD = (0, 1, 2)
_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def fill_closed() -> None:
    """Opens /dev/null for each of the standard streams that is closed: the connection would
    get its number, and be written to. It is opened to be read, so that what is written
    there fails as on what is closed."""
    for descriptor in _STANDARD:
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)  # gets the lowest free number, which is this one
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    # Our own words have nowhere else to go.
    sys.stderr = sys.stderr or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")


def may_read_stdin() -> bool:
    """Whether what comes on stdin is for the program: what is typed while another process
    has the terminal is not."""
    if not os.isatty(0):
        return True
    with contextlib.suppress(OSError):  # not the terminal that controls this process
        return os.tcgetpgrp(0) == os.getpgrp()
    return True


def read_stdin(most: int) -> bytes:
    """Some of it; nothing at its end, or where it cannot be read."""
    try:
        return os.read(0, most)
    except OSError:  # a folder, say, or a terminal that hung up
        return b""


def write(descriptor: int, data: bytes) -> None:
    """Writes all of it. Raises OSError."""
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(descriptor, left) :]
        except BlockingIOError:  # whoever shares it with us made it so
            select.select([], [descriptor], [])


def print_out(stream: str, data: bytes) -> None:
    """To our own of that name. Raises BrokenPipeError, and SandboxError for what else fails."""
    try:
        write(1 if stream == "stdout" else 2, data)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise SandboxError(f"cannot write to {stream}: {error.strerror}") from None


class Interrupts:
    """Ctrl-C, SIGTERM and SIGHUP, told by a descriptor that becomes readable where the first
    of them is `passed_on` to the program. Otherwise, and when another comes, they end this
    command: with 128 and their number."""

    def __init__(self, *, passed_on: bool) -> None:
        self._read, self._write = os.pipe()
        self._before = {number: signal.getsignal(number) for number in _INTERRUPTS}
        self._told = not passed_on

    def __enter__(self) -> Self:
        for number, before in self._before.items():
            if before is not signal.SIG_IGN:  # as of a job that a script put aside, or nohup's
                signal.signal(number, self._interrupted)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        os.close(self._read)
        os.close(self._write)

    def fileno(self) -> int:
        return self._read

    def take(self) -> int:
        """Its number; makes the descriptor unreadable again."""
        return os.read(self._read, 1)[0]

    def _interrupted(self, number: int, _: FrameType | None) -> None:
        if self._told:
            raise SystemExit(128 + number)
        self._told = True
        os.write(self._write, bytes([number]))
