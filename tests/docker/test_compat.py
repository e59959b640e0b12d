"""The names of the earlier sandbox: one test for each thing that it promised."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import msgspec
import pytest

from sandboxd_client import (
    CancelledError,
    ConnectionLostError,
    EngineUnavailableError,
    ImageUnavailableError,
    InvalidLimitsError,
    Limits,
    NotPermittedError,
    NotRunningError,
    SandboxError,
    ShuttingDownError,
    StartFailedError,
    Status,
    UnknownLanguageError,
)
from sandboxd_client.compat import (
    UNAVAILABLE,
    AutoDebuggerIntegration,
    CodeSandbox,
    ExecutionResult,
    ResourceLimits,
)
from tests.support.daemon import RunningDaemon, eventually

MIB = 1024 * 1024


@pytest.fixture
def sandbox(daemon: RunningDaemon) -> Iterator[CodeSandbox]:
    with CodeSandbox(daemon.socket) as made:
        yield made


@pytest.fixture
def debugger(sandbox: CodeSandbox) -> AutoDebuggerIntegration:
    return AutoDebuggerIntegration(sandbox)


# --- limits ---


def test_default_limits(sandbox: CodeSandbox) -> None:
    limits = ResourceLimits()
    assert sandbox.limits == limits
    assert (limits.memory_mb, limits.cpu_limit, limits.cpu_shares) == (512, 1.0, 1024)
    assert (limits.max_processes, limits.timeout_seconds) == (100, 30)
    assert limits.to_limits() == Limits(
        memory=512 * MIB, cpus=1.0, cpu_shares=1024, pids=100, timeout=30
    )


@pytest.mark.parametrize("seconds", [30.001, 31, float("inf")])
def test_a_timeout_over_thirty_seconds_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match=r"timeout_seconds is .*; it must be at most 30"):
        ResourceLimits(timeout_seconds=seconds)
    with pytest.raises(ValueError, match="at most 30"):
        msgspec.structs.replace(ResourceLimits(), timeout_seconds=seconds)
    assert ResourceLimits(timeout_seconds=30).timeout_seconds == 30


@pytest.mark.parametrize(
    "name",
    ["memory_mb", "cpu_limit", "cpu_shares", "max_processes", "timeout_seconds", "disk_mb"],
)
def test_a_limit_of_nothing_is_refused(name: str) -> None:
    nothing: dict[str, Any] = {name: 0}
    with pytest.raises(ValueError, match=f"{name} is 0; it must be more than 0"):
        ResourceLimits(**nothing)


def test_custom_limits_are_the_sandboxs_or_of_one_execution(daemon: RunningDaemon) -> None:
    custom = ResourceLimits(
        memory_mb=128, cpu_limit=0.5, cpu_shares=512, max_processes=7, timeout_seconds=3, disk_mb=4
    )
    assert custom.to_limits() == Limits(
        memory=128 * MIB, cpus=0.5, cpu_shares=512, pids=7, timeout=3, tmp=4 * MIB
    )
    with CodeSandbox(daemon.socket, limits=custom) as sandbox:
        sandbox.execute("pass", "python")
        sandbox.execute("pass", "python", limits=ResourceLimits(memory_mb=256))
        by_default, given = (
            sandbox.client.history_get(each.run).limits for each in sandbox.get_execution_history()
        )
    assert (by_default.memory, by_default.cpus, by_default.cpu_shares) == (128 * MIB, 0.5, 512)
    assert (by_default.pids, by_default.timeout, by_default.tmp) == (7, 3, 4 * MIB)
    assert (given.memory, given.timeout) == (256 * MIB, 30)


# --- results ---


def test_the_result_of_a_success(sandbox: CodeSandbox) -> None:
    before = datetime.now(UTC)
    result = sandbox.execute("print('out')", "python")
    assert isinstance(result, ExecutionResult)
    assert (result.success, result.exit_code, result.error) == (True, 0, None)
    assert (result.stdout, result.stderr, result.timed_out) == ("out\n", "", False)
    assert (result.language, result.code) == ("python", "print('out')")
    assert (result.output_files, result.files_skipped) == ({}, {})
    assert 0 < result.execution_time < 30
    assert result.memory_used > MIB
    assert abs((result.timestamp - before).total_seconds()) < 30
    assert msgspec.to_builtins(result)["success"] is True


def test_the_result_of_a_failure(sandbox: CodeSandbox) -> None:
    result = sandbox.execute("print('out'); raise SystemExit(3)", "python")
    assert (result.success, result.exit_code, result.status) == (False, 3, Status.ERROR)
    assert (result.error, result.timed_out) == ("exited with code 3", False)
    assert result.stdout == "out\n"


def test_the_result_of_a_timeout(sandbox: CodeSandbox) -> None:
    code = "print('out')\nwhile True: pass"
    result = sandbox.execute(code, "python", ResourceLimits(timeout_seconds=0.5))
    assert (result.success, result.timed_out, result.exit_code) == (False, True, 124)
    assert result.error == "timed out after 0.5 seconds"
    assert result.stdout == "out\n"


@pytest.mark.parametrize(
    ("code", "language", "error"),
    [
        ("kill -SEGV $$", "bash", "ended by signal 11"),
        ("package main\nfunc main() { x }", "go", "the program did not compile; stderr tells why"),
        ("while :; do printf '%1000000s'; done", "bash", "killed: it printed far more than"),
    ],
)
def test_a_result_says_in_a_sentence_why_it_was_no_success(
    sandbox: CodeSandbox, code: str, language: str, error: str
) -> None:
    result = sandbox.execute(code, language)
    assert not result.success
    assert result.error is not None
    assert result.error.startswith(error)


# --- the sandbox ---


def test_it_is_made_without_asking_for_anything(tmp_path: Path) -> None:
    """Not even for a daemon: that is needed when a program is to run."""
    sandbox = CodeSandbox(tmp_path / "none.sock", max_history=5)
    assert sandbox.limits == ResourceLimits()
    assert sandbox.get_execution_history() == []
    assert sandbox.client.socket == tmp_path / "none.sock"
    sandbox.cleanup()


def test_it_is_a_context_manager(daemon: RunningDaemon) -> None:
    clients = daemon.client()
    with CodeSandbox(daemon.socket) as sandbox:
        assert sandbox.execute("echo in", "bash").stdout == "in\n"
        assert clients.status().clients == 2
    eventually(lambda: clients.status().clients == 1, "it has let go of the daemon")
    assert len(sandbox.get_execution_history()) == 1
    clients.close()


def test_supported_languages(sandbox: CodeSandbox) -> None:
    assert {"python", "javascript", "bash", "sh", "ruby", "go"} <= set(sandbox.supported_languages)


def test_a_language_that_is_not_supported_is_refused(sandbox: CodeSandbox) -> None:
    with pytest.raises(UnknownLanguageError, match="'cobol'"):
        sandbox.execute("DISPLAY 'x'", "cobol")
    assert sandbox.get_execution_history() == []


@pytest.mark.parametrize("language", ["python", "py", "python3"])
def test_hello_world_in_python(sandbox: CodeSandbox, language: str) -> None:
    result = sandbox.execute("print('Hello, World!')", language)
    assert (result.stdout, result.language) == ("Hello, World!\n", "python")


@pytest.mark.parametrize("language", ["javascript", "js", "node"])
def test_hello_world_in_javascript(sandbox: CodeSandbox, language: str) -> None:
    result = sandbox.execute("console.log('Hello, World!')", language)
    assert (result.stdout, result.language) == ("Hello, World!\n", "javascript")


def test_configuration_of_python(sandbox: CodeSandbox) -> None:
    config = sandbox.language_configs["python"]
    assert {"py", "python3"} <= set(config.aliases)
    assert config.file_extension.lstrip(".") == "py"
    assert "python" in config.image
    assert "3." in config.version


def test_configuration_of_javascript(sandbox: CodeSandbox) -> None:
    config = sandbox.language_configs["javascript"]
    assert {"js", "node"} <= set(config.aliases)
    assert config.file_extension.lstrip(".") == "js"
    assert "18" in config.version


def test_configuration_of_bash(sandbox: CodeSandbox) -> None:
    config = sandbox.language_configs["bash"]
    assert config.name == "bash"
    assert config.file_extension.lstrip(".") == "sh"
    assert "bash" in config.image


# --- what is enforced ---


def test_the_memory_limit_is_enforced(sandbox: CodeSandbox) -> None:
    code = "x = bytearray(200 << 20)\nfor i in range(0, len(x), 4096): x[i] = 1\nprint('fits')"
    assert sandbox.execute(code, "python", ResourceLimits(memory_mb=512)).success
    result = sandbox.execute(code, "python", ResourceLimits(memory_mb=64))
    assert (result.success, result.exit_code, result.stdout) == (False, 137, "")
    assert (result.status, result.error) == (Status.OOM, "out of memory: more than 64 MiB")


def test_the_time_limit_is_enforced(sandbox: CodeSandbox) -> None:
    """Python that ignores signals, and a child in a session of its own."""
    code = (
        "import os, signal, time\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))\n"
        "if os.fork() == 0: os.setsid()\ntime.sleep(25)"
    )
    result = sandbox.execute(code, "python", ResourceLimits(timeout_seconds=0.5))
    assert (result.exit_code, result.timed_out) == (124, True)
    assert result.execution_time < 25


def test_the_cpu_limit_is_passed_on(sandbox: CodeSandbox) -> None:
    """By the program's own account of its CPU and wall time."""
    code = (
        "import time\nwall, cpu = time.monotonic(), time.process_time()\n"
        "while time.monotonic() - wall < 2: pass\nprint((time.process_time() - cpu) / 2)"
    )
    limits = ResourceLimits(cpu_limit=0.2, cpu_shares=512)
    result = sandbox.execute(code, "python", limits)
    assert float(result.stdout) < 0.5
    passed = sandbox.client.history_get(result.run).limits
    assert (passed.cpus, passed.cpu_shares) == (0.2, 512)


def test_the_network_is_off_by_default(sandbox: CodeSandbox) -> None:
    assert ResourceLimits().network_enabled is False
    code = "import socket; print([name for _, name in socket.if_nameindex()])"
    assert sandbox.execute(code, "python").stdout == "['lo']\n"
    with pytest.raises(NotPermittedError, match="network"):
        sandbox.execute(code, "python", network=True)
    with pytest.raises(NotPermittedError, match="network"):
        sandbox.execute(code, "python", ResourceLimits(network_enabled=True))
    limits = ResourceLimits(network_enabled=True)
    assert sandbox.execute(code, "python", limits, network=False).stdout == "['lo']\n"


def test_the_root_is_read_only_by_default(sandbox: CodeSandbox) -> None:
    assert ResourceLimits().read_only_root is True
    write = "echo x > /etc/new && cat /etc/new"
    refused = sandbox.execute(write, "bash")
    assert not refused.success
    assert "Read-only file system" in refused.stderr
    assert sandbox.execute(write, "bash", read_only=False).stdout == "x\n"
    assert sandbox.execute(write, "bash", ResourceLimits(read_only_root=False)).stdout == "x\n"


# --- history ---


def test_the_history_keeps_each_execution(sandbox: CodeSandbox) -> None:
    results = [
        sandbox.execute("echo one", "bash"),
        sandbox.execute("exit 2", "bash"),
        sandbox.execute("print('three')", "python"),
    ]
    assert sandbox.get_execution_history() == results
    assert [each.code for each in results] == ["echo one", "exit 2", "print('three')"]


def test_the_history_has_a_limit(daemon: RunningDaemon) -> None:
    with CodeSandbox(daemon.socket, max_history=3) as sandbox:
        for number in range(5):
            sandbox.execute(f"echo {number}", "bash")
        kept = [each.stdout for each in sandbox.get_execution_history()]
        assert kept == ["2\n", "3\n", "4\n"]
        assert [each.stdout for each in sandbox.get_execution_history(limit=2)] == ["3\n", "4\n"]
        assert len(sandbox.get_execution_history(limit=9)) == 3
        assert sandbox.get_execution_history(limit=0) == []
        with pytest.raises(ValueError, match="limit is -1; it must be at least 0"):
            sandbox.get_execution_history(limit=-1)


def test_the_history_can_be_cleared(sandbox: CodeSandbox) -> None:
    sandbox.execute("echo", "bash")
    sandbox.clear_history()
    assert sandbox.get_execution_history() == []
    sandbox.execute("echo again", "bash")
    assert len(sandbox.get_execution_history()) == 1


# --- cleaning up ---


class Background:
    """A program under way in another thread."""

    def __init__(self, sandbox: CodeSandbox, code: str) -> None:
        self._sandbox = sandbox
        self._code = code
        self._busy = sandbox.client.status

    def __enter__(self) -> Self:
        self._pool = ThreadPoolExecutor(1)
        self.result = self._pool.submit(self._sandbox.execute, self._code, "bash")
        eventually(lambda: any(pool.busy for pool in self._busy().pools), "it runs")
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()


def test_cleanup_lets_go_of_the_daemon_and_lets_programs_end(
    sandbox: CodeSandbox, daemon: RunningDaemon
) -> None:
    clients = daemon.client()
    with Background(sandbox, "sleep 1; echo done") as background:
        sandbox.cleanup()
        assert background.result.result().stdout == "done\n"
    eventually(lambda: clients.status().clients == 1, "no connection of its is left")
    assert sandbox.execute("echo again", "bash").stdout == "again\n"
    sandbox.cleanup()
    sandbox.cleanup()
    clients.close()


def test_cleanup_by_force_kills_what_runs(sandbox: CodeSandbox, daemon: RunningDaemon) -> None:
    clients = daemon.client()
    with Background(sandbox, "sleep 25") as background:
        sandbox.cleanup(force=True)
        with pytest.raises(CancelledError):
            background.result.result(20)
    eventually(lambda: not any(pool.busy for pool in clients.status().pools), "it is killed", 20.0)
    assert sandbox.get_execution_history() == []
    assert sandbox.execute("echo again", "bash").stdout == "again\n"
    clients.close()


def test_threads_may_share_a_sandbox(sandbox: CodeSandbox) -> None:
    start = threading.Barrier(4)

    def work(name: int) -> list[str]:
        start.wait(30)
        return [sandbox.execute(f"echo {name}-{n}", "bash").stdout for n in range(5)]

    with ThreadPoolExecutor(4) as threads:
        printed = list(threads.map(work, range(4)))
    assert printed == [[f"{name}-{n}\n" for n in range(5)] for name in range(4)]
    assert len(sandbox.get_execution_history()) == 20


# --- files and streams ---


def test_a_file_made_in_the_sandbox_comes_back(sandbox: CodeSandbox) -> None:
    code = """
import os
os.mkdir("made")
open("made/text", "w").write("text")
open("raw", "wb").write(bytes(range(256)))
open("changed", "a").write("+")
os.symlink("/etc/passwd", "link")
print(sorted(os.listdir()))
"""
    files: dict[str, str | bytes] = {"given": "as it was", "binary": b"\xff", "changed": "once"}
    result = sandbox.execute(code, "python", files=files)
    assert result.output_files == {
        "made/text": b"text",
        "raw": bytes(range(256)),
        "changed": b"once+",
    }
    assert result.files_skipped == {"link": "a symbolic link, not a regular file"}
    chosen = sandbox.execute(code, "python", output_files=["made/*"], files=files)
    assert chosen.output_files == {"made/text": b"text"}


def test_stdin_arguments_and_environment_reach_the_program(sandbox: CodeSandbox) -> None:
    result = sandbox.execute(
        'read -r line; echo "$line $1 $NAME"', "bash", stdin="in\n", args=["arg"], env={"NAME": "v"}
    )
    assert result.stdout == "in arg v\n"


def test_stderr_is_captured_apart_from_stdout(sandbox: CodeSandbox) -> None:
    result = sandbox.execute("echo out; echo err >&2; printf '\\377'", "bash")
    assert (result.stdout, result.stderr) == ("out\n\N{REPLACEMENT CHARACTER}", "err\n")


# --- debugging ---

DIVIDES = "def half(x):\n    return x / 0\n\nhalf(1)\n"


def test_a_debug_report_for_an_error(
    sandbox: CodeSandbox, debugger: AutoDebuggerIntegration
) -> None:
    result = sandbox.execute(DIVIDES, "python")
    report = debugger.create_debug_report(DIVIDES, "python", result)
    assert (report["status"], report["category"]) == ("error", "exception")
    assert (report["error_type"], report["language"]) == ("ZeroDivisionError", "python")
    assert report["location"]["line"] == 2
    assert "> " in report["snippet"]
    assert report["explanation"]
    assert report["suggestions"]
    assert debugger.create_debug_report(DIVIDES, "python") == report
    assert len(sandbox.get_execution_history()) == 2


def test_a_debug_report_for_a_success(debugger: AutoDebuggerIntegration) -> None:
    report = debugger.create_debug_report("print(1)", "python")
    assert (report["status"], report["category"]) == ("ok", "success")
    assert report["error_type"] == ""


def test_a_debug_report_where_the_daemon_has_no_history(own_daemon: RunningDaemon) -> None:
    own_daemon.stop()
    own_daemon.config.write_text("[history]\nenabled = false\n")
    own_daemon.start()
    with CodeSandbox(own_daemon.socket) as sandbox:
        report = AutoDebuggerIntegration(sandbox).create_debug_report(DIVIDES, "python")
    assert report["error_type"] == "ZeroDivisionError"
    assert report["location"]["line"] == 2


def test_analyzing_a_syntax_error(sandbox: CodeSandbox, debugger: AutoDebuggerIntegration) -> None:
    result = sandbox.execute("x = 1\nprint(x\n", "python")
    analysis = debugger.analyze_error(result)
    assert (analysis["category"], analysis["error_type"]) == ("syntax_error", "SyntaxError")
    assert analysis["location"]["line"] == 2
    told = debugger.analyze_error(result.stderr, "python")
    assert (told["category"], told["error_type"]) == ("syntax_error", "SyntaxError")


def test_analyzing_a_runtime_error(sandbox: CodeSandbox, debugger: AutoDebuggerIntegration) -> None:
    result = sandbox.execute("null.x", "javascript")
    analysis = debugger.analyze_error(result)
    assert (analysis["category"], analysis["error_type"]) == ("exception", "TypeError")
    told = debugger.analyze_error(result.stderr, "javascript")
    assert (told["category"], told["error_type"]) == ("exception", "TypeError")
    with pytest.raises(TypeError, match="language must be given"):
        debugger.analyze_error(result.stderr)


@pytest.mark.parametrize(
    ("code", "language", "category"),
    [
        ("print(", "python", "syntax_error"),
        ("raise ValueError('x')", "python", "exception"),
        ("import nosuchmodule", "python", "import_error"),
        ("package main\nfunc main() { x }", "go", "compile_error"),
        ("while True: pass", "python", "timeout"),
        ("x = bytearray(400 << 20)\nfor i in range(0, len(x), 4096): x[i] = 1", "python", "oom"),
        ("kill -SEGV $$", "bash", "signal"),
        ("open('/etc/x', 'w')", "python", "sandbox_restriction"),
        ("exit 9", "bash", "nonzero_exit"),
    ],
)
def test_kinds_of_errors_of_programs_are_told_apart(
    sandbox: CodeSandbox,
    debugger: AutoDebuggerIntegration,
    code: str,
    language: str,
    category: str,
) -> None:
    limits = ResourceLimits(timeout_seconds=10 if language == "go" else 2, memory_mb=256)
    report = debugger.analyze_error(sandbox.execute(code, language, limits))
    assert report["category"] == {"oom": "out_of_memory"}.get(category, category)


def test_errors_of_the_sandbox_are_told_apart(sandbox: CodeSandbox, tmp_path: Path) -> None:
    refusals: list[tuple[type[SandboxError], Callable[[], object]]] = [
        (UnknownLanguageError, lambda: sandbox.execute("", "cobol")),
        (NotPermittedError, lambda: sandbox.execute("", "bash", network=True)),
        (
            InvalidLimitsError,
            lambda: sandbox.execute("", "bash", ResourceLimits(memory_mb=1_000_000)),
        ),
    ]
    for kind, refused in refusals:
        with pytest.raises(kind) as caught:
            refused()
        assert not isinstance(caught.value, UNAVAILABLE)
    with pytest.raises(UNAVAILABLE, match="sandboxd serve") as absent:
        CodeSandbox(tmp_path / "none.sock").execute("", "bash")
    assert isinstance(absent.value, NotRunningError)
    for unavailable in (
        *(EngineUnavailableError, ImageUnavailableError, StartFailedError),
        *(ShuttingDownError, ConnectionLostError),
    ):
        assert issubclass(unavailable, UNAVAILABLE)


def test_without_docker_the_error_says_so(tmp_path: Path) -> None:
    daemon = RunningDaemon(tmp_path)
    daemon.config.write_text(
        '[engine]\nhost = "unix:///nowhere/docker.sock"\n[pool]\nqueue_timeout = 1.0\n'
    )
    with daemon, CodeSandbox(daemon.socket) as sandbox:
        with pytest.raises(UNAVAILABLE, match=r"(?i)docker|engine"):
            sandbox.execute("echo", "bash")
        assert sandbox.get_execution_history() == []
