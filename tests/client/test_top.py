"""`sandbox top`: once, live, and as JSON."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from sandboxd_client import Client
from sandboxd_client.cli import top
from sandboxd_client.protocol import EngineInfo, PoolStatus, StatusResult, Totals
from tests.client.test_cli import PROGRAM, sandbox
from tests.support.service import ServiceThread
from tests.support.wait import DEADLINE

WITHOUT_RICH = f"import sys; sys.modules['rich'] = None; {PROGRAM}"


def status(uptime: float, runs: int, output: int, **pools: int) -> StatusResult:
    """`pools` are the runs that each has had."""
    return StatusResult(
        uptime=uptime,
        engine=EngineInfo("double", "1.0"),
        pools=[PoolStatus(name, name, 1, 2, 0, 3, 4, n, 0, 0, 0) for name, n in pools.items()],
        queue=4,
        clients=5,
        totals=Totals(runs, {"ok": runs}, output),
    )


def test_rates_are_of_the_time_between_two_looks() -> None:
    before = status(10.0, 100, 0, python=60, go=40)
    view = top.View(status(12.0, 110, 4 * 1024**2, python=66, go=40), before, [])
    assert top.summary(view) == [
        "double 1.0, up 12 s, 5 clients",
        "4 running, 4 waiting, 5.0 runs/s, 2.0 MiB/s",
        "110 runs: 110 ok",
    ]
    assert [row[5] for row in top.pools(view)] == ["3.0", "0.0"]


@pytest.mark.parametrize(
    "before", [status(12.0, 110, 0, python=66), status(500.0, 10**6, 10**9, ruby=1)]
)
def test_there_is_no_rate_without_a_moment_before(before: StatusResult) -> None:
    view = top.View(status(12.0, 110, 0, python=66), before, [])
    assert "0.0 runs/s, 0.0 MiB/s" in top.summary(view)[1]
    assert top.pools(view)[0][5] == "0.0"


def test_where_there_is_no_terminal_it_is_printed_once(
    served: ServiceThread, client: Client
) -> None:
    client.run("python", "out x")
    ran = sandbox(served.socket, "top")
    assert ran.returncode == 0
    first, _, third, *rest = ran.stdout.decode().splitlines()
    assert first.startswith("double 1.0, up ")
    assert third == "1 runs: 1 ok"
    assert any(line.startswith("python") for line in rest)
    assert any(line.startswith("RUN ") for line in rest)
    assert "\x1b" not in ran.stdout.decode()


def test_json_is_a_status_a_line_on_and_on(served: ServiceThread, client: Client) -> None:
    command = [sys.executable, "-c", PROGRAM, "top", "--socket", str(served.socket)]
    with subprocess.Popen(
        [*command, "--json", "--every", "0.01"], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        looks = [process.stdout.readline() for _ in range(3)]
        client.run("python", "")
        while json.loads(process.stdout.readline())["totals"]["runs"] != 1:
            pass
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(DEADLINE) == 0
    first, *_ = (msgspec.json.decode(look, type=StatusResult) for look in looks)
    assert [pool.profile for pool in first.pools] == ["python"]


@pytest.mark.parametrize("program", [PROGRAM, WITHOUT_RICH], ids=["rich", "plain"])
def test_on_a_terminal_it_is_drawn_until_it_is_interrupted(
    served: ServiceThread, client: Client, program: str
) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", program, "top", "--socket", str(served.socket)]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    with subprocess.Popen(
        [*command, "--every", "0.01"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        start_new_session=True,
    ) as process:
        text = b""
        while b"POOL" not in text or b"0 runs" not in text:
            text += os.read(ours, 4096)
        client.run("python", "")
        while b"1 runs: 1 ok" not in text:
            text += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        os.set_blocking(ours, False)
        while process.poll() is None:
            text += rest(ours)
        text += rest(ours)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == 0
    assert b"\x1b[?1049h" in text
    assert text.rstrip().endswith((b"\x1b[?1049l", b"\x1b[?25h"))
    assert b"Traceback" not in text


def rest(descriptor: int) -> bytes:
    """What is there on a terminal now, so that its writer is not held up."""
    try:
        return os.read(descriptor, 65536)
    except BlockingIOError:
        return b""


@pytest.mark.parametrize("every", ["0", "-1", "nan", "inf", "x"])
def test_the_pause_is_a_number_of_seconds(tmp_path: Path, every: str) -> None:
    ran = sandbox(tmp_path / "none", "top", f"--every={every}")
    assert ran.returncode == 2
    assert b"over 0" in ran.stderr


def test_without_a_daemon_it_says_so(tmp_path: Path) -> None:
    ran = sandbox(tmp_path / "none", "top")
    assert ran.returncode == 125
    assert b"no sandboxd listens" in ran.stderr
