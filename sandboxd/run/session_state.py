"""What a session may do when: one enum, one function that goes on from it. Pure."""

from __future__ import annotations

import enum


class SessionState(enum.Enum):
    OPENING = "opening"
    IDLE = "idle"
    BUSY = "busy"
    """A run is under way in it."""
    CLOSED = "closed"


class Step(enum.Enum):
    OPENED = "opened"
    BEGIN = "a run begins"
    KEPT = "a run has ended, and its box is there"
    EXPIRE = "it was not used for too long"
    CLOSE = "it is closed, or its box is lost"


_NEXT = {
    (SessionState.OPENING, Step.OPENED): SessionState.IDLE,
    (SessionState.IDLE, Step.BEGIN): SessionState.BUSY,
    (SessionState.BUSY, Step.KEPT): SessionState.IDLE,
    # A run that begins and an expiry may come together: the first to come here counts.
    (SessionState.IDLE, Step.EXPIRE): SessionState.CLOSED,
    (SessionState.OPENING, Step.CLOSE): SessionState.CLOSED,
    (SessionState.IDLE, Step.CLOSE): SessionState.CLOSED,
    (SessionState.BUSY, Step.CLOSE): SessionState.CLOSED,
}


def step(state: SessionState, event: Step) -> SessionState | None:
    """The next state; None where that cannot be, and all stays as it is."""
    return _NEXT.get((state, event))
