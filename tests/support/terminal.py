"""A program in a terminal, as when somebody sits there and types."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.support.wait import DEADLINE

_LEADER = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
if sys.argv[1] == "behind":
    child = os.fork()
    if child:
        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    os.setpgid(0, 0)
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Makes the terminal on stdin that which controls a program, and starts it."""


class Terminal:
    """A program in a terminal of its own."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.shown = b""
        self._seen = 0
        self._process = process
        self._master = master

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def wait_for(self, text: bytes) -> None:
        """Until it shows that, behind what was waited for before."""
        while (at := self.shown.find(text, self._seen)) < 0:
            assert self._read(), f"it shows {self.shown!r}"
        self._seen = at + len(text)

    def end(self) -> int:
        """All is shown then; gives the exit code."""
        while self._read():
            pass
        return self._process.wait(DEADLINE)

    def _read(self) -> bytes:
        ready, _, _ = select.select([self._master], [], [], DEADLINE)
        assert ready, f"it shows {self.shown!r}"
        try:
            data = os.read(self._master, 4096)
        except OSError:  # nobody has the other end any more
            return b""
        self.shown += data
        return data


@contextmanager
def terminal(
    command: list[str], place: str = "front", environment: Mapping[str, str] | None = None
) -> Iterator[Terminal]:
    """Starts a command there; "behind" another that has the terminal, if so said."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", _LEADER, place, *command],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, **(environment or {})},
    )
    os.close(slave)
    try:
        with process:
            yield Terminal(process, master)
            process.kill()
    finally:
        os.close(master)
