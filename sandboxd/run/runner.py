"""Runs programs: a request's plain values in, a result out. Knows no JSON and no engine."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from msgspec import Struct

from sandboxd.config import LimitsConfig
from sandboxd.errors import (
    EngineUnavailableError,
    InvalidLimitsError,
    PayloadTooLargeError,
    ShuttingDownError,
)
from sandboxd.guest import frames
from sandboxd.guest.frames import Command, Event, Verdict
from sandboxd.languages import Language, Languages
from sandboxd.pool.fleet import Fleet
from sandboxd.pool.pool import Lease
from sandboxd.run.active import ActiveRun, RunLostError, Sink
from sandboxd.run.verdict import Judgement, fault, judge
from sandboxd_client.protocol import (
    ContainerInfo,
    EffectiveLimits,
    Limits,
    RunError,
    RunResult,
    Status,
    Timings,
    Totals,
    Truncated,
    Usage,
    parse_size,
)

_log = structlog.get_logger("sandboxd.run")

_GRACE = 10.0
"""Seconds the guest may be late with the end of a run before it is given up."""
_MICRO = 1e-6
_COMPILE_FAILED = b"compile\n"
"""What a runner notes when its compiler refused the program."""


class RunRequest(Struct, frozen=True):
    """What a client wants run."""

    owner: int
    language: str
    code: str
    args: list[str]
    env: dict[str, str]
    stdin: bytes | None
    """None when there is none, or when it is streamed."""
    stdin_streamed: bool
    limits: Limits
    fresh: bool
    stream: bool
    capture: bool


class Runner:
    """Takes runs for all clients; `configure` may change languages and limits under way."""

    def __init__(self, fleet: Fleet, queue_timeout: float) -> None:
        self._fleet = fleet
        self._queue_timeout = queue_timeout
        self._active: set[str] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._by_status: Counter[str] = Counter()
        self._output_bytes = 0
        self._stopping = False

    def configure(self, languages: Languages, limits: LimitsConfig) -> None:
        self.languages = languages
        self.limits = limits

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
        self._stopping = True

    def effective_limits(self, asked: Limits, *, capture: bool) -> EffectiveLimits:
        """The limits of a run. Raises InvalidLimitsError past the operator's maximum."""
        default, most = self.limits.default, self.limits.max
        timeout = default.timeout if asked.timeout is None else asked.timeout
        if not 0 < timeout <= most.timeout:
            raise InvalidLimitsError(
                f"limits.timeout is {timeout:g} s; it must be more than 0 and at most "
                f"{most.timeout:g} s",
                limit="timeout",
                max=most.timeout,
            )
        try:
            output = default.output if asked.output is None else parse_size(asked.output)
        except ValueError as error:
            raise InvalidLimitsError(f"limits.output: {error}", limit="output") from None
        if output > most.output:
            raise InvalidLimitsError(
                f"limits.output is {output} bytes; it must be at most {most.output}",
                limit="output",
                max=most.output,
            )
        if capture and output > self.limits.capture:
            raise InvalidLimitsError(
                f"limits.output is {output} bytes; over {self.limits.capture} the result cannot "
                'hold the output: stream it, with "capture": false',
                limit="output",
                max=self.limits.capture,
            )
        return EffectiveLimits(timeout=timeout, output=output)

    async def run(
        self, request: RunRequest, sink: Sink, on_active: Callable[[ActiveRun], None]
    ) -> RunResult:
        """Runs a program to its end. Cancelling this kills the program first.

        `on_active` is given the run once stdin can be fed to it.
        """
        language = self.languages.find(request.language)
        limits = self.effective_limits(request.limits, capture=request.capture)
        preparation = prepare(language, request, limits)
        run = secrets.token_hex(8)
        self._active.add(run)
        self._idle.clear()
        started_at = datetime.now(UTC)
        try:
            with await self._fleet.lease(
                language.name, request.owner, fresh=request.fresh, timeout=self._queue_timeout
            ) as lease:
                leased = time.monotonic()
                active = ActiveRun(
                    lease.guest, sink, stream=request.stream, capture=request.capture
                )
                lease.guest.begin(active, preparation)
                sink.started(run, warm=lease.warm, queued=lease.queued)
                if request.stdin is not None:
                    active.feed(request.stdin, eof=True)
                elif request.stdin_streamed:
                    active.stream_stdin()
                on_active(active)
                handed_out = time.monotonic() - leased
                verdict = await self._await_end(run, active, lease, limits.timeout)
        finally:
            self._active.discard(run)
            if not self._active:
                self._idle.set()
        judgement = judge(verdict)
        stdout, stderr = active.streams[Event.STDOUT], active.streams[Event.STDERR]
        ran = verdict.ran_us * _MICRO
        result = RunResult(
            run=run,
            language=language.name,
            status=judgement.status,
            exit_code=judgement.exit_code,
            signal=judgement.signal,
            stdout=stdout.captured(),
            stderr=stderr.captured(),
            truncated=Truncated(
                stdout=verdict.stdout_written > limits.output,
                stderr=verdict.stderr_written > limits.output,
            ),
            duration=ran,
            timings=Timings(queued=lease.queued, handed_out=handed_out, ran=ran),
            usage=Usage(cpu=verdict.cpu_us * _MICRO, memory_peak=verdict.rss_bytes),
            warm=lease.warm,
            container=ContainerInfo(id=lease.container_id, uses=lease.uses),
            started_at=started_at.isoformat(),
            error=_run_error(active, judgement),
        )
        self._account(request, result, verdict)
        return result

    async def _await_end(
        self, run: str, active: ActiveRun, lease: Lease, timeout: float
    ) -> Verdict:
        """Waits for the guest's verdict, and gives up a guest that is late with it."""
        try:
            verdict = await self._in_time(active, timeout + _GRACE)
        except asyncio.CancelledError:
            await self._kill(run, active, lease)
            raise
        except RunLostError as error:
            if self._stopping:
                raise ShuttingDownError("the daemon stopped while the program ran") from None
            raise EngineUnavailableError(
                f"the container was lost while the program ran: {error}; "
                "how the program ended is not known",
                run=run,
            ) from None
        lease.ended(fault(verdict))
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
                    raise RunLostError("its guest did not end the run in time") from None

    async def _kill(self, run: str, active: ActiveRun, lease: Lease) -> None:
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
        lease.ended(fault(verdict))
        self._by_status["cancelled"] += 1
        _log.info("run cancelled", run=run, container=lease.container_id)

    def _account(self, request: RunRequest, result: RunResult, verdict: Verdict) -> None:
        self._by_status[result.status] += 1
        self._output_bytes += verdict.stdout_written + verdict.stderr_written
        _log.info(
            "run ended",
            run=result.run,
            container=result.container.id,
            language=result.language,
            owner=request.owner,
            status=result.status.value,
            exit_code=result.exit_code,
            ran=round(result.duration, 4),
            queued=round(result.timings.queued, 4),
        )


def prepare(language: Language, request: RunRequest, limits: EffectiveLimits) -> bytes:
    """All frames of a hand-out, to be sent in one write.

    Raises PayloadTooLargeError, and InvalidParamsError for what no process can be given.
    """
    message = language.encode_message(request.args, request.env)
    if len(message) > frames.MESSAGE_MAX:
        raise PayloadTooLargeError(
            f"args and env take {len(message)} bytes; together they may take "
            f"{frames.MESSAGE_MAX}; send larger things on stdin"
        )
    return b"".join(
        (
            frames.encode_data(Command.CODE, request.code.encode()),
            frames.encode_data(Command.MESSAGE, message),
            frames.encode_go(
                limits.timeout,
                limits.output,
                stdin=request.stdin is not None or request.stdin_streamed,
            ),
        )
    )


def _run_error(active: ActiveRun, judgement: Judgement) -> RunError | None:
    if _COMPILE_FAILED in active.notes and judgement.status is Status.ERROR:
        return RunError(phase="compile", message="the program did not compile; stderr tells why")
    return None
