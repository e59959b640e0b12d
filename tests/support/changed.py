"""Python's pool on the real engine, which makes its containers otherwise than it was asked to."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from sandboxd.config import Config, QuotaConfig
from sandboxd.daemon import make_shape
from sandboxd.engine import host
from sandboxd.engine.docker.api import DockerApi
from sandboxd.engine.docker.containers import DockerEngine
from sandboxd.engine.images import Wanted, image_tag
from sandboxd.engine.port import LABEL_INSTANCE, ContainerSpec
from sandboxd.engine.spec import Placement, container_spec
from sandboxd.languages import BUILTIN, load
from sandboxd.pool.container import Plan
from sandboxd.pool.core import Settings
from sandboxd.pool.fleet import Fleet, PoolSpec, Variant
from sandboxd.run.active import ActiveRun
from sandboxd.run.limits import to_resources
from sandboxd.run.plan import RunRequest
from sandboxd.run.profiles import Profile, make_profiles
from sandboxd.run.quotas import Quotas
from sandboxd.run.runner import Runner
from sandboxd_client.protocol import Limits, RunResult

Change = Callable[[dict[str, Any]], object]
"""Changes a container's configuration, in the engine's words, in place."""


class Nobody:
    """A sink for events that the test does not look at."""

    raw = False

    def queued(self, position: int, estimate: float | None) -> None: ...

    def started(self, run: str, *, warm: bool, queued: float) -> None: ...

    def output(self, seq: int, stream: str, data: bytes) -> None: ...

    def stdin_taken(self, count: int) -> None: ...

    async def hold(self, size: int) -> None: ...

    def when_writable(self, callback: object) -> bool:
        return False


class ChangedEngine(DockerEngine):
    """Makes other containers than it is asked for."""

    def __init__(self, api: DockerApi, change: Change) -> None:
        super().__init__(api)
        self._change = change

    async def rendered(self, wanted: ContainerSpec) -> dict[str, Any]:
        config = await super().rendered(wanted)
        self._change(config)
        return config


@asynccontextmanager
async def changed_runner(change: Change) -> AsyncIterator[Runner]:
    """A runner whose containers are not what they should be; none is left after."""
    config, instance = Config(), f"test-{secrets.token_hex(4)}"
    languages = load(BUILTIN)
    profiles = make_profiles(config, languages)
    profile = profiles["python"]
    shape = make_shape(config, profile, image_tag(Wanted(profile.language)), Variant())

    def spec(slot: int) -> ContainerSpec:
        placement = Placement(instance, secrets.token_hex(4), slot, 60706 + slot)
        return container_spec(shape, placement)

    def plan(_: Variant) -> Plan:
        return Plan(
            language="python",
            profile="python",
            spec=spec,
            resources=to_resources(profile.limits, profile.language),
            warmup=None,
            start_timeout=30.0,
            queue=10,
        )

    async with AsyncExitStack() as stack:
        api = DockerApi(host.address(None), config.engine.timeout)
        engine = ChangedEngine(await stack.enter_async_context(api), change)
        stack.callback(engine.close)
        async with Fleet(engine, instance, starts=2) as fleet:
            settings = Settings(min=1, max=2, max_uses=100, max_age=1000.0, reuse="any")
            fleet.configure({"python": PoolSpec(plan, settings, Variant(), key=1)})
            quotas = Quotas(lambda _: QuotaConfig(), time.monotonic)
            runner = Runner(fleet, lambda _: None, _there, quotas, lambda _: None)
            runner.configure(config, languages, profiles)
            yield runner
        # One that ended by itself the engine may be removing still.
        async with asyncio.timeout(10):
            while await engine.containers({LABEL_INSTANCE: instance}):  # noqa: ASYNC110  # the engine tells nobody
                await asyncio.sleep(0.02)


async def run(
    runner: Runner, code: str, timeout: float = 20.0, outputs: Sequence[str] = ()
) -> RunResult:
    request = RunRequest(
        owner=0,
        language="python",
        code=code,
        limits=Limits(timeout=timeout),
        outputs=list(outputs),
        stream=False,
    )
    return await runner.run(request, Nobody(), _ignore)


async def _there(_: Profile) -> None: ...


def _ignore(_: ActiveRun) -> None: ...
