"""What is written down of runs that have ended: in the log, the history, metrics and traces.

That is done a moment later, when the daemon most likely waits for programs: neither an
answer nor the request that follows it at once waits for this.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable

import structlog

from sandboxd.metrics import RunSample
from sandboxd.run.history import History, Summaries
from sandboxd.run.plan import Plan
from sandboxd_client.protocol import HistoryListParams, RunRecord, RunResult, RunSummary

_log = structlog.get_logger("sandboxd.run")

_MOMENT = 0.01
"""Seconds: by then a request that followed an answer at once has been handed over."""


class Books:
    """Readers of the history come this way, so that they find what has just ended."""

    def __init__(self, history: History, observe: Callable[[RunSample], None]) -> None:
        self._history = history
        self._observe = observe
        self._ended: deque[tuple[Plan, RunResult, int]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def enter(self, plan: Plan, result: RunResult, output_bytes: int) -> None:
        """Takes a run that has ended; `output_bytes` is what its program wrote."""
        self._ended.append((plan, result, output_bytes))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_MOMENT, self.settle)

    def settle(self) -> None:
        """Writes down all that has ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._ended:
            plan, result, output_bytes = self._ended.popleft()
            try:
                self._write(plan, result, output_bytes)
            except Exception:
                _log.exception("a run was not written down whole", run=result.run)

    def _write(self, plan: Plan, result: RunResult, output_bytes: int) -> None:
        request = plan.request
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
        summary = RunSummary(
            run=result.run,
            language=result.language,
            profile=plan.profile.name,
            status=result.status,
            exit_code=result.exit_code,
            duration=result.duration,
            started_at=result.started_at,
            owner=request.owner,
            code_hash=hashlib.sha256(request.program).hexdigest(),
            label=request.label,
        )
        self._observe(
            RunSample(
                run=result.run,
                language=result.language,
                status=result.status,
                queued=result.timings.queued,
                handed_out=result.timings.handed_out,
                ran=result.duration,
                cpu=result.usage.cpu,
                output_bytes=output_bytes,
                started_at=result.started_at,
                traceparent=request.traceparent,
            )
        )
        self._history.record(
            RunRecord(
                summary=summary,
                result=result,
                limits=plan.limits,
                code=request.code,
                network=plan.variant.network,
                read_only=not plan.variant.writable_root,
            )
        )

    # --- readers ---

    async def get(self, owner: int | None, run: str) -> RunRecord:
        """See History.get."""
        self.settle()
        return await self._history.get(owner, run)

    async def list(self, owner: int | None, params: HistoryListParams) -> Summaries:
        """See History.list."""
        self.settle()
        return await self._history.list(owner, params)
