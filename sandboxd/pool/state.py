"""The life of a pool's member: one enum, one table, one function that refuses the rest.

STARTING ──▶ IDLE ◀──▶ LEASED ──▶ RECYCLING ──▶ IDLE
    │          │          │            │
    └──────────┴──────────┴────────────┴──▶ REMOVING ──▶ GONE
"""

from __future__ import annotations

import enum


class State(enum.Enum):
    STARTING = "starting"
    """Asked for; counted from here on, so that no more are asked for than wanted."""
    IDLE = "idle"
    """Its guest said ready: a run can be handed over with one write."""
    LEASED = "leased"
    """A run has it."""
    RECYCLING = "recycling"
    """The run was answered; its namespaces are being replaced."""
    REMOVING = "removing"
    """It will not be used again; its slot is free once the engine has removed it."""
    GONE = "gone"


_LEGAL = {
    State.STARTING: {State.IDLE, State.REMOVING},
    State.IDLE: {State.LEASED, State.REMOVING},
    State.LEASED: {State.RECYCLING, State.REMOVING, State.IDLE},  # IDLE: its waiter had gone
    State.RECYCLING: {State.IDLE, State.REMOVING},
    State.REMOVING: {State.GONE},
    State.GONE: set[State](),
}


class IllegalTransitionError(AssertionError):
    """The caller has lost track of a member: a bug, never an event."""


def transition(now: State, then: State) -> State:
    """The new state. Raises IllegalTransitionError."""
    if then not in _LEGAL[now]:
        raise IllegalTransitionError(f"a member that is {now.value} cannot become {then.value}")
    return then
