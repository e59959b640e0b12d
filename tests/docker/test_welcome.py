"""A container that its engine has forgotten ends by itself: nobody welcomes its guest."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sandboxd.config import Config
from sandboxd.daemon import make_shape
from sandboxd.engine import host
from sandboxd.engine.docker import DockerEngine
from sandboxd.engine.images import Wanted, image_tag
from sandboxd.engine.spec import Placement, container_spec
from sandboxd.languages import BUILTIN, load
from sandboxd.pool.fleet import Variant
from sandboxd.pool.guest import Guest
from sandboxd.run.profiles import make_profiles

_SLOT = 480
"""Out of the way of the daemons' own containers."""


@asynccontextmanager
async def started(
    engine: DockerEngine, slot: int
) -> AsyncIterator[tuple[Guest, asyncio.Future[str]]]:
    """A container as a pool makes it, up, and why its guest was lost once it is."""
    config, languages = Config(), load(BUILTIN)
    profile = make_profiles(config, languages)["python"]
    shape = make_shape(config, profile, image_tag(Wanted(profile.language)), Variant())
    instance = f"test-{secrets.token_hex(4)}"
    uid = config.engine.uid_base + slot
    spec = container_spec(shape, Placement(instance, secrets.token_hex(4), slot, uid))
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
        DockerEngine(host.address(None), Config().engine) as engine,
        started(engine, _SLOT) as (welcomed, _),
        started(engine, _SLOT + 1) as (_, lost),
    ):
        welcomed.welcome()
        assert "no daemon has answered within 10000 ms" in await lost
        assert not welcomed.lost
