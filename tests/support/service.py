"""Everything of the daemon but its engine, on a socket of its own."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from msgspec import structs

from sandboxd.access import may_use, quota_of
from sandboxd.config import Config, HistoryConfig, PoolConfig
from sandboxd.daemon import history_settings, make_shape
from sandboxd.engine.spec import Placement, container_spec
from sandboxd.languages import load
from sandboxd.metrics import RunSample
from sandboxd.pool.container import Plan
from sandboxd.pool.core import Settings
from sandboxd.pool.fleet import Fleet, PoolSpec, Variant
from sandboxd.rpc.connection import Hub
from sandboxd.rpc.methods import Methods, Sources
from sandboxd.rpc.server import Server, SocketLock
from sandboxd.run.history import History
from sandboxd.run.limits import to_resources
from sandboxd.run.profiles import Profile, encode_warmup, make_profiles
from sandboxd.run.quotas import Quotas
from sandboxd.run.runner import Runner
from sandboxd.run.sessions import Sessions
from sandboxd_client.protocol import LanguageInfo, PoolStatus
from tests.support.driver import drive
from tests.support.engine import FakeEngine
from tests.support.wait import DEADLINE, until

_T = TypeVar("_T")

SMALL = Config(
    pool=PoolConfig(min=1, max=4, starts=4, queue=1000, queue_timeout=DEADLINE),
    history=HistoryConfig(enabled=False),
)
"""A configuration that does not depend on the machine."""


def replace(config: Config, **parts: Any) -> Config:
    return structs.replace(config, **parts)


async def _opened(_: Profile) -> None:
    """Every image is there, or is not and does not come."""


class Service:
    """The parts in the order of `sandboxd.daemon`, from entering until leaving."""

    def __init__(
        self,
        folder: Path,
        config: Config = SMALL,
        *,
        languages: Sequence[str] = ("python",),
    ) -> None:
        self.engine = FakeEngine()
        self.socket = folder / "sandboxd.sock"
        self.fleet = Fleet(self.engine, "test", config.pool.starts)
        self.history = History(folder / "history.db", history_settings(config))
        quotas = Quotas(lambda owner: quota_of(config, owner), time.monotonic)
        self.samples: list[RunSample] = []
        """What the runs that have ended add to metrics and traces."""
        self.runner = Runner(self.fleet, self.history.record, _opened, quotas, self.samples.append)
        known = load(folder / "none")
        self.runner.configure(config, known, make_profiles(config, known))
        self.engine.programs[known.find("python").driver or ""] = drive
        sources = Sources(
            engine=self.engine.info,
            pools=self.fleet.status,
            languages=self._language_infos,
            missing_images=lambda: {"go": "its image is not here"},
            clients=lambda: len(self.hub.connections),
            discover=dict,
        )
        self.sessions = Sessions(self.runner, self.fleet, _opened, quotas)
        methods = Methods(self.runner, self.sessions, self.history, sources)
        self.hub = Hub(methods, config.rpc, set(), lambda owner: may_use(config.access, owner))
        self.server = Server(self.socket, self.hub)
        self._config = config
        self._names = languages
        self._serials = itertools.count()
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._stack.enter_context(SocketLock(self.socket))
        await self._stack.enter_async_context(self.history)
        await self._stack.enter_async_context(self.fleet)
        self.configure()
        await self.server.open()
        await until(lambda: self.pool().idle >= self._config.pool.min, "the pool is full")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Stops as the daemon does when its patience with the runs under way is over."""
        self.drain()
        self.runner.stop()
        await self.sessions.close()
        await self.fleet.close()
        await self.server.close()
        await self._stack.aclose()

    def drain(self) -> None:
        self.server.stop_accepting()
        self.fleet.refuse()
        self.sessions.refuse()

    def configure(self) -> None:
        profiles = self.runner.profiles
        self.fleet.configure({name: self._pool_spec(profiles[name]) for name in self._names})

    def pool(self, profile: str = "python") -> PoolStatus:
        """The first of a profile's, which is the ordinary one."""
        return next(pool for pool in self.fleet.status() if pool.profile == profile)

    async def all_idle(self) -> None:
        """Waits until containers are ready and none is in use or comes or goes."""
        await until(lambda: self.pool().idle == self.pool().size > 0, "all containers are idle")

    def _pool_spec(self, profile: Profile) -> PoolSpec:
        pool = self._config.pool
        resources = to_resources(profile.limits, profile.language)

        def placement(slot: int) -> Placement:
            return Placement(
                instance="test", serial=str(next(self._serials)), slot=slot, uid=60000 + slot
            )

        def plan(variant: Variant) -> Plan:
            shape = make_shape(self._config, profile, "image", variant)
            return Plan(
                language=profile.language.name,
                profile=profile.name,
                spec=lambda slot: container_spec(shape, placement(slot)),
                resources=resources,
                warmup=encode_warmup(profile),
                start_timeout=pool.start_timeout,
                queue=pool.queue,
            )

        return PoolSpec(
            plan=plan,
            settings=Settings(
                min=profile.pool_min,
                max=profile.pool_max,
                max_uses=pool.max_uses,
                max_age=pool.max_age,
                reuse=pool.reuse,
            ),
            warm=Variant(network=profile.network),
            key=0,
        )

    def _language_infos(self) -> list[LanguageInfo]:
        return [
            LanguageInfo(
                name=pool.language,
                aliases=["py"],
                version="1",
                image="image",
                warm=self._config.pool.min,
                ready=pool.idle,
                file_extension=".py",
                stateful=False,
            )
            for pool in self.fleet.status()
        ]


class ServiceThread:
    """A service in a thread with a loop of its own, for clients that block."""

    def __init__(self, folder: Path, config: Config = SMALL) -> None:
        self._folder = folder
        self._config = config
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(DEADLINE):
            raise AssertionError("the service did not start")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(DEADLINE)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with Service(self._folder, self._config) as self.service:
            self._ready.set()
            await self._stop.wait()

    @property
    def socket(self) -> Path:
        return self.service.socket

    def ask(self, question: Callable[[Service], _T]) -> _T:
        """Calls something in the service's own thread."""

        async def answer() -> _T:
            return question(self.service)

        return asyncio.run_coroutine_threadsafe(answer(), self._loop).result(DEADLINE)

    def wait_for(self, check: Callable[[Service], bool], what: str) -> None:
        waiting = until(lambda: check(self.service), what)
        asyncio.run_coroutine_threadsafe(waiting, self._loop).result(DEADLINE)
