"""What the guest saw, and what the client is told of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxd.guest.frames import Cause, Verdict
from sandboxd.run.verdict import Judgement, fault, judge, why_ended
from sandboxd_client.protocol import Status


def verdict(
    cause: int = Cause.EXITED, exit_code: int = 0, signal: int = 0, oom_kills: int = 0
) -> Verdict:
    return Verdict(cause, exit_code, signal, 1, 2, 3, 4, 5, oom_kills)


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        (verdict(), Judgement(Status.OK, 0, None)),
        (verdict(exit_code=1), Judgement(Status.ERROR, 1, None)),
        # A program that claims to be timed out or out of memory has failed, and no more.
        (verdict(exit_code=124), Judgement(Status.ERROR, 124, None)),
        (verdict(exit_code=137), Judgement(Status.ERROR, 137, None)),
        (verdict(exit_code=255), Judgement(Status.ERROR, 255, None)),
        (verdict(exit_code=-1, signal=9), Judgement(Status.ERROR, 137, 9)),
        (verdict(exit_code=-1, signal=11), Judgement(Status.ERROR, 139, 11)),
        (verdict(exit_code=-1, signal=15), Judgement(Status.ERROR, 143, 15)),
        (verdict(Cause.TIMEOUT, -1, 9), Judgement(Status.TIMEOUT, 124, None)),
        # It caught the signal of its end, or ended in the same moment.
        (verdict(Cause.TIMEOUT, 0, 0), Judgement(Status.TIMEOUT, 124, None)),
        (verdict(Cause.TIMEOUT, -1, 9, oom_kills=1), Judgement(Status.TIMEOUT, 124, None)),
        (verdict(Cause.KILLED, -1, 9), Judgement(Status.KILLED, 137, 9)),
        (verdict(Cause.OUTPUT, -1, 9), Judgement(Status.OUTPUT_LIMIT, 137, 9)),
        (verdict(exit_code=-1, signal=9, oom_kills=1), Judgement(Status.OOM, 137, 9)),
        # The kernel killed a child of it, and it failed for that.
        (verdict(exit_code=1, oom_kills=1), Judgement(Status.OOM, 137, 9)),
        # The kernel killed a child of it, and it did what it was to do without.
        (verdict(exit_code=0, oom_kills=1), Judgement(Status.OK, 0, None)),
        (verdict(Cause.LOST, -1, 9, oom_kills=2), Judgement(Status.OOM, 137, 9)),
        (verdict(Cause.LOST, -1, 9), Judgement(Status.KILLED, 137, 9)),
        (verdict(Cause.LOST, 0, 0), Judgement(Status.KILLED, 137, 9)),
    ],
)
def test_a_runs_end_is_judged(seen: Verdict, told: Judgement) -> None:
    assert judge(seen) == told


@given(st.integers(0, 255))
def test_no_exit_code_of_its_own_makes_a_program_more_than_failed(code: int) -> None:
    assert judge(verdict(exit_code=code)).status is (Status.ERROR if code else Status.OK)


@given(st.integers(0, 255), st.integers(-1, 255), st.integers(0, 64), st.integers(0, 3))
def test_ok_is_an_exit_code_of_zero_and_nothing_else_is(
    cause: int, exit_code: int, signal: int, oom_kills: int
) -> None:
    told = judge(verdict(cause, exit_code, signal, oom_kills))
    assert (told.status is Status.OK) == (told.exit_code == 0)


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        (verdict(), None),
        (verdict(exit_code=1), None),
        (verdict(exit_code=-1, signal=9), None),
        (verdict(Cause.TIMEOUT, -1, 9), None),
        (verdict(Cause.KILLED, -1, 9), None),
        (verdict(Cause.OUTPUT, -1, 9), None),
        (verdict(exit_code=0, oom_kills=1), "its memory ran out"),
        (verdict(Cause.LOST, -1, 9), "its namespace was lost"),
    ],
)
def test_a_container_is_used_again_unless_something_odd_was_seen(
    seen: Verdict, told: str | None
) -> None:
    assert fault(seen) == told


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        (verdict(exit_code=3), "its process ended (exit 3)"),
        (verdict(exit_code=-1, signal=9), "its process was ended by signal 9"),
        (verdict(exit_code=-1, signal=9, oom_kills=1), "its memory ran out"),
        (verdict(Cause.TIMEOUT, -1, 9), "its program did not end when it was interrupted"),
        (verdict(Cause.LOST, -1, 9), "its namespace was lost"),
    ],
)
def test_why_an_interpreter_has_ended_is_told(seen: Verdict, told: str) -> None:
    assert why_ended(seen) == told
