"""Programs for the guests of the engine double.

A program is a coroutine function, or a script of one verb a line: `out TEXT`,
`err TEXT`, `cat`, `read COUNT`, `flood COUNT`, `mark EVENT`, `wait EVENT`,
`hang`, `exit CODE`, `signal NUMBER`, `oom`, `die`, `garble`, `args`, `env NAME`,
`write PATH TEXT`, `fill PATH SIZE`, `show PATH`, `value TEXT`, `stubborn`, `note TEXT`.
"""

from __future__ import annotations

import asyncio
import signal
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from sandboxd.guest.frames import OUTPUT_FLOOD, PAYLOAD_MAX, Cause, Event

if TYPE_CHECKING:
    from tests.support.guest import FakeGuest

Program = Callable[["Process"], Awaitable[int]]


class Signalled(Exception):  # noqa: N818 - it ends a program, and is no error
    """A signal ended the program."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Stdin:
    """What came of a stdin and was not read yet."""

    def __init__(self, taken: Callable[[int], None], *, ends: bool) -> None:
        self.data = bytearray()
        self.ends = ends
        self.came = asyncio.Event()
        self._taken = taken

    def feed(self, data: bytes) -> None:
        if self.ends:
            self._taken(len(data))
            return
        self.data += data
        self.came.set()

    def end(self) -> None:
        self.ends = True
        self.came.set()

    async def read(self, most: int) -> bytes:
        """Some of it, once there is some; nothing at its end."""
        while not self.data and not self.ends:
            self.came.clear()
            await self.came.wait()
        data = bytes(self.data[:most])
        del self.data[:most]
        if data:
            self._taken(len(data))
        return data


class Process:
    """A program under way, and what the guest counts of it."""

    def __init__(self, guest: FakeGuest, code: str, limit: int, *, stdin: bool) -> None:
        self.guest = guest
        self.code = code
        self.args: list[str] = []
        self.env: dict[str, str] = {}
        self.cause = Cause.EXITED
        self.killed_by = signal.SIGKILL
        self.oom_kills = 0
        self.written = {Event.STDOUT: 0, Event.STDERR: 0}
        self.stdin = Stdin(guest.credit, ends=not stdin)
        self.input = Stdin(lambda _: None, ends=True)
        """In a session: the stdin of what runs there at the moment."""
        self.piece: asyncio.Task[int] | None = None
        """In a session: what runs there at the moment."""
        self.interrupts = 0
        self.obeys = True
        """Whether an interrupt ends it."""
        self.value: str | None = None
        self._limit = limit

    async def write(self, data: bytes, stream: Event = Event.STDOUT) -> None:
        """Prints; waits while nobody takes the output, and loses what is past the limit."""
        sent = data[: max(0, self._limit - self.written[stream])]
        self.written[stream] += len(data)
        for start in range(0, len(sent), PAYLOAD_MAX):
            await self.guest.room()
            self.guest.say(stream, sent[start : start + PAYLOAD_MAX])
        if self.written[stream] > OUTPUT_FLOOD * self._limit:
            self.guest.end(Cause.OUTPUT)
        await asyncio.sleep(0)  # so that what is written piece by piece arrives so

    async def read(self, most: int = PAYLOAD_MAX) -> bytes:
        return await (self.stdin if self.piece is None else self.input).read(most)

    def interrupt(self, number: signal.Signals) -> None:
        self.interrupts += 1
        if not self.obeys:
            return
        if self.piece is not None:
            self.piece.cancel()
        else:
            self.guest.end_by(number)


async def run_script(process: Process) -> int:
    for line in process.code.splitlines():
        verb, _, rest = line.partition(" ")
        if (code := await _VERBS[verb](process, rest)) is not None:
            return code
    return 0


Verb = Callable[[Process, str], Awaitable[int | None]]


async def _out(process: Process, text: str) -> None:
    await process.write(f"{text}\n".encode())


async def _err(process: Process, text: str) -> None:
    await process.write(f"{text}\n".encode(), Event.STDERR)


async def _cat(process: Process, _: str) -> None:
    while data := await process.read():
        await process.write(data)


async def _read(process: Process, count: str) -> None:
    left = int(count)
    while left and (data := await process.read(left)):
        left -= len(data)


async def _flood(process: Process, count: str) -> None:
    for _ in range(0, int(count), PAYLOAD_MAX):
        await process.write(b"x" * PAYLOAD_MAX)


async def _mark(process: Process, event: str) -> None:
    process.guest.events[event].set()


async def _wait(process: Process, event: str) -> None:
    await process.guest.events[event].wait()


async def _hang(_: Process, __: str) -> None:
    await asyncio.get_running_loop().create_future()


async def _exit(_: Process, code: str) -> int:
    return int(code)


async def _signal(_: Process, number: str) -> None:
    raise Signalled(int(number))


async def _oom(process: Process, _: str) -> None:
    process.oom_kills = 1
    raise Signalled(signal.SIGKILL)


async def _die(process: Process, _: str) -> None:
    process.guest.die()
    await asyncio.sleep(0)


async def _garble(process: Process, _: str) -> None:
    process.guest.utter(b"\xff" * 64)
    await asyncio.sleep(0)


async def _args(process: Process, _: str) -> None:
    await process.write("".join(f"{argument}\n" for argument in process.args).encode())


async def _env(process: Process, name: str) -> None:
    await _out(process, process.env[name])


async def _write_file(process: Process, rest: str) -> None:
    path, _, text = rest.partition(" ")
    process.guest.work.files[path] = bytearray(text.encode())


async def _fill(process: Process, rest: str) -> None:
    path, _, size = rest.partition(" ")
    process.guest.work.files[path] = bytearray(range(256)) * (int(size) // 256 + 1)
    del process.guest.work.files[path][int(size) :]


async def _show(process: Process, path: str) -> None:
    await process.write(bytes(process.guest.work.files[path]))


async def _value(process: Process, text: str) -> None:
    process.value = text


async def _stubborn(process: Process, _: str) -> None:
    process.obeys = False
    await _hang(process, "")


async def _note(process: Process, text: str) -> None:
    process.guest.say(Event.NOTE, f"{text}\n".encode())


_VERBS: dict[str, Verb] = {
    "out": _out,
    "err": _err,
    "cat": _cat,
    "read": _read,
    "flood": _flood,
    "mark": _mark,
    "wait": _wait,
    "hang": _hang,
    "exit": _exit,
    "signal": _signal,
    "oom": _oom,
    "die": _die,
    "garble": _garble,
    "args": _args,
    "env": _env,
    "write": _write_file,
    "fill": _fill,
    "show": _show,
    "value": _value,
    "stubborn": _stubborn,
    "note": _note,
}

Events = defaultdict[str, asyncio.Event]
"""What scripts and tests tell each other by `mark` and `wait`."""
