"""A run that has ended, as its client is told."""

from __future__ import annotations

from datetime import datetime

import msgspec

from sandboxd.guest.frames import Event, Verdict
from sandboxd.run.active import ActiveRun
from sandboxd.run.files import Collection, tell_named
from sandboxd.run.plan import Plan
from sandboxd.run.verdict import Judgement, judge
from sandboxd_client.protocol import (
    ContainerInfo,
    RunError,
    RunResult,
    Status,
    Timings,
    Truncated,
    Usage,
)

_MICRO = 1e-6
_COMPILE_FAILED = b"compile\n"
"""What a runner notes when its compiler refused the program."""


def to_result(  # noqa: PLR0913 - a result has many parts
    run: str,
    plan: Plan,
    active: ActiveRun,
    verdict: Verdict,
    *,
    files: Collection,
    timings: Timings,
    warm: bool,
    container: ContainerInfo,
    started_at: datetime,
) -> RunResult:
    """What a client is told of a run that has ended."""
    judgement = judge(verdict)
    result = RunResult(
        run=run,
        language=plan.language.name,
        status=judgement.status,
        exit_code=judgement.exit_code,
        signal=judgement.signal,
        stdout=None,
        stderr=None,
        truncated=Truncated(
            stdout=verdict.stdout_written > plan.limits.output,
            stderr=verdict.stderr_written > plan.limits.output,
        ),
        duration=timings.ran,
        timings=timings,
        usage=Usage(cpu=verdict.cpu_us * _MICRO, memory_peak=verdict.rss_bytes),
        files=files.files,
        files_skipped=tell_named(files.skipped, plan.request.outputs),
        folders=files.folders,
        warm=warm,
        container=container,
        started_at=started_at.isoformat(),
        error=_run_error(active, judgement),
    )
    return with_output(result, active) if plan.request.capture else result


def with_output(result: RunResult, active: ActiveRun) -> RunResult:
    """With what was kept of the streams."""
    stdout, stderr = active.streams[Event.STDOUT], active.streams[Event.STDERR]
    return msgspec.structs.replace(result, stdout=stdout.kept(), stderr=stderr.kept())


def _run_error(active: ActiveRun, judgement: Judgement) -> RunError | None:
    if _COMPILE_FAILED in active.notes and judgement.status is Status.ERROR:
        return RunError(phase="compile", message="the program did not compile; stderr tells why")
    return None
