"""The names of an earlier sandbox of Python classes, over the daemon.

    from sandboxd_client.compat import AutoDebuggerIntegration, CodeSandbox, ResourceLimits

    with CodeSandbox(limits=ResourceLimits(memory_mb=256, timeout_seconds=5)) as sandbox:
        result = sandbox.execute("print(1 / 0)", "python")
        assert not result.success
        report = AutoDebuggerIntegration(sandbox).analyze_error(result)
        print(report["explanation"], report["suggestions"])

A program that fails is a result. An exception means that nothing ran: the errors
are the client's own (UnknownLanguageError, InvalidLimitsError, …), and those of
UNAVAILABLE say that the daemon, Docker or an image is not there. New code is
better served by `Client`, which streams and says more.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from msgspec import Struct

from sandboxd_client._files import given
from sandboxd_client._wire import DebugFacts, Stdin
from sandboxd_client.batch import Program, Stop, run_program
from sandboxd_client.errors import (
    ConnectionLostError,
    EngineUnavailableError,
    ImageUnavailableError,
    NotRunningError,
    RunNotFoundError,
    SandboxError,
    ShuttingDownError,
    StartFailedError,
)
from sandboxd_client.protocol import (
    Blob,
    LanguageInfo,
    Limits,
    RunResult,
    Status,
    from_blob,
)
from sandboxd_client.sync import Client

MAX_TIMEOUT_SECONDS = 30.0
"""The most that `ResourceLimits` can ask for."""

UNAVAILABLE: tuple[type[SandboxError], ...] = (
    NotRunningError,
    ConnectionLostError,
    ShuttingDownError,
    EngineUnavailableError,
    ImageUnavailableError,
    StartFailedError,
)
"""For `except`: the daemon is not there, or Docker is absent, down or fails. The message
says which, and what helps."""

_MIB = 1024 * 1024
_ERROR_EXIT = 1


class ResourceLimits(Struct, frozen=True, forbid_unknown_fields=True):
    """What one execution may use. `msgspec.structs.replace` makes one that differs.

    Raises ValueError for what can be of no use; the operator's maxima are the daemon's
    to check.
    """

    memory_mb: int = 512
    """MiB of all processes and files, without swap."""
    cpu_limit: float = 1.0
    """Cores: a hard quota."""
    cpu_shares: int = 1024
    """Weight against others when cores are scarce; 1024 is the usual one."""
    max_processes: int = 100
    """Processes and threads at once."""
    timeout_seconds: float = MAX_TIMEOUT_SECONDS
    """Then the program is killed; at most 30."""
    disk_mb: int | None = None
    """MiB of all that the program can write; None leaves it to the operator."""
    network_enabled: bool = False
    """True needs the operator's leave."""
    read_only_root: bool = True
    """False gives a root file system that can be written to, for one execution."""

    def __post_init__(self) -> None:
        if self.timeout_seconds > MAX_TIMEOUT_SECONDS:
            raise ValueError(
                f"timeout_seconds is {self.timeout_seconds:g}; "
                f"it must be at most {MAX_TIMEOUT_SECONDS:g}"
            )
        for name in ("memory_mb", "cpu_limit", "cpu_shares", "max_processes", "timeout_seconds"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be more than 0")
        if self.disk_mb is not None and self.disk_mb <= 0:
            raise ValueError(f"disk_mb is {self.disk_mb}; it must be more than 0, or None")

    def to_limits(self) -> Limits:
        """The same in the terms of the protocol, which has network and root beside them."""
        return Limits(
            memory=self.memory_mb * _MIB,
            cpus=self.cpu_limit,
            cpu_shares=self.cpu_shares,
            pids=self.max_processes,
            timeout=self.timeout_seconds,
            tmp=None if self.disk_mb is None else self.disk_mb * _MIB,
        )


class ExecutionResult(Struct, frozen=True, kw_only=True):
    """How a program ended. `msgspec.to_builtins` makes a dict of it."""

    success: bool
    """Whether it ended with exit code 0."""
    stdout: str
    """What is not UTF-8 is replaced."""
    stderr: str
    exit_code: int
    """128 + N after signal N, 124 at a timeout, 137 out of memory."""
    execution_time: float
    """Seconds."""
    timestamp: datetime
    """Its start, in UTC."""
    timed_out: bool
    memory_used: int
    """Bytes: the largest resident set among its processes."""
    output_files: dict[str, bytes]
    """What it made or changed in its work folder, by relative path."""
    files_skipped: dict[str, str]
    """What of that did not come back, and why."""
    language: str
    code: str
    error: str | None
    """Why it was no success, in a sentence; None for one."""
    status: Status
    run: str
    """Its name in the daemon's history."""


class CodeSandbox:
    """Runs programs; may be shared between threads.

    `socket` is the daemon's, by default where it listens by default; `limits` are for
    executions that give none; `max_history` results are kept, with their output and files.
    """

    def __init__(
        self,
        socket: str | Path | None = None,
        limits: ResourceLimits | None = None,
        max_history: int = 100,
    ) -> None:
        self.client = Client(socket)
        self.limits = limits or ResourceLimits()
        self._history: deque[ExecutionResult] = deque(maxlen=max_history)
        self._running: set[Stop] = set()
        self._cleanups = 0
        # Taken again by a signal handler that cleans up.
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.cleanup(force=True)

    @property
    def supported_languages(self) -> list[str]:
        """Names of what can be run; aliases are understood too."""
        return [language.name for language in self.client.languages()]

    @property
    def language_configs(self) -> dict[str, LanguageInfo]:
        """Image, version, aliases and file extension of each language."""
        return {language.name: language for language in self.client.languages()}

    def execute(  # noqa: PLR0913 - the arguments that it always had
        self,
        code: str,
        language: str,
        limits: ResourceLimits | None = None,
        *,
        files: Mapping[str, str | bytes] | None = None,
        stdin: Stdin = None,
        network: bool | None = None,
        read_only: bool | None = None,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        output_files: Sequence[str] = ("**",),
    ) -> ExecutionResult:
        """Runs a program to its end.

        `files` are laid in its work folder first, by relative path; of those it leaves
        there, the ones that the globs of `output_files` name come back. `network` and
        `read_only` go before what the limits say.

        Raises UnknownLanguageError, InvalidLimitsError, NotPermittedError and the like
        when it is refused, one of UNAVAILABLE when it cannot run, and CancelledError
        when `cleanup(force=True)` killed it.
        """
        chosen = limits or self.limits
        program = Program(
            language,
            code,
            args=args,
            env=env or {},
            stdin=stdin,
            limits=chosen.to_limits(),
            files=files or {},
            outputs=output_files,
            network=chosen.network_enabled if network is None else network,
            read_only=chosen.read_only_root if read_only is None else read_only,
        )
        result = _to_execution(self._run(program), program, chosen)
        with self._lock:
            self._history.append(result)
        return result

    def _run(self, program: Program) -> RunResult:
        with Stop() as stop:
            with self._lock:
                self._running.add(stop)
                cleanups = self._cleanups
            try:
                return run_program(self.client, program, stop)
            finally:
                with self._lock:
                    self._running.remove(stop)
                    if cleanups != self._cleanups:
                        self.client.close()

    def get_execution_history(self, limit: int | None = None) -> list[ExecutionResult]:
        """What this object has run, the oldest first; with `limit`, the last so many."""
        if limit is not None and limit < 0:
            raise ValueError(f"limit is {limit}; it must be at least 0, or None for all")
        with self._lock:
            results = list(self._history)
        return results if limit is None else results[max(0, len(results) - limit) :]

    def clear_history(self) -> None:
        """Forgets the results here; the daemon has a history of its own."""
        with self._lock:
            self._history.clear()

    def cleanup(self, force: bool = False) -> None:  # noqa: FBT001, FBT002 - as it always was
        """Lets go of the daemon; the next execution connects again.

        Executions under way in other threads come to their end, or with `force` are
        killed: they raise CancelledError. Containers are the daemon's to clean.
        """
        with self._lock:
            self._cleanups += 1
            if force:
                for stop in self._running:
                    stop.set()
            self.client.close()


class AutoDebuggerIntegration:
    """Explains failures: what went wrong, where, what it means, what to try.

    The reports are the daemon's DebugReport as a dict: `category`, `error_type`,
    `message`, `location`, `frames`, `snippet`, `explanation`, `suggestions`, ….
    """

    def __init__(self, sandbox: CodeSandbox) -> None:
        self.sandbox = sandbox

    def create_debug_report(
        self, code: str, language: str, result: ExecutionResult | None = None
    ) -> dict[str, Any]:
        """The report on a program; it is run where no result is given."""
        if result is None:
            result = self.sandbox.execute(code, language)
        if result.code == code:
            return self._report_run(result)
        return self._report(_facts(result, code, language))

    def analyze_error(
        self, result: ExecutionResult | str, language: str | None = None
    ) -> dict[str, Any]:
        """The report on a result, or on what some program of `language` wrote to stderr."""
        if isinstance(result, ExecutionResult):
            return self._report_run(result)
        if language is None:
            raise TypeError("for a text of stderr the language must be given")
        return self._report(
            DebugFacts(
                language=language,
                code="",
                stderr=result,
                exit_code=_ERROR_EXIT,
                status=Status.ERROR,
            )
        )

    def _report_run(self, result: ExecutionResult) -> dict[str, Any]:
        """From the daemon's history, which knows most, or from what is known here."""
        try:
            return _to_dict(self.sandbox.client.debug_report(result.run))
        except RunNotFoundError:
            return self._report(_facts(result, result.code, result.language))

    def _report(self, facts: DebugFacts) -> dict[str, Any]:
        return _to_dict(self.sandbox.client.debug_report(**facts))


def _facts(result: ExecutionResult, code: str, language: str) -> DebugFacts:
    return DebugFacts(
        language=language,
        code=code,
        stdout=result.stdout,
        stderr=result.stderr,
        exit_code=result.exit_code,
        status=result.status,
    )


def _to_dict(report: Struct) -> dict[str, Any]:
    made: dict[str, Any] = msgspec.to_builtins(report)
    return made


def _to_execution(result: RunResult, program: Program, limits: ResourceLimits) -> ExecutionResult:
    laid = program.params.files
    return ExecutionResult(
        success=result.status is Status.OK,
        stdout=_text(result.stdout),
        stderr=_text(result.stderr),
        exit_code=result.exit_code,
        execution_time=result.duration,
        timestamp=datetime.fromisoformat(result.started_at),
        timed_out=result.status is Status.TIMEOUT,
        memory_used=result.usage.memory_peak,
        output_files={
            file.path: from_blob(file.data)
            for file in result.files
            if file.path not in laid or given(laid[file.path]) != file.data
        },
        files_skipped={file.path: file.why for file in result.files_skipped},
        language=result.language,
        code=program.code,
        error=_error(result, limits),
        status=result.status,
        run=result.run,
    )


def _text(blob: Blob | None) -> str:
    return blob if isinstance(blob, str) else from_blob(blob or "").decode(errors="replace")


def _error(result: RunResult, limits: ResourceLimits) -> str | None:
    killed = {
        Status.TIMEOUT: f"timed out after {limits.timeout_seconds:g} seconds",
        Status.OOM: f"out of memory: more than {limits.memory_mb} MiB",
        Status.OUTPUT_LIMIT: "killed: it printed far more than is allowed",
        Status.KILLED: "killed",
    }
    if result.status is Status.OK or result.status in killed:
        return killed.get(result.status)
    if result.error is not None:
        return result.error.message
    if result.signal is not None:
        return f"ended by signal {result.signal}"
    return f"exited with code {result.exit_code}"
