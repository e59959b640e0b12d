"""`sandbox run` in a terminal, in a pipe, and where a stream is closed: as a program is there."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from sandboxd_client import Client
from tests.client.test_cli import PROGRAM, run
from tests.support.impostor import Impostor, drain, read_line
from tests.support.service import Service, ServiceThread
from tests.support.terminal import Terminal
from tests.support.terminal import terminal as in_terminal
from tests.support.wait import DEADLINE

COMMAND = [sys.executable, "-c", PROGRAM, "run"]
MUCH = 3 * 1024 * 1024
each_interrupt = pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name
)


def terminal(
    served: ServiceThread, *arguments: str, place: str = "front"
) -> AbstractContextManager[Terminal]:
    """`sandbox run` in a terminal of its own."""
    return in_terminal([*COMMAND, "--socket", str(served.socket), *arguments], place)


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


def started(served: ServiceThread, *arguments: str) -> subprocess.Popen[bytes]:
    """`sandbox run` without a terminal."""
    return subprocess.Popen(
        [*COMMAND, "--socket", str(served.socket), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )


def is_up(process: subprocess.Popen[bytes]) -> bool:
    assert process.stdout is not None
    return process.stdout.readline() == b"up\n"


def none_is_active(service: Service) -> bool:
    return service.runner.active == 0


@each_interrupt
def test_an_interrupt_without_a_terminal_is_the_programs_too(
    served: ServiceThread, number: signal.Signals
) -> None:
    with started(served, "python", "-c", "out up\nhang") as process:
        assert is_up(process)
        process.send_signal(number)
        assert process.wait(DEADLINE) == 128 + number
    assert served.ask(lambda service: service.runner.totals().by_status) == {"error": 1}


@each_interrupt
def test_a_second_interrupt_ends_the_command_and_the_run(
    served: ServiceThread, number: signal.Signals
) -> None:
    with started(served, "python", "-c", "out up\nstubborn") as process:
        assert is_up(process)
        process.send_signal(number)
        served.wait_for(
            lambda service: any(
                guest.process is not None and guest.process.interrupts
                for guest in service.engine.seen
            ),
            "the program is interrupted",
        )
        process.send_signal(number)
        assert process.wait(DEADLINE) == 128 + number
    served.wait_for(none_is_active, "the run is cancelled")


@each_interrupt
def test_an_interrupt_ends_a_run_in_a_session(
    served: ServiceThread, number: signal.Signals
) -> None:
    with Client(served.socket) as client, client.session("python") as session:
        options = ["--session", session.id, "-c", "out up\nhang"]
        with started(served, "python", *options) as process:
            assert is_up(process)
            process.send_signal(number)
            assert process.wait(DEADLINE) == 128 + number
        served.wait_for(none_is_active, "the run is cancelled")
        assert session.run("out on").stdout == "on\n"


@each_interrupt
def test_an_interrupt_ends_a_command_whose_run_has_not_begun(
    tmp_path: Path, number: signal.Signals
) -> None:
    """The daemon has heard of the run, and not begun it."""
    heard = threading.Event()

    def answer(connection: socket.socket) -> None:
        while json.loads(read_line(connection))["method"] != "run":
            pass
        heard.set()
        drain(connection)

    with Impostor(tmp_path, answer) as daemon:
        command = [*COMMAND, "--socket", str(daemon.socket), "-n", "python", "-c", ""]
        with subprocess.Popen(command) as process:
            assert heard.wait(DEADLINE)
            process.send_signal(number)
            # A shell says 128 and the number of both.
            assert process.wait(DEADLINE) in (128 + number, -number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_that_is_ignored_stays_so(served: ServiceThread, number: signal.Signals) -> None:
    """As of `nohup`, and of a job that a script puts aside."""
    command = [*COMMAND, "--socket", str(served.socket), "python", "-c", "out up\nwait go"]
    process = subprocess.Popen(
        ["sh", "-c", f'trap "" {number:d}; exec "$@"', "sh", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    with process:
        assert is_up(process)
        process.send_signal(number)
        served.ask(lambda service: service.engine.events["go"].set())
        assert process.wait(DEADLINE) == 0


def test_output_that_cannot_be_written_is_one_line_that_says_why(served: ServiceThread) -> None:
    command = [*COMMAND, "--socket", str(served.socket), "python", "-c", "out x"]
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert ran.stderr == b"sandbox: cannot write to stdout: No space left on device\n"
    assert ran.returncode == 125


@pytest.mark.parametrize(
    ("closed", "code", "stdout", "stderr", "exit_code"),
    [
        ("<&-", "cat\nout o\nerr e", b"o\n", b"e\n", 0),
        (">&-", "err e", b"", b"e\n", 0),
        (">&-", "out o", b"", b"sandbox: cannot write to stdout: Bad file descriptor\n", 125),
        ("2>&-", "out o", b"o\n", b"", 0),
        ("2>&-", "err e", b"", b"", 125),
        ("<&- >&- 2>&-", "cat", b"", b"", 0),
        ("<&- >&- 2>&-", "cat\nout o", b"", b"", 125),
    ],
)
def test_a_stream_that_is_closed_loses_nothing_in_silence(
    served: ServiceThread, closed: str, code: str, stdout: bytes, stderr: bytes, exit_code: int
) -> None:
    command = [*COMMAND, "--socket", str(served.socket), "python", "-c", code]
    ran = subprocess.run(
        ["sh", "-c", f'"$@" {closed}', "sh", *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=DEADLINE,
    )
    assert (ran.stdout, ran.stderr, ran.returncode) == (stdout, stderr, exit_code)


@pytest.mark.parametrize("arguments", [["run", "--json", "python", "-c", ""], ["status"]])
def test_a_result_that_cannot_be_written_is_told(
    served: ServiceThread, arguments: list[str]
) -> None:
    command = [sys.executable, "-c", PROGRAM, *arguments, "--socket", str(served.socket)]
    for closed, why in (
        (">&-", b"Bad file descriptor"),
        (">/dev/full", b"No space left on device"),
    ):
        ran = subprocess.run(
            ["sh", "-c", f'"$@" {closed}', "sh", *command],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
            timeout=DEADLINE,
        )
        assert ran.stderr == b"sandbox: cannot write to stdout: %b\n" % why
        assert ran.returncode == 125


@pytest.mark.parametrize("name", ["argparse", "json", "sandboxd_client.cli.run"])
def test_ctrl_c_while_the_command_is_loaded_ends_it_quietly(tmp_path: Path, name: str) -> None:
    """The module sends it, in place of somebody who is quick."""
    quick = (
        "import os, signal, sys\n"
        "class Quick:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {name!r}:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Quick())\n"
    )
    command = [sys.executable, "-c", quick + PROGRAM, "run", "--socket", str(tmp_path / "none")]
    ran = subprocess.run([*command, "python", "-c", ""], capture_output=True, check=False)
    assert (ran.stdout, ran.stderr) == (b"", b"")
    # A shell says 130 of both.
    assert ran.returncode in (130, -signal.SIGINT)


def test_loading_the_command_changes_nothing_for_who_imports_it() -> None:
    program = (
        "import signal, sys; before = signal.getsignal(signal.SIGINT)\n"
        "import sandboxd_client.cli as cli; print('argparse' in sys.modules)\n"
        "cli.main([])\n"
        "print(signal.getsignal(signal.SIGINT) is before)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert ran.stdout == b"False\nTrue\n"
