"""All pools together: what an earlier daemon left, new configurations, and the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from structlog.typing import EventDict

from sandboxd.engine.port import LABEL_INSTANCE
from sandboxd.errors import (
    EngineUnavailableError,
    ImageUnavailableError,
    ShuttingDownError,
    UnknownLanguageError,
)
from sandboxd.guest.frames import Verdict
from sandboxd.pool.fleet import Fleet, PoolSpec, Variant
from sandboxd.pool.pool import Lease
from sandboxd.pool.reaper import sweep
from sandboxd_client.protocol import PoolStatus
from tests.support.engine import FakeEngine
from tests.support.pools import INSTANCE, USUAL, Running, container, plan, run, settings
from tests.support.wait import DEADLINE, turns, until

MINE = {LABEL_INSTANCE: INSTANCE}
ORDINARY = Variant()
NETWORK = Variant(network=True)
WRITABLE = Variant(writable_root=True)


def spec(name: str = "python", key: object = 0, least: int = 1, most: int = 4) -> PoolSpec:
    return PoolSpec(
        plan=lambda variant: plan(name + ("-other" if variant != ORDINARY else "")),
        settings=settings(least, most),
        warm=ORDINARY,
        key=key,
    )


async def left_over(engine: FakeEngine, name: str, instance: str = INSTANCE) -> None:
    """A container that no pool of this daemon knows."""
    await engine.create(container(name, labels={LABEL_INSTANCE: instance}))


@pytest.fixture
async def fleet(engine: FakeEngine) -> AsyncIterator[Fleet]:
    async with asyncio.timeout(2 * DEADLINE), Fleet(engine, INSTANCE, 4) as opened:
        yield opened
    assert not [guest for guest in engine.guests.values() if guest.labels == MINE]


def status(fleet: Fleet, name: str = "python") -> PoolStatus:
    return next(each for each in fleet.status() if each.profile == name)


async def idle(fleet: Fleet, name: str = "python", count: int = 1) -> None:
    await until(
        lambda: status(fleet, name).idle == status(fleet, name).size == count,
        f"{count} of {name} are idle",
    )


async def lease(fleet: Fleet, name: str = "python", variant: Variant = ORDINARY) -> Lease:
    async with asyncio.timeout(DEADLINE):
        return await fleet.lease(name, variant, 1, fresh=False, timeout=DEADLINE, resources=USUAL)


# --- strays ---


async def test_what_an_earlier_daemon_of_this_instance_left_is_removed_and_nobody_elses(
    engine: FakeEngine,
) -> None:
    await left_over(engine, "stray")
    await left_over(engine, "foreign", "another")
    async with Fleet(engine, INSTANCE, 4):
        assert set(engine.guests) == {"foreign"}


async def test_what_is_on_the_books_is_no_stray_however_far_it_is(
    fleet: Fleet, engine: FakeEngine
) -> None:
    fleet.configure({"python": spec(least=2, most=2)})
    await idle(fleet, count=2)
    gone, creating = engine.on["remove"].hold(), engine.on["create"].hold()
    with await lease(fleet) as leased:
        leased.ended("odd")  # one is being removed
    fleet.configure({"python": spec(least=2, most=2), "ruby": spec("ruby")})
    await until(lambda: engine.on["create"].calls == 3, "another is being created")
    await left_over_while_held(engine)
    gone.set()
    creating.set()
    before = set(engine.guests)
    swept = await sweep(engine, MINE, fleet._names)
    assert swept == ["stray"]
    assert before - set(engine.guests) <= {"stray", *names(engine, "python")[:1]}


async def left_over_while_held(engine: FakeEngine) -> None:
    task = asyncio.create_task(left_over(engine, "stray"))
    await until(lambda: "stray" in engine.guests, "there is a stray")
    del task


def names(engine: FakeEngine, profile: str) -> list[str]:
    return [guest.name for guest in engine.seen if guest.name.startswith(profile)]


async def test_a_container_that_came_after_the_engine_was_asked_is_no_stray(
    fleet: Fleet, engine: FakeEngine
) -> None:
    gate = engine.on["containers"].hold()
    sweeping = asyncio.create_task(sweep(engine, MINE, fleet._names))
    await until(lambda: engine.on["containers"].calls == 2, "the engine is asked")
    fleet.configure({"python": spec()})
    await idle(fleet)
    gate.set()
    assert await sweeping == []
    assert status(fleet).idle == 1


async def test_an_engine_that_is_down_at_the_start_does_not_keep_the_fleet_from_opening(
    engine: FakeEngine, logs: list[EventDict]
) -> None:
    engine.on["containers"].fail(EngineUnavailableError("the engine is down"))
    async with Fleet(engine, INSTANCE, 4):
        pass
    assert "stray containers not swept" in [entry["event"] for entry in logs]


# --- configurations ---


async def test_each_language_has_a_pool_and_an_unknown_one_has_no_image_yet(fleet: Fleet) -> None:
    fleet.configure({"python": spec(), "ruby": spec("ruby")})
    await idle(fleet)
    await idle(fleet, "ruby")
    await run(await lease(fleet, "ruby"))
    with pytest.raises(ImageUnavailableError, match="go") as caught:
        await lease(fleet, "go")
    assert caught.value.data["retry_after"] > 0


async def test_the_same_configuration_again_leaves_the_containers_alone(
    fleet: Fleet, engine: FakeEngine
) -> None:
    fleet.configure({"python": spec()})
    await idle(fleet)
    before = set(engine.guests)
    fleet.configure({"python": spec()})
    await turns()
    assert set(engine.guests) == before


async def test_another_configuration_replaces_them(fleet: Fleet, engine: FakeEngine) -> None:
    fleet.configure({"python": spec(key=1)})
    await idle(fleet)
    before = set(engine.guests)
    fleet.configure({"python": spec(key=2, least=2)})
    await idle(fleet, count=2)
    assert not before & set(engine.guests)


async def test_a_language_that_is_removed_keeps_no_containers_and_its_waiters_are_told(
    fleet: Fleet, engine: FakeEngine
) -> None:
    fleet.configure({"python": spec(most=1)})
    await idle(fleet)
    busy = await lease(fleet)
    asked = asyncio.create_task(lease(fleet))
    await until(lambda: status(fleet).waiting == 1, "one waits")
    fleet.configure({})
    with pytest.raises(UnknownLanguageError, match="removed from the configuration"):
        await asked
    assert isinstance(await run(busy, "exit 0"), Verdict)
    await until(lambda: not engine.guests, "it keeps no containers")


async def test_a_language_that_is_removed_is_swept_by_nobody_while_its_runs_end(
    fleet: Fleet, engine: FakeEngine
) -> None:
    fleet.configure({"python": spec(most=1)})
    await idle(fleet)
    busy = await lease(fleet)
    fleet.configure({})
    await turns()
    assert await sweep(engine, MINE, fleet._names) == []
    await run(busy)


async def test_a_language_may_come_back(fleet: Fleet) -> None:
    fleet.configure({"python": spec()})
    await idle(fleet)
    fleet.configure({})
    fleet.configure({"python": spec()})
    await idle(fleet)
    await run(await lease(fleet))


# --- variants ---


async def test_a_variant_has_containers_of_its_own_that_are_used_once(
    fleet: Fleet, engine: FakeEngine
) -> None:
    fleet.configure({"python": spec()})
    await idle(fleet)
    seen = set[str]()
    for variant in (NETWORK, WRITABLE, NETWORK, Variant(network=True, writable_root=True)):
        leased = await lease(fleet, variant=variant)
        assert leased.uses == 1
        assert leased.container_id not in seen
        seen.add(leased.container_id)
        await run(leased)
    ordinary = await lease(fleet)
    assert ordinary.container_id not in seen
    await run(ordinary)
    await until(
        lambda: all(guest.name.startswith("python-") for guest in engine.guests.values()),
        "there are containers",
    )


async def test_no_container_of_a_variant_is_made_before_it_is_asked_for_unless_it_is_the_profiles(
    fleet: Fleet, engine: FakeEngine
) -> None:
    fleet.configure({"python": spec()})
    await idle(fleet)
    await turns()
    assert not [name for name in engine.guests if name.startswith("python-other")]
    own = spec("web")
    fleet.configure({"web": PoolSpec(own.plan, own.settings, warm=NETWORK, key=1)})
    await idle(fleet, "web-other")


async def test_a_member_with_a_network_is_never_given_to_a_run_without(fleet: Fleet) -> None:
    own = spec("web")
    fleet.configure({"web": PoolSpec(own.plan, own.settings, warm=NETWORK, key=1)})
    await idle(fleet, "web-other")
    networked = await lease(fleet, "web", NETWORK)
    plain = await lease(fleet, "web", ORDINARY)
    assert networked.warm
    assert not plain.warm
    await run(networked)
    await run(plain)


async def test_a_profile_that_is_removed_takes_its_variants_with_it(
    fleet: Fleet, engine: FakeEngine
) -> None:
    fleet.configure({"python": spec()})
    await run(await lease(fleet, variant=WRITABLE))
    fleet.configure({})
    await until(lambda: not engine.guests, "nothing is left")


# --- all together ---


async def test_slots_are_unlike_over_all_pools(fleet: Fleet, engine: FakeEngine) -> None:
    fleet.configure({name: spec(name, least=3) for name in ("python", "ruby", "go")})
    for name in ("python", "ruby", "go"):
        await idle(fleet, name, 3)
    slots = [guest.labels["sandboxd.slot"] for guest in engine.guests.values()]
    assert sorted(slots) == sorted(map(str, range(9)))


# --- the end ---


async def test_from_its_refusal_on_no_run_begins_and_those_under_way_go_on(fleet: Fleet) -> None:
    fleet.configure({"python": spec()})
    await idle(fleet)
    busy = await lease(fleet)
    fleet.refuse()
    with pytest.raises(ShuttingDownError):
        await lease(fleet)
    assert isinstance(await run(busy, "exit 0"), Verdict)


async def test_leaving_ends_the_runs_under_way_and_leaves_no_container(engine: FakeEngine) -> None:
    async with Fleet(engine, INSTANCE, 4) as fleet:
        fleet.configure({"python": spec(), "ruby": spec("ruby", most=1)})
        await idle(fleet)
        busy = await lease(fleet)
        running = Running(busy, "hang")

        async def hold() -> str | Verdict:
            with busy:
                return await running.finished()

        held = asyncio.create_task(hold())
        await turns()
        fleet.configure({"python": spec()})  # ruby is on its way out
    assert isinstance(await held, str)
    assert engine.guests == {}


async def test_leaving_at_once_after_a_language_was_removed_leaves_no_container(
    engine: FakeEngine,
) -> None:
    async with Fleet(engine, INSTANCE, 4) as fleet:
        fleet.configure({"python": spec()})
        await idle(fleet)
        fleet.configure({})
    assert engine.guests == {}
