"""Many programs, a bounded number at once: results in order, failures in their place.

    programs = (Program("python", code) for code in codes)
    with Client() as client:
        for code, outcome in zip(codes, imap_programs(client, programs)):
            print(outcome if isinstance(outcome, SandboxError) else outcome.stdout)

Programs are taken as they are needed and results are given as they are asked for,
so that a million of them are never in memory. A full queue of the daemon's is
waited for. For each function there is one for the asynchronous client.
"""

from __future__ import annotations

import os
import select
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
    Sized,
)
from queue import SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Self, TypeVar, Unpack

import msgspec

from sandboxd_client._wire import RunOptions, run_params
from sandboxd_client.errors import CancelledError, QueueFullError, SandboxError
from sandboxd_client.protocol import CANCELLED, Base64, RunParams, RunResult, StdinObject, from_blob
from sandboxd_client.stream import RunStream

if TYPE_CHECKING:  # each half is imported by who uses it: `sandbox run` needs neither
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    from sandboxd_client.aio import AsyncClient
    from sandboxd_client.sync import Client

CONCURRENCY = 8
"""Programs at once unless told otherwise; the daemon queues what it has no room for."""
RETRIES = 10
"""How often a program is offered again to a daemon whose queue is full."""
_LONGEST_PAUSE = 60.0
_LOOK_AHEAD = 4
"""Programs taken and not yet given back, for each that may run at once."""

Outcome = RunResult | SandboxError
"""What became of a program. One that failed is a result; an error says why it did not run."""

Progress = Callable[[int, int | None, Outcome], None]
"""Called with how many have ended, how many there are (None where that is not known)
and the one that has ended; by whoever takes the results, in the order of the ends."""

_T = TypeVar("_T")


class Program:
    """A program to be run: the arguments of `Client.run`.

    Raises TypeError for an option that does not exist, ValueError for text that is
    not Unicode: what is wrong in itself is told where it is made.
    """

    __slots__ = ("params", "pieces")

    def __init__(self, language: str, code: str, **options: Unpack[RunOptions]) -> None:
        stdin = options.get("stdin")
        self.params = _sendable(run_params(language, code, options, stream=False))
        self.pieces = None if stdin is None or isinstance(stdin, str | bytes) else stdin
        """Stdin that is sent as the program takes it."""

    @classmethod
    def of(cls, params: RunParams) -> Self:
        """The program of params that are made already. Raises ValueError for streamed stdin."""
        if isinstance(params.stdin, StdinObject) and params.stdin.stream:
            raise ValueError("stdin is text or base64: nobody is there to stream it")
        program = cls.__new__(cls)
        program.params = _sendable(msgspec.structs.replace(params, stream=False))
        program.pieces = None
        return program

    @property
    def language(self) -> str:
        return self.params.language

    @property
    def code(self) -> str:
        """As text, with what is not UTF-8 replaced."""
        code = self.params.code
        if isinstance(code, str):
            return code
        return from_blob(Base64(code.base64 or "")).decode(errors="replace")

    def __repr__(self) -> str:
        return f"Program({self.language!r}, {self.code[:60]!r})"


def _sendable(params: RunParams) -> RunParams:
    msgspec.json.encode(params)
    return params


Programs = Iterable[Program | SandboxError]
AsyncPrograms = AsyncIterable[Program | SandboxError]
"""An error stands for what could not be made a program, and comes back in its place."""


# --- decisions ---


class InOrder(Generic[_T]):
    """Gives back in order what ends in any order, and says how far ahead one may go."""

    def __init__(self, look_ahead: int) -> None:
        self._look_ahead = look_ahead
        self._taken = self._given = 0
        self._ended: dict[int, _T] = {}

    @property
    def has_room(self) -> bool:
        return self._taken - self._given < self._look_ahead

    @property
    def is_waiting(self) -> bool:
        """Whether something was taken and has not ended."""
        return self._taken - self._given > len(self._ended)

    def take(self) -> int:
        """The number of the next one."""
        self._taken += 1
        return self._taken - 1

    def end(self, number: int, value: _T) -> None:
        self._ended[number] = value

    def ready(self) -> Iterator[_T]:
        """Those before which nothing is missing, and no more than once."""
        while self._given in self._ended:
            value = self._ended.pop(self._given)
            self._given += 1
            yield value


def pause_before_retry(error: SandboxError, program: Program, tries: int) -> float | None:
    """Seconds after which a program that was refused is offered again; None for not at all."""
    if not isinstance(error, QueueFullError) or tries > RETRIES:
        return None
    if isinstance(program.pieces, Iterator):
        return None  # some of its stdin may be used up
    return min(max(error.retry_after, 0.0), _LONGEST_PAUSE)


class _Tally:
    """Calls whoever wants to know how far it is."""

    def __init__(self, progress: Progress | None, programs: object) -> None:
        self._progress = progress
        self._total = len(programs) if isinstance(programs, Sized) else None
        self._done = 0

    def add(self, outcome: Outcome) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._total, outcome)


def _check(concurrency: int) -> None:
    if concurrency < 1:
        raise ValueError(f"concurrency is {concurrency}; it must be at least 1")


# --- for the synchronous client ---


class Stop:
    """Tells runs in other threads to end: something to poll that never becomes quiet again."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._read)
        os.close(self._write)

    def fileno(self) -> int:
        return self._read

    def set(self) -> None:
        os.write(self._write, b"\0")

    def wait(self, seconds: float | None = None) -> bool:
        """Whether it was set within some time."""
        return _readable(self, seconds=seconds)


def _readable(*files: Stop | RunStream, seconds: float | None = None) -> bool:
    poll = select.poll()
    for file in files:
        poll.register(file, select.POLLIN)
    return bool(poll.poll(None if seconds is None else seconds * 1000))


def run_program(client: Client, program: Program, stop: Stop) -> RunResult:
    """`Client.run` that another thread may end, which kills the program.

    Raises what `Client.run` raises, and CancelledError once `stop` is set; while
    stdin is sent in pieces, that is not looked at.
    """
    with RunStream(client, program.params) as stream:
        if program.pieces is not None:
            stream.feed(program.pieces)
        while True:
            for _ in stream.take():
                pass
            if stream.ended:
                return stream.result
            _readable(stream, stop)
            if stop.wait(0):
                raise CancelledError(CANCELLED, "the run was ended from this side", {})


class _Broken(NamedTuple):
    """An error that is not about one program: it ends the batch."""

    error: BaseException


def imap_programs(
    client: Client,
    programs: Programs,
    concurrency: int = CONCURRENCY,
    progress: Progress | None = None,
) -> Generator[Outcome, None, None]:
    """Runs programs in threads; yields what became of each, in their order.

    `programs` is iterated over in the caller's thread, a bounded number ahead of
    the results. Closing the iterator, and any exception, kills what runs.
    """
    _check(concurrency)
    return _imap(client, programs, concurrency, _Tally(progress, programs))


def map_programs(
    client: Client,
    programs: Programs,
    concurrency: int = CONCURRENCY,
    progress: Progress | None = None,
) -> list[Outcome]:
    """Runs programs in threads; what became of each, in their order. See `imap_programs`."""
    return list(imap_programs(client, programs, concurrency, progress))


def _imap(
    client: Client, programs: Programs, concurrency: int, tally: _Tally
) -> Generator[Outcome, None, None]:
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - see the imports

    with Stop() as stop, ThreadPoolExecutor(concurrency, "sandboxd-batch") as pool:
        threads = _Threads(
            client, pool, stop, InOrder(_LOOK_AHEAD * concurrency), tally, SimpleQueue()
        )
        try:
            for program in programs:
                threads.start(program)
                while threads.has_ended or not threads.order.has_room:
                    yield from threads.step()
            while threads.order.is_waiting:
                yield from threads.step()
        finally:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)


class _Threads(NamedTuple):
    """Programs in threads, and the ends of those that have ended."""

    client: Client
    pool: ThreadPoolExecutor
    stop: Stop
    order: InOrder[Outcome]
    tally: _Tally
    ended: SimpleQueue[tuple[int, Outcome | _Broken]]

    def start(self, program: Program | SandboxError) -> None:
        number = self.order.take()
        if isinstance(program, SandboxError):
            self.ended.put((number, program))
        else:
            self.pool.submit(self._run, number, program)

    def _run(self, number: int, program: Program) -> None:
        try:
            self.ended.put((number, _run_patiently(self.client, program, self.stop)))
        except BaseException as error:  # raised again where it is waited for
            self.ended.put((number, _Broken(error)))

    @property
    def has_ended(self) -> bool:
        return not self.ended.empty()

    def step(self) -> Iterator[Outcome]:
        """Waits for the next end; yields what can be given back with it."""
        number, outcome = self.ended.get()
        if isinstance(outcome, _Broken):
            raise outcome.error
        self.order.end(number, outcome)
        self.tally.add(outcome)
        yield from self.order.ready()


def _run_patiently(client: Client, program: Program, stop: Stop) -> Outcome:
    tries = 0
    while True:
        try:
            return run_program(client, program, stop)
        except SandboxError as error:
            tries += 1
            pause = pause_before_retry(error, program, tries)
            if pause is None or stop.wait(pause):
                return error


# --- for the asynchronous client ---

Take = Callable[[], Coroutine[None, None, Program | SandboxError | None]]
"""Gives the next program, and None at the end."""


def aimap_programs(
    client: AsyncClient,
    programs: Programs | AsyncPrograms,
    concurrency: int = CONCURRENCY,
    progress: Progress | None = None,
) -> AsyncGenerator[Outcome, None]:
    """Runs programs as tasks; yields what became of each, in their order.

    An asynchronous iterable is waited for together with the runs: a slow one holds
    up no result. Cancelling, any exception and closing (which is left to
    `contextlib.aclosing`) kill what runs.
    """
    _check(concurrency)
    return _aimap(client, programs, concurrency, _Tally(progress, programs))


async def amap_programs(
    client: AsyncClient,
    programs: Programs | AsyncPrograms,
    concurrency: int = CONCURRENCY,
    progress: Progress | None = None,
) -> list[Outcome]:
    """Runs programs as tasks; what became of each, in their order. See `aimap_programs`."""
    return [outcome async for outcome in aimap_programs(client, programs, concurrency, progress)]


async def _aimap(
    client: AsyncClient, programs: Programs | AsyncPrograms, concurrency: int, tally: _Tally
) -> AsyncGenerator[Outcome, None]:
    tasks = _Tasks(client, _taker(programs), concurrency, tally)
    try:
        while await tasks.step():
            for outcome in tasks.order.ready():
                yield outcome
    finally:
        await tasks.close()


class _Tasks:
    """The next program that is waited for, and those that run."""

    def __init__(self, client: AsyncClient, take: Take, concurrency: int, tally: _Tally) -> None:
        import asyncio  # noqa: PLC0415 - see the imports

        self.order = InOrder[Outcome](_LOOK_AHEAD * concurrency)
        self._client = client
        self._take = take
        self._tally = tally
        self._places = asyncio.Semaphore(concurrency)
        self._taking: asyncio.Task[Program | SandboxError | None] | None = None
        self._running: set[asyncio.Task[tuple[int, Outcome]]] = set()
        self._more = True

    async def step(self) -> bool:
        """Waits until something has come or has ended; False when there is nothing left."""
        import asyncio  # noqa: PLC0415 - see the imports

        if self._more and self._taking is None and self.order.has_room:
            self._taking = asyncio.create_task(self._take())
        if not self._all():
            return False
        await asyncio.wait(self._all(), return_when=asyncio.FIRST_COMPLETED)
        if self._taking is not None and self._taking.done():
            program, self._taking = self._taking.result(), None
            self._more = program is not None
            if program is not None:
                self._running.add(asyncio.create_task(self._run(self.order.take(), program)))
        for task in [task for task in self._running if task.done()]:
            self._running.remove(task)
            number, outcome = task.result()
            self.order.end(number, outcome)
            self._tally.add(outcome)
        return True

    async def close(self) -> None:
        """Kills what runs."""
        import asyncio  # noqa: PLC0415 - see the imports

        for task in self._all():
            task.cancel()
        await asyncio.gather(*self._all(), return_exceptions=True)

    def _all(self) -> set[asyncio.Task[Any]]:
        return {*self._running, *([self._taking] if self._taking else [])}

    async def _run(self, number: int, program: Program | SandboxError) -> tuple[int, Outcome]:
        if isinstance(program, SandboxError):
            return number, program
        async with self._places:
            return number, await _arun_patiently(self._client, program)


def _taker(programs: Programs | AsyncPrograms) -> Take:
    if isinstance(programs, AsyncIterable):
        awaited = aiter(programs)

        async def take_awaited() -> Program | SandboxError | None:
            return await anext(awaited, None)

        return take_awaited
    left = iter(programs)

    async def take() -> Program | SandboxError | None:
        return next(left, None)

    return take


async def _arun_patiently(client: AsyncClient, program: Program) -> Outcome:
    import asyncio  # noqa: PLC0415 - see the imports

    tries = 0
    while True:
        try:
            return await _arun(client, program)
        except SandboxError as error:
            tries += 1
            pause = pause_before_retry(error, program, tries)
            if pause is None:
                return error
        await asyncio.sleep(pause)


async def _arun(client: AsyncClient, program: Program) -> RunResult:
    from sandboxd_client.aio_stream import AsyncRunStream  # noqa: PLC0415 - see the imports

    async with AsyncRunStream(client, program.params) as stream:
        if program.pieces is not None:
            await stream.feed(program.pieces)
        async for _ in stream:
            pass
        return stream.result
