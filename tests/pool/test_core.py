"""What the pool decides, event by event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import pytest

from sandboxd.errors import ShuttingDownError, StartFailedError
from sandboxd.pool.core import Action, Create, HandOut, Member, PoolCore, Refuse, Remove, Settings
from sandboxd.pool.queue import Waiter
from sandboxd.pool.state import IllegalTransitionError, State, transition

_A = TypeVar("_A", bound=Action)

FAILURE = StartFailedError("the disk is full")


def settings(
    least: int = 0,
    most: int = 4,
    *,
    reuse: str = "owner",
    max_uses: int = 100,
    max_age: float = 1000.0,
) -> Settings:
    assert reuse in ("owner", "any", "never")
    return Settings(min=least, max=most, max_uses=max_uses, max_age=max_age, reuse=reuse)  # type: ignore[arg-type]


def core(least: int = 0, most: int = 4, **more: object) -> PoolCore:
    return PoolCore(settings(least, most, **more), jitter=lambda: 0.0)  # type: ignore[arg-type]


def only(kind: type[_A], actions: Sequence[Action]) -> list[_A]:
    return [action for action in actions if isinstance(action, kind)]


def filled(pool: PoolCore, now: float = 0.0) -> list[Member]:
    """Starts the pool, and everything that it asks for."""
    created = [create.member for create in only(Create, pool.tick(now))]
    for member in created:
        assert pool.started(member, now) == []
    return created


def leased(pool: PoolCore, owner: int = 1, *, fresh: bool = False, now: float = 0.0) -> Member:
    """A member in use, cold-started if there is none."""
    waiter = Waiter(owner, fresh)
    actions = pool.request(waiter, now)
    while not (handed := only(HandOut, actions)):
        (create,) = only(Create, actions)
        actions = pool.started(create.member, now)
    assert handed[0].waiter is waiter
    return handed[0].member


def used(pool: PoolCore, owner: int = 1) -> Member:
    """A member that has been used and waits again."""
    member = leased(pool, owner)
    assert pool.returned(member, None, 0.0) == []
    pool.recycled(member, 0.0)
    assert member.state is State.IDLE
    return member


# --- filling ---


def test_the_first_tick_asks_for_the_least_that_is_wanted() -> None:
    pool = core(3)
    assert len(only(Create, pool.tick(0.0))) == 3
    assert pool.count(State.STARTING) == 3


def test_starting_members_count_so_that_no_more_are_asked_for() -> None:
    pool = core(3)
    pool.tick(0.0)
    assert pool.tick(1.0) == []


def test_a_member_is_not_handed_out_before_it_has_started() -> None:
    pool = core(1)
    (create,) = only(Create, pool.tick(0.0))
    waiter = Waiter(1, fresh=False)
    assert only(HandOut, pool.request(waiter, 0.0)) == []
    assert HandOut(create.member, waiter) in pool.started(create.member, 0.0)


def test_an_idle_member_is_handed_out_at_once_and_replaced() -> None:
    pool = core(1)
    (member,) = filled(pool)
    waiter = Waiter(1, fresh=False)
    actions = pool.request(waiter, 0.0)
    assert actions[0] == HandOut(member, waiter)
    assert len(only(Create, actions)) == 1
    assert pool.counters.handed_out == 1


def test_each_waiter_gets_a_start_of_its_own_up_to_the_maximum() -> None:
    pool = core(0, 3)
    created = [only(Create, pool.request(Waiter(1, fresh=False), 0.0)) for _ in range(5)]
    assert [len(each) for each in created] == [1, 1, 1, 0, 0]
    assert (pool.size, pool.waiting) == (3, 5)


def test_a_member_that_is_being_removed_holds_its_place() -> None:
    pool = core(0, 1)
    member = leased(pool)
    assert only(Create, pool.died(member, "killed", 0.0)) == []
    assert only(Create, pool.request(Waiter(1, fresh=False), 0.0)) == []
    assert len(only(Create, pool.removed(member, 0.0))) == 1


# --- who gets what ---


def test_a_used_member_goes_to_its_owner_and_a_new_one_is_kept() -> None:
    pool = core(2)
    filled(pool)
    member = used(pool, owner=1)
    assert leased(pool, owner=1) is member
    assert member.uses == 2


def test_a_used_member_never_goes_to_another_owner() -> None:
    pool = core(0, 4)
    member = used(pool, owner=1)
    actions = pool.request(Waiter(2, fresh=False), 0.0)
    assert only(HandOut, actions) == []
    assert len(only(Create, actions)) == 1
    assert member.state is State.IDLE


def test_a_used_member_goes_to_anybody_where_the_operator_says_so() -> None:
    pool = core(0, 4, reuse="any")
    member = used(pool, owner=1)
    assert leased(pool, owner=2) is member


def test_a_run_that_wants_a_fresh_member_gets_no_used_one_and_is_its_last() -> None:
    pool = core(0, 4)
    other = used(pool)
    member = leased(pool, fresh=True)
    assert member is not other
    (remove,) = only(Remove, pool.returned(member, None, 0.0))
    assert remove == Remove(member, "it was used once")


def test_without_reuse_every_member_is_used_once() -> None:
    pool = core(0, 4, reuse="never")
    (remove,) = only(Remove, pool.returned(leased(pool), None, 0.0))
    assert remove.why == "it was used once"


def test_an_idle_member_that_suits_nobody_makes_way_when_every_place_is_taken() -> None:
    pool = core(0, 1)
    member = used(pool, owner=1)
    waiter = Waiter(2, fresh=False)
    assert pool.request(waiter, 0.0) == [Remove(member, "its place is needed for another owner")]
    (create,) = only(Create, pool.removed(member, 0.0))
    assert only(HandOut, pool.started(create.member, 0.0)) == [HandOut(create.member, waiter)]


def test_no_more_members_make_way_than_are_lacking() -> None:
    pool = core(0, 3)
    members = [leased(pool, owner=1) for _ in range(3)]
    for member in members:
        pool.returned(member, None, 0.0)
        pool.recycled(member, 0.0)
    assert len(only(Remove, pool.request(Waiter(2, fresh=False), 0.0))) == 1
    assert pool.tick(1.0) == []


def test_a_returned_member_goes_to_the_owner_whose_turn_it_is() -> None:
    pool = core(0, 1, reuse="any")
    member = leased(pool, owner=1)
    waiters = [Waiter(owner, fresh=False) for owner in (1, 1, 2)]
    for waiter in waiters:
        pool.request(waiter, 0.0)
    turns = []
    for _ in waiters:
        pool.returned(member, None, 0.0)
        (handed,) = only(HandOut, pool.recycled(member, 0.0))
        turns.append(handed.waiter)
    assert turns == [waiters[0], waiters[2], waiters[1]]


# --- coming back ---


def test_a_member_is_idle_only_once_its_namespaces_are_replaced() -> None:
    pool = core(0, 1)
    member = leased(pool)
    pool.returned(member, None, 0.0)
    assert member.state is State.RECYCLING
    assert only(HandOut, pool.request(Waiter(1, fresh=False), 0.0)) == []
    assert len(only(HandOut, pool.recycled(member, 0.0))) == 1
    assert pool.counters.recycled == 1


def test_a_fault_is_the_end_of_a_member() -> None:
    pool = core()
    member = leased(pool)
    assert pool.returned(member, "its memory ran out", 0.0) == [
        Remove(member, "its memory ran out")
    ]


@pytest.mark.parametrize(
    ("more", "now", "why"),
    [
        ({"max_uses": 1}, 0.0, "it was used 1 times"),
        ({"max_age": 10.0}, 11.0, "it is 11 s old"),
    ],
)
def test_a_member_retires_when_it_was_used_enough_or_is_old(
    more: dict[str, object], now: float, why: str
) -> None:
    pool = core(**more)  # type: ignore[arg-type]
    member = leased(pool)
    assert Remove(member, why) in pool.returned(member, None, now)


def test_age_is_looked_at_only_when_a_member_is_idle() -> None:
    pool = core(0, 1, max_age=10.0)
    member = leased(pool)
    assert pool.tick(1000.0) == []
    assert member.state is State.LEASED


def test_an_idle_member_that_is_old_is_replaced_by_the_tick() -> None:
    pool = core(1, max_age=10.0)
    (member,) = filled(pool)
    actions = pool.tick(11.0)
    assert only(Remove, actions) == [Remove(member, "it is 11 s old")]
    assert len(only(Create, actions)) == 1


def test_members_that_were_made_together_do_not_retire_together() -> None:
    jitters = iter([0.0, 0.0, 1.0, 1.0])
    pool = PoolCore(settings(2, max_uses=100, max_age=100.0), lambda: next(jitters))
    first, second = filled(pool)
    assert (first.uses_allowed, second.uses_allowed) == (100, 90)
    assert (first.age_allowed, second.age_allowed) == (100.0, 90.0)


def test_a_member_that_was_handed_back_was_not_used() -> None:
    pool = core(0, 1)
    member = leased(pool, owner=1)
    pool.handed_back(member, 0.0)
    assert (member.state, member.uses, pool.counters.handed_out) == (State.IDLE, 0, 0)
    assert leased(pool, owner=2) is member


def test_a_member_that_was_handed_back_goes_to_who_waits() -> None:
    pool = core(0, 1)
    member = leased(pool)
    waiter = Waiter(2, fresh=False)
    pool.request(waiter, 0.0)
    assert pool.handed_back(member, 0.0) == [HandOut(member, waiter)]


def test_a_member_that_died_in_the_hands_of_one_who_had_gone_is_not_handed_back() -> None:
    pool = core(0, 1)
    member = leased(pool)
    pool.died(member, "killed", 0.0)
    assert only(HandOut, pool.handed_back(member, 0.0)) == []
    assert member.state is State.REMOVING


def test_a_member_of_before_a_reconfiguration_is_not_handed_out_once_it_is_handed_back() -> None:
    pool = core(0, 1)
    member = leased(pool)
    pool.request(Waiter(1, fresh=False), 0.0)
    pool.reconfigure(settings(0, 1), 0.0)
    actions = pool.handed_back(member, 0.0)
    assert only(HandOut, actions) == []
    assert only(Remove, actions) == [Remove(member, "the configuration changed")]


def test_a_member_that_is_handed_back_to_a_closed_pool_is_removed() -> None:
    pool = core(0, 1)
    member = leased(pool)
    pool.close(ShuttingDownError("stop"))
    assert len(only(Remove, pool.handed_back(member, 0.0))) == 1


# --- death ---


@pytest.mark.parametrize("state", [State.IDLE, State.LEASED, State.RECYCLING])
def test_a_member_that_dies_leaves_at_once_and_is_replaced(state: State) -> None:
    pool = core(1, 4)
    (member,) = filled(pool)
    if state is not State.IDLE:
        leased(pool)
    if state is State.RECYCLING:
        pool.returned(member, None, 0.0)
    assert member.state is state
    actions = pool.died(member, "killed", 0.0)
    assert only(Remove, actions) == [Remove(member, "killed")]
    assert pool.count(State.STARTING, State.IDLE) >= 1
    assert pool.died(member, "killed", 0.0) == []


def test_a_member_that_died_in_use_is_not_removed_again_when_it_is_returned() -> None:
    pool = core()
    member = leased(pool)
    pool.died(member, "killed", 0.0)
    assert pool.returned(member, "killed", 0.0) == []
    pool.removed(member, 0.0)
    assert pool.returned(member, "killed", 0.0) == []


def test_a_waiter_whose_starting_member_died_gets_another() -> None:
    pool = core(0, 2)
    waiter = Waiter(1, fresh=False)
    (create,) = only(Create, pool.request(waiter, 0.0))
    actions = pool.died(create.member, "killed", 0.0)
    (again,) = only(Create, actions)
    assert HandOut(again.member, waiter) in pool.started(again.member, 0.0)


# --- failure ---


def test_a_failed_start_is_removed_and_its_waiter_told_when_nothing_else_will_come() -> None:
    pool = core(0, 2)
    waiter = Waiter(1, fresh=False)
    (create,) = only(Create, pool.request(waiter, 0.0))
    actions = pool.start_failed(create.member, FAILURE, 0.0)
    assert [remove.member for remove in only(Remove, actions)] == [create.member]
    assert only(Refuse, actions) == [Refuse(waiter, FAILURE)]
    assert pool.problem is FAILURE
    assert pool.counters.failures == 1


def test_a_waiter_is_not_told_while_something_that_lives_may_come_back_to_it() -> None:
    pool = core(0, 2)
    leased(pool)
    waiter = Waiter(1, fresh=False)
    (create,) = only(Create, pool.request(waiter, 0.0))
    assert only(Refuse, pool.start_failed(create.member, FAILURE, 0.0)) == []
    assert pool.waiting == 1


def fail_next(pool: PoolCore, now: float) -> float:
    """Lets the next start fail; returns for how long none is tried then."""
    (create,) = only(Create, pool.tick(now))
    pool.start_failed(create.member, FAILURE, now)
    pool.removed(create.member, now)
    assert pool.tick(now) == []
    return pool.retry_at - now


def test_failures_in_a_row_are_retried_ever_later_and_one_at_a_time_up_to_a_bound() -> None:
    pool = PoolCore(settings(1, 8), jitter=lambda: 1.0)
    now, pauses = 0.0, []
    for _ in range(12):
        pauses.append(fail_next(pool, now))
        now += pauses[-1]
    assert pauses[:4] == [0.5, 1.0, 2.0, 4.0]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 60.0


def test_the_pause_has_jitter_and_is_never_nothing() -> None:
    pool = PoolCore(settings(1), jitter=lambda: 0.0)
    assert fail_next(pool, 0.0) == 0.25


def test_after_a_failure_starts_are_tried_one_at_a_time_until_one_works() -> None:
    pool = core(4, 4)
    members = [create.member for create in only(Create, pool.tick(0.0))]
    for member in members:
        pool.start_failed(member, FAILURE, 0.0)
        pool.removed(member, 0.0)
    (create,) = only(Create, pool.tick(pool.retry_at))
    actions = pool.started(create.member, pool.retry_at)
    assert pool.problem is None
    assert len(only(Create, actions)) == 3


def test_a_success_forgets_the_failures_before_it() -> None:
    pool = PoolCore(settings(1, 8), jitter=lambda: 1.0)
    for now in (0.0, 10.0, 20.0):
        fail_next(pool, now)
    (create,) = only(Create, pool.tick(100.0))
    pool.started(create.member, 100.0)
    pool.died(create.member, "killed", 100.0)
    (again,) = pool.members(State.STARTING)
    pool.start_failed(again, FAILURE, 100.0)
    assert pool.retry_at == 100.5


# --- reconfiguration ---


def test_idle_members_of_before_are_replaced_and_those_in_use_end_their_run() -> None:
    pool = core(2, 4)
    filled(pool)
    busy = leased(pool)
    actions = pool.reconfigure(settings(2, 4), 0.0)
    assert {remove.why for remove in only(Remove, actions)} == {"the configuration changed"}
    assert busy.state is State.LEASED
    assert Remove(busy, "the configuration changed") in pool.returned(busy, None, 0.0)


@pytest.mark.parametrize("state", [State.STARTING, State.RECYCLING])
def test_a_member_of_before_that_becomes_ready_is_not_handed_out(state: State) -> None:
    pool = core(0, 1)
    waiter = Waiter(1, fresh=False)
    if state is State.STARTING:
        (create,) = only(Create, pool.request(waiter, 0.0))
        pool.reconfigure(settings(0, 1), 0.0)
        actions = pool.started(create.member, 0.0)
    else:
        member = leased(pool)
        pool.returned(member, None, 0.0)
        pool.request(waiter, 0.0)
        pool.reconfigure(settings(0, 1), 0.0)
        actions = pool.recycled(member, 0.0)
    assert only(HandOut, actions) == []
    (remove,) = only(Remove, actions)
    (create,) = only(Create, pool.removed(remove.member, 0.0))
    assert HandOut(create.member, waiter) in pool.started(create.member, 0.0)


def test_waiters_of_before_get_members_of_the_new_plan() -> None:
    pool = core(0, 1)
    busy, waiter = leased(pool), Waiter(1, fresh=False)
    pool.request(waiter, 0.0)
    pool.reconfigure(settings(0, 1), 0.0)
    assert only(HandOut, pool.returned(busy, None, 0.0)) == []
    (create,) = only(Create, pool.removed(busy, 0.0))
    assert HandOut(create.member, waiter) in pool.started(create.member, 0.0)


def test_a_smaller_maximum_is_come_down_to_as_runs_end() -> None:
    pool = core(0, 4)
    members = [leased(pool) for _ in range(4)]
    pool.reconfigure(settings(0, 1), 0.0)
    pool.request(Waiter(1, fresh=False), 0.0)
    for left, member in zip((3, 2, 1), members, strict=False):
        pool.returned(member, None, 0.0)
        assert only(Create, pool.removed(member, 0.0)) == []
        assert pool.size == left
    pool.returned(members[3], None, 0.0)
    assert len(only(Create, pool.removed(members[3], 0.0))) == 1


# --- the end ---


def test_closing_refuses_who_waits_and_removes_what_is_not_in_use() -> None:
    pool = core(1, 3)
    filled(pool)
    busy = leased(pool)  # and one is starting in its place
    recycling = leased_cold(pool)
    pool.returned(recycling, None, 0.0)
    waiter = Waiter(9, fresh=True)
    pool.request(waiter, 0.0)
    why = ShuttingDownError("stop")
    actions = pool.close(why)
    assert only(Refuse, actions) == [Refuse(waiter, why)]
    assert busy.state is State.LEASED
    assert pool.count(State.REMOVING) == pool.size - 1
    assert only(Remove, pool.returned(busy, None, 0.0)) == [Remove(busy, "the daemon stops")]


def leased_cold(pool: PoolCore) -> Member:
    """Starts what is starting, and leases it."""
    for member in pool.members(State.STARTING):
        pool.started(member, 0.0)
    return leased(pool)


def test_a_closed_pool_makes_nothing_any_more() -> None:
    pool = core(2, 4)
    members = filled(pool)
    pool.close(ShuttingDownError("stop"))
    for member in members:
        assert pool.removed(member, 0.0) == []
    assert pool.tick(1000.0) == []
    assert pool.reconfigure(settings(4, 4), 0.0) == []
    assert pool.size == 0


def test_a_start_that_ends_after_closing_changes_nothing() -> None:
    pool = core(2, 4)
    first, second = (create.member for create in only(Create, pool.tick(0.0)))
    pool.close(ShuttingDownError("stop"))
    assert pool.started(first, 0.0) == []
    assert pool.start_failed(second, FAILURE, 0.0) == []
    assert pool.count(State.REMOVING) == 2


def test_one_that_gave_up_is_not_served() -> None:
    pool = core(0, 1)
    member = leased(pool)
    first, second = Waiter(1, fresh=False), Waiter(1, fresh=False)
    pool.request(first, 0.0)
    pool.request(second, 0.0)
    assert pool.give_up(first)
    pool.returned(member, None, 0.0)
    assert pool.recycled(member, 0.0) == [HandOut(member, second)]
    assert not pool.give_up(second)


def test_its_repr_tells_the_counts() -> None:
    pool = core(2, 2)
    assert repr(pool) == "<PoolCore empty, 0 waiting>"
    filled(pool)
    leased(pool)
    for _ in range(3):
        pool.request(Waiter(1, fresh=False), 0.0)
    assert repr(pool) == "<PoolCore 2 leased, 2 waiting>"


# --- the table of states ---


@pytest.mark.parametrize("then", list(State))
def test_nothing_comes_back_from_gone(then: State) -> None:
    with pytest.raises(IllegalTransitionError):
        transition(State.GONE, then)


@pytest.mark.parametrize(
    ("now", "then"),
    [
        (State.STARTING, State.LEASED),
        (State.IDLE, State.IDLE),
        (State.IDLE, State.RECYCLING),
        (State.LEASED, State.GONE),
        (State.RECYCLING, State.LEASED),
        (State.REMOVING, State.IDLE),
    ],
)
def test_a_step_that_is_not_in_the_table_is_refused(now: State, then: State) -> None:
    with pytest.raises(IllegalTransitionError, match=f"{now.value} cannot become {then.value}"):
        transition(now, then)
