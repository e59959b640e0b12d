"""Python's pool on the real engine, which makes its containers otherwise than it was asked to."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from sandboxd.config import Config, HistoryConfig, LanguageConfig, PoolConfig
from sandboxd.daemon import Daemon
from sandboxd.engine import host
from sandboxd.engine.docker.api import DockerApi
from sandboxd.engine.docker.containers import DockerEngine
from sandboxd.engine.docker.images import DockerImages
from sandboxd.engine.open import OpenEngine
from sandboxd.engine.port import LABEL_INSTANCE, ContainerSpec
from sandboxd.languages import load
from sandboxd.run.active import ActiveRun
from sandboxd.run.plan import RunRequest
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
    """The runner of a daemon whose containers are not what they should be; none is left
    after."""
    async with AsyncExitStack() as stack:
        config = _config(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        api = DockerApi(host.address(None), config.engine.timeout)
        engine = ChangedEngine(await stack.enter_async_context(api), change)
        stack.callback(engine.close)
        daemon = Daemon(config, OpenEngine("", engine, DockerImages(api)))
        async with daemon:
            yield daemon.runner
        # One that ended by itself the engine may be removing still.
        async with asyncio.timeout(10):
            while await engine.containers({LABEL_INSTANCE: daemon.instance}):  # noqa: ASYNC110  # the engine tells nobody
                await asyncio.sleep(0.02)


def _config(folder: Path) -> Config:
    """Python alone, in few containers that anybody may use again."""
    others = load(folder / "none").by_name.keys() - {"python"}
    return Config(
        socket=str(folder / "sandboxd.sock"),
        languages_path=str(folder / "none"),
        languages={name: LanguageConfig(enabled=False) for name in others},
        pool=PoolConfig(min=1, max=2, starts=2, reuse="any"),
        history=HistoryConfig(enabled=False),
    )


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


def _ignore(_: ActiveRun) -> None: ...
