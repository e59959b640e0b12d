"""The pool's decisions, without I/O: demand, returns and deaths go in, actions come out.

The requester never creates: it waits, and whatever turns up first, new or
returned, goes to the first waiter that may have it. Members that are starting
count as if they were there, and one that is being removed still holds its place.
"""

from __future__ import annotations

import enum
import itertools
import math
from collections import Counter as TallyCounter
from collections.abc import Callable, Iterator
from typing import Literal

import msgspec
from msgspec import Struct

from sandboxd.pool.queue import FairQueue, Waiter
from sandboxd.pool.state import State, transition

_DEMAND_HALVES = 30.0
"""Seconds in which the memory of a demand that has gone halves."""
_BACKOFF_FIRST = 0.5
_BACKOFF_MOST = 60.0
_DOUBLINGS = 10
"""More would not change the pause, and in the end be no float."""
_SLACK = 0.25
"""Of a member: a demand that has all but gone is worth none."""


class Settings(Struct, frozen=True):
    """What the operator wants of one pool; see PoolConfig."""

    min: int
    max: int
    max_uses: int
    max_age: float
    reuse: Literal["owner", "any", "never"]


class Member(Struct, eq=False):
    """One container of the pool, as far as decisions need to know it."""

    id: int
    born: float
    generation: int
    state: State = State.STARTING
    owner: int | None = None
    """Who used it last."""
    leased_at: float = 0.0
    uses: int = 0
    single: bool = False
    """Its present run asked for a container that nobody uses after it."""
    uses_allowed: int = 0
    age_allowed: float = 0.0


class Create(Struct, frozen=True):
    """Make a container for this member."""

    member: Member


class HandOut(Struct, frozen=True):
    """Give the member to the waiter."""

    member: Member
    waiter: Waiter


class Remove(Struct, frozen=True):
    """Remove the member's container."""

    member: Member
    why: str


class Refuse(Struct, frozen=True):
    """Tell the waiter that there is nothing to wait for."""

    waiter: Waiter
    why: Exception


Action = Create | HandOut | Remove | Refuse


class Cause(enum.StrEnum):
    """Why members are removed, for those who count."""

    CONFIGURATION = "configuration"
    STOP = "stop"
    FAILED_START = "failed_start"
    USED_UP = "used_up"
    SINGLE = "single"
    AGE = "age"
    FAULT = "fault"
    DIED = "died"
    OWNER = "owner"
    DEMAND = "demand"


_RECONFIGURED = ("the configuration changed", Cause.CONFIGURATION)
_STOPPED = ("the daemon stops", Cause.STOP)


class Counters(Struct):
    handed_out: int = 0
    recycled: int = 0
    failures: int = 0
    destroyed_by: TallyCounter[Cause] = msgspec.field(default_factory=TallyCounter)

    @property
    def destroyed(self) -> int:
        return self.destroyed_by.total()


class PoolCore:
    """Every method returns the actions that follow from what it was told.

    `jitter` gives a number between 0 and 1: members that were made together are
    not to retire together, nor failures to be retried in step.
    """

    def __init__(self, settings: Settings, jitter: Callable[[], float]) -> None:
        self.counters = Counters()
        self.problem: Exception | None = None
        """Why the last creation failed; None after one that succeeded."""
        self.retry_at = 0.0
        """When creation may be tried again."""
        self._settings = settings
        self._jitter = jitter
        self._generation = 0
        self._members: dict[int, Member] = {}
        self._queue = FairQueue()
        self._ids = itertools.count()
        self._failures_in_a_row = 0
        self._closed = False
        self._demand = 0.0
        """Containers that were in use at once of late: arrival rate times service time
        (Little's law), measured rather than computed; up at once, down slowly."""
        self._demand_at = 0.0

    def __repr__(self) -> str:
        states = {state: self.count(state) for state in State if self.count(state)}
        told = ", ".join(f"{count} {state.value}" for state, count in states.items())
        return f"<PoolCore {told or 'empty'}, {len(self._queue)} waiting>"

    def count(self, *states: State) -> int:
        return sum(member.state in states for member in self._members.values())

    def members(self, state: State) -> list[Member]:
        return [member for member in self._members.values() if member.state is state]

    @property
    def size(self) -> int:
        """Members that hold a place."""
        return len(self._members)

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def queue(self) -> Iterator[Waiter]:
        """Those who wait, in the order of their turns."""
        return iter(self._queue)

    def position(self, waiter: Waiter) -> int:
        """The place of one that waits, 1 for who is next."""
        return self._queue.position(waiter)

    # --- what happens ---

    def request(self, waiter: Waiter, now: float) -> list[Action]:
        """Somebody wants a container."""
        self._queue.push(waiter)
        self._measure_demand(now)
        return list(self._settle(now))

    def give_up(self, waiter: Waiter) -> bool:
        """A waiter has gone; False if it was handed a member before."""
        return self._queue.remove(waiter)

    def started(self, member: Member, now: float) -> list[Action]:
        """A member's guest is ready for the first time."""
        self._failures_in_a_row = 0
        self.problem = None
        self.retry_at = 0.0
        if member.state is not State.STARTING:
            return []
        if self._closed or member.generation != self._generation:
            return [
                self._remove(member, *_RECONFIGURED),
                *self._settle(now),
            ]
        member.state = transition(member.state, State.IDLE)
        return list(self._settle(now))

    def start_failed(self, member: Member, why: Exception, now: float) -> list[Action]:
        """A member could not be made; whatever there is of it must be removed."""
        self.counters.failures += 1
        self.problem = why
        pause = min(_BACKOFF_MOST, _BACKOFF_FIRST * 2 ** min(self._failures_in_a_row, _DOUBLINGS))
        self._failures_in_a_row += 1
        self.retry_at = now + pause * (1 + self._jitter()) / 2
        actions: list[Action] = []
        if member.state is State.STARTING:
            actions.append(self._remove(member, f"its start failed: {why}", Cause.FAILED_START))
        # Nothing that lives will come back to serve these.
        if not self.count(State.STARTING, State.IDLE, State.LEASED, State.RECYCLING):
            actions += [Refuse(waiter, why) for waiter in self._queue.drain()]
        return actions + list(self._settle(now))

    def returned(self, member: Member, fault: str | None, now: float) -> list[Action]:
        """A run has ended. A fault is a reason not to use its container again."""
        if member.state is not State.LEASED:
            return []
        if member.owner is not None:
            self._queue.charge(member.owner, now - member.leased_at)
        if fault:
            return [self._remove(member, fault, Cause.FAULT), *self._settle(now)]
        if retirement := self._retirement(member, now):
            return [self._remove(member, *retirement), *self._settle(now)]
        member.state = transition(member.state, State.RECYCLING)
        return []

    def handed_back(self, member: Member, now: float) -> list[Action]:
        """The waiter had gone before the member came to it: nothing was run."""
        member.uses -= 1
        self.counters.handed_out -= 1
        if member.state is not State.LEASED:
            return []  # it died meanwhile
        if retirement := self._retirement(member, now):
            return [self._remove(member, *retirement), *self._settle(now)]
        member.state = transition(member.state, State.IDLE)
        return list(self._settle(now))

    def recycled(self, member: Member, now: float) -> list[Action]:
        """The member's namespaces have been replaced: it is as good as new."""
        if member.state is not State.RECYCLING:
            return []
        self.counters.recycled += 1
        if member.generation != self._generation:
            return [
                self._remove(member, *_RECONFIGURED),
                *self._settle(now),
            ]
        member.state = transition(member.state, State.IDLE)
        return list(self._settle(now))

    def died(self, member: Member, why: str, now: float) -> list[Action]:
        """The member's container ended, or must: it leaves the pool at once."""
        if member.state in (State.REMOVING, State.GONE):
            return []
        return [self._remove(member, why, Cause.DIED), *self._settle(now)]

    def removed(self, member: Member, now: float) -> list[Action]:
        """The engine has removed the member's container: its place is free."""
        member.state = transition(member.state, State.GONE)
        del self._members[member.id]
        return list(self._settle(now))

    def tick(self, now: float) -> list[Action]:
        """Time has passed: old members go, and creation that failed is tried again."""
        actions: list[Action] = [
            self._remove(member, *retirement)
            for member in self.members(State.IDLE)
            if (retirement := self._retirement(member, now))
        ]
        self._measure_demand(now)
        return [*actions, *self._shrink(), *self._settle(now)]

    def reconfigure(self, settings: Settings, now: float) -> list[Action]:
        """Members of before are not handed out any more; those in use end their run."""
        self._settings = settings
        self._generation += 1
        actions: list[Action] = [
            self._remove(member, *_RECONFIGURED) for member in self.members(State.IDLE)
        ]
        return actions + list(self._settle(now))

    def close(self, why: Exception) -> list[Action]:
        """No more runs: waiters are told, and all that is not in use goes."""
        self._closed = True
        unused = (State.STARTING, State.IDLE, State.RECYCLING)
        actions: list[Action] = [Refuse(waiter, why) for waiter in self._queue.drain()]
        actions += [
            self._remove(member, *_STOPPED)
            for member in self._members.values()
            if member.state in unused
        ]
        return actions

    # --- what follows ---

    def _settle(self, now: float) -> Iterator[Action]:
        if self._closed:
            return
        yield from self._hand_out(now)
        yield from self._make_room()
        yield from self._create(now)

    def _hand_out(self, now: float) -> Iterator[Action]:
        idle = self.members(State.IDLE)
        while idle and self._queue:
            waiter = self._queue.take(lambda head: self._choose(idle, head) is not None)
            if waiter is None:
                return
            member = self._choose(idle, waiter)
            if member is None:  # `take` asked the same question
                raise AssertionError("the member that suited is gone")
            idle.remove(member)
            member.state = transition(member.state, State.LEASED)
            member.owner = waiter.owner
            member.leased_at = now
            member.single = waiter.fresh
            member.uses += 1
            self.counters.handed_out += 1
            yield HandOut(member, waiter)

    def _choose(self, idle: list[Member], waiter: Waiter) -> Member | None:
        """A used one where that is allowed, so that new ones are kept for who needs them."""
        best: Member | None = None
        for member in idle:
            if self._suits(member, waiter) and (best is None or member.uses > best.uses):
                best = member
        return best

    def _suits(self, member: Member, waiter: Waiter) -> bool:
        if member.uses == 0:
            return True
        if waiter.fresh or self._settings.reuse == "never":
            return False
        return self._settings.reuse == "any" or member.owner == waiter.owner

    def _make_room(self) -> Iterator[Action]:
        """Where every place is taken and idle members suit nobody, one makes way for each."""
        lacking = len(self._queue) - self.count(State.STARTING, State.REMOVING)
        lacking -= max(0, self._settings.max - self.size)
        for member in self.members(State.IDLE)[: max(0, lacking)]:
            yield self._remove(member, "its place is needed for another owner", Cause.OWNER)

    def _measure_demand(self, now: float) -> None:
        passed = max(0.0, now - self._demand_at)
        in_use = self.count(State.LEASED, State.RECYCLING) + len(self._queue)
        self._demand = max(float(in_use), self._demand * 0.5 ** (passed / _DEMAND_HALVES))
        self._demand_at = now

    @property
    def _wanted(self) -> int:
        """Members there should be: what is in use at once, and `min` that are ready."""
        return min(self._settings.max, math.ceil(self._demand - _SLACK) + self._settings.min)

    def _shrink(self) -> Iterator[Action]:
        """One member a tick too many goes, the longest unused first."""
        idle = self.members(State.IDLE)
        if idle and self.size - self.count(State.REMOVING) > self._wanted:
            spare = min(idle, key=lambda member: member.leased_at)
            yield self._remove(spare, "demand has gone", Cause.DEMAND)

    def _create(self, now: float) -> Iterator[Action]:
        if now < self.retry_at:
            return
        # After a failure one at a time, until it is known to work again.
        starting = self.count(State.STARTING)
        most = 1 if self.problem else self._settings.max
        coming = self.count(State.STARTING, State.IDLE, State.RECYCLING)
        # Those who wait found nothing that suits them among the idle.
        lacking = len(self._queue) + self.count(State.IDLE) - coming
        lacking = max(lacking, self._settings.min - coming, self._wanted - self.size)
        for _ in range(min(lacking, self._settings.max - self.size, most - starting)):
            yield Create(self._new_member(now))

    def _new_member(self, now: float) -> Member:
        settings = self._settings
        member = Member(
            id=next(self._ids),
            born=now,
            generation=self._generation,
            uses_allowed=max(1, round(settings.max_uses * (1 - 0.1 * self._jitter()))),
            age_allowed=settings.max_age * (1 - 0.1 * self._jitter()),
        )
        self._members[member.id] = member
        return member

    def _retirement(self, member: Member, now: float) -> tuple[str, Cause] | None:
        """Why a member should go now that nobody uses it."""
        if member.generation != self._generation:
            return _RECONFIGURED
        if self._closed:
            return _STOPPED
        if member.uses and (member.single or self._settings.reuse == "never"):
            return "it was used once", Cause.SINGLE
        if member.uses >= member.uses_allowed:
            return f"it was used {member.uses} times", Cause.USED_UP
        if now - member.born > member.age_allowed:
            return f"it is {now - member.born:.0f} s old", Cause.AGE
        return None

    def _remove(self, member: Member, why: str, cause: Cause) -> Remove:
        member.state = transition(member.state, State.REMOVING)
        self.counters.destroyed_by[cause] += 1
        return Remove(member, why)
