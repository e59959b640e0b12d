"""Sessions in languages with a driver: one long run of the guest, in a container of its own."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from sandboxd.errors import (
    EngineUnavailableError,
    SandboxdError,
    ShuttingDownError,
    StartFailedError,
)
from sandboxd.guest import frames
from sandboxd.guest.frames import Cause, Command, Event, Verdict
from sandboxd.pool.pool import Lease
from sandboxd.run.active import ActiveRun, PutFailedError, RunLostError, Sink
from sandboxd.run.conversation import Cell, Conversation
from sandboxd.run.driver import SESSION, encode_piece, shown_files
from sandboxd.run.files import Collection, Collector, Room, list_entries
from sandboxd.run.laid import Files, check_files, check_path, not_laid
from sandboxd.run.plan import Plan, encode_message, prepare
from sandboxd.run.result import to_result
from sandboxd.run.runner import Runner
from sandboxd.run.session import Session, SessionRequest
from sandboxd.run.verdict import why_ended
from sandboxd_client.protocol import (
    ContainerInfo,
    FileInfo,
    FilePart,
    FilesRead,
    RunResult,
    State,
    Timings,
)

_T = TypeVar("_T")

_WORK_FOLDER = "/sandbox"
_LIFE = 2**31 // 1000
"""Seconds, the most that the guest can count: a session ends when the daemon says so."""
_OUTPUT = 2**62
"""Bytes that its guest lets through: the limit is a run's, and kept here."""
_GO = frames.encode_go(_LIFE, _OUTPUT, stdin=True, notes=True, keep=True)
_OBEY = 2.0
"""Seconds that a program has to end after an interrupt before it is killed."""
_INTERRUPTS = 8
"""How often a shell is interrupted in that time: it may have lost one that comes while it
starts a process, and one ends a process that it waits for, not what it does after that."""
_GRACE = 10.0
"""Seconds the guest may be late with the end of what it has killed."""
_MICRO = 1e-6


class LiveSession(Session):
    """Opened by `open` with the lease of a container, which it gives back at its end."""

    def __init__(
        self,
        runner: Runner,
        plan: Plan,
        request: SessionRequest,
        closed: Callable[[Session], None],
        charge: Callable[[float], None],
    ) -> None:
        """`charge` is told of CPU seconds that no run was known to use."""
        super().__init__(runner, plan, request, closed)
        self._charge = charge
        self._cell: Cell | None = None
        self._working: asyncio.Task[RunResult] | None = None
        self._files = asyncio.Lock()
        self._given_back = False
        self._interrupts = 0
        self._stateful = False
        """Whether a run has begun in its interpreter, and left what could be lost."""
        self._lost: str | None = None
        """What went between two runs, and why, until one of them has told it."""

    async def open(self, lease: Lease, timeout: float) -> None:
        """Raises StartFailedError, and PayloadTooLargeError for files that do not fit."""
        self._lease = lease
        self._begin(prepare(self._driver_plan(), _GO))
        await self._up(timeout)
        self._watch()
        self.opened()

    def _driver_plan(self) -> Plan:
        request = msgspec.structs.replace(
            self._plan.request,
            code=self.language.driver or "",
            env={**self._plan.request.env, SESSION: "1"},
        )
        message = encode_message(request, self.language, self._plan.limits)
        return msgspec.structs.replace(self._plan, request=request, message=message)

    # --- its interpreters, one after the other ---

    def _begin(self, preparation: bytes) -> None:
        self._talk = Conversation(self._lease.guest)
        self._interrupts = 0
        self._lease.guest.begin(self._talk, preparation)

    def _watch(self) -> None:
        talk = self._talk
        talk.life.ended_future.add_done_callback(lambda _: self._spawn(self._over(talk)))

    async def _up(self, timeout: float) -> None:
        """Waits until the driver is. Raises StartFailedError and what `not_laid` says."""
        talk = self._talk
        if not talk.up.done():  # to wait for what is done takes two turns of the loop
            await asyncio.wait([talk.up], timeout=timeout)
        if not talk.up.done():
            raise StartFailedError(f"a session did not start within {timeout:g} s")
        if not (end := talk.life.ended_future).done():
            return
        try:
            verdict = end.result()
        except PutFailedError as error:
            raise not_laid(error.error, error.path, self._plan.limits.tmp) from None
        except RunLostError as error:
            raise StartFailedError(f"a session did not start: {error}") from None
        words = talk.life.streams[Event.STDERR].kept()
        raise StartFailedError(f"a session did not start (exit {verdict.exit_code}): {words}")

    async def _up_again(self) -> None:
        """Where its interpreter has ended, another one begins among the same files."""
        if (ended := self._talk.life.ended_future).done():
            self.check_open()
            if self._stateful:
                self._lost, self._stateful = self._what_went(ended.result()), False
            message = frames.encode_data(Command.MESSAGE, self._driver_plan().message)
            again = frames.encode(Command.AGAIN) + message
            # An exchange of files hears its answer before another conversation begins.
            async with self._files:
                self._begin(again + _GO)
                self._watch()
        try:
            await self._up(self._runner.config.pool.start_timeout)
        except StartFailedError:
            await self._kill()  # the next run tries once more
            self.check_open()
            raise

    async def _kill(self) -> None:
        """Ends its interpreter; returns once that has been told."""
        ended = self._talk.life.ended_future
        self._lease.guest.kill()
        await asyncio.wait([ended], timeout=_GRACE)
        if not ended.done():
            self._talk.lost("its guest did not end it in time")

    # --- its end ---

    async def _end(self) -> None:
        if not self._talk.life.ended_future.done():
            await self._kill()
        await self._give_back()

    async def _give_back(self) -> None:
        if self._working is not None:
            await asyncio.wait([self._working])
        if not self._given_back:
            self._given_back = True
            self._lease.ended("it held a session")
            self._lease.__exit__(None, None, None)

    def check_open(self) -> None:
        # Between the end of its box and the next turn of the loop a run may come.
        if (why := self._why_over()) is not None:
            self._leave(why)
        super().check_open()

    def _why_over(self) -> str | None:
        """Why its box is no more, and all files with it; None while it lives."""
        ended = self._talk.life.ended_future
        if not ended.done():
            return None
        try:
            verdict = ended.result()
        except SandboxdError as error:
            return f"its container was lost: {error}"
        return why_ended(verdict) if verdict.cause == Cause.LOST else None

    def _what_went(self, verdict: Verdict) -> str:
        """With the interpreter that has ended."""
        if (why := self._why_over()) is not None:
            return f"the session lost its variables and files, and is closed: {why}"
        why = self._talk.broken or why_ended(verdict)
        return f"the session lost its variables, and kept its files: {why}"

    async def _over(self, talk: Conversation) -> None:
        """An interpreter has ended, for whatever reason."""
        with contextlib.suppress(SandboxdError):
            verdict = talk.life.ended_future.result()
            self._charge(max(0.0, verdict.cpu_us * _MICRO - talk.cpu))
        if (why := self._why_over()) is not None:
            self._leave(why)
            await self._give_back()

    # --- runs ---

    async def _run(
        self, plan: Plan, sink: Sink, on_active: Callable[[ActiveRun], None], queued: float
    ) -> RunResult:
        if self._working is not None and not self._working.done():
            await asyncio.wait([self._working])  # nobody waited for its end
        self._working = asyncio.create_task(self._perform(plan, sink, on_active, queued))
        try:
            return await asyncio.shield(self._working)
        except asyncio.CancelledError:
            self._unwanted()
            await asyncio.wait([self._working])
            self._runner.cancelled()
            raise

    def _unwanted(self) -> None:
        """The client wants the run no more: what it left before stays, if it obeys."""
        if self._cell is None:
            if self._working is not None:
                self._working.cancel()  # it has not begun
            return
        if self._cell.active.stalled:
            self._cell.active.mute()
        self._cell.stop(Cause.KILLED)

    async def _perform(
        self, plan: Plan, sink: Sink, on_active: Callable[[ActiveRun], None], queued: float
    ) -> RunResult:
        request = plan.request
        async with self._runner.under_way(self.owner) as run:
            asked = time.monotonic()
            await self._up_again()
            if request.files:
                await self._whole(self._put(request.files, plan.limits.files_total))
            self.check_open()
            cell = self._cell = Cell(
                self._lease.guest,
                sink,
                self.runs,
                stream=request.stream,
                keep=self._runner.keeps(plan),
                limit=plan.limits.output,
            )
            started_at = datetime.now(UTC)
            self._stateful = True
            streams = f".run-{run}"
            with self._lease.guest.together():
                self._talk.begin(cell, streams, self._piece(plan, f"{_WORK_FOLDER}/{streams}"))
                if request.stdin_streamed:
                    cell.active.stream_stdin()
                else:
                    cell.active.feed(request.stdin or b"", eof=True)
            sink.started(run, warm=True, queued=queued)
            handed_out = time.monotonic() - asked
            on_active(cell.active)
            try:
                verdict = await self._await_end(cell, plan.limits.timeout)
                files = await self._take_back(plan, cell, sink)
            except RunLostError as error:
                if self._runner.stopping:
                    raise ShuttingDownError(
                        "the daemon stopped while the program ran", run=run
                    ) from None
                raise EngineUnavailableError(
                    f"the container of the session was lost while the program ran: {error}",
                    run=run,
                ) from None
            finally:
                self._cell = None
        result = to_result(
            run,
            plan,
            cell.active,
            verdict,
            files=files,
            timings=Timings(queued=queued, handed_out=handed_out, ran=verdict.ran_us * _MICRO),
            warm=True,
            container=ContainerInfo(id=self._lease.container_id, uses=self._lease.uses),
            started_at=started_at,
        )
        if cell.end is None:
            self._lost, self._stateful = self._what_went(verdict), False
        result = msgspec.structs.replace(
            result,
            value=None if cell.end is None else cell.end.value,
            state=State.LOST if cell.end is None else State.KEPT,
            lost=self._lost,
        )
        self._lost = None
        self._runner.account(plan, cell.active, result, verdict)
        return result

    def _piece(self, plan: Plan, streams: str) -> bytes:
        request = plan.request
        return encode_piece(
            self.language,
            self.runs,
            request.code,
            args=request.args,
            env=request.env,
            streams=streams,
            files_total=plan.limits.files_total,
            interrupts=self._interrupts,
        )

    async def _await_end(self, cell: Cell, timeout: float) -> Verdict:
        """Interrupts what takes too long, and kills what does not obey. Raises RunLostError."""
        ended = cell.active.ended_future
        either: list[asyncio.Future[Any]] = [ended, cell.stopped]
        await asyncio.wait(either, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            cell.stop(Cause.TIMEOUT)
            either = [ended, cell.begun]
            await asyncio.wait(either, timeout=_OBEY, return_when=asyncio.FIRST_COMPLETED)
            times = _INTERRUPTS if self.language.message == "shell" else 1
            for _ in range(times):
                if not ended.done():
                    self._lease.guest.interrupt()
                    self._interrupts += 1
                    await self._settle(cell, _OBEY / times)
        if not ended.done():
            self._lease.guest.kill()
            await self._settle(cell, _GRACE)
        if not ended.done():
            self._talk.lost("its guest did not end the run in time")
        return ended.result()

    async def _settle(self, cell: Cell, seconds: float) -> None:
        """A client that reads slowly holds up the end too: that is not the program's."""
        ended = cell.active.ended_future
        await asyncio.wait([ended], timeout=seconds)
        while cell.active.stalled and not ended.done():
            await asyncio.wait([ended], timeout=seconds)

    async def _take_back(self, plan: Plan, cell: Cell, sink: Sink) -> Collection:
        files = Collection.empty()
        if plan.request.outputs:
            collector = self._collector(plan.limits.files_total, sink)
            files = await self._whole(collector.matching(plan.request.outputs))
        if cell.end is not None:
            left = plan.limits.files_total - sum(file.size for file in files.files)
            shown = shown_files(cell.end, left)
            files.files.extend(shown.files)
            files.skipped.extend(shown.skipped)
        return files

    # --- files ---

    async def _whole(self, work: Coroutine[None, None, _T]) -> _T:
        """One exchange with the guest, at its end also when nobody waits for it any more."""

        async def in_turn() -> _T:
            async with self._files:
                return await work

        return await asyncio.shield(self._spawn(in_turn()))

    async def _exchange(self, work: Coroutine[None, None, _T]) -> _T:
        self.touch()
        try:
            return await self._whole(work)
        except RunLostError as error:
            self.check_open()
            raise EngineUnavailableError(f"the session's container was lost: {error}") from None

    async def write_files(self, files: Files) -> None:
        await self._exchange(self._put(files, self._plan.limits.files_total))

    async def read_files(self, parts: list[FilePart], sink: Sink) -> FilesRead:
        for part in parts:
            check_path(part.path, self.language.code_name)
        collector = self._collector(self._plan.limits.files_total, sink)
        read = await self._exchange(collector.parts(parts))
        return FilesRead(read.files, read.skipped)

    async def list_files(self) -> list[FileInfo]:
        entries, _ = await self._exchange(list_entries(self._lease.guest, self._talk.life))
        return [FileInfo(entry.path, entry.name_of_kind, entry.size) for entry in entries]

    async def _put(self, files: Files, most: int) -> None:
        check_files(files, most, self.language.code_name)
        tmp = self._plan.limits.tmp
        for path, file in files.items():
            if (file.offset or 0) + len(file.data) > tmp:
                raise not_laid(errno.ENOSPC, path, tmp)
            self._lease.guest.write_file(b"".join(file.frames(path)))
            _, error = await self._talk.life.next_file()
            if error:
                raise not_laid(error, path, tmp)

    def _collector(self, most: int, sink: Sink) -> Collector:
        return Collector(
            self._lease.guest,
            self._talk.life,
            Room(most, self._runner.config.limits.files),
            sink.hold,
        )
