"""Every interleaving of what can happen to a pool, against what must always hold.

The machine plays the world around the core: engine, runs and clients. Its own
books are kept from the actions alone, and are compared with the core's.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)

from sandboxd.errors import ShuttingDownError, StartFailedError
from sandboxd.pool.core import Action, Create, HandOut, Member, PoolCore, Refuse, Remove, Settings
from sandboxd.pool.queue import Waiter
from sandboxd.pool.state import State

_ROUNDS = 200
"""More than any pool needs to come to rest."""

_SHORTEST_PAUSE = 0.25
"""Seconds, after the first failure and with all the jitter."""

configurations = st.builds(
    lambda least, more, uses, age, reuse: Settings(
        min=least, max=max(1, least + more), max_uses=uses, max_age=age, reuse=reuse
    ),
    st.integers(0, 2),
    st.integers(0, 3),
    st.sampled_from([1, 2, 3, 100]),
    st.sampled_from([5.0, 1000.0]),
    st.sampled_from(["owner", "any", "never"]),
)


class Held:
    """A member in somebody's hands, from its hand-out until it is given back."""

    def __init__(self, member: Member, waiter: Waiter) -> None:
        self.member = member
        self.waiter = waiter


class World(RuleBasedStateMachine):
    waiters: Bundle[Waiter] = Bundle("waiters")

    @initialize(settings=configurations, seed=st.integers(0, 3))
    def open(self, settings: Settings, seed: int) -> None:
        self.settings = settings
        self.generation = 0
        self.now = 0.0
        self.core = PoolCore(settings, random.Random(seed).random)
        self.closed = False
        self.waiting: list[Waiter] = []
        self.starting: list[Member] = []
        self.held: list[Held] = []
        self.recycling: list[Member] = []
        self.removing: list[Member] = []
        self.removed: set[int] = set()
        """All that the core has asked to remove."""
        self.history: dict[int, list[tuple[int, bool]]] = {}
        """The runs that each member had: whose, and whether it was to be the last."""
        self.born_in: dict[int, int] = {}
        self.most_in_use = 0
        """The demand that there ever was at once."""
        self.failed_at: float | None = None
        """When a start failed, unless one has worked since."""
        self.handed_out = self.failures = self.recycled = 0
        self.act(self.core.tick(self.now))

    # --- what the core decides ---

    def act(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Create(member):
                    self.created(member)
                case HandOut(member, waiter):
                    self.handed(member, waiter)
                case Remove(member, _):
                    assert member.id in self.history
                    assert member.id not in self.removed
                    self.removed.add(member.id)
                    self.removing.append(member)
                    if member in self.recycling:
                        self.recycling.remove(member)
                case Refuse(waiter, _):
                    self.waiting.remove(waiter)

    def created(self, member: Member) -> None:
        assert not self.closed
        assert member.id not in self.history
        assert self.core.size <= self.settings.max
        idle, starting = self.core.count(State.IDLE), self.core.count(State.STARTING)
        coming = idle + starting + self.core.count(State.RECYCLING)
        enough = max(self.settings.min, len(self.waiting) + idle)
        assert coming <= enough or self.core.size <= self.most_in_use + self.settings.min
        if self.failed_at is not None:
            assert self.now >= self.failed_at + _SHORTEST_PAUSE
            assert starting == 1
        self.history[member.id] = []
        self.born_in[member.id] = self.generation
        self.starting.append(member)

    def handed(self, member: Member, waiter: Waiter) -> None:
        assert not self.closed
        assert member.id in self.history
        assert member.id not in self.removed
        assert member not in self.starting
        assert all(held.member is not member for held in self.held)
        assert self.born_in[member.id] == self.generation
        self.may_have(member, waiter)
        self.waiting.remove(waiter)
        self.held.append(Held(member, waiter))
        self.history[member.id].append((waiter.owner, waiter.fresh))
        self.handed_out += 1

    def may_have(self, member: Member, waiter: Waiter) -> None:
        runs = self.history[member.id]
        if runs:
            assert not waiter.fresh
            assert self.settings.reuse != "never"
            assert not any(single for _, single in runs)
            if self.settings.reuse == "owner":
                assert {owner for owner, _ in runs} == {waiter.owner}
        assert len(runs) < self.settings.max_uses

    # --- what happens to it ---

    @precondition(lambda self: not self.closed)
    @rule(target=waiters, owner=st.integers(0, 2), fresh=st.booleans(), client=st.integers(0, 1))
    def request(self, owner: int, fresh: bool, client: int) -> Waiter:
        waiter = Waiter(owner, fresh, client)
        self.waiting.append(waiter)
        self.look_at_demand()
        self.act(self.core.request(waiter, self.now))
        return waiter

    @rule(waiter=consumes(waiters))
    def give_up(self, waiter: Waiter) -> None:
        waited = waiter in self.waiting
        assert self.core.give_up(waiter) == waited
        if waited:
            self.waiting.remove(waiter)
            self.tick(0.0)

    @precondition(lambda self: self.starting)
    @rule(data=st.data())
    def started(self, data: st.DataObject) -> None:
        member = self.pick(data, self.starting)
        self.start_worked(member)

    def start_worked(self, member: Member) -> None:
        self.failed_at = None
        self.act(self.core.started(member, self.now))

    @precondition(lambda self: self.starting)
    @rule(data=st.data())
    def start_failed(self, data: st.DataObject) -> None:
        member = self.pick(data, self.starting)
        self.failures += 1
        self.failed_at = self.now
        self.act(self.core.start_failed(member, StartFailedError("no"), self.now))

    @precondition(lambda self: self.held)
    @rule(data=st.data(), fault=st.none() | st.just("odd"))
    def returned(self, data: st.DataObject, fault: str | None) -> None:
        self.give_back(self.pick(data, self.held), fault)

    def give_back(self, held: Held, fault: str | None) -> None:
        alive = held.member.id not in self.removed
        self.act(self.core.returned(held.member, fault, self.now))
        if alive and held.member.id not in self.removed:
            assert fault is None
            self.recycling.append(held.member)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def handed_back(self, data: st.DataObject) -> None:
        """The waiter had gone before the member came to it."""
        held = self.pick(data, self.held)
        self.history[held.member.id].pop()
        self.handed_out -= 1
        self.act(self.core.handed_back(held.member, self.now))

    @precondition(lambda self: self.recycling)
    @rule(data=st.data())
    def recycle(self, data: st.DataObject) -> None:
        member = self.pick(data, self.recycling)
        self.recycled += 1
        self.act(self.core.recycled(member, self.now))

    @rule(data=st.data())
    def recycled_out_of_place(self, data: st.DataObject) -> None:
        """The guest says ready, and its member is being removed."""
        if self.removing:
            member = data.draw(st.sampled_from(self.removing))
            assert self.core.recycled(member, self.now) == []

    @rule(data=st.data())
    def died(self, data: st.DataObject) -> None:
        """A start finds out by itself; anything else may die at any time."""
        alive = [*self.core.members(State.IDLE), *self.recycling]
        alive += [held.member for held in self.held]
        if alive:
            member = data.draw(st.sampled_from(alive))
            self.act(self.core.died(member, "killed", self.now))

    @precondition(lambda self: self.removable())
    @rule(data=st.data())
    def was_removed(self, data: st.DataObject) -> None:
        member = data.draw(st.sampled_from(self.removable()))
        self.remove(member)

    def removable(self) -> list[Member]:
        """A container is removed only after its start has ended, one way or the other."""
        return [member for member in self.removing if member not in self.starting]

    def remove(self, member: Member) -> None:
        self.removing.remove(member)
        self.act(self.core.removed(member, self.now))

    @rule(seconds=st.sampled_from([0.0, 0.1, 1.0, 10.0, 100.0]))
    def tick(self, seconds: float) -> None:
        self.now += seconds
        self.look_at_demand()
        self.act(self.core.tick(self.now))

    def look_at_demand(self) -> None:
        in_use = len(self.held) + len(self.recycling) + len(self.waiting)
        self.most_in_use = max(self.most_in_use, in_use)

    @precondition(lambda self: not self.closed)
    @rule(settings=configurations)
    def reconfigure(self, settings: Settings) -> None:
        self.settings = settings
        self.generation += 1
        self.act(self.core.reconfigure(settings, self.now))

    @precondition(lambda self: not self.closed)
    @rule(chance=st.integers(0, 9))
    def close(self, chance: int) -> None:
        """Now and then: most lives are to be longer."""
        if chance == 0:
            self.closed = True
            self.act(self.core.close(ShuttingDownError("stop")))
            assert not self.waiting

    @staticmethod
    def pick(data: st.DataObject, things: list[Any]) -> Any:
        return things.pop(data.draw(st.integers(0, len(things) - 1)))

    # --- what must always hold ---

    @invariant()
    def the_books_agree(self) -> None:
        if not hasattr(self, "core"):
            return
        core, removed = self.core, self.removed
        assert core.waiting == len(self.waiting)
        assert core.count(State.LEASED) == sum(held.member.id not in removed for held in self.held)
        assert core.count(State.RECYCLING) == len(self.recycling)
        assert core.count(State.REMOVING) == len(self.removing)
        assert core.count(State.STARTING) == sum(
            member.id not in removed for member in self.starting
        )
        assert core.size == sum(map(core.count, State))

    @invariant()
    def the_counters_are_consistent(self) -> None:
        if not hasattr(self, "core"):
            return
        counters = self.core.counters
        assert counters.handed_out == self.handed_out
        assert counters.destroyed == len(self.removed)
        assert counters.failures == self.failures
        assert counters.recycled == self.recycled

    @invariant()
    def nobody_waits_for_what_is_there(self) -> None:
        """The first of each client; the others wait for their turn."""
        if not hasattr(self, "core") or self.closed:
            return
        heads = {(waiter.owner, waiter.client): waiter for waiter in reversed(self.waiting)}
        for member in self.core.members(State.IDLE):
            for waiter in heads.values():
                with pytest.raises(AssertionError):
                    self.may_have(member, waiter)

    def teardown(self) -> None:
        """Once everything goes well, everybody is served and the pool is as it should be."""
        if not hasattr(self, "core"):
            return
        for _ in range(_ROUNDS):
            if not self.under_way():
                self.now = max(self.now, self.core.retry_at)  # a sum may fall short of it
                self.tick(0.0)
                if not self.under_way():
                    break
            self.advance()
        else:
            raise AssertionError(f"it does not come to rest: {self.core!r}")
        assert not self.waiting
        assert self.core.count(State.IDLE) == self.core.size
        if self.closed:
            assert self.core.size == 0
        else:
            assert self.settings.min <= self.core.size <= self.settings.max

    def under_way(self) -> bool:
        return bool(self.starting or self.held or self.recycling or self.removing)

    def advance(self) -> None:
        """Everything under way ends well."""
        for member in list(self.starting):
            self.starting.remove(member)
            self.start_worked(member)
        for held in list(self.held):
            self.held.remove(held)
            self.give_back(held, None)
        for member in list(self.recycling):
            if member in self.recycling:
                self.recycling.remove(member)
                self.recycled += 1
                self.act(self.core.recycled(member, self.now))
        for member in self.removable():
            self.remove(member)
        self.the_books_agree()


TestWorld = World.TestCase
TestWorld.settings = hypothesis_settings(max_examples=200, stateful_step_count=50, deadline=None)
