"""The pool on an engine that does what it should not."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable

import pytest
from structlog.typing import EventDict

from sandboxd.engine.port import Resources
from sandboxd.errors import (
    EngineUnavailableError,
    ImageUnavailableError,
    QueueFullError,
    SandboxdError,
    ShuttingDownError,
    StartFailedError,
)
from sandboxd.guest.frames import Command, Event, Verdict
from sandboxd.pool.container import Plan, Slots
from sandboxd.pool.core import Settings
from sandboxd.pool.pool import Lease, Pool
from sandboxd.pool.state import State
from tests.support.engine import FakeEngine
from tests.support.pools import USUAL, Clock, Running, plan, run, settings
from tests.support.wait import DEADLINE, turns, until

STOP = ShuttingDownError("the daemon stops")

MakePool = Callable[..., Pool]


@pytest.fixture
async def make_pool(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MakePool]:
    """Pools that are closed afterwards, when nothing is to be left of them."""
    monkeypatch.setattr("sandboxd.pool.pool._RETRY_REMOVE", 0.0)
    made: list[Pool] = []

    def make(with_: Settings | None = None, how: Plan | None = None, starts: int = 4) -> Pool:
        pool = Pool(how or plan(), with_ or settings(), engine, Slots(), asyncio.Semaphore(starts))
        pool.tick()
        made.append(pool)
        return pool

    yield make
    for pool in made:
        pool.abandon()
        async with asyncio.timeout(DEADLINE):
            await pool.close(STOP)
    assert engine.guests == {}


@pytest.fixture
async def pool(make_pool: MakePool) -> Pool:
    made = make_pool()
    await idle(made)
    return made


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("sandboxd.pool.pool.time", clock)
    return clock


async def idle(pool: Pool, count: int | None = None) -> None:
    """Waits until so many containers are ready (some, if not told) and nothing else is there."""

    def there() -> bool:
        status = pool.status()
        return status.idle == status.size and status.size in ([count] if count else range(1, 99))

    await until(there, f"{count or 'some'} are idle")


async def lease(
    pool: Pool,
    owner: int = 1,
    *,
    fresh: bool = False,
    timeout: float = DEADLINE,
    resources: Resources = USUAL,
) -> Lease:
    async with asyncio.timeout(DEADLINE):
        return await pool.lease(owner, fresh=fresh, timeout=timeout, resources=resources)


def lease_soon(pool: Pool, owner: int = 1, *, fresh: bool = False) -> asyncio.Task[Lease]:
    asking = pool.lease(owner, fresh=fresh, timeout=DEADLINE, resources=USUAL)
    return asyncio.create_task(asking)


async def waiting(pool: Pool, count: int = 1) -> None:
    await until(lambda: pool.status().waiting == count, f"{count} wait")


# --- hand-out ---


async def test_a_container_that_waits_is_handed_out_at_once(pool: Pool, engine: FakeEngine) -> None:
    leased = await lease(pool)
    assert leased.warm
    assert leased.queued == 0.0
    assert leased.uses == 1
    assert await run(leased, "exit 3") == Verdict(0, 3, 0, 1000, 2000, 4096, 0, 0, 0)
    assert len(leased.container_id) == 12
    assert engine.seen[0].heard == dict.fromkeys(
        (Command.WELCOME, Command.CODE, Command.MESSAGE, Command.GO), 1
    )


async def test_without_a_container_a_run_waits_for_a_cold_start(
    make_pool: MakePool, clock: Clock, engine: FakeEngine
) -> None:
    gate = engine.on["start"].hold()
    pool = make_pool(settings(0))
    asked = lease_soon(pool)
    await until(lambda: engine.on["start"].calls == 1, "it starts")
    clock.now += 2.5
    gate.set()
    leased = await asked
    assert not leased.warm
    assert leased.queued == 2.5
    await run(leased)


async def test_a_container_is_used_again_by_its_owner_and_by_nobody_else(pool: Pool) -> None:
    first = await lease(pool, owner=1)
    await run(first)
    await until(lambda: pool.status().recycled == 1, "it is recycled")
    second = await lease(pool, owner=2)
    third = await lease(pool, owner=1)
    assert third.container_id == first.container_id
    assert third.uses == 2
    assert second.container_id != first.container_id
    await run(second)
    await run(third)


async def test_a_run_may_ask_for_a_container_that_nobody_used(pool: Pool) -> None:
    first = await lease(pool)
    await run(first)
    await until(lambda: pool.status().recycled == 1, "it is recycled")
    second = await lease(pool, fresh=True)
    assert second.container_id != first.container_id
    await run(second)
    await until(lambda: pool.status().destroyed == 1, "it is destroyed")


async def test_where_the_host_gives_no_namespaces_a_container_is_used_once(
    make_pool: MakePool, engine: FakeEngine
) -> None:
    engine.temper.namespaces = False
    pool = make_pool()
    await idle(pool)
    first = await lease(pool)
    await run(first)
    await until(lambda: pool.status().destroyed == 1, "it is destroyed")
    await idle(pool)
    second = await lease(pool)
    assert second.container_id != first.container_id
    await run(second)
    assert pool.status().recycled == 0


async def test_a_child_that_waits_in_the_same_breath_as_the_verdict_is_not_missed(
    pool: Pool, engine: FakeEngine
) -> None:
    """So it comes when the loop was busy, or a slow client had held the output up."""
    engine.temper.prompt = True
    for uses in (1, 2, 3):
        leased = await lease(pool)
        assert leased.uses == uses
        await run(leased)
        await until(lambda: pool.status().busy == 0, "it is ready for the next run")
    assert pool.status().recycled == 3


async def test_a_container_whose_namespaces_are_not_replaced_in_time_is_destroyed(
    pool: Pool, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandboxd.pool.pool.RECYCLE_TIMEOUT", 0.0)
    engine.temper.stuck = True
    (name,) = engine.guests
    await run(await lease(pool))
    await until(lambda: name not in engine.guests, "it is removed")
    await idle(pool)


async def test_a_container_with_a_fault_or_without_an_end_is_destroyed(pool: Pool) -> None:
    for fault in ("its memory ran out", None):
        leased = await lease(pool)
        with leased:
            Running(leased, "hang" if fault is None else "")
            if fault:
                leased.ended(fault)
    await until(lambda: pool.status().destroyed == 2, "both are destroyed")
    await idle(pool)
    assert pool.status().recycled == 0


# --- waiting ---


async def test_one_that_gave_up_leaves_its_container_to_the_next(
    make_pool: MakePool, engine: FakeEngine
) -> None:
    gate = engine.on["start"].hold()
    pool = make_pool(settings(0))
    asked = lease_soon(pool)
    await waiting(pool)
    asked.cancel()
    await waiting(pool, 0)
    gate.set()
    await idle(pool)
    leased = await lease(pool, owner=2)
    assert leased.warm
    assert leased.uses == 1
    await run(leased)


async def test_one_that_is_cancelled_in_the_moment_of_its_hand_out_keeps_no_container(
    make_pool: MakePool,
) -> None:
    pool = make_pool(settings(1, 1))
    await idle(pool)
    first = await lease(pool)
    asked = lease_soon(pool)
    await waiting(pool)
    await run(first)
    await until(lambda: pool.status().waiting == 0, "it is handed out")
    asked.cancel()  # before the task has turned
    with pytest.raises(asyncio.CancelledError):
        await asked
    await until(lambda: pool.status().busy == 0, "the container is not lost")
    second = await lease(pool, owner=2)
    assert second.uses in (1, 2)
    await run(second)


async def test_one_whose_time_is_up_in_the_moment_of_its_hand_out_keeps_no_container(
    make_pool: MakePool, engine: FakeEngine
) -> None:
    engine.temper.stuck = True
    pool = make_pool(settings(1, 1))
    await idle(pool)
    await run(await lease(pool))
    asked = asyncio.create_task(pool.lease(1, fresh=False, timeout=0.0, resources=USUAL))
    engine.seen[0].say(Event.READY)  # comes in the same turn in which that begins to wait
    try:
        await run(await asked)
    except QueueFullError:
        await until(lambda: pool.status().busy == 0, "the container is not lost")


async def test_past_its_bound_the_queue_is_full_and_says_when_to_come_again(
    make_pool: MakePool,
) -> None:
    pool = make_pool(settings(1, 1), plan(queue=2))
    await idle(pool)
    busy = await lease(pool)
    asked = [lease_soon(pool) for _ in range(2)]
    await waiting(pool, 2)
    with pytest.raises(QueueFullError, match="2 runs of python wait") as caught:
        await lease(pool)
    assert caught.value.data["retry_after"] >= 1.0
    await run(busy)
    for task in asked:
        await run(await task)


async def test_one_that_waits_too_long_is_told(make_pool: MakePool) -> None:
    pool = make_pool(settings(1, 1))
    await idle(pool)
    busy = await lease(pool)
    with pytest.raises(QueueFullError, match=r"within 0\.01 s") as caught:
        await lease(pool, timeout=0.01)
    assert caught.value.data["retry_after"] >= 1.0
    assert pool.status().waiting == 0
    await run(busy)


async def test_owners_take_turns_however_many_runs_one_of_them_has(make_pool: MakePool) -> None:
    pool = make_pool(settings(1, 1, reuse="any"))
    await idle(pool)
    busy = await lease(pool)
    many = [lease_soon(pool, owner=1) for _ in range(10)]
    one = lease_soon(pool, owner=2)
    await waiting(pool, 11)
    await run(busy)
    await run(await many[0])
    await run(await one)
    assert sum(task.done() for task in many) <= 2
    for task in many[1:]:
        await run(await task)


async def test_when_the_first_of_an_owner_gives_up_the_second_gets_what_suits_it(
    make_pool: MakePool, engine: FakeEngine
) -> None:
    """The first wants a fresh container, and holds up the second only while it waits."""
    pool = make_pool(settings(1, 8))
    await idle(pool)
    taken = await lease(pool, owner=2)
    used = await lease(pool, owner=1)
    await run(used)
    await run(taken)
    gate = engine.on["start"].hold()
    await until(lambda: pool.status().recycled == 2, "both are recycled")
    spare = [await lease(pool, owner=3) for _ in range(pool.status().idle - 2)]
    first, second = lease_soon(pool, owner=1, fresh=True), lease_soon(pool, owner=1)
    await waiting(pool, 2)
    first.cancel()
    await until(second.done, "the second has its container")
    gate.set()
    for leased in (*spare, await second):
        await run(leased)


# --- failing starts ---


@pytest.mark.parametrize("step", ["create", "attach", "start"])
@pytest.mark.parametrize(
    "error",
    [
        EngineUnavailableError("the engine is down"),
        ImageUnavailableError("the image is gone"),
        StartFailedError("the disk is full"),
    ],
)
async def test_a_start_that_fails_is_told_removed_and_tried_again_later(
    make_pool: MakePool, engine: FakeEngine, clock: Clock, step: str, error: SandboxdError
) -> None:
    engine.on[step].fail(error)
    pool = make_pool(settings(0, 2))
    with pytest.raises(type(error), match=str(error)):
        await lease(pool)
    assert pool.status().problem == str(error)
    assert pool.status().failures == 1
    await until(lambda: not engine.guests and not pool.status().size, "nothing of it is left")
    again = lease_soon(pool)
    await waiting(pool)
    calls = engine.on["create"].calls
    pool.tick()
    await turns()
    assert engine.on["create"].calls == calls  # not yet
    clock.now += 1.0
    pool.tick()
    await run(await again)
    assert pool.status().problem is None
    await idle(pool)


async def test_starts_that_keep_failing_are_tried_ever_more_seldom(
    make_pool: MakePool, engine: FakeEngine, clock: Clock
) -> None:
    engine.on["create"].fail(StartFailedError("the disk is full"), times=1000)
    pool = make_pool(settings(4, 8))
    for _ in range(600):
        clock.now += 1.0
        pool.tick()
        await turns(10)
    # 4 at once, then one a minute at most and a half at least.
    assert 4 + 600 / 60 <= engine.on["create"].calls <= 4 + 6 + 600 / 30
    engine.on["create"].mend()
    clock.now += 60.0
    pool.tick()
    await idle(pool, 4)
    assert pool.status().problem is None


async def test_a_guest_that_says_nothing_is_given_up(
    make_pool: MakePool, engine: FakeEngine
) -> None:
    engine.temper.silent = True
    pool = make_pool(settings(0, 1), plan(start_timeout=0.01))
    with pytest.raises(StartFailedError, match=r"not ready within 0\.01 s"):
        await lease(pool)
    await until(lambda: not engine.guests, "it is removed")


async def test_a_guest_of_another_version_is_given_up(
    make_pool: MakePool, engine: FakeEngine
) -> None:
    engine.temper.version = 99
    pool = make_pool(settings(0, 1))
    with pytest.raises(StartFailedError, match="99"):
        await lease(pool)
    await until(lambda: not engine.guests, "it is removed")


async def test_a_guest_that_is_up_before_its_engine_answers_is_not_welcomed_until_then(
    make_pool: MakePool, engine: FakeEngine
) -> None:
    """An engine that ends in between has forgotten the container: nobody could remove it."""
    gate = engine.on["start"].hold()
    engine.on["start"].fail(EngineUnavailableError("the engine is down"))
    make_pool(settings(1, 1))
    await until(lambda: engine.on["start"].calls == 1, "it starts")
    (guest,) = engine.seen
    guest.boot()
    await turns()
    assert not guest.heard
    gate.set()
    await until(guest.gone.is_set, "it is given up")
    assert not guest.heard


async def test_a_start_that_fails_for_a_reason_nobody_foresaw_is_logged_and_not_told(
    make_pool: MakePool, engine: FakeEngine, logs: list[EventDict]
) -> None:
    engine.on["start"].fail(KeyError("secret"))
    pool = make_pool(settings(0, 1))
    with pytest.raises(StartFailedError, match="the log tells why") as caught:
        await lease(pool)
    assert "secret" not in str(caught.value)
    (grave,) = [entry for entry in logs if entry["log_level"] == "error"]
    logs.remove(grave)
    assert grave["exc_info"]


@pytest.mark.parametrize(
    ("lies", "told"),
    [
        ({"uid": "0"}, "uid 0"),
        ({"root": "rw"}, "root can be written"),
        ({"memory": "max"}, "memory limit"),
        ({"memsw": str(2**40)}, "swap"),
        ({"pids": "max"}, "process limit"),
        ({"cpu": "max 100000"}, "CPU quota"),
    ],
)
async def test_a_container_that_is_not_what_was_asked_for_is_never_handed_out(
    make_pool: MakePool, engine: FakeEngine, lies: dict[str, str], told: str
) -> None:
    engine.temper.lies = lies
    pool = make_pool(settings(0, 1))
    with pytest.raises(StartFailedError, match=told):
        await lease(pool)
    await until(lambda: not engine.guests, "it is removed")


@pytest.mark.parametrize(
    "false_proof",
    [
        {"Uid": "0\t0\t0\t0"},
        {"CapBnd": "000001ffffffffff"},
        {"NoNewPrivs": "0"},
        {"Seccomp": "0"},
        {"Seccomp_filters": "1"},
    ],
)
async def test_a_child_that_could_do_more_than_it_may_is_never_given_a_program(
    make_pool: MakePool, engine: FakeEngine, false_proof: dict[str, str]
) -> None:
    engine.temper.false_proof = false_proof
    pool = make_pool(settings(0, 1))
    with pytest.raises(StartFailedError, match="not isolated"):
        await lease(pool)
    await until(lambda: not engine.guests, "it is removed")


async def test_no_more_containers_are_started_at_once_than_the_operator_says(
    make_pool: MakePool, engine: FakeEngine
) -> None:
    gate = engine.on["create"].hold()
    pool = make_pool(settings(5, 5), starts=2)
    await turns()
    assert engine.on["create"].calls == 2
    assert pool.status().starting == 5
    gate.set()
    await idle(pool, 5)


# --- death ---


async def test_a_container_that_dies_while_it_waits_is_replaced_and_never_handed_out(
    pool: Pool, engine: FakeEngine
) -> None:
    (name,) = engine.guests
    engine.lose(name)
    await until(lambda: pool.status().destroyed == 1, "its death is seen")
    leased = await lease(pool)
    assert not leased.guest.lost
    await run(leased)


async def test_a_container_that_dies_while_it_starts_is_a_failed_start(
    make_pool: MakePool, engine: FakeEngine
) -> None:
    engine.temper.silent = True
    pool = make_pool(settings(0, 1))
    asked = lease_soon(pool)
    await until(lambda: engine.on["start"].calls == 1, "it starts")
    await turns()
    engine.lose(next(iter(engine.guests)))
    with pytest.raises(StartFailedError, match="container ended"):
        await asked


async def test_a_container_that_dies_as_soon_as_it_is_up_is_a_failed_start(
    make_pool: MakePool, engine: FakeEngine
) -> None:
    gate = engine.on["start"].hold()
    pool = make_pool(settings(0, 1))
    asked = lease_soon(pool)
    await until(lambda: engine.on["start"].calls == 1, "it starts")
    (guest,) = engine.guests.values()
    gate.set()
    guest.boot()
    guest.die()
    with pytest.raises(StartFailedError):
        await asked


async def test_a_container_that_dies_in_use_is_lost_to_its_run_and_replaced(
    pool: Pool, engine: FakeEngine
) -> None:
    leased = await lease(pool)
    assert await run(leased, "die") == "its container ended"
    await until(lambda: pool.status().destroyed == 1, "it is destroyed")
    await idle(pool)
    assert all(not guest.gone.is_set() for guest in engine.guests.values())


async def test_a_container_that_dies_while_it_is_recycled_is_replaced(
    pool: Pool, engine: FakeEngine
) -> None:
    engine.temper.stuck = True
    (name,) = engine.guests
    await run(await lease(pool))
    assert pool.status().busy == 1
    engine.lose(name)
    await until(lambda: pool.status().busy == 0, "its death is seen")
    await idle(pool)


@pytest.mark.parametrize("when", ["before its task has turned", "as its death is seen"])
async def test_a_container_that_dies_in_the_moment_of_its_hand_out_is_replaced(
    make_pool: MakePool, engine: FakeEngine, when: str
) -> None:
    """Nothing has been run yet: whoever waits need not notice."""
    pool = make_pool(settings(1, 1))
    await idle(pool)
    first = await lease(pool)
    asked = lease_soon(pool)
    await waiting(pool)
    await run(first)
    await until(lambda: pool.status().waiting == 0, "it is handed out")
    (name,) = engine.guests
    if when == "before its task has turned":
        # What the attachment will say a turn later.
        pool._died(pool._core.members(State.LEASED)[0], "its container ended")
    engine.lose(name)
    second = await asked
    end = await run(second)
    assert end != "its container ended" or when == "as its death is seen"


# --- warming up ---


def warming(code: str, start_timeout: float = DEADLINE) -> Plan:
    return plan(warmup=code, start_timeout=start_timeout)


async def test_a_container_is_ready_only_after_its_warm_up_and_with_another_child(
    make_pool: MakePool, engine: FakeEngine
) -> None:
    pool = make_pool(settings(1, 1), warming("wait go"))
    await until(lambda: bool(engine.seen and engine.seen[0].process), "it warms up")
    await turns()
    assert pool.status().starting == 1
    engine.events["go"].set()
    await idle(pool)
    leased = await lease(pool)
    assert leased.uses == 1
    assert isinstance(await run(leased), Verdict)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("err no numpy\nexit 3", r"warm-up failed \(exit 3\): no numpy"),
        ("signal 9", "warm-up failed"),
        ("die\nhang", "lost at its warm-up"),
        ("hang", r"not ready within 0\.05 s"),
    ],
)
async def test_a_warm_up_that_fails_is_a_failed_start_and_nothing_of_it_is_left(
    make_pool: MakePool, engine: FakeEngine, code: str, told: str
) -> None:
    pool = make_pool(settings(0, 1), warming(code, 0.05))
    with pytest.raises(StartFailedError, match=told):
        await lease(pool)
    await until(lambda: not engine.guests and not pool.status().size, "nothing of it is left")


async def test_a_container_that_dies_as_its_warm_up_ends_is_a_failed_start(
    make_pool: MakePool, engine: FakeEngine
) -> None:
    engine.temper.fleeting = True
    pool = make_pool(settings(0, 1), warming(""))
    with pytest.raises(StartFailedError):
        await lease(pool)
    await until(lambda: not engine.guests and not pool.status().size, "nothing of it is left")


# --- limits of a run's own ---

MORE = Resources(memory=2**30, cpus=2.0, cpu_shares=1024, pids=100)


async def test_a_run_may_have_limits_of_its_own_and_the_next_has_the_usual_ones_again(
    make_pool: MakePool, engine: FakeEngine
) -> None:
    pool = make_pool(settings(1, 1))
    await idle(pool)
    leased = await lease(pool, resources=MORE)
    assert engine.seen[0].resources == [MORE]
    await run(leased)
    await idle(pool)
    assert engine.seen[0].resources == [MORE, USUAL]
    again = await lease(pool)
    assert again.uses == 2
    await run(again)
    assert engine.on["update"].calls == 2


@pytest.mark.parametrize("prompt", [True, False])
async def test_a_container_is_not_handed_out_before_its_usual_limits_are_back(
    make_pool: MakePool,
    engine: FakeEngine,
    prompt: bool,
) -> None:
    engine.temper.prompt = prompt
    pool = make_pool(settings(1, 1))
    await idle(pool)
    leased = await lease(pool, resources=MORE)
    gate = engine.on["update"].hold()
    await run(leased)
    await turns()
    assert pool.status().busy == 1
    gate.set()
    await idle(pool)


async def test_limits_that_cannot_be_had_are_told_and_the_container_is_destroyed(
    pool: Pool, engine: FakeEngine
) -> None:
    engine.on["update"].fail(StartFailedError("no such cgroup"))
    with pytest.raises(StartFailedError, match="no such cgroup"):
        await lease(pool, resources=MORE)
    await until(engine.seen[0].gone.is_set, "it is destroyed")
    await idle(pool)


async def test_limits_that_cannot_be_taken_back_are_the_end_of_the_container(
    pool: Pool, engine: FakeEngine
) -> None:
    leased = await lease(pool, resources=MORE)
    engine.on["update"].fail(StartFailedError("no such cgroup"))
    await run(leased)
    await until(engine.seen[0].gone.is_set, "it is destroyed")
    await idle(pool)


async def test_one_that_is_cancelled_while_its_limits_are_set_leaves_no_container_in_use(
    pool: Pool, engine: FakeEngine
) -> None:
    gate = engine.on["update"].hold()
    asked = asyncio.create_task(lease(pool, resources=MORE))
    await until(lambda: engine.on["update"].calls == 1, "its limits are being set")
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    gate.set()
    await idle(pool)
    assert engine.seen[0].gone.is_set()


async def test_a_container_that_goes_before_its_limits_are_back_is_forgotten_quietly(
    make_pool: MakePool, engine: FakeEngine
) -> None:
    pool = make_pool(settings(1, 1, max_uses=1))
    await idle(pool)
    leased = await lease(pool, resources=MORE)
    gate = engine.on["update"].hold()
    engine.temper.prompt = True
    await run(leased)
    await until(lambda: pool.status().destroyed == 1 and pool.status().idle == 1, "replaced")
    gate.set()
    await turns()
    gc.collect()  # where a task that failed would be told of


# --- removal ---


async def test_a_removal_that_fails_is_tried_until_it_works(
    pool: Pool, engine: FakeEngine, logs: list[EventDict]
) -> None:
    engine.on["remove"].fail(EngineUnavailableError("the engine is down"), times=3)
    (name,) = engine.guests
    with await lease(pool) as leased:
        leased.ended("odd")
    await until(lambda: name not in engine.guests, "it is removed")
    await idle(pool)
    assert engine.on["remove"].calls == 4
    assert sum(entry["event"].startswith("container not removed") for entry in logs) == 3


async def test_a_place_and_its_slot_are_free_only_once_the_container_is_removed(
    make_pool: MakePool, engine: FakeEngine
) -> None:
    slots: list[int] = []
    pool = make_pool(settings(1, 2), plan(on_spec=slots.append))
    await idle(pool)
    gate = engine.on["remove"].hold()
    with await lease(pool) as leased:
        leased.ended("odd")
    await until(lambda: pool.status().idle == 1, "another is there")
    assert pool.status().size == 2
    assert slots == [0, 1]
    gate.set()
    await idle(pool)
    with await lease(pool) as leased:
        leased.ended("odd")
    await until(lambda: slots == [0, 1, 0], "the slot is used again")


async def test_a_container_is_on_the_books_from_before_it_exists_until_it_is_gone(
    make_pool: MakePool, engine: FakeEngine
) -> None:
    create, remove = engine.on["create"].hold(), engine.on["remove"].hold()
    pool = make_pool(settings(1, 1), starts=1)
    assert len(pool.names()) == 1
    await until(lambda: bool(engine.guests), "it is asked for")
    assert set(engine.guests) == pool.names()
    create.set()
    await idle(pool)
    with await lease(pool) as leased:
        leased.ended("odd")
    await turns()
    assert set(engine.guests) == pool.names()
    remove.set()


async def test_a_creation_whose_answer_was_lost_leaves_no_container(
    make_pool: MakePool, engine: FakeEngine
) -> None:
    engine.on["create"].fail(EngineUnavailableError("no answer in time"))
    pool = make_pool(settings(0, 1))
    asked = lease_soon(pool)
    await until(lambda: bool(engine.guests), "it was created all the same")
    with pytest.raises(EngineUnavailableError):
        await asked
    await until(lambda: not engine.guests, "it is removed by its name")


# --- the end ---


async def test_closing_waits_until_everything_is_removed(pool: Pool, engine: FakeEngine) -> None:
    gate = engine.on["remove"].hold()
    closing = asyncio.create_task(pool.close(STOP))
    await turns()
    assert not closing.done()
    gate.set()
    await closing
    assert engine.guests == {}


async def test_closing_waits_for_a_start_under_way_and_removes_what_comes_of_it(
    make_pool: MakePool, engine: FakeEngine
) -> None:
    gate = engine.on["create"].hold()
    pool = make_pool(settings(3, 3), starts=1)
    await until(lambda: engine.on["create"].calls == 1, "one is being created")
    closing = asyncio.create_task(pool.close(STOP))
    await turns()
    assert not closing.done()
    gate.set()
    await closing
    assert engine.guests == {}
    assert engine.on["create"].calls == 1  # the others were never asked for


async def test_closing_refuses_who_waits_and_lets_runs_end(make_pool: MakePool) -> None:
    pool = make_pool(settings(1, 1))
    await idle(pool)
    busy = await lease(pool)
    asked = lease_soon(pool)
    await waiting(pool)
    closing = asyncio.create_task(pool.close(STOP))
    with pytest.raises(ShuttingDownError):
        await asked
    await turns()
    assert not closing.done()
    assert isinstance(await run(busy), Verdict)
    await closing


async def test_abandoning_ends_the_runs_under_way(pool: Pool) -> None:
    with await lease(pool) as leased:
        running = Running(leased, "hang")
        pool.abandon()
        assert isinstance(await running.finished(), str)


# --- reconfiguration ---


async def test_new_containers_are_made_by_the_new_plan_and_old_ones_end_their_run(
    pool: Pool, engine: FakeEngine
) -> None:
    busy = await lease(pool)
    await until(lambda: pool.status().idle == 1, "another is there")
    old = set(engine.guests)
    pool.reconfigure(plan("new"), settings(2, 4))
    assert isinstance(await run(busy, "exit 0"), Verdict)
    await until(lambda: not old & set(engine.guests), "the old ones are gone")
    await idle(pool)
    assert pool.status().size >= 2
    assert all(name.startswith("new-") for name in engine.guests)
    assert pool.status().problem is None


async def test_its_status_and_its_repr_tell_the_counts(pool: Pool) -> None:
    with await lease(pool) as leased:
        await until(lambda: pool.status().idle == 1, "another is there")
        assert repr(pool) == "<Pool python <PoolCore 1 idle, 1 leased, 0 waiting>>"
        status = pool.status()
        assert (status.idle, status.busy, status.starting, status.size) == (1, 1, 0, 2)
        assert (status.handed_out, status.recycled, status.destroyed) == (1, 0, 0)
        leased.ended("odd")
