"""Programs that must be survived: each ends as it should, and the next run is right."""

from __future__ import annotations

import pytest

from sandboxd_client import Client, Limits, Output, RunResult

MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def next_run_is_right(client: Client) -> object:
    yield
    for language, code in (("python", "print(1)"), ("bash", "echo 1"), ("js", "console.log(1)")):
        result = client.run(language, code)
        assert (result.status, result.stdout, result.stderr) == ("ok", "1\n", "")


def run(client: Client, language: str, code: str, *, timeout: float = 10.0) -> RunResult:
    return client.run(language, code, limits=Limits(timeout=timeout))


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("bash", "bomb() { bomb | bomb & }; bomb; wait; while :; do :; done"),
        ("python", "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"),
        ("python", "import threading\nwhile 1: threading.Thread(target=input).start()"),
    ],
)
def test_bombs_of_processes_and_threads_end_at_the_timeout_or_at_the_limit(
    client: Client, language: str, code: str
) -> None:
    result = run(client, language, code, timeout=1.0)
    assert result.status in ("timeout", "error")


def test_the_process_limit_is_the_programs_own(client: Client) -> None:
    code = """
import os, sys
children = 0
try:
    while True:
        if os.fork() == 0:
            import signal; signal.pause()
        children += 1
except BlockingIOError:
    print(children)
"""
    assert run(client, "python", code).stdout == "99\n"  # the hundredth is the program itself


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("python", "x = bytearray(4 << 30)\nfor i in range(0, len(x), 4096): x[i] = 1"),
        ("js", "const a = []; while (true) a.push(Buffer.alloc(1 << 24, 1))"),
        ("bash", "x=x; while :; do x=$x$x; done"),
    ],
)
def test_a_memory_bomb_is_out_of_memory(client: Client, language: str, code: str) -> None:
    result = run(client, language, code, timeout=30.0)
    assert (result.status, result.exit_code) == ("oom", 137)


def test_a_full_tmpfs_is_an_error_of_the_programs_own(client: Client) -> None:
    code = """
for folder in ("/tmp", "/dev/shm", "/sandbox"):
    try:
        with open(folder + "/big", "wb", buffering=0) as f:
            while True: f.write(bytes(1 << 20))
    except OSError as e: print(e.strerror)
"""
    assert run(client, "python", code).stdout == "No space left on device\n" * 3


def test_inodes_run_out_before_the_memory_does(client: Client) -> None:
    code = """
import os
try:
    for i in range(10**7): os.close(os.open(f"/tmp/{i}", os.O_CREAT))
except OSError as e: print(e.strerror)
"""
    assert run(client, "python", code).stdout == "No space left on device\n"


def test_endless_output_is_cut_and_then_ended(client: Client) -> None:
    result = client.run("bash", "yes", limits=Limits(output=100_000))
    assert result.status == "output_limit"
    assert isinstance(result.stdout, str)
    assert len(result.stdout) == 100_000
    assert result.truncated.stdout
    assert not result.truncated.stderr


def test_output_past_the_limit_is_thrown_away_and_the_run_goes_on(client: Client) -> None:
    code = "import sys; sys.stdout.write('x' * 2_000_000); sys.exit(3)"
    result = client.run("python", code, limits=Limits(output=100_000))
    assert (result.status, result.exit_code, result.stdout) == ("error", 3, "x" * 100_000)
    assert result.truncated.stdout


def test_a_million_one_byte_writes_are_not_a_million_messages(client: Client) -> None:
    code = "import os\nfor _ in range(1_000_000): os.write(1, b'x')"
    with client.stream("python", code, limits=Limits(timeout=30.0)) as stream:
        sizes = [len(event.data) for event in stream if isinstance(event, Output)]
    assert sum(sizes) == 1_000_000
    assert len(sizes) < 500_000


def test_binary_output_is_exact(client: Client) -> None:
    code = "import os, sys; sys.stdout.buffer.write(bytes(range(256)) * 4096)"
    with client.stream("python", code, limits=Limits(output=2 * MIB)) as stream:
        data = b"".join(event.data for event in stream if isinstance(event, Output))
    assert data == bytes(range(256)) * 4096


@pytest.mark.parametrize(
    "code",
    [
        "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: pass",
        "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)",
        "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64))\nwhile True: pass",
        "import os, time\nif os.fork() == 0: os.setsid()\nwhile True: time.sleep(1)",
    ],
)
def test_no_program_outlasts_its_timeout(client: Client, code: str) -> None:
    result = run(client, "python", "print('before')\n" + code, timeout=0.5)
    assert (result.status, result.exit_code) == ("timeout", 124)
    assert result.stdout == "before\n"


def test_a_daemonised_child_that_holds_stdout_does_not_hold_the_run(client: Client) -> None:
    code = """
import os, sys, time
print("parent")
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True: time.sleep(10)
    os._exit(0)
sys.exit(4)
"""
    result = run(client, "python", code, timeout=30.0)
    assert (result.status, result.exit_code, result.stdout) == ("error", 4, "parent\n")


def test_a_program_that_closes_its_descriptors_runs_on(client: Client) -> None:
    code = "import os\nos.closerange(0, 1000)\nsum(range(10**6))\nos._exit(9)"
    assert run(client, "python", code).exit_code == 9


def test_killing_everything_it_can_see_ends_only_itself(client: Client) -> None:
    result = run(client, "bash", "kill -9 -1; kill -9 1; echo still here; exit 5")
    assert (result.exit_code, result.stdout) == (5, "still here\n")


@pytest.mark.parametrize(
    ("code", "exit_code", "signal"),
    [("exit 124", 124, None), ("exit 137", 137, None), ("kill -9 $$", 137, 9)],
)
def test_an_exit_status_that_lies_is_an_error_and_no_more(
    client: Client, code: str, exit_code: int, signal: int | None
) -> None:
    result = run(client, "bash", code)
    assert (result.status, result.exit_code, result.signal) == ("error", exit_code, signal)


def test_bytes_that_look_like_frames_are_output(client: Client) -> None:
    code = r"import os; os.write(1, b'\x00\x00\x00\x00r' + b'\x01\x00\x00\x00x!' * 10)"
    with client.stream("python", code) as stream:
        data = b"".join(event.data for event in stream if isinstance(event, Output))
    assert data == b"\x00\x00\x00\x00r" + b"\x01\x00\x00\x00x!" * 10
    assert stream.result.status == "ok"


def test_fifty_megabytes_of_stdin_that_nobody_reads_do_no_harm(client: Client) -> None:
    chunk = b"x" * MIB
    result = client.run("python", "print('done')", stdin=(chunk for _ in range(50)))
    assert (result.status, result.stdout) == ("ok", "done\n")


def test_the_descriptors_of_the_runner_are_closed(client: Client) -> None:
    code = "for f in /proc/self/fd/*; do readlink $f; done | grep -c 'pipe:'"
    assert run(client, "bash", code).stdout == "3\n"
