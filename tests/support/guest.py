"""The guest of the engine double: the frames' other side, in this process.

It is written from frame.h and shares no code with the daemon's codec.
"""

from __future__ import annotations

import asyncio
import errno
import signal
import struct
from collections import Counter
from collections.abc import Callable

from msgspec import Struct

from sandboxd.engine.port import ContainerSpec, Receiver, Resources
from sandboxd.guest.frames import STDIN_WINDOW, VERSION, Cause, Command, Event
from tests.support.program import Events, Process, Program, Signalled, Stdin, run_script
from tests.support.work import Said, WorkFolder

_BEFORE = {
    *(Command.CODE, Command.MESSAGE, Command.SIZE, Command.PUT, Command.DATA, Command.GO),
}
"""Commands for a child that waits."""
_AFTER = {Command.LIST, Command.READ, Command.RELEASE, Command.AGAIN}
"""Commands for a run that is held at its end."""
_FILES = {Command.PUT, Command.DATA, Command.PUT_END, Command.LIST, Command.READ}
"""Commands for the files of a box that is kept, at any time."""
_STDIN, _HOLD, _KEEP = 1, 2, 8
"""The flags of GO."""
_PIPE = 64 * 1024
"""Bytes that the container may be ahead of whoever reads its output."""
_TURNS_TO_START = 20
"""Turns of the loop until the next child waits: it comes after the run was given back."""


class Temper(Struct):
    """How guests behave from now on."""

    namespaces: bool = True
    version: int = VERSION
    lies: dict[str, str] = {}
    """Facts in its hello that are not as they were asked for."""
    false_proof: dict[str, str] = {}
    """The same of what a child says of itself."""
    silent: bool = False
    """Starts, and never says that a child waits."""
    prompt: bool = False
    """The next child waits in the same breath as the last one's verdict."""
    stuck: bool = False
    """The next child never comes."""
    fleeting: bool = False
    """The container is lost in the same breath as the verdict comes."""
    deaf: bool = False
    """Does not obey KILL."""
    chunk: int = _PIPE
    """Bytes that arrive at once."""


def hello(spec: ContainerSpec) -> dict[str, str]:
    """What the kernel would say of a container that is as it was asked for."""
    resources = spec.resources
    return {
        "uid": str(spec.uid),
        "root": "ro",
        "memory": str(resources.memory),
        "memsw": str(resources.memory),
        "pids": str(resources.pids),
        "cpu": f"{round(resources.cpus * 100_000)} 100000",
    }


def proof(spec: ContainerSpec, *, namespaces: bool) -> dict[str, str]:
    """What the kernel would say of a process that is about to run a program."""
    ids = "\t".join(["1000" if namespaces else str(spec.uid)] * 4)
    nothing = dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), "0" * 16)
    rest = {"NoNewPrivs": "1", "Seccomp": "2", "Seccomp_filters": "2"}
    return {"Uid": ids, "Gid": ids} | nothing | rest


class Streams:
    """The attachment: either side's bytes, held up as a real one's are."""

    def __init__(self, receiver: Receiver, temper: Temper, hear: Callable[[bytes], None]) -> None:
        self.paused = False
        self.unread = bytearray()
        self._receiver = receiver
        self._temper = temper
        self._hear = hear
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Event()
        self._open = True
        self._ended = False

    def write(self, data: bytes) -> None:
        self._loop.call_soon(self._hear, data)

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False
        self._loop.call_soon(self._deliver)

    def close(self) -> None:
        """The daemon lets go: the guest's stdin ends."""
        self.unread.clear()
        self.paused = False
        self._hear(b"")

    def say(self, data: bytes) -> None:
        self.unread += data
        self._loop.call_soon(self._deliver)

    def end(self) -> None:
        """The container is gone; what it said before may be read still."""
        self._ended = True
        self._loop.call_soon(self._deliver)

    async def room(self) -> None:
        while len(self.unread) >= _PIPE:
            self._room.clear()
            await self._room.wait()

    def _deliver(self) -> None:
        while self.unread and not self.paused:
            piece = bytes(self.unread[: self._temper.chunk])
            del self.unread[: len(piece)]
            self._receiver.stdout(piece)
        self._room.set()
        if self._ended and self._open and not self.unread:
            self._open = False
            self._receiver.closed()


class FakeGuest:
    """A container's first process: obeys commands, and runs one program at a time."""

    def __init__(
        self,
        spec: ContainerSpec,
        temper: Temper,
        events: Events,
        programs: dict[str, Program],
    ) -> None:
        self.name = spec.name
        self.labels = spec.labels
        self.events = events
        self.heard = Counter[Command]()
        """Frames that came in, by their type."""
        self.faults: list[str] = []
        """What the daemon should not have sent."""
        self.gone = asyncio.Event()
        self.resources: list[Resources] = []
        """What the container's limits were changed to."""
        self.streams: Streams | None = None
        self.process: Process | None = None
        self._spec = spec
        self._temper = temper
        self._programs = programs
        self.work = WorkFolder()
        self._waits = False
        self._held = False
        self._kept = False
        self._streams = 0
        self._inbox = bytearray()
        self._parts: dict[Command, bytearray] = {}
        self._task: asyncio.Task[None] | None = None

    def attach(self, receiver: Receiver) -> Streams:
        self.streams = Streams(receiver, self._temper, self._hear)
        return self.streams

    def boot(self) -> None:
        facts = hello(self._spec) | {
            "version": str(self._temper.version),
            "namespaces": str(int(self._temper.namespaces)),
        }
        facts |= self._temper.lies
        self.say(Event.HELLO, "".join(f"{key}={facts[key]}\n" for key in facts).encode())
        if not self._temper.silent:
            self._await_run()

    def die(self) -> None:
        """The container is lost, whatever runs in it."""
        if self.gone.is_set():
            return
        self.gone.set()
        if self._task is not None:
            self._task.cancel()
        if self.streams is not None:
            self.streams.end()

    # --- to the daemon ---

    def utter(self, data: bytes) -> None:
        """Bytes as they are, frames or not."""
        if self.streams is not None and not self.gone.is_set():
            self.streams.say(data)

    def say(self, event: Event, payload: bytes = b"") -> None:
        self.utter(struct.pack("<IB", len(payload), event) + payload)

    def _say_all(self, frames: Said) -> None:
        for event, payload in frames:
            self.say(event, payload)

    def credit(self, count: int) -> None:
        self.say(Event.CREDIT, struct.pack("<I", count))

    async def room(self) -> None:
        if self.streams is not None:
            await self.streams.room()

    # --- from the daemon ---

    def _hear(self, data: bytes) -> None:
        if not data:
            self.die()
            return
        self._inbox += data
        while len(self._inbox) >= 5 and not self.gone.is_set():
            length, kind = struct.unpack_from("<IB", self._inbox)
            if len(self._inbox) < 5 + length:
                return
            payload = bytes(self._inbox[5 : 5 + length])
            del self._inbox[: 5 + length]
            self.heard[Command(kind)] += 1
            self._obey(Command(kind), payload)

    def _obey(self, command: Command, payload: bytes) -> None:
        if self._kept and command in _FILES:
            self._exchange(command, payload)
            return
        in_place = self._waits if command in _BEFORE else self._held or command not in _AFTER
        if not in_place:
            self._refuse(f"{command.name} out of place")
        elif command in _BEFORE:
            self._prepare(command, payload)
        elif command in _AFTER:
            self._answer(command, payload)
        else:
            self._attend(command, payload)

    def _exchange(self, command: Command, payload: bytes) -> None:
        if command in (Command.LIST, Command.READ):
            self._answer(command, payload)
        elif command is Command.PUT_END:
            error = errno.ENOSPC if self.work.failed else 0
            self.work.failed = False
            self.say(Event.FILE_END, struct.pack("<i", error))
        elif command is Command.DATA:
            list(self.work.data(payload))  # PUT_END tells how it went
        else:
            self.work.put(payload)

    def _prepare(self, command: Command, payload: bytes) -> None:
        match command:
            case Command.PUT:
                self.work.put(payload)
            case Command.DATA:
                self._say_all(self.work.data(payload))
            case Command.SIZE:
                (self.work.room,) = struct.unpack("<Q", payload)
            case Command.GO:
                if not self.work.failed:
                    self._go(payload)
            case _:
                self._parts.setdefault(command, bytearray()).extend(payload)

    def _answer(self, command: Command, payload: bytes) -> None:
        if command is Command.LIST:
            self._say_all(self.work.list())
        elif command is Command.READ:
            self._say_all(self.work.read(payload))
        elif (command is Command.AGAIN) is not self._kept:
            self._refuse(f"{command.name} out of place")
        else:
            self._held = False
            if self._kept:
                self._waits = True
                del self._parts[Command.MESSAGE]  # but the code is there
            else:
                self._task = asyncio.create_task(self._replace_child())

    def _attend(self, command: Command, payload: bytes) -> None:
        process = self.process
        match command:
            case Command.INTERRUPT if process is not None:
                process.interrupt(signal.Signals(payload[0]))
            case Command.KILL if not self._temper.deaf:
                self.end(Cause.KILLED)
            case Command.STDIN if process is not None:
                self._take(process.stdin, payload)
            case Command.STDIN_EOF if process is not None:
                process.stdin.end()
            case Command.STREAMS if process is not None:
                self._make_streams(process)
            case Command.INPUT if process is not None:
                self._take(process.input, payload)
            case Command.INPUT_EOF if process is not None:
                process.input.end()

    def _take(self, stdin: Stdin, data: bytes) -> None:
        stdin.feed(data)
        if len(stdin.data) > STDIN_WINDOW:
            self._refuse("stdin past the window")

    def _make_streams(self, process: Process) -> None:
        self._streams += 1
        number = self._streams

        def taken(count: int) -> None:
            self.say(Event.INPUT_CREDIT, struct.pack("<II", number, count))

        process.input = Stdin(taken, ends=False)
        self.say(Event.STREAMS, struct.pack("<I", number))

    def _refuse(self, why: str) -> None:
        self.faults.append(why)
        self.say(Event.FATAL, why.encode())
        self.die()

    # --- a run ---

    def _await_run(self) -> None:
        self._waits = True
        self._parts.clear()
        self.work = WorkFolder()
        status = proof(self._spec, namespaces=self._temper.namespaces) | self._temper.false_proof
        self.say(Event.READY, "".join(f"{key}:\t{status[key]}\n" for key in status).encode())

    def _go(self, payload: bytes) -> None:
        milliseconds, limit = struct.unpack_from("<IQ", payload)
        code = self._parts.get(Command.CODE, bytearray()).decode()
        count, *fields = self._parts[Command.MESSAGE].decode().split("\0")[:-1]
        self._waits = False
        self._streams = 0
        self._kept = bool(payload[-1] & _KEEP)
        self.process = process = Process(self, code, limit, stdin=bool(payload[-1] & _STDIN))
        process.args = fields[: int(count)]
        process.env = dict(pair.split("=", 1) for pair in fields[int(count) :])
        run = self._run(process, milliseconds / 1000, hold=bool(payload[-1] & (_HOLD | _KEEP)))
        self._task = asyncio.create_task(run)

    def end(self, cause: Cause) -> None:
        """Kills the program, if one runs and does not end already."""
        if self.process is None or self._task is None or self.process.cause is not Cause.EXITED:
            return
        self.process.cause = cause
        self._task.cancel()

    def end_by(self, number: signal.Signals) -> None:
        """Ends the program by a signal of its own."""
        if self.process is not None and self._task is not None:
            self.process.killed_by = number
            self._task.cancel()

    async def _run(self, process: Process, seconds: float, *, hold: bool) -> None:
        late = asyncio.get_running_loop().call_later(seconds, self.end, Cause.TIMEOUT)
        code, number = -1, 0
        try:
            code = await self._programs.get(process.code, run_script)(process)
        except Signalled as signalled:
            number = signalled.number
        except asyncio.CancelledError:
            number = process.killed_by
        except Exception as error:  # the test's own program is wrong
            self.faults.append(repr(error))
        late.cancel()
        self.process = None
        if self.gone.is_set():
            return
        written = process.written[Event.STDOUT], process.written[Event.STDERR]
        verdict = (process.cause, code, number, 1000, 2000, 4096, *written, process.oom_kills)
        self.say(Event.EXIT, struct.pack("<BiiQQQQQI", *verdict))
        if self._temper.fleeting:
            self.die()
        elif hold:
            self._held = True
        else:
            await self._replace_child()

    async def _replace_child(self) -> None:
        if self._temper.stuck:
            return
        for _ in range(0 if self._temper.prompt else _TURNS_TO_START):
            await asyncio.sleep(0)
        self._await_run()
