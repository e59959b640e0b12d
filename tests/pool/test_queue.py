"""The queue: each owner in turn, each in its own order, nobody lost."""

from __future__ import annotations

from collections import Counter

from hypothesis import example, given
from hypothesis import strategies as st

from sandboxd.pool.queue import FairQueue, Waiter


def waiter(owner: int, *, client: int = 0) -> Waiter:
    return Waiter(owner=owner, fresh=False, client=client)


def filled(*owners: int) -> tuple[FairQueue, list[Waiter]]:
    queue, waiters = FairQueue(), [waiter(owner) for owner in owners]
    for each in waiters:
        queue.push(each)
    return queue, waiters


def take_all(queue: FairQueue) -> list[Waiter]:
    taken = []
    while (found := queue.take(lambda _: True)) is not None:
        taken.append(found)
    return taken


def test_owners_take_turns_however_many_runs_each_has() -> None:
    queue, _ = filled(1, 1, 1, 1, 2, 3, 3)
    assert [each.owner for each in take_all(queue)] == [1, 2, 3, 1, 3, 1, 1]


def test_an_owners_runs_keep_their_order() -> None:
    queue, waiters = filled(1, 2, 1, 2, 1)
    taken = take_all(queue)
    for owner in (1, 2):
        assert [each for each in taken if each.owner == owner] == [
            each for each in waiters if each.owner == owner
        ]


@given(st.lists(st.integers(0, 4), max_size=40))
def test_no_owner_gets_a_second_turn_before_each_that_waits_had_its_first(
    owners: list[int],
) -> None:
    queue, _ = filled(*owners)
    left, turns = Counter(owners), Counter[int]()
    for each in take_all(queue):
        behind = [owner for owner, count in left.items() if count and owner != each.owner]
        assert all(turns[each.owner] <= turns[owner] for owner in behind)
        turns[each.owner] += 1
        left[each.owner] -= 1
    assert not left.total()


def test_a_newcomer_waits_for_one_turn_of_each_and_no_longer() -> None:
    queue, _ = filled(*[1] * 100, *[2] * 100)
    newcomer = waiter(3)
    queue.push(newcomer)
    assert take_all(queue).index(newcomer) == 2


def test_a_head_that_nothing_suits_does_not_hold_up_other_owners() -> None:
    queue, (first, second, third) = filled(1, 2, 3)
    assert queue.take(lambda head: head.owner == 2) is second
    assert queue.take(lambda head: head.owner == 2) is None
    assert take_all(queue) == [first, third]


def test_one_that_gave_up_is_passed_over_and_keeps_its_owners_turn() -> None:
    queue, (first, _, third) = filled(1, 2, 1)
    assert queue.remove(first)
    assert queue.take(lambda _: True) is third


def test_giving_up_twice_or_after_being_taken_is_told() -> None:
    queue, (first, second) = filled(1, 2)
    assert queue.take(lambda _: True) is first
    assert not queue.remove(first)
    assert queue.remove(second)
    assert not queue.remove(second)
    assert len(queue) == 0


def test_within_an_owner_its_clients_take_turns() -> None:
    queue = FairQueue()
    waiters = [waiter(1, client=client) for client in (1, 1, 1, 2, 2, 3)]
    for each in waiters:
        queue.push(each)
    turns = [each.client for each in take_all(queue)]
    assert turns == [1, 2, 3, 1, 2, 1]


def test_an_owner_whose_runs_last_long_gets_fewer_of_them() -> None:
    queue, _ = filled(*[1] * 20, *[2] * 20)
    turns = Counter[int]()
    for _ in range(12):
        taken = queue.take(lambda _: True)
        assert taken is not None
        turns[taken.owner] += 1
        queue.charge(taken.owner, 1.0 if taken.owner == 1 else 0.1)
    assert turns[2] > 2 * turns[1] > 0


def test_an_owner_in_debt_is_served_when_nobody_else_can_be() -> None:
    queue, (first, _) = filled(1, 2)
    queue.charge(1, 1000.0)
    assert queue.take(lambda head: head.owner == 1) is first


def test_equal_waiters_are_not_the_same_waiter() -> None:
    queue, _ = filled(1)
    assert not queue.remove(waiter(1))
    assert len(queue) == 1


@given(st.lists(st.tuples(st.sampled_from(["push", "take", "remove", "drain"]), st.integers(0, 3))))
def test_its_length_is_the_number_of_those_who_wait(steps: list[tuple[str, int]]) -> None:
    queue, waiting = FairQueue(), list[Waiter]()
    for step, number in steps:
        match step:
            case "push":
                waiting.append(waiter(number))
                queue.push(waiting[-1])
            case "take":
                if (taken := queue.take(lambda _: True)) is not None:
                    waiting.remove(taken)
            case "remove" if waiting:
                assert queue.remove(waiting.pop(number % len(waiting)))
            case "drain":
                assert set(map(id, queue.drain())) == set(map(id, waiting))
                waiting.clear()
        assert len(queue) == len(waiting)
        assert {head.owner for head in queue.heads()} == {each.owner for each in waiting}


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("push"), st.integers(0, 3), st.integers(0, 2)),
            st.tuples(st.just("charge"), st.integers(0, 3), st.integers(0, 40)),
            st.tuples(st.just("take"), st.just(0), st.just(0)),
        ),
        max_size=60,
    )
)
@example(
    # Both are in debt, and may be served in the same round: their turns count, not their debts.
    [
        ("push", 0, 0),
        ("push", 0, 0),
        ("push", 1, 0),
        ("charge", 1, 8),
        ("take", 0, 0),
        ("charge", 0, 20),
        ("charge", 1, 13),
    ]
)
def test_the_place_that_one_is_told_is_its_turn_unless_something_happens(
    steps: list[tuple[str, int, int]],
) -> None:
    queue, left = FairQueue(), list[Waiter]()
    for what, owner, number in steps:
        if what == "push":
            left.append(waiter(owner, client=number))
            queue.push(left[-1])
        elif what == "charge":
            queue.charge(owner, number / 100)
        elif (taken := queue.take(lambda _: True)) is not None:
            left.remove(taken)
    order = list(queue)
    assert [queue.position(each) for each in order] == list(range(1, len(left) + 1))
    assert take_all(queue) == order
