"""What those who wait are told: their place and an estimate, at once and as it changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from sandboxd.errors import ShuttingDownError
from sandboxd.pool.container import Slots
from sandboxd.pool.pool import Lease, Pool
from tests.support.engine import FakeEngine
from tests.support.pools import USUAL, Clock, plan, run, settings
from tests.support.wait import DEADLINE, turns, until

Words = list[tuple[int, float | None]]


@pytest.fixture
async def pool(engine: FakeEngine) -> AsyncIterator[Pool]:
    """With one container."""
    made = Pool(plan(), settings(1, 1, reuse="any"), engine, Slots(), asyncio.Semaphore(1))
    made.tick()
    await until(lambda: made.status().idle == 1, "its container is ready")
    yield made
    made.abandon()
    await made.close(ShuttingDownError("the daemon stops"))


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second between two words is over at once."""
    monkeypatch.setattr("sandboxd.pool.waiting.EVERY", 0.0)


def ask(pool: Pool, owner: int = 1, client: int = 0) -> tuple[asyncio.Task[Lease], Words]:
    """Asks for a container, and writes down what it is told meanwhile."""
    words: Words = []
    asking = pool.lease(
        owner,
        client=client,
        fresh=False,
        timeout=DEADLINE,
        resources=USUAL,
        tell=lambda position, estimate: words.append((position, estimate)),
    )
    return asyncio.create_task(asking), words


async def test_a_run_that_does_not_wait_is_told_nothing(pool: Pool) -> None:
    asked, words = ask(pool)
    await run(await asked)
    await turns()
    assert words == []
    assert pool._announcer._timer is None


async def test_one_that_waits_is_told_its_place_at_once_and_no_time_before_any_run_has_ended(
    pool: Pool,
) -> None:
    first, _ = ask(pool)
    leased = await first
    (second, words), (third, more) = ask(pool), ask(pool)
    await until(lambda: pool.status().waiting == 2, "two wait")
    assert (words, more) == ([(1, None)], [(2, None)])
    await run(leased)
    await run(await second)
    await run(await third)


async def test_its_place_is_that_under_the_fair_queue(pool: Pool) -> None:
    first, _ = ask(pool)
    leased = await first
    asked = [ask(pool, owner) for owner in (1, 1, 1, 2)]
    await until(lambda: pool.status().waiting == 4, "four wait")
    assert [words[0][0] for _, words in asked] == [1, 2, 3, 2]
    await run(leased)
    for turn in (0, 3, 1, 2):
        await run(await asked[turn][0])


@pytest.mark.usefixtures("often")
async def test_it_is_told_again_as_its_place_changes_and_not_when_it_does_not(pool: Pool) -> None:
    first, _ = ask(pool, 1)
    leased = await first
    second, words = ask(pool, 1)
    third, more = ask(pool, 1)
    await until(lambda: pool.status().waiting == 2, "two wait")
    fourth, least = ask(pool, 2)
    await until(lambda: [position for position, _ in more] == [2, 3], "an owner came between")
    await turns()
    assert [position for position, _ in words] == [1]
    await run(leased)
    await run(await second)
    await run(await fourth)
    await run(await third)
    assert [position for position, _ in more] == [2, 3, 2, 1]
    assert [position for position, _ in least] == [2, 1]


async def test_it_is_not_told_more_often_than_once_a_second(pool: Pool) -> None:
    first, _ = ask(pool)
    leased = await first
    second, _ = ask(pool)
    third, more = ask(pool)
    await run(leased)
    leased = await second
    pool._announcer._pass()
    assert [position for position, _ in more] == [2]
    await run(leased)
    await run(await third)


async def test_the_time_it_may_take_follows_from_how_long_runs_took_of_late(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("sandboxd.pool.pool.time", clock)
    first, _ = ask(pool)
    leased = await first
    clock.now += 4.0
    await run(leased)
    second, _ = ask(pool)
    leased = await second
    (third, words), (fourth, more) = ask(pool), ask(pool)
    await until(lambda: pool.status().waiting == 2, "two wait")
    assert (words, more) == ([(1, 4.0)], [(2, 8.0)])
    await run(leased)  # in no time at all: the last run counts for a fifth
    leased = await third
    fifth, later = ask(pool)
    await until(lambda: bool(later), "it is told")
    assert later == [(2, 6.4)]
    await run(leased)
    await run(await fourth)
    await run(await fifth)


@pytest.mark.usefixtures("often")
async def test_nothing_goes_on_once_nobody_waits(pool: Pool) -> None:
    first, _ = ask(pool)
    leased = await first
    waiting, words = ask(pool)
    await until(lambda: bool(words), "it waits")
    waiting.cancel()
    await asyncio.wait([waiting])
    assert pool._announcer._timer is None
    assert pool._announcer._told == {}
    await run(leased)
