"""From what the guest saw to what the client is told. Pure."""

from __future__ import annotations

import signal
from typing import NamedTuple

from sandboxd.guest.frames import Cause, Verdict
from sandboxd_client.protocol import Status

TIMEOUT_CODE = 124  # coreutils' timeout says the same
_SIGNAL_BASE = 128  # as every shell counts
_KILLED = _SIGNAL_BASE + signal.SIGKILL


class Judgement(NamedTuple):
    status: Status
    exit_code: int
    signal: int | None


def judge(verdict: Verdict) -> Judgement:
    """How a run ended.

    Only the guest's own knowledge of why it killed makes a timeout or an output
    limit: a program that exits with 124 or 137 has failed, and no more.
    """
    match verdict.cause:
        case Cause.TIMEOUT:
            return Judgement(Status.TIMEOUT, TIMEOUT_CODE, None)
        case Cause.OUTPUT:
            return Judgement(Status.OUTPUT_LIMIT, _KILLED, signal.SIGKILL)
        case Cause.KILLED:
            return Judgement(Status.KILLED, _KILLED, signal.SIGKILL)
    failed = verdict.signal or verdict.exit_code
    if verdict.cause == Cause.LOST or (verdict.oom_kills and failed):
        status = Status.OOM if verdict.oom_kills else Status.KILLED
        return Judgement(status, _KILLED, signal.SIGKILL)
    if verdict.signal:
        return Judgement(Status.ERROR, _SIGNAL_BASE + verdict.signal, verdict.signal)
    return Judgement(Status.ERROR if verdict.exit_code else Status.OK, verdict.exit_code, None)


def fault(verdict: Verdict) -> str | None:
    """Why the container should not be used again, if so."""
    if verdict.oom_kills:
        return "its memory ran out"
    if verdict.cause == Cause.LOST:
        return "its namespace was lost"
    return None


def why_ended(verdict: Verdict) -> str:
    """Why a session's interpreter has, in words."""
    if verdict.cause not in (Cause.EXITED, Cause.LOST):
        return "its program did not end when it was interrupted"
    if (odd := fault(verdict)) is not None:
        return odd
    if verdict.signal:
        return f"its process was ended by signal {verdict.signal}"
    return f"its process ended (exit {verdict.exit_code})"
