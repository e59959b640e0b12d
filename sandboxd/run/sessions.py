"""All sessions: found by their owner, counted against quotas, closed with their connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from sandboxd.errors import (
    InvalidLimitsError,
    QuotaExceededError,
    SessionNotFoundError,
    ShuttingDownError,
)
from sandboxd.pool.fleet import Fleet
from sandboxd.run.active import ActiveRun, Sink
from sandboxd.run.file_session import Budget, FileSession
from sandboxd.run.limits import to_resources
from sandboxd.run.live_session import LiveSession
from sandboxd.run.plan import Plan, RunRequest
from sandboxd.run.profiles import Profile
from sandboxd.run.quotas import Quotas
from sandboxd.run.runner import Runner
from sandboxd.run.session import Session, SessionRequest
from sandboxd_client.protocol import FileInfo, RunResult, SessionInfo

_ROOT = 0
Infos = list[FileInfo]
"""In `Sessions` itself, `list` is the method."""


class Sessions:
    def __init__(
        self,
        runner: Runner,
        fleet: Fleet,
        opened: Callable[[Profile], Awaitable[None]],
        quotas: Quotas,
    ) -> None:
        """`opened` as of Runner: waits until a profile's image is there."""
        self._runner = runner
        self._fleet = fleet
        self._opened = opened
        self._quotas = quotas
        self._sessions: dict[str, Session] = {}
        self._opening: dict[int, int] = {}
        """How many an owner has that are not open yet."""
        self._closing: set[asyncio.Task[None]] = set()
        self._refusing = False
        self._budget = Budget(lambda: int(runner.config.sessions.files))

    async def open(self, request: SessionRequest) -> Session:
        """Raises QuotaExceededError, InvalidLimitsError for the ttl, and what a run does."""
        self._refuse_when_stopping()
        most = self._runner.config.sessions.ttl_max
        if not 0 < request.ttl <= most:
            raise InvalidLimitsError(
                f"ttl is {request.ttl:g} s; it must be over 0 and at most {most:g}",
                limit="ttl",
                max=most,
            )
        owner = request.run.owner
        plan = self._runner.plan(request.run)
        self._admit(owner)
        self._opening[owner] = self._opening.get(owner, 0) + 1
        try:
            session = await self._open(plan, request)
        finally:
            self._opening[owner] -= 1
            if not self._opening[owner]:
                del self._opening[owner]
        self._sessions[session.id] = session
        return session

    def _admit(self, owner: int) -> None:
        most = self._quotas.sessions(owner)
        has = sum(session.owner == owner for session in self._sessions.values())
        has += self._opening.get(owner, 0)
        if most and has >= most:
            raise QuotaExceededError(
                f"you have {has} sessions, and may have {most}: close one", retry_after=1.0
            )

    async def _open(self, plan: Plan, request: SessionRequest) -> Session:
        owner = request.run.owner
        if plan.language.driver is None:
            plain = FileSession(self._runner, plan, request, self._forget, self._budget)
            plain.open()
            return plain
        await self._opened(plan.profile)
        config = self._runner.config.pool
        lease = await self._fleet.lease(
            plan.profile.name,
            plan.variant,
            owner,
            client=request.run.client,
            fresh=False,
            timeout=config.queue_timeout,
            resources=to_resources(plan.limits, plan.language),
        )
        live = LiveSession(
            self._runner, plan, request, self._forget, partial(self._quotas.charge, owner)
        )
        try:
            await live.open(lease, config.start_timeout)
        except BaseException:
            with lease:
                lease.ended("its session did not open")
            raise
        return live

    def _forget(self, session: Session) -> None:
        self._sessions.pop(session.id, None)

    def find(self, owner: int, session: str) -> Session:
        """Raises SessionNotFoundError, also where it is another's."""
        found = self._sessions.get(session)
        if found is None or owner not in (found.owner, _ROOT):
            raise SessionNotFoundError(
                f"there is no session {session[:40]!r} of yours: it was closed, has expired, "
                "or never was"
            )
        return found

    def list(self, owner: int) -> list[SessionInfo]:
        """The owner's, oldest first; root sees everybody's."""
        return [
            session.info() for session in self._sessions.values() if owner in (session.owner, _ROOT)
        ]

    async def run(
        self,
        session: str,
        request: RunRequest,
        sink: Sink,
        on_active: Callable[[ActiveRun], None],
        *,
        refuse: bool,
    ) -> RunResult:
        """See Session.run."""
        self._refuse_when_stopping()
        found = self.find(request.owner, session)
        # Root may use another's: the run counts for whose session it is.
        request = msgspec.structs.replace(request, owner=found.owner)
        return await found.run(request, sink, on_active, refuse=refuse)

    async def list_files(self, owner: int, session: str, path: str | None) -> Infos:
        files = await self.find(owner, session).list_files()
        if path is None:
            return files
        return [file for file in files if file.path.startswith(path.rstrip("/") + "/")]

    # --- ends ---

    def client_left(self, client: int) -> None:
        """A connection has closed, and with it goes what it did not ask to keep."""
        for session in [*self._sessions.values()]:
            if session.client == client and not session.keep:
                task = asyncio.create_task(session.close("its connection was closed"))
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)

    def refuse(self) -> None:
        """From here on no session opens and no run begins; runs under way may end."""
        self._refusing = True

    def _refuse_when_stopping(self) -> None:
        if self._refusing:
            raise ShuttingDownError("the daemon stops and takes no more runs")

    async def close(self) -> None:
        """Closes them all."""
        self.refuse()
        why = "the daemon stops"
        await asyncio.gather(*(each.close(why) for each in [*self._sessions.values()]))
        if self._closing:
            await asyncio.wait(self._closing)
