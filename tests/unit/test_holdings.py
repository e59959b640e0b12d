"""What an owner's files may take of the daemon: in turn, and never too much."""

from __future__ import annotations

import asyncio

import pytest

from sandboxd.run.holdings import Holdings

ANN, BOB = 1, 2


@pytest.fixture
def holdings() -> Holdings:
    return Holdings(lambda: 10)


async def waiting(holdings: Holdings, owner: int, size: int) -> asyncio.Task[None]:
    task = asyncio.create_task(holdings.take(owner, size))
    await asyncio.sleep(0)
    return task


async def test_what_fits_is_held_at_once_and_the_rest_waits(holdings: Holdings) -> None:
    await holdings.take(ANN, 4)
    await holdings.take(ANN, 6)
    late = await waiting(holdings, ANN, 5)
    holdings.give_back(ANN, 4)
    await asyncio.sleep(0)
    assert not late.done()
    holdings.give_back(ANN, 6)
    await late
    assert holdings.held(ANN) == 5


async def test_nobody_overtakes_and_no_owner_waits_for_another(holdings: Holdings) -> None:
    await holdings.take(ANN, 9)
    large, small = await waiting(holdings, ANN, 5), await waiting(holdings, ANN, 1)
    await holdings.take(BOB, 10)
    assert not small.done()
    holdings.give_back(ANN, 9)
    await asyncio.gather(large, small)


async def test_one_alone_may_be_of_any_size(holdings: Holdings) -> None:
    await holdings.take(ANN, 100)
    late = await waiting(holdings, ANN, 1)
    assert not late.done()
    holdings.give_back(ANN, 100)
    await late


async def test_who_gives_up_waiting_holds_nothing_and_lets_the_next_go_on(
    holdings: Holdings,
) -> None:
    await holdings.take(ANN, 9)
    large, small = await waiting(holdings, ANN, 5), await waiting(holdings, ANN, 1)
    large.cancel()
    await small
    assert holdings.held(ANN) == 10


async def test_who_gives_up_in_the_moment_of_its_turn_holds_nothing(holdings: Holdings) -> None:
    await holdings.take(ANN, 9)
    late = await waiting(holdings, ANN, 5)
    holdings.give_back(ANN, 9)
    late.cancel()
    with pytest.raises(asyncio.CancelledError):
        await late
    assert holdings.held(ANN) == 0
