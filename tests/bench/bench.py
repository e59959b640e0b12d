"""What every subject is given: daemons of its own, the image, and the bare engine."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import msgspec

from sandboxd.config import Config
from sandboxd.engine.images import image_tag
from sandboxd.engine.open import OpenEngine, open_engine
from sandboxd.engine.port import ContainerSpec
from sandboxd.languages import BUILTIN, load
from sandboxd.pool.fleet import Variant
from sandboxd.pool_specs import places, pool_spec
from sandboxd.run.catalog import read_catalog
from sandboxd.shelf import wanted_image
from tests.bench.measure import Measured, closed_loop
from tests.support.daemon import RunningDaemon, eventually

IMAGES = 600.0
"""Seconds that making an image may take, the first time."""


class Echo:
    """Receives from an attach stream, and tells of it; see Receiver."""

    def __init__(self) -> None:
        self.arrived = asyncio.Event()

    def stdout(self, data: bytes) -> None:
        self.arrived.set()

    def stderr(self, data: bytes) -> None: ...

    def closed(self) -> None: ...


def wait_until_full(daemon: RunningDaemon, warm: dict[str, int]) -> None:
    with daemon.client() as client:

        def full() -> bool:
            pools = [(pool.profile, pool.idle, pool.size) for pool in client.status().pools]
            return all((name, count, count) in pools for name, count in warm.items())

        eventually(full, "the pools are full", IMAGES)


class Bench:
    """Shared by the subjects, each of which starts the daemon that it needs."""

    def __init__(self, *, overload: float, python: str = sys.executable) -> None:
        """`python` is the interpreter of the daemons, with the sandboxd that is measured."""
        self.overload = overload
        """Seconds of more work than can be done."""
        self.python = python
        self._serial = itertools.count()
        self._config = Config()
        profile = read_catalog(self._config).profiles["python"]
        self.image = image_tag(wanted_image(profile))
        pool = pool_spec(self._config, profile, self.image, places("bench"))
        self._plan = pool.plan(Variant())

    @contextlib.contextmanager
    def daemon(
        self, warm: dict[str, int], more: str = "", languages: Path | None = None
    ) -> Iterator[RunningDaemon]:
        """A daemon that keeps so many containers of each profile, and nothing else.

        `more` is added to its configuration.
        """
        with tempfile.TemporaryDirectory(prefix="sandboxd-bench-") as folder:
            running = RunningDaemon(Path(folder), python=self.python)
            known = load(languages or BUILTIN).by_name
            sections = [f'languages_path = "{languages}"'] if languages else []
            sections += ["[pool]", "min = 0", "max_uses = 1000000", more]
            sections += [
                f"[languages.{name}]\nmin = {count}\nmax = {count}"
                for name, count in warm.items()
                if name in known
            ]
            running.config.write_text("\n".join(sections))
            with running:
                wait_until_full(running, warm)
                yield running

    # --- the engine without a daemon ---

    def engine(self) -> AbstractAsyncContextManager[OpenEngine]:
        return open_engine(self._config.engine)

    def own_container(self, *argv: str) -> ContainerSpec:
        """As a pool's, with another first process than the guest."""
        spec = self._plan.spec(next(self._serial))
        return msgspec.structs.replace(spec, argv=argv or spec.argv)

    @functools.cached_property
    def engine_rate(self) -> float:
        """D: containers a second, the pool's own, by engine calls alone in the best of loops.

        Create, attach, start, wait for the guest's first word, remove.
        """
        return asyncio.run(self._engine_loop(24))

    async def _engine_loop(self, count: int) -> float:
        async with self.engine() as opened:
            engine = opened.containers

            async def one() -> None:
                spec = self.own_container()
                await engine.create(spec)
                echo = Echo()
                attachment = await engine.attach(spec.name, echo)
                await engine.start(spec.name)
                await echo.arrived.wait()
                attachment.close()
                await engine.remove(spec.name)

            return max([await closed_loop(one, count, at_once) for at_once in (2, 4)])


Subject = Callable[[Bench], Iterator[Measured]]
"""Measures one thing, and gives each figure as soon as it has it."""
