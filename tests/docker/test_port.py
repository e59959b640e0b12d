"""What the port promises holds for the real engine, and for the double that stands for it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import msgspec
import pytest

from sandboxd.config import Config, EngineConfig
from sandboxd.engine.images import Images, image_tag
from sandboxd.engine.open import OpenEngine, open_engine
from sandboxd.engine.port import LABEL_INSTANCE, ContainerSpec, Engine, Resources
from sandboxd.errors import EngineUnavailableError, ImageUnavailableError, StartFailedError
from sandboxd.pool.fleet import Variant
from sandboxd.pool.guest import Guest
from sandboxd.pool_specs import places, pool_spec
from sandboxd.run.catalog import read_catalog
from sandboxd.shelf import wanted_image
from tests.support.engine import FakeEngine
from tests.support.image_store import FakeImages

_SLOT = 490
"""Out of the way of the daemons' own containers."""
PYTHON = read_catalog(Config()).profiles["python"]
TAG = image_tag(wanted_image(PYTHON))


@pytest.fixture(params=["double", "real"])
async def opened(request: pytest.FixtureRequest) -> AsyncIterator[OpenEngine]:
    """Either of them has Python's image."""
    if request.param == "double":
        yield OpenEngine("double", FakeEngine(), FakeImages(TAG))
    else:
        async with open_engine(EngineConfig()) as engine:
            await Images(engine.images).ensure(wanted_image(PYTHON))
            yield engine


@pytest.fixture
def engine(opened: OpenEngine) -> Engine:
    return opened.containers


@pytest.fixture
async def spec(engine: Engine) -> AsyncIterator[ContainerSpec]:
    """A container as a pool makes it; it is gone after the test."""
    place = places(f"test-{secrets.token_hex(4)}")
    spec = pool_spec(Config(), PYTHON, TAG, place).plan(Variant()).spec(_SLOT)
    yield spec
    await engine.remove(spec.name)


async def test_a_container_is_known_by_all_its_labels_until_it_is_removed(
    engine: Engine, spec: ContainerSpec
) -> None:
    mine = {LABEL_INSTANCE: spec.labels[LABEL_INSTANCE]}
    assert await engine.containers(mine) == []
    await engine.create(spec)
    assert await engine.containers(spec.labels) == [spec.name]
    assert await engine.containers({**mine, "sandboxd.slot": "0"}) == []
    await engine.remove(spec.name)
    assert await engine.containers(mine) == []


async def test_a_name_is_given_once(engine: Engine, spec: ContainerSpec) -> None:
    await engine.create(spec)
    with pytest.raises(StartFailedError):
        await engine.create(spec)


async def test_the_guest_is_heard_from_its_first_word_on_and_its_end_is_the_streams(
    engine: Engine, spec: ContainerSpec
) -> None:
    lost: list[str] = []
    guest = Guest(on_ready=lambda: None, on_lost=lost.append)
    await engine.create(spec)
    guest.attached(await engine.attach(spec.name, guest))
    await engine.start(spec.name)
    await guest.up
    assert guest.hello.result()["uid"] == str(spec.uid)
    assert not lost
    guest.close()


async def test_limits_are_changed_while_a_container_runs(
    engine: Engine, spec: ContainerSpec
) -> None:
    guest = Guest(on_ready=lambda: None, on_lost=lambda _: None)
    await engine.create(spec)
    guest.attached(await engine.attach(spec.name, guest))
    await engine.start(spec.name)
    await guest.up
    more = msgspec.structs.replace(spec.resources, memory=2 * spec.resources.memory)
    await engine.update(spec.name, more)
    guest.close()


async def test_a_container_is_described_as_it_was_asked_for(
    engine: Engine, spec: ContainerSpec
) -> None:
    await engine.create(spec)
    described = await engine.describe(spec.name)
    assert (described.network, described.log) == ("none", "none")


async def test_what_is_not_there_is_said_and_removing_it_is_no_error(engine: Engine) -> None:
    name = f"sandboxd-none-{secrets.token_hex(4)}"
    resources = Resources(memory=2**29, cpus=1.0, cpu_shares=1024, pids=100)
    receiver = Guest(on_ready=lambda: None, on_lost=lambda _: None)
    for call in (
        engine.attach(name, receiver),
        engine.start(name),
        engine.update(name, resources),
        engine.describe(name),
    ):
        with pytest.raises(StartFailedError):
            await call
    await engine.remove(name)


async def test_it_tells_what_it_is(engine: Engine) -> None:
    info, facts = await engine.info(), await engine.facts()
    assert (info.name, "seccomp" in facts.security) == (facts.engine.name, True)


async def test_an_image_is_there_by_its_tag_and_one_that_is_not_can_be_removed(
    opened: OpenEngine,
) -> None:
    images, none = opened.images, f"sandboxd-test/none:{secrets.token_hex(4)}"
    assert await images.labels(TAG) is not None
    assert await images.labels(none) is None
    await images.remove(none)
    with pytest.raises((EngineUnavailableError, ImageUnavailableError, StartFailedError)):
        async for _ in images.pull(none):
            pass
