"""The command `sandbox`, as a shell sees it: output, exit code, stdin."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sandboxd.cli import main as daemon_main
from sandboxd_client.cli import main
from tests.support.impostor import Impostor, drain, read_line, wait_until_read
from tests.support.service import ServiceThread
from tests.support.wait import DEADLINE

PROGRAM = "import sys; from sandboxd_client.cli import main; sys.exit(main())"

Ran = subprocess.CompletedProcess[bytes]


def sandbox(path: Path, *arguments: str, stdin: bytes = b"") -> Ran:
    """The command in a process of its own."""
    name, *rest = arguments
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, name, "--socket", str(path), *rest],
        input=stdin,
        capture_output=True,
        timeout=DEADLINE,
        check=False,
    )


def run(served: ServiceThread, *arguments: str, stdin: bytes = b"") -> Ran:
    return sandbox(served.socket, "run", *arguments, stdin=stdin)


def test_output_goes_where_the_program_printed_it(served: ServiceThread) -> None:
    ran = run(served, "python", "-c", "out hello\nerr oops")
    assert (ran.stdout, ran.stderr, ran.returncode) == (b"hello\n", b"oops\n", 0)


@pytest.mark.parametrize(("code", "exit_code"), [("exit 0", 0), ("exit 3", 3), ("exit 255", 255)])
def test_the_programs_exit_code_is_passed_on(
    served: ServiceThread, code: str, exit_code: int
) -> None:
    assert run(served, "python", "-c", code).returncode == exit_code


def test_a_signal_is_128_and_its_number(served: ServiceThread) -> None:
    assert run(served, "python", "-c", "signal 11").returncode == 139


def test_a_timeout_is_124_and_is_explained(served: ServiceThread) -> None:
    ran = run(served, "python", "-t", "0.01", "-c", "out before\nhang")
    assert ran.returncode == 124
    assert ran.stdout == b"before\n"
    assert b"its time was up" in ran.stderr


def test_out_of_memory_is_137_and_is_explained(served: ServiceThread) -> None:
    ran = run(served, "python", "-c", "oom")
    assert ran.returncode == 137
    assert b"memory" in ran.stderr


def test_output_that_was_cut_is_told(served: ServiceThread) -> None:
    ran = run(served, "python", "--output-limit", "3", "-c", "out 123456")
    assert ran.stdout == b"123"
    assert b"stdout was cut" in ran.stderr
    assert ran.returncode == 123


def test_what_follows_two_dashes_is_the_programs(served: ServiceThread) -> None:
    ran = run(served, "python", "-c", "args", "--", "-c", "--json", "--", "a b")
    assert ran.stdout == b"-c\n--json\n--\na b\n"


def test_the_environment_may_be_added_to(served: ServiceThread) -> None:
    ran = run(served, "python", "-e", "A=b=c", "-e", "B=", "-c", "env A\nenv B")
    assert ran.stdout == b"b=c\n\n"


def test_the_program_may_be_a_file(served: ServiceThread, tmp_path: Path) -> None:
    (tmp_path / "program").write_text("out from a file")
    assert run(served, "python", str(tmp_path / "program")).stdout == b"from a file\n"


@pytest.mark.parametrize("dash", [["-"], []])
def test_the_program_may_come_on_stdin(served: ServiceThread, dash: list[str]) -> None:
    ran = run(served, "python", *dash, "--", "one", stdin=b"out from stdin\nargs\ncat")
    assert ran.stdout == b"from stdin\none\n"


def test_stdin_is_passed_on_to_the_program(served: ServiceThread) -> None:
    data = b"\x00\xff binary\n" * 1000
    assert run(served, "python", "-c", "cat", stdin=data).stdout == data


def test_stdin_far_over_the_windows_is_passed_on_while_output_comes(served: ServiceThread) -> None:
    data = bytes(range(256)) * 40_000
    ran = run(served, "python", "-c", "cat", stdin=data)
    assert ran.stdout == data
    assert ran.returncode == 0


def test_a_program_that_does_not_read_stdin_ends_all_the_same(served: ServiceThread) -> None:
    ran = run(served, "python", "-c", "out done\nexit 4", stdin=b"\0" * 5_000_000)
    assert (ran.stdout, ran.returncode) == (b"done\n", 4)


def test_an_answer_that_came_while_stdin_was_being_sent_is_not_waited_for(tmp_path: Path) -> None:
    """The daemon reads late, and has answered before it did."""

    def answer(connection: socket.socket) -> None:
        while (request := json.loads(read_line(connection)))["method"] != "run":
            pass
        result = {
            "run": "r",
            "language": "python",
            "status": "ok",
            "exit_code": 5,
            "signal": None,
            "stdout": None,
            "stderr": None,
            "truncated": {},
            "duration": 0.0,
            "timings": {"queued": 0.0, "handed_out": 0.0, "ran": 0.0},
            "usage": {"cpu": 0.0, "memory_peak": 0},
            "files": [],
            "files_skipped": [],
            "warm": True,
            "container": {"id": "c", "uses": 1},
            "started_at": "now",
        }
        message = {"jsonrpc": "2.0", "id": request["id"], "result": result}
        # With the first byte of stdin here the client is sending it, and has more to
        # send than the socket holds: it takes the answer before it can go on.
        connection.recv(1)
        connection.sendall(json.dumps(message).encode() + b"\n")
        wait_until_read(connection)
        drain(connection)

    with Impostor(tmp_path, answer) as impostor:
        ran = sandbox(impostor.socket, "run", "python", "-c", "x", stdin=b"\0" * 500_000)
    assert ran.returncode == 5


def test_json_is_the_result_and_nothing_else(served: ServiceThread) -> None:
    ran = run(served, "python", "--json", "-c", "out hello\nerr oops\nexit 3")
    result = json.loads(ran.stdout)
    assert (result["status"], result["stdout"], result["stderr"]) == ("error", "hello\n", "oops\n")
    assert ran.stderr == b""
    assert ran.returncode == 3


def test_verbose_tells_at_the_end_how_it_went(served: ServiceThread) -> None:
    ran = run(served, "python", "-v", "-c", "exit 3")
    assert ran.stderr.startswith(b"sandbox: error, exit 3, ran ")
    assert b"warm" in ran.stderr


def test_fresh_takes_a_container_that_nobody_used(served: ServiceThread) -> None:
    for _ in range(2):
        ran = run(served, "python", "--fresh", "--json", "-c", "")
        assert json.loads(ran.stdout)["container"]["uses"] == 1


def test_output_whose_reader_has_gone_is_no_traceback(served: ServiceThread) -> None:
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", PROGRAM, "run", "--socket", str(served.socket)),
            *("python", "-c", "flood 20000000"),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        told = process.stderr.read()
        process.wait(DEADLINE)
    assert b"Traceback" not in told
    served.wait_for(lambda service: service.runner.active == 0, "the run is cancelled")


# --- errors ---


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["cobol", "-c", ""], b"'cobol'"),
        (["ruby", "-c", ""], b"image"),
        (["python", "-t", "1000", "-c", ""], b"limits.timeout"),
        (["python", "-e", "A\nB", "-c", "die\nhang"], b"lost"),
        (["python", "/none/such"], b"cannot read /none/such"),
        (["python", "-c", "", "file"], b"not by both"),
    ],
)
def test_a_program_that_was_not_run_is_125_and_one_line_that_says_why(
    served: ServiceThread, arguments: list[str], told: bytes
) -> None:
    ran = run(served, *arguments)
    assert ran.returncode == 125
    assert ran.stderr.startswith(b"sandbox: ")
    assert told in ran.stderr
    assert b"Traceback" not in ran.stderr
    assert ran.stdout == b""


def test_without_a_daemon_it_is_125_and_says_what_to_do(tmp_path: Path) -> None:
    ran = sandbox(tmp_path / "none.sock", "run", "python", "-c", "")
    assert ran.returncode == 125
    assert b"sandboxd serve" in ran.stderr
    assert b"--daemon auto" in ran.stderr


def test_what_is_no_daemon_is_125(tmp_path: Path) -> None:
    def answer(connection: socket.socket) -> None:
        read_line(connection)
        connection.sendall(b"rubbish\n")
        drain(connection)

    with Impostor(tmp_path, answer) as impostor:
        ran = sandbox(impostor.socket, "run", "python", "-c", "")
    assert ran.returncode == 125
    assert b"Traceback" not in ran.stderr


@pytest.mark.parametrize("arguments", [["nonsense"], ["run"], ["run", "--nonsense", "python"]])
def test_a_command_line_that_is_not_understood_is_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: sandbox" in capsys.readouterr().err


@pytest.mark.parametrize("command", [main, daemon_main])
def test_a_bare_command_tells_what_there_is(
    command: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command([]) == 2
    told = capsys.readouterr().err
    assert "--help" in told
    assert len(told.splitlines()) > 15


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_help_is_there(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 0
    assert "sandbox" in capsys.readouterr().out


# --- looking ---


def test_status_languages_and_health_are_tables(
    served: ServiceThread, capsys: pytest.CaptureFixture[str]
) -> None:
    path = ["--socket", str(served.socket)]
    assert main(["status", *path]) == 0
    assert "double 1.0" in capsys.readouterr().out
    assert main(["languages", *path]) == 0
    head, *rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert head[:2] == ["LANGUAGE", "ALIASES"]
    assert "python" in [row[0] for row in rows]
    assert main(["health", *path]) == 1  # an image is missing
    assert "degraded" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["status", "languages", "health"])
def test_they_may_be_json(
    served: ServiceThread, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    main([command, "--json", "--socket", str(served.socket)])
    assert json.loads(capsys.readouterr().out)


# --- whether it would work ---


def test_doctor_says_how_far_a_client_gets(
    served: ServiceThread, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--socket", str(served.socket)]) == 1  # an image is missing
    told = capsys.readouterr().out
    assert f"{served.socket} (--socket)" in told
    assert "sandboxd 0" in told
    assert "python  ok" in re.sub(" +", "  ", told)


@pytest.mark.parametrize(("there", "words"), [(False, "is not there"), (True, "is no socket")])
def test_doctor_says_what_is_wrong_with_the_socket(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *, there: bool, words: str
) -> None:
    path = tmp_path / "s"
    if there:
        path.touch()
    assert main(["doctor", "--json", "--socket", str(path)]) == 1
    (found,) = json.loads(capsys.readouterr().out)
    assert words in found["detail"]
    assert not found["ok"]
