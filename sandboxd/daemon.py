"""The composition root: the only file that knows everybody.

Start: lock, engine, history, sweep, pools, socket. All that is opened is closed in
reverse, however far a start came and whatever else fails. SIGTERM and SIGINT stop,
once the runs under way have ended; SIGHUP reads the configuration again.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import secrets
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
from sandboxd.engine.spec import Placement, Shape, container_spec
from sandboxd.errors import ConfigError, SandboxdError, SetupError
from sandboxd.languages import load as load_languages
from sandboxd.metrics import Metrics, RunSample
from sandboxd.pool.container import Plan
from sandboxd.pool.core import Settings
from sandboxd.pool.fleet import Fleet, PoolSpec, Variant
from sandboxd.rpc.admin import AdminServer
from sandboxd.rpc.connection import Hub
from sandboxd.rpc.methods import Methods, Sources
from sandboxd.rpc.openrpc import document
from sandboxd.rpc.server import Server, SocketLock, instance_name
from sandboxd.run.history import History
from sandboxd.run.history_writer import HistorySettings
from sandboxd.run.limits import to_resources
from sandboxd.run.profiles import Profile, encode_warmup, make_profiles
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
    path = Path(config.socket)
    # The soft limit is low for the sake of select(2), which nothing here uses.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    began = time.monotonic()
    with SocketLock(path):
        async with open_engine(config.engine) as engine:
            _log.info("engine", address=engine.address)
            daemon = Daemon(config, engine)
            stop = _obey_signals(daemon, reload)
            async with systemd.watchdog(), daemon:
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
    """One daemon's parts, put together. Serves from entering until leaving."""

    def __init__(self, config: Config, engine: OpenEngine) -> None:
        self._config = config
        self._engine = engine.containers
        path = Path(config.socket)
        self.instance = instance_name(path)
        self._boot = secrets.token_hex(3)
        self._created = 0
        self._shelf = Shelf(Images(engine.images), self._configure_fleet)
        self._reloading: asyncio.Task[None] | None = None
        self._fleet = Fleet(engine.containers, self.instance, config.pool.starts)
        self._history = History(state_path(config), history_settings(config))
        self._quotas = Quotas(lambda owner: quota_of(self._config, owner), time.monotonic)
        self._metrics = Metrics(
            self._fleet.status, self._fleet.removals, lambda: len(self._hub.connections)
        )
        self._tracing: Tracing | None = None
        self._runner = Runner(
            self._fleet, self._history.record, self._opened, self._quotas, self._observe
        )
        self._sessions = Sessions(self._runner, self._fleet, self._opened, self._quotas)
        sources = Sources(
            engine=engine.containers.info,
            pools=self._fleet.status,
            languages=self._language_infos,
            missing_images=self._shelf.progress,
            clients=lambda: len(self._hub.connections),
            discover=document,
        )
        self._methods = Methods(self._runner, self._sessions, self._history, sources)
        self._hub = Hub(
            self._methods, config.rpc, set(), lambda owner: may_use(self._config.access, owner)
        )
        self._server = Server(path, self._hub)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._open(stack)
            self._opened_parts = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._opened_parts.__aexit__(kind, error, traceback)

    async def _open(self, stack: AsyncExitStack) -> None:
        """Each part goes on the stack before the next is opened: read upwards, it is the stop."""
        await self._judge_engine()
        await stack.enter_async_context(self._history)
        self._tracing = make_tracing(self._config)
        if self._tracing is not None:
            stack.push_async_callback(self._tracing.close)
        if self._config.admin.socket:
            path = Path(self._config.admin.socket)
            admin = AdminServer(path, self._metrics.text, self._methods.health_now)
            await admin.open()
            stack.push_async_callback(admin.close)
        # Clients are told how their runs ended before their connections are closed.
        stack.push_async_callback(self._server.close)
        await stack.enter_async_context(self._fleet)
        stack.push_async_callback(self._sessions.close)
        stack.callback(self._runner.stop)
        stack.push_async_callback(self._shelf.close)
        stack.push_async_callback(self._end_reload)
        await self._apply(self._config)
        await self._server.open()
        stack.callback(self._refuse)

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
        """Runs under way may end; new ones are refused, and nobody new is let in."""
        self._refuse()
        systemd.notify(
            "STOPPING=1",
            systemd.status(f"waiting for {self._runner.active} runs to end"),
            systemd.extend_timeout(self._config.drain_timeout + _CLOSING),
        )
        _log.info("draining", runs=self._runner.active, timeout=self._config.drain_timeout)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._config.drain_timeout):
                await self._runner.idle()

    def _refuse(self) -> None:
        self._fleet.refuse()
        self._sessions.refuse()
        self._server.stop_accepting()

    # --- configuration ---

    def reload_soon(self, reload: Callable[[], Config]) -> None:
        """Reads the configuration again; where that fails the old one stays."""
        work = self._reload(reload, self._reloading)
        self._reloading = asyncio.create_task(work, name="reload")

    async def _reload(
        self, reload: Callable[[], Config], earlier: asyncio.Task[None] | None
    ) -> None:
        """What is read last is what holds: an earlier one that is under way goes no further."""
        if earlier is not None:
            earlier.cancel()
            await asyncio.wait([earlier])
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
        disabled = [name for name, each in config.languages.items() if not each.enabled]
        languages = load_languages(Path(config.languages_path), disabled)
        profiles = make_profiles(config, languages)
        if config.quotas != self._config.quotas:
            self._quotas.forget()
        self._config = config
        self._runner.configure(config, languages, profiles)
        await self._shelf.configure(profiles)

    def _configure_fleet(self, images: dict[str, tuple[Profile, ImageState]]) -> None:
        """Called whenever an image has come."""
        self._runner.modules = {
            name: frozenset(state.modules) for name, (_, state) in images.items() if state.modules
        }
        self._fleet.configure(
            {name: self._pool_spec(profile, state.tag) for name, (profile, state) in images.items()}
        )

    def _pool_spec(self, profile: Profile, image: str) -> PoolSpec:
        config, pool = self._config, self._config.pool
        settings = Settings(
            min=min(profile.pool_min, profile.pool_max),
            max=profile.pool_max,
            max_uses=pool.max_uses,
            max_age=pool.max_age,
            reuse=pool.reuse,
        )
        resources = to_resources(profile.limits, profile.language)

        def plan(variant: Variant) -> Plan:
            shape = make_shape(config, profile, image, variant)
            return Plan(
                language=profile.language.name,
                profile=profile.name,
                spec=lambda slot: container_spec(shape, self._placement(slot)),
                resources=resources,
                warmup=encode_warmup(profile),
                start_timeout=pool.start_timeout,
                queue=pool.queue,
            )

        return PoolSpec(
            plan=plan,
            settings=settings,
            warm=Variant(network=profile.network),
            key=(image, profile, config.limits, config.network, config.engine, settings, pool),
        )

    async def _opened(self, profile: Profile) -> None:
        await self._shelf.opened(profile, self._config.pool.queue_timeout)

    def _observe(self, sample: RunSample) -> None:
        self._metrics.observe(sample)
        if self._tracing is not None:
            self._tracing.observe(sample)

    def _placement(self, slot: int) -> Placement:
        self._created += 1
        return Placement(
            instance=self.instance,
            serial=f"{self._boot}-{self._created}",
            slot=slot,
            uid=self._config.engine.uid_base + slot,
        )

    def _language_infos(self) -> list[LanguageInfo]:
        idle = {pool.profile: pool.idle for pool in self._fleet.status()}
        infos = []
        for name, language in self._runner.languages.by_name.items():
            state = self._shelf.state(name)
            own = [
                profile
                for profile in self._runner.profiles.values()
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


def make_shape(config: Config, profile: Profile, image: str, variant: Variant) -> Shape:
    """What the containers of one pool have in common."""
    return Shape(
        profile=profile.name,
        language=profile.language,
        image=image,
        resources=to_resources(profile.limits, profile.language),
        tmp=profile.limits.tmp,
        tmp_inodes=config.limits.tmp_inodes,
        nofile=config.limits.nofile,
        fsize=int(config.limits.max.tmp),
        preload=profile.preload,
        network=config.network.name if variant.network else None,
        writable_root=variant.writable_root,
        runtime=config.engine.runtime,
        apparmor=config.engine.apparmor,
    )


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


def history_settings(config: Config) -> HistorySettings:
    kept = config.history
    return HistorySettings(
        enabled=kept.enabled,
        keep_code=kept.keep_code,
        keep_output=kept.keep_output,
        max_count=kept.max_count,
        max_age=kept.max_age,
        max_bytes=int(kept.max_bytes),
    )
