"""`sandbox run` in a terminal, in a pipe, and where a stream is closed: as a program is there."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.client.test_cli import PROGRAM, run
from tests.support.service import ServiceThread
from tests.support.wait import DEADLINE

COMMAND = [sys.executable, "-c", PROGRAM, "run"]
MUCH = 3 * 1024 * 1024

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
        self._process = process
        self._master = master

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def wait_for(self, text: bytes) -> None:
        while text not in self.shown:
            assert self._read(), f"it shows {self.shown!r}"

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
def terminal(served: ServiceThread, *arguments: str, place: str = "front") -> Iterator[Terminal]:
    master, slave = pty.openpty()
    command = [*COMMAND, "--socket", str(served.socket), *arguments]
    process = subprocess.Popen(
        [sys.executable, "-c", _LEADER, place, *command], stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    try:
        with process:
            yield Terminal(process, master)
            process.kill()
    finally:
        os.close(master)


# --- a terminal ---


def test_what_is_typed_goes_to_the_program_by_line(served: ServiceThread) -> None:
    with terminal(served, "python", "-c", "out name?\nread 4\nout hello\ncat\nout end") as shown:
        shown.wait_for(b"name?")
        shown.type(b"bob\n")
        shown.wait_for(b"hello")
        shown.type(b"one\n")
        shown.wait_for(b"one\r\none\r\n")  # as it was typed, and as the program printed it
        shown.type(b"\x04")
        assert shown.end() == 0
    assert shown.shown.endswith(b"end\r\n")


def test_without_stdin_a_program_finds_its_end_at_once(served: ServiceThread) -> None:
    with terminal(served, "-n", "python", "-c", "cat\nout end") as shown:
        assert shown.end() == 0
    assert shown.shown == b"end\r\n"


def test_what_is_typed_while_another_has_the_terminal_is_not_for_the_program(
    served: ServiceThread,
) -> None:
    """Reading it would stop the command."""
    with terminal(served, "python", "-c", "cat\nout end", place="behind") as shown:
        assert shown.end() == 0
    assert shown.shown == b"end\r\n"


def test_ctrl_c_interrupts_the_program(served: ServiceThread) -> None:
    with terminal(served, "python", "-c", "out up\nhang") as shown:
        shown.wait_for(b"up")
        shown.type(b"\x03")
        assert shown.end() == 130
    assert shown.shown == b"up\r\n^C"


def test_ctrl_c_again_leaves_a_program_that_takes_no_notice(served: ServiceThread) -> None:
    with terminal(served, "python", "-c", "out up\nstubborn") as shown:
        shown.wait_for(b"up")
        shown.type(b"\x03")
        shown.wait_for(b"^C")
        served.wait_for(
            lambda service: any(
                guest.process is not None and guest.process.interrupts
                for guest in service.engine.seen
            ),
            "the program is interrupted",
        )
        shown.type(b"\x03")
        assert shown.end() == 130
    served.wait_for(lambda service: service.runner.active == 0, "the run is cancelled")


# --- pipes and files ---


def test_a_loop_that_reads_keeps_its_input(served: ServiceThread) -> None:
    """Without -n the first run would have all of it."""
    script = 'while read -r line; do "$@" "out $line"; done'
    command = [*COMMAND, "--socket", str(served.socket), "-n", "python", "-c"]
    ran = subprocess.run(
        ["sh", "-c", script, "sh", *command],
        input=b"one\ntwo\n",
        capture_output=True,
        check=True,
        timeout=DEADLINE,
    )
    assert ran.stdout == b"one\ntwo\n"


def test_a_pipe_gets_all_that_is_printed(served: ServiceThread) -> None:
    ran = run(served, "python", "-c", f"flood {MUCH}")
    assert (len(ran.stdout), ran.stderr, ran.returncode) == (MUCH, b"", 0)


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_output_that_was_cut_is_told_and_no_success(served: ServiceThread, form: list[str]) -> None:
    ran = run(served, *form, "python", "--output-limit", "3", "-c", "out 123456")
    assert b"stdout was cut at its limit" in ran.stderr
    assert ran.returncode == 123


def test_a_program_that_failed_keeps_its_code_where_output_was_cut(served: ServiceThread) -> None:
    ran = run(served, "python", "--output-limit", "3", "-c", "out 123456\nexit 3")
    assert ran.returncode == 3


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_reader_that_leaves_ends_it_quietly(served: ServiceThread, form: list[str]) -> None:
    command = [*COMMAND, "--socket", str(served.socket), *form, "python"]
    process = subprocess.Popen(
        [*command, "-c", f"out first\nwait go\nflood {MUCH}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        if not form:
            assert process.stdout.readline() == b"first\n"
        process.stdout.close()
        served.ask(lambda service: service.engine.events["go"].set())
        told = process.stderr.read()
        assert process.wait(DEADLINE) == 141  # as of a program that SIGPIPE ends
    assert b"Broken" not in told


def test_an_interrupt_without_a_terminal_is_the_programs_too(served: ServiceThread) -> None:
    process = subprocess.Popen(
        [*COMMAND, "--socket", str(served.socket), "python", "-c", "out up\nhang"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 130


def test_output_that_cannot_be_written_is_one_line_that_says_why(served: ServiceThread) -> None:
    command = [*COMMAND, "--socket", str(served.socket), "python", "-c", "out x"]
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert ran.stderr == b"sandbox: cannot write to stdout: No space left on device\n"
    assert ran.returncode == 125


@pytest.mark.parametrize(
    ("closed", "stdout", "stderr"),
    [
        ("<&-", b"o\n", b"e\n"),
        (">&-", b"", b"e\n"),
        ("2>&-", b"o\n", b""),
        ("<&- >&- 2>&-", b"", b""),
    ],
)
def test_a_stream_that_is_closed_is_as_empty(
    served: ServiceThread, closed: str, stdout: bytes, stderr: bytes
) -> None:
    command = [*COMMAND, "--socket", str(served.socket), "python", "-c", "cat\nout o\nerr e"]
    ran = subprocess.run(
        ["sh", "-c", f'"$@" {closed}', "sh", *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=DEADLINE,
    )
    assert (ran.stdout, ran.stderr, ran.returncode) == (stdout, stderr, 0)
