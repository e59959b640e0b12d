"""A session goes from one state to the next in one place, and nowhere that is not legal."""

from __future__ import annotations

import itertools

import pytest

from sandboxd.run.session_state import SessionState, Step, step

OPENING, IDLE, BUSY, CLOSED = SessionState


@pytest.mark.parametrize(
    ("steps", "end"),
    [
        ([Step.OPENED, Step.BEGIN, Step.KEPT, Step.EXPIRE], CLOSED),
        ([Step.OPENED, Step.BEGIN, Step.CLOSE], CLOSED),
        ([Step.OPENED, Step.BEGIN, Step.KEPT, Step.BEGIN], BUSY),
        ([Step.CLOSE], CLOSED),
    ],
)
def test_a_life_goes_by_its_steps(steps: list[Step], end: SessionState) -> None:
    state = OPENING
    for event in steps:
        following = step(state, event)
        assert following is not None
        state = following
    assert state is end


def test_of_an_expiry_and_a_run_that_come_together_the_first_counts() -> None:
    assert step(BUSY, Step.EXPIRE) is None
    assert step(CLOSED, Step.BEGIN) is None


def test_nothing_leads_out_of_the_end_and_everything_can_be_closed() -> None:
    assert {step(CLOSED, event) for event in Step} == {None}
    assert {step(state, Step.CLOSE) for state in (OPENING, IDLE, BUSY)} == {CLOSED}


def test_only_one_run_begins() -> None:
    begins = [
        state
        for state, event in itertools.product(SessionState, [Step.BEGIN])
        if step(state, event)
    ]
    assert begins == [IDLE]
