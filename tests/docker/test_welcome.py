"""A container that its engine has forgotten ends by itself: nobody welcomes its guest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sandboxd.config import Config, EngineConfig
from sandboxd.engine.images import image_tag
from sandboxd.engine.open import open_engine
from sandboxd.engine.port import Engine
from sandboxd.pool.fleet import Variant
from sandboxd.pool.guest import Guest
from sandboxd.pool_specs import places, pool_spec
from sandboxd.run.catalog import read_catalog
from sandboxd.shelf import wanted_image

_SLOT = 480
"""Out of the way of the daemons' own containers."""


@asynccontextmanager
async def started(engine: Engine, slot: int) -> AsyncIterator[tuple[Guest, asyncio.Future[str]]]:
    """A container as a pool makes it, up, and why its guest was lost once it is."""
    config = Config()
    profile = read_catalog(config).profiles["python"]
    pool = pool_spec(config, profile, image_tag(wanted_image(profile)), places("test"))
    spec = pool.plan(Variant()).spec(slot)
    lost = asyncio.get_running_loop().create_future()
    guest = Guest(on_ready=lambda: None, on_lost=lost.set_result)
    try:
        await engine.create(spec)
        guest.attached(await engine.attach(spec.name, guest))
        await engine.start(spec.name)
        await guest.up
        yield guest, lost
    finally:
        guest.close()
        await engine.remove(spec.name)


async def test_a_guest_that_nobody_welcomes_ends_and_one_that_is_welcomed_waits_on() -> None:
    async with (
        asyncio.timeout(60),
        open_engine(EngineConfig()) as engine,
        started(engine.containers, _SLOT) as (welcomed, _),
        started(engine.containers, _SLOT + 1) as (_, lost),
    ):
        welcomed.welcome()
        assert "no daemon has answered within 10000 ms" in await lost
        assert not welcomed.lost
