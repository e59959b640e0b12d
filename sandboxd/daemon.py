"""The composition root: the only file that knows everybody.

Start: engine, lock, history, sweep, pools, socket. All that is opened is closed in
reverse, however far a start came and whatever else fails. SIGTERM and SIGINT stop,
once the runs under way have ended; SIGHUP reads the configuration again.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import structlog

from sandboxd import __version__, systemd
from sandboxd.access import may_use, quota_of
from sandboxd.config import Config, state_path
from sandboxd.doctor import Findings, blockers
from sandboxd.engine.images import Images, ImageState
from sandboxd.engine.open import OpenEngine, open_engine
from sandboxd.errors import ConfigError, SandboxdError, SetupError
from sandboxd.metrics import Metrics, RunSample
from sandboxd.pool.fleet import Fleet
from sandboxd.pool_specs import places, pool_spec
from sandboxd.rpc.admin import AdminServer
from sandboxd.rpc.connection import Hub
from sandboxd.rpc.methods import Methods, Sources
from sandboxd.rpc.openrpc import document
from sandboxd.rpc.server import Server, SocketLock, instance_name
from sandboxd.run.books import Books
from sandboxd.run.catalog import read_catalog
from sandboxd.run.history import History
from sandboxd.run.history_writer import HistorySettings
from sandboxd.run.profiles import Profile
from sandboxd.run.quotas import Quotas
from sandboxd.run.runner import Runner
from sandboxd.run.sessions import Sessions
from sandboxd.shelf import Shelf
from sandboxd_client.protocol import LanguageInfo

if TYPE_CHECKING:
    from sandboxd.tracing import Tracing

_log = structlog.get_logger("sandboxd")

_CLOSING = 60.0
"""Seconds that the rest of a stop may take: containers are removed, the history is written."""


async def serve(config: Config, reload: Callable[[], Config]) -> None:
    """Serves until told to stop. Raises AlreadyRunningError and ConfigError at the start."""
    # The soft limit is low for the sake of select(2), which nothing here uses.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        if (tracing := make_tracing(config)) is not None:
            stack.push_async_callback(tracing.close)
        engine = await stack.enter_async_context(open_engine(config.engine))
        _log.info("engine", address=engine.address)
        await stack.enter_async_context(systemd.watchdog())
        daemon = Daemon(config, engine, tracing)
        stop = _obey_signals(daemon, reload)
        await stack.enter_async_context(daemon)
        systemd.notify("READY=1", systemd.status("serving"))
        _log.info(
            "serving",
            version=__version__,
            instance=daemon.instance,
            took=round(time.monotonic() - began, 3),
        )
        await stop.wait()
        await daemon.drain()
    _log.info("stopped")


def _obey_signals(daemon: Daemon, reload: Callable[[], Config]) -> asyncio.Event:
    """From here on; the event is that the daemon is to stop."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, daemon.reload_soon, reload)
    return stop


class Daemon:
    """One daemon's parts, put together. Serves from entering until leaving.

    Entering raises AlreadyRunningError, ConfigError, and SetupError for an engine or a
    history that cannot be used; what was opened by then is closed.
    """

    def __init__(self, config: Config, engine: OpenEngine, tracing: Tracing | None = None) -> None:
        self._config = config
        self._engine = engine.containers
        self._tracing = tracing
        path = Path(config.socket)
        self.instance = instance_name(path)
        self._lock = SocketLock(path)
        self._place = places(self.instance)
        self._shelf = Shelf(Images(engine.images), self._configure_fleet)
        self._serving = asyncio.Event()
        self._reloading: asyncio.Task[None] | None = None
        self.fleet = Fleet(engine.containers, self.instance, config.pool.starts)
        self._history = History(state_path(config), _history_settings(config))
        self._quotas = Quotas(lambda owner: quota_of(self._config, owner), time.monotonic)
        self._metrics = Metrics(
            self.fleet.status, self.fleet.removals, lambda: len(self.hub.connections)
        )
        self._books = Books(self._history, self._observe)
        self.runner = Runner(self.fleet, self._books, self._opened, self._quotas)
        self.sessions = Sessions(self.runner, self.fleet, self._opened, self._quotas)
        sources = Sources(
            engine=engine.containers.info,
            pools=self.fleet.status,
            languages=self._language_infos,
            missing_images=self._shelf.progress,
            clients=lambda: len(self.hub.connections),
            discover=document,
        )
        methods = Methods(self.runner, self.sessions, self._history, self._books, sources)
        self.hub = Hub(
            methods, config.rpc, set(), lambda owner: may_use(self._config.access, owner)
        )
        self._server = Server(path, self.hub)
        self._parts = AsyncExitStack()
        """What is open, in the order in which it was opened."""

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._open(stack)
            self._parts = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._parts.__aexit__(kind, error, traceback)

    async def _open(self, stack: AsyncExitStack) -> None:
        """What closes a part is on the stack before the next one is opened; read upwards,
        this is the stop."""
        stack.enter_context(self._lock)
        stack.push_async_callback(self._end_reload)
        await self._judge_engine()
        await stack.enter_async_context(self._history)
        stack.callback(self._books.settle)
        if self._config.admin.socket:
            path = Path(self._config.admin.socket)
            admin = AdminServer(path, self._metrics_text, self.hub.methods.health_now)
            await admin.open()
            stack.push_async_callback(admin.close)
        # Clients are told how their runs ended before their connections are closed.
        stack.push_async_callback(self._server.close)
        await stack.enter_async_context(self.fleet)
        stack.push_async_callback(self.sessions.close)
        stack.callback(self.runner.stop)
        stack.push_async_callback(self._shelf.close)
        stack.push_async_callback(self._end_reload)
        await self._apply(self._config)
        await self._server.open()
        stack.callback(self.refuse)
        self._serving.set()

    async def _judge_engine(self) -> None:
        """Refuses an engine that would drop a limit without a word; one that is away may come."""
        try:
            engine = await self._engine.facts()
        except SandboxdError as error:
            _log.warning("the engine does not answer yet", error=str(error))
            return
        if found := blockers(Findings(address="", engine=engine)):
            raise SetupError(
                f"this engine would not isolate programs: {'; '.join(found)}. "
                "`sandboxd doctor` tells all"
            )

    async def drain(self) -> None:
        """Refuses, and waits for the runs under way, as long as is configured."""
        self.refuse()
        systemd.notify(
            "STOPPING=1",
            systemd.status(f"waiting for {self.runner.active} runs to end"),
            systemd.extend_timeout(self._config.drain_timeout + _CLOSING),
        )
        _log.info("draining", runs=self.runner.active, timeout=self._config.drain_timeout)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._config.drain_timeout):
                await self.runner.idle()

    def refuse(self) -> None:
        """From here on nobody is let in, and no run begins; those under way go on."""
        self.fleet.refuse()
        self.sessions.refuse()
        self._server.stop_accepting()

    # --- configuration ---

    def reload_soon(self, reload: Callable[[], Config]) -> asyncio.Task[None]:
        """Reads the configuration again, not before the start is over; where that fails the
        old one stays."""
        work = self._reload(reload, self._reloading)
        self._reloading = asyncio.create_task(work, name="reload")
        return self._reloading

    async def _reload(
        self, reload: Callable[[], Config], earlier: asyncio.Task[None] | None
    ) -> None:
        """What is read last is what holds: an earlier one that is under way goes no further."""
        if earlier is not None:
            earlier.cancel()
            await asyncio.wait([earlier])
        await self._serving.wait()
        try:
            await self._apply(reload())
        except SandboxdError as error:
            _log.error("configuration not reloaded; the old one stays", error=str(error))
        else:
            _log.info("configuration reloaded")

    async def _end_reload(self) -> None:
        if self._reloading is not None:
            self._reloading.cancel()
            await asyncio.wait([self._reloading])

    async def _apply(self, config: Config) -> None:
        """Opens the pools whose image is there; what is missing is fetched meanwhile."""
        catalog = read_catalog(config)
        if config.quotas != self._config.quotas:
            self._quotas.forget()
        self._config = config
        self.runner.configure(config, catalog.languages, catalog.profiles)
        await self._shelf.configure(catalog.profiles)

    def _configure_fleet(self, images: dict[str, tuple[Profile, ImageState]]) -> None:
        """Called whenever an image has come."""
        self.runner.modules = {
            name: frozenset(state.modules) for name, (_, state) in images.items() if state.modules
        }
        self.fleet.configure(
            {
                name: pool_spec(self._config, profile, state.tag, self._place)
                for name, (profile, state) in images.items()
            }
        )

    async def _opened(self, profile: Profile) -> None:
        await self._shelf.opened(profile, self._config.pool.queue_timeout)

    def _metrics_text(self) -> bytes:
        self._books.settle()
        return self._metrics.text()

    def _observe(self, sample: RunSample) -> None:
        self._metrics.observe(sample)
        if self._tracing is not None:
            self._tracing.observe(sample)

    def _language_infos(self) -> list[LanguageInfo]:
        idle = {pool.profile: pool.idle for pool in self.fleet.status()}
        infos = []
        for name, language in self.runner.languages.by_name.items():
            state = self._shelf.state(name)
            own = [
                profile
                for profile in self.runner.profiles.values()
                if profile.language.name == name
            ]
            infos.append(
                LanguageInfo(
                    name=name,
                    aliases=language.aliases,
                    version=state.version if state else "",
                    image=state.tag if state else language.image.base,
                    warm=sum(profile.pool_min for profile in own),
                    ready=sum(idle.get(profile.name, 0) for profile in own),
                    file_extension="." + language.extension,
                    stateful=language.session is not None,
                    packages=sorted(
                        {
                            package
                            for profile in own
                            if (state := self._shelf.state(profile.name)) is not None
                            for package in state.packages
                        }
                    ),
                    profiles=[profile.name for profile in own],
                )
            )
        return infos


def make_tracing(config: Config) -> Tracing | None:
    """None where no tracing is configured. Raises ConfigError where it cannot be had."""
    if config.tracing.endpoint is None:
        return None
    try:
        from sandboxd.tracing import exporting  # noqa: PLC0415 - only with the extra `otel`
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"[tracing] endpoint: {error.name} is not installed: pip install 'sandboxd[otel]'"
        ) from None
    return exporting(config.tracing.endpoint)


def _history_settings(config: Config) -> HistorySettings:
    kept = config.history
    return HistorySettings(
        enabled=kept.enabled,
        keep_code=kept.keep_code,
        keep_output=kept.keep_output,
        max_count=kept.max_count,
        max_age=kept.max_age,
        max_bytes=int(kept.max_bytes),
    )
