"""What every session is: an owner's, used by one run at a time, closed when it lies unused."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec
import structlog
from msgspec import Struct

from sandboxd.errors import (
    InvalidLimitsError,
    InvalidParamsError,
    SessionBusyError,
    SessionNotFoundError,
)
from sandboxd.pool.fleet import Variant
from sandboxd.run.active import ActiveRun, Sink
from sandboxd.run.laid import Files
from sandboxd.run.plan import AUTO, Plan, RunRequest
from sandboxd.run.runner import Runner
from sandboxd.run.session_state import SessionState, Step, step
from sandboxd_client.protocol import (
    FileInfo,
    FilePart,
    FilesRead,
    Limits,
    RunResult,
    SessionInfo,
)

_log = structlog.get_logger("sandboxd.session")

_T = TypeVar("_T")
_OF_THE_CONTAINER = ("memory", "cpus", "cpu_shares", "pids", "tmp")


class SessionRequest(Struct, frozen=True, kw_only=True):
    """A session that a client wants opened."""

    run: RunRequest
    """What it would be as a run: owner, language, limits, variant, environment, files."""
    ttl: float
    keep: bool = False


class Session(abc.ABC):
    """`closed` is called once, when it can be used no more."""

    def __init__(
        self, runner: Runner, plan: Plan, request: SessionRequest, closed: Callable[[Session], None]
    ) -> None:
        self.id = secrets.token_hex(8)
        self.owner = request.run.owner
        self.client = request.run.client
        self.keep = request.keep
        self.ttl = request.ttl
        self.language = plan.language
        self.runs = 0
        self.why_closed = ""
        self.state = SessionState.OPENING
        self.created_at = self.last_used_at = datetime.now(UTC)
        self._runner = runner
        self._plan = plan
        self._closed = closed
        self._turn = asyncio.Lock()
        self._asking = 0
        """Those who wait for it."""
        self._expires = 0.0
        """By the clock of the event loop."""
        self._expiry: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._log = _log.bind(session=self.id, owner=self.owner, language=plan.language.name)

    @property
    def expires_at(self) -> str:
        return (self.last_used_at + timedelta(seconds=self.ttl)).isoformat()

    def info(self) -> SessionInfo:
        return SessionInfo(
            session=self.id,
            language=self.language.name,
            created_at=self.created_at.isoformat(),
            last_used_at=self.last_used_at.isoformat(),
            runs=self.runs,
        )

    # --- its life ---

    def _step(self, event: Step) -> bool:
        following = step(self.state, event)
        if following is not None:
            self.state = following
        return following is not None

    def opened(self) -> None:
        self._step(Step.OPENED)
        self.touch()
        self._log.info("session opened", ttl=self.ttl)

    def touch(self) -> None:
        """It is used: its time begins anew."""
        self.last_used_at = datetime.now(UTC)
        loop = asyncio.get_running_loop()
        self._expires = loop.time() + self.ttl
        if self._expiry is None:
            self._expiry = loop.call_at(self._expires, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        loop = asyncio.get_running_loop()
        if loop.time() < self._expires:  # it was used since the timer was set
            self._expiry = loop.call_at(self._expires, self._expire)
        elif self._step(Step.EXPIRE):  # not while a run is under way, whose end is a use
            self._leave(f"it was not used for {self.ttl:g} s")
            self._spawn(self._end())

    async def close(self, why: str) -> None:
        """Ends it, and what runs in it; returns once it is gone."""
        if self._step(Step.CLOSE):
            self._leave(why)
            await asyncio.shield(self._spawn(self._end()))

    def _leave(self, why: str) -> None:
        """From here on it is not found any more."""
        self._step(Step.CLOSE)
        if self.why_closed:
            return
        self.why_closed = why
        if self._expiry is not None:
            self._expiry.cancel()
        self._log.info("session closed", why=why, runs=self.runs)
        self._closed(self)

    def _spawn(self, work: Coroutine[None, None, _T]) -> asyncio.Task[_T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # --- runs ---

    async def run(
        self,
        request: RunRequest,
        sink: Sink,
        on_active: Callable[[ActiveRun], None],
        *,
        refuse: bool,
    ) -> RunResult:
        """Runs a program with what the earlier ones left, when its turn has come.

        `on_active` is given the run once stdin can be fed to it. Raises SessionBusyError where
        its turn does not come, or with `refuse` not at once.
        """
        plan = self._plan_run(request)
        asked = time.monotonic()
        async with self._its_turn(refuse=refuse):
            self._step(Step.BEGIN)
            self.runs += 1
            try:
                return await self._run(plan, sink, on_active, time.monotonic() - asked)
            finally:
                if self._step(Step.KEPT):
                    self.touch()

    @contextlib.asynccontextmanager
    async def _its_turn(self, *, refuse: bool) -> AsyncIterator[None]:
        # Between two turns it is free for a moment, and yet somebody is before us.
        busy = self._turn.locked() or self._asking > 0
        if refuse and busy:
            raise SessionBusyError(f"a run is under way in the session {self.id}")
        wait = self._runner.config.pool.queue_timeout
        self._asking += 1
        try:
            async with asyncio.timeout(wait if busy else None):
                await self._turn.acquire()
        except TimeoutError:
            raise SessionBusyError(
                f"the runs before it in the session {self.id} did not end within {wait:g} s"
            ) from None
        finally:
            self._asking -= 1
        try:
            self.check_open()
            yield
        finally:
            self._turn.release()

    def check_open(self) -> None:
        """Raises SessionNotFoundError once it is closed."""
        if self.state is SessionState.CLOSED:
            raise SessionNotFoundError(f"the session {self.id} is closed: {self.why_closed}")

    def _plan_run(self, request: RunRequest) -> Plan:
        """Raises InvalidParamsError and InvalidLimitsError for what is the session's."""
        if self._runner.languages.find(request.language).name != self.language.name:
            raise InvalidParamsError(f"language: this session's is {self.language.name}")
        if request.source is not None and self.language.session is not None:
            raise InvalidParamsError("code: it is not UTF-8, and in a session that it must be")
        named = {
            "network": request.variant.network,
            "read_only": request.variant.writable_root,
            "reuse": request.fresh,
            "profile": request.profile != AUTO,
            "packages": bool(request.packages),
        }
        for name in (name for name, given in named.items() if given):
            raise InvalidParamsError(f"{name} is the session's: say it to session.open")
        for name in _OF_THE_CONTAINER:
            if getattr(request.limits, name) is not None:
                raise InvalidLimitsError(
                    f"limits.{name} is the session's: say it to session.open", limit=name
                )
        opened = self._plan.request
        return self._runner.plan(
            msgspec.structs.replace(
                request,
                limits=_over(opened.limits, request.limits),
                variant=Variant(
                    network=opened.variant.network, writable_root=opened.variant.writable_root
                ),
                profile=opened.profile,
                packages=opened.packages,
            )
        )

    @abc.abstractmethod
    async def _run(
        self, plan: Plan, sink: Sink, on_active: Callable[[ActiveRun], None], queued: float
    ) -> RunResult: ...

    @abc.abstractmethod
    async def _end(self) -> None:
        """Gives back all that it holds."""

    # --- files ---

    @abc.abstractmethod
    async def write_files(self, files: Files) -> None: ...

    @abc.abstractmethod
    async def read_files(self, parts: list[FilePart], sink: Sink) -> FilesRead: ...

    @abc.abstractmethod
    async def list_files(self) -> list[FileInfo]: ...


def _over(usual: Limits, asked: Limits) -> Limits:
    """The limits asked for, and where there are none the usual ones."""
    given = {
        name: value for name, value in msgspec.structs.asdict(asked).items() if value is not None
    }
    return msgspec.structs.replace(usual, **given)
