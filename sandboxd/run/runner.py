"""Runs programs: a request's plain values in, a result out. Knows no JSON and no engine."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import msgspec
import structlog

from sandboxd.config import Config
from sandboxd.errors import (
    EngineUnavailableError,
    InvalidLimitsError,
    InvalidParamsError,
    NotPermittedError,
    ShuttingDownError,
)
from sandboxd.guest.frames import Verdict
from sandboxd.languages import Language, Languages
from sandboxd.pool.fleet import Fleet
from sandboxd.pool.pool import Lease
from sandboxd.run.active import ActiveRun, PutFailedError, RunLostError, Sink
from sandboxd.run.books import Books
from sandboxd.run.files import Collection, Collector, Room
from sandboxd.run.imports import fitting
from sandboxd.run.laid import not_laid
from sandboxd.run.limits import resolve, to_resources, unbounded
from sandboxd.run.plan import AUTO, Plan, RunRequest, encode_go, make_plan, prepare
from sandboxd.run.profiles import Profile, package_name
from sandboxd.run.quotas import Quotas
from sandboxd.run.result import to_result, with_output
from sandboxd.run.verdict import fault
from sandboxd_client.protocol import (
    ContainerInfo,
    RunResult,
    Timings,
    Totals,
)

_log = structlog.get_logger("sandboxd.run")

_GRACE = 10.0
"""Seconds the guest may be late with the end of a run before it is given up."""
_LAYING = 8 * 1024 * 1024
"""Bytes a second, the least, that a guest takes of files."""
_MICRO = 1e-6
_LABEL_MAX = 200


class Runner:
    """Takes runs for all clients; `configure` may change everything under way."""

    def __init__(
        self,
        fleet: Fleet,
        books: Books,
        opened: Callable[[Profile], Awaitable[None]],
        quotas: Quotas,
    ) -> None:
        """`opened` waits until a profile's image is there and its pool open, and raises
        ImageUnavailableError when it is not in time.
        """
        self._fleet = fleet
        self._books = books
        self._opened = opened
        self._quotas = quotas
        self._active: set[str] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._by_status: Counter[str] = Counter()
        self._output_bytes = 0
        self.stopping = False
        self.modules: dict[str, frozenset[str]] = {}
        """What the image of each profile has beside the standard library."""

    def configure(self, config: Config, languages: Languages, profiles: dict[str, Profile]) -> None:
        """`profiles` has one under each language's own name."""
        self.config = config
        self.languages = languages
        self.profiles = profiles

    def keeps(self, plan: Plan) -> int:
        """Bytes of a stream that are kept for the result, or for the history alone."""
        if plan.request.capture:
            return plan.limits.output
        history = self.config.history
        return history.output if history.enabled and history.keep_output else 0

    @property
    def active(self) -> int:
        """Runs that have been asked for and not answered."""
        return len(self._active)

    async def idle(self) -> None:
        """Waits until no run is under way."""
        await self._idle.wait()

    def totals(self) -> Totals:
        return Totals(
            runs=self._by_status.total(),
            by_status=dict(self._by_status),
            output_bytes=self._output_bytes,
        )

    def stop(self) -> None:
        """Runs whose containers go away from now on are told that the daemon stops."""
        self.stopping = True

    async def run(
        self, request: RunRequest, sink: Sink, on_active: Callable[[ActiveRun], None]
    ) -> RunResult:
        """Runs a program to its end. Cancelling this kills the program first.

        `on_active` is given the run once stdin can be fed to it.
        """
        plan = self.plan(request)
        async with self.under_way(request.owner) as run:
            return await self._run(run, plan, sink, on_active)

    @asynccontextmanager
    async def under_way(self, owner: int) -> AsyncIterator[str]:
        """Counts a run until its end, within its owner's quotas; gives its id."""
        run = secrets.token_hex(8)
        self._active.add(run)
        self._idle.clear()
        try:
            async with self._quotas.admit(owner, self.config.pool.queue_timeout):
                yield run
        finally:
            self._active.discard(run)
            if not self._active:
                self._idle.set()

    def plan(self, request: RunRequest) -> Plan:
        """All that can be refused is refused here, before anything is taken."""
        language = self.languages.find(request.language)
        if request.label is not None and len(request.label) > _LABEL_MAX:
            raise InvalidParamsError(f"label: at most {_LABEL_MAX} characters")
        profile = self._profile(language, request)
        most = self.config.limits.max
        usual = unbounded(profile.limits, most) if request.only_streams else profile.limits
        limits = resolve(request.limits, usual, most)
        variant = request.variant
        if variant.network and not self.config.network.allow:
            raise NotPermittedError(
                "the operator allows no run the network ([network] allow in the configuration)"
            )
        if profile.network and not variant.network:
            variant = msgspec.structs.replace(variant, network=True)
        if (request.capture or request.keep) and limits.output > self.config.limits.capture:
            raise InvalidLimitsError(
                f"limits.output is {limits.output} bytes; over {self.config.limits.capture} "
                + (
                    "the output of a run cannot be kept: ask for less"
                    if request.keep
                    else 'the result cannot hold the output: stream it, with "capture": false'
                ),
                limit="output",
                max=int(self.config.limits.capture),
            )
        return make_plan(request, language, profile, limits, variant)

    def _profile(self, language: Language, request: RunRequest) -> Profile:
        own = [each for each in self.profiles.values() if each.language.name == language.name]
        if request.profile == AUTO:
            found = fitting(language.name, request.code, own, self.modules)
            profile = found or self.profiles[language.name]
        else:
            named = self.profiles.get(request.profile)
            if named not in own:
                names = ", ".join(sorted(each.name for each in own))
                raise InvalidParamsError(
                    f"there is no profile {request.profile!r} of {language.name}; there are {names}"
                )
            profile = named
        return self._with_packages(profile, request) if request.packages else profile

    def _with_packages(self, profile: Profile, request: RunRequest) -> Profile:
        """A profile of the request's own, with packages on top; its image is made if need be."""
        allowed = self.config.packages.allow
        for wanted in request.packages:
            name = package_name(wanted)
            if "*" not in allowed and name not in allowed:
                listed = ", ".join(allowed) or "none"
                raise NotPermittedError(
                    f"the package {name} may not be installed for a request; allowed: {listed} "
                    "([packages] allow in the configuration)"
                )
        return profile.with_packages(request.packages)

    async def _run(
        self, run: str, plan: Plan, sink: Sink, on_active: Callable[[ActiveRun], None]
    ) -> RunResult:
        request, limits = plan.request, plan.limits
        started_at = datetime.now(UTC)
        await self._opened(plan.profile)
        with await self._fleet.lease(
            plan.profile.name,
            plan.variant,
            request.owner,
            client=request.client,
            fresh=request.fresh,
            timeout=self.config.pool.queue_timeout,
            resources=to_resources(limits, plan.language),
            tell=sink.queued,
        ) as lease:
            leased = time.monotonic()
            active = ActiveRun(lease.guest, sink, stream=request.stream, keep=self.keeps(plan))
            preparation = prepare(plan, encode_go(plan))
            patience = len(preparation) / _LAYING + limits.timeout + _GRACE
            lease.guest.begin(active, preparation)
            del preparation  # its files are large, and the run may be long
            sink.started(run, warm=lease.warm, queued=lease.queued)
            if request.stdin is not None:
                active.feed(request.stdin, eof=True)
            elif request.stdin_streamed:
                active.stream_stdin()
            on_active(active)
            handed_out = time.monotonic() - leased
            held = bool(request.outputs)
            verdict = await self._await_end(run, active, lease, plan, patience, held=held)
            files = await self._collect(run, active, lease, plan, sink)
            lease.ended(fault(verdict))
        result = to_result(
            run,
            plan,
            active,
            verdict,
            files=files,
            timings=Timings(
                queued=lease.queued, handed_out=handed_out, ran=verdict.ran_us * _MICRO
            ),
            warm=lease.warm,
            container=ContainerInfo(id=lease.container_id, uses=lease.uses),
            started_at=started_at,
        )
        self.account(plan, active, result, verdict)
        return result

    async def _collect(
        self, run: str, active: ActiveRun, lease: Lease, plan: Plan, sink: Sink
    ) -> Collection:
        """The files that were asked for, also after a failure or a timeout."""
        if not plan.request.outputs:
            return Collection.empty()
        collector = Collector(
            lease.guest,
            active,
            Room(plan.limits.files_total, self.config.limits.files),
            sink.hold,
        )
        try:
            collection = await collector.matching(plan.request.outputs)
        except RunLostError as error:
            raise EngineUnavailableError(
                f"the container was lost while its files were read: {error}", run=run
            ) from None
        lease.guest.release()
        return collection

    async def _await_end(
        self,
        run: str,
        active: ActiveRun,
        lease: Lease,
        plan: Plan,
        patience: float,
        *,
        held: bool,
    ) -> Verdict:
        """Waits for the guest's verdict, and gives up a guest that is late with it."""
        try:
            verdict = await self._in_time(active, patience)
        except asyncio.CancelledError:
            await self._kill(run, active, lease, held=held)
            raise
        except PutFailedError as error:
            lease.ended("files could not be laid")
            raise not_laid(error.error, error.path, plan.limits.tmp) from None
        except RunLostError as error:
            if self.stopping:
                raise ShuttingDownError(
                    "the daemon stopped while the program ran", run=run
                ) from None
            raise EngineUnavailableError(
                f"the container was lost while the program ran: {error}; "
                "how the program ended is not known",
                run=run,
            ) from None
        return verdict

    async def _in_time(self, active: ActiveRun, seconds: float) -> Verdict:
        while True:
            try:
                async with asyncio.timeout(seconds):
                    return await asyncio.shield(active.ended_future)
            except TimeoutError:
                # A client that reads slowly holds up the verdict too; how long it
                # may is the connection's business.
                if not active.stalled:
                    active.lost("its guest did not end the run in time")

    async def _kill(self, run: str, active: ActiveRun, lease: Lease, *, held: bool) -> None:
        """The client wants it no more. Its container can be used again if the kill was clean."""
        active.mute()
        lease.guest.kill()
        try:
            async with asyncio.timeout(_GRACE):
                verdict = await asyncio.shield(active.ended_future)
        except (TimeoutError, RunLostError) as error:
            _log.warning(
                "run not killed in time", run=run, container=lease.container_id, error=str(error)
            )
            return
        if held:
            lease.guest.release()
        lease.ended(fault(verdict))
        self.cancelled()
        _log.info("run cancelled", run=run, container=lease.container_id)

    def cancelled(self) -> None:
        """Counts a run that nobody wanted any more."""
        self._by_status["cancelled"] += 1

    def account(self, plan: Plan, active: ActiveRun, result: RunResult, verdict: Verdict) -> None:
        """Takes a run that has ended into quotas, totals and the books."""
        request = plan.request
        if not request.capture:
            result = with_output(result, active)
        self._quotas.charge(request.owner, result.usage.cpu)
        self._by_status[result.status] += 1
        written = verdict.stdout_written + verdict.stderr_written
        self._output_bytes += written
        self._books.enter(plan, result, written)
