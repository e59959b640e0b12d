"""Everything of the daemon but its engine, on a socket of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from msgspec import Struct, structs

from sandboxd.config import Config, HistoryConfig, PoolConfig
from sandboxd.daemon import Daemon
from sandboxd.engine.images import Wanted, image_tag
from sandboxd.engine.open import OpenEngine
from sandboxd.run.catalog import read_catalog
from sandboxd.tracing import Tracing
from sandboxd_client.protocol import PoolStatus
from tests.support.driver import drive
from tests.support.engine import FakeEngine
from tests.support.image_store import FakeImages
from tests.support.wait import DEADLINE, until

_T = TypeVar("_T")
_S = TypeVar("_S", bound=Struct)

SMALL = Config(
    pool=PoolConfig(min=1, max=4, starts=4, queue=1000, queue_timeout=DEADLINE),
    history=HistoryConfig(enabled=False),
)
"""A configuration that does not depend on the machine."""


def replace(config: _S, **parts: Any) -> _S:
    return structs.replace(config, **parts)


class Service:
    """A daemon as it is, on doubles of an engine and of its images."""

    def __init__(
        self,
        folder: Path,
        config: Config = SMALL,
        *,
        languages: Sequence[str] = ("python",),
        tracing: Tracing | None = None,
    ) -> None:
        """`languages` are those whose images are there; others cannot be had."""
        self.config = replace(
            config,
            socket=str(folder / "sandboxd.sock"),
            languages_path=str(folder / "none"),
            history=replace(config.history, path=str(folder / "history.db")),
        )
        known = read_catalog(self.config).languages
        self.images = FakeImages(*(image_tag(Wanted(known.find(each))) for each in languages))
        self.images.builds = False
        self.engine = FakeEngine()
        self.engine.programs[known.find("python").driver or ""] = drive
        self.daemon = Daemon(self.config, OpenEngine("double", self.engine, self.images), tracing)
        self.socket = folder / "sandboxd.sock"
        self.fleet, self.hub = self.daemon.fleet, self.daemon.hub
        self.runner, self.sessions = self.daemon.runner, self.daemon.sessions

    async def __aenter__(self) -> Self:
        await self.daemon.__aenter__()
        await until(lambda: self.pool().idle >= self.config.pool.min, "the pool is full")
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
        await self.daemon.__aexit__(None, None, None)

    def pool(self, profile: str = "python") -> PoolStatus:
        """The first of a profile's, which is the ordinary one."""
        return next(pool for pool in self.fleet.status() if pool.profile == profile)

    async def all_idle(self) -> None:
        """Waits until containers are ready and none is in use or comes or goes."""
        await until(lambda: self.pool().idle == self.pool().size > 0, "all containers are idle")


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
