"""The composition root: the only file that knows everybody.

Start: lock, engine, sweep, pools, socket. Stop: socket, runs under way, pools,
engine, lock. SIGTERM and SIGINT stop in that order, SIGHUP reads the
configuration again.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from sandboxd import __version__, systemd
from sandboxd.config import Config
from sandboxd.engine import host
from sandboxd.engine.docker import DockerEngine
from sandboxd.engine.images import Images, ImageState
from sandboxd.engine.spec import Placement, container_spec
from sandboxd.errors import SandboxdError
from sandboxd.languages import Language, Languages
from sandboxd.languages import load as load_languages
from sandboxd.pool.core import Settings
from sandboxd.pool.fleet import Fleet, PoolSpec
from sandboxd.pool.pool import Plan
from sandboxd.rpc.connection import Hub
from sandboxd.rpc.methods import Methods, Sources
from sandboxd.rpc.server import Server, SocketLock, instance_name
from sandboxd.run.runner import Runner
from sandboxd_client.protocol import LanguageInfo

_log = structlog.get_logger("sandboxd")

_RETRY_IMAGE = 30.0


async def serve(config: Config, reload: Callable[[], Config]) -> None:
    """Serves until told to stop. Raises AlreadyRunningError and ConfigError at the start."""
    path = Path(config.socket)
    with SocketLock(path):
        address = host.address(config.engine.host)
        async with DockerEngine(address, config.engine) as engine:
            daemon = Daemon(config, engine, path)
            await daemon.run(reload)


class Daemon:
    """One daemon's parts, put together."""

    def __init__(self, config: Config, engine: DockerEngine, path: Path) -> None:
        self._config = config
        self._engine = engine
        self._instance = instance_name(path)
        self._boot = secrets.token_hex(3)
        self._created = 0
        self._images: dict[str, ImageState] = {}
        self._progress: dict[str, str] = {}
        self._fetching: asyncio.Task[None] | None = None
        self._reloading: asyncio.Task[None] | None = None
        self._fleet = Fleet(engine, self._instance, config.pool.starts)
        self._runner = Runner(self._fleet, config.pool.queue_timeout)
        sources = Sources(
            engine=engine.info,
            pools=self._fleet.status,
            languages=self._language_infos,
            missing_images=lambda: dict(self._progress),
            clients=lambda: len(self._hub.connections),
        )
        self._hub = Hub(Methods(self._runner, sources), config.rpc, set())
        self._server = Server(path, self._hub)
        self._stop = asyncio.Event()

    async def run(self, reload: Callable[[], Config]) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload_soon, reload)
        began = time.monotonic()
        async with self._fleet:
            await self._apply(self._config)
            await self._server.open()
            systemd.notify("READY=1")
            _log.info(
                "serving",
                version=__version__,
                instance=self._instance,
                took=round(time.monotonic() - began, 3),
            )
            await self._stop.wait()
            systemd.notify("STOPPING=1")
            await self._drain()
            for task in (self._reloading, self._fetching):
                await _end(task)
            self._runner.stop()
        await self._server.close()
        _log.info("stopped")

    async def _drain(self) -> None:
        """Runs under way may end; new ones are refused, and nobody new is let in."""
        self._server.stop_accepting()
        self._fleet.refuse()
        _log.info("draining", runs=self._runner.active, timeout=self._config.drain_timeout)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._config.drain_timeout):
                await self._runner.idle()

    # --- configuration ---

    def _reload_soon(self, reload: Callable[[], Config]) -> None:
        self._reloading = asyncio.create_task(self._reload(reload), name="reload")

    async def _reload(self, reload: Callable[[], Config]) -> None:
        try:
            await self._apply(reload())
        except SandboxdError as error:
            _log.error("configuration not reloaded; the old one stays", error=str(error))
        else:
            _log.info("configuration reloaded")

    async def _apply(self, config: Config) -> None:
        """Opens the pools whose image is there; what is missing is fetched meanwhile."""
        disabled = [name for name, each in config.languages.items() if not each.enabled]
        languages = load_languages(Path(config.languages_path), disabled)
        self._config = config
        self._runner.configure(languages, config.limits)
        await _end(self._fetching)
        self._progress.clear()
        missing = await self._open_pools(list(languages.by_name.values()), languages)
        self._fetching = asyncio.create_task(self._get_images(missing, languages), name="images")

    async def _get_images(self, missing: list[Language], languages: Languages) -> None:
        while missing:
            images = Images(self._engine, self._report)
            results = await asyncio.gather(
                *(images.ensure(language) for language in missing), return_exceptions=True
            )
            for language, result in zip(missing, results, strict=True):
                if isinstance(result, SandboxdError):
                    self._progress[language.name] = str(result)
                    _log.warning("no image", language=language.name, error=str(result))
                elif isinstance(result, BaseException):
                    raise result
            if any(isinstance(result, SandboxdError) for result in results):
                await asyncio.sleep(_RETRY_IMAGE)
            missing = await self._open_pools(missing, languages)

    async def _open_pools(self, wanted: list[Language], languages: Languages) -> list[Language]:
        """Opens the pools of those whose image is there; returns the others."""
        images = Images(self._engine, self._report)
        missing = []
        for language in wanted:
            try:
                state = await images.state(language)
            except SandboxdError as error:
                self._progress[language.name] = str(error)
                missing.append(language)
                continue
            if state.present:
                self._images[language.name] = state
                self._progress.pop(language.name, None)
            else:
                self._progress[language.name] = "its image is not here"
                missing.append(language)
        self._fleet.configure(
            {
                name: self._pool_spec(language, self._images[name].tag)
                for name, language in languages.by_name.items()
                if name in self._images
            }
        )
        return missing

    def _report(self, language: str, text: str) -> None:
        self._progress[language] = f"its image is being made: {text}"
        _log.debug("image", language=language, progress=text)

    def _pool_spec(self, language: Language, image: str) -> PoolSpec:
        config, pool = self._config, self._config.pool
        override = config.languages.get(language.name)
        least = override.min if override and override.min is not None else pool.min
        most = override.max if override and override.max is not None else pool.max
        settings = Settings(
            min=min(least, most),
            max=most,
            max_uses=pool.max_uses,
            max_age=pool.max_age,
            reuse=pool.reuse,
        )
        return PoolSpec(
            key=(image, language, config.limits, settings, pool.start_timeout, pool.queue),
            plan=Plan(
                profile=language.name,
                spec=lambda slot: container_spec(
                    language, image, config.limits, self._placement(slot)
                ),
                start_timeout=pool.start_timeout,
                queue=pool.queue,
            ),
            settings=settings,
        )

    def _placement(self, slot: int) -> Placement:
        self._created += 1
        return Placement(
            instance=self._instance,
            serial=f"{self._boot}-{self._created}",
            slot=slot,
            uid=self._config.engine.uid_base + slot,
        )

    def _language_infos(self) -> list[LanguageInfo]:
        idle = {pool.language: pool.idle for pool in self._fleet.status()}
        infos = []
        for name, language in self._runner.languages.by_name.items():
            state = self._images.get(name)
            override = self._config.languages.get(name)
            warm = override.min if override and override.min is not None else self._config.pool.min
            infos.append(
                LanguageInfo(
                    name=name,
                    aliases=language.aliases,
                    version=state.version if state else "",
                    image=state.tag if state else language.image.base,
                    warm=warm,
                    ready=idle.get(name, 0),
                    file_extension="." + language.extension,
                    stateful=False,
                )
            )
        return infos


async def _end(task: asyncio.Task[None] | None) -> None:
    """Cancels a task and waits until it is gone."""
    if task is not None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
