"""What the Python fuzzers do with an example: the frames, and the line protocol."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from msgspec import Struct

from sandboxd.config import PoolConfig, RpcConfig, Size
from sandboxd.guest import frames
from sandboxd.guest.frames import PAYLOAD_MAX, Event, FrameError, FrameReader, Verdict
from sandboxd.pool.guest import Guest
from sandboxd.run.conversation import Cell, Conversation, Nowhere
from tests.support.logs import watched
from tests.support.program import Process, Program, run_script
from tests.support.service import SMALL, Service, replace
from tests.support.wait import turns
from tests.support.wire import Wire

# --- frames ---


def check_frames(chunks: Sequence[bytes]) -> None:
    """A reader finds the frames that are there, however they arrive; and nothing that a
    guest says raises anything in who listens to it."""
    expected, broken = read_whole(b"".join(chunks))
    reader, found = FrameReader(), list[tuple[int, memoryview | bytes]]()
    try:
        for chunk in chunks:
            found += reader.feed(chunk)  # generator: what came before the fault counts
    except FrameError:
        assert broken
    else:
        assert not broken
    assert found == expected[: len(found)]
    assert broken or found == expected
    for kind, payload in expected:
        decode(kind, payload)
    asyncio.run(listen(chunks))
    asyncio.run(converse(chunks))


def read_whole(stream: bytes) -> tuple[list[tuple[int, bytes]], bool]:
    """The frames of a stream, and whether it breaks; written from frame.h."""
    at, found = 0, list[tuple[int, bytes]]()
    while len(stream) - at >= 5:
        length, kind = struct.unpack_from("<IB", stream, at)
        if length > PAYLOAD_MAX:
            return found, True
        if len(stream) - at - 5 < length:
            break
        found.append((kind, stream[at + 5 : at + 5 + length]))
        at += 5 + length
    return found, False


def decode(kind: int, payload: bytes) -> None:
    """Each decoder takes any payload, or says what is wrong with it."""
    decoders = {
        Event.EXIT: frames.decode_verdict,
        Event.CREDIT: frames.decode_credit,
        Event.FILE_END: frames.decode_error,
        Event.PUT_FAILED: frames.decode_error,
        Event.STREAMS: frames.decode_streams,
        Event.INPUT_CREDIT: frames.decode_input_credit,
        Event.HELLO: frames.decode_hello,
    }
    with contextlib.suppress(FrameError):
        decoders.get(Event(kind) if kind in set(Event) else Event.READY, len)(payload)


class _Listener:
    """Handles what a run says; see RunHandler. After its loss it hears nothing more."""

    def __init__(self) -> None:
        self.is_lost = False

    def _hear(self) -> None:
        assert not self.is_lost

    def output(self, stream: Event, data: bytes) -> None:
        self._hear()
        assert data or stream

    def credit(self, count: int) -> None:
        self._hear()

    def note(self, data: bytes) -> None:
        self._hear()

    def ended(self, verdict: Verdict) -> None:
        self._hear()

    def file(self, data: bytes) -> None:
        self._hear()

    def file_end(self, error: int) -> None:
        self._hear()

    def put_failed(self, error: int, path: str) -> None:
        self._hear()

    def lost(self, why: str) -> None:
        self._hear()
        self.is_lost = True


async def listen(chunks: Sequence[bytes]) -> None:
    losses: list[str] = []
    guest = Guest(on_ready=lambda: None, on_lost=losses.append)
    listener = _Listener()
    guest.begin(listener, b"")
    for chunk in chunks:
        guest.stdout(chunk)
    guest.closed()
    assert len(losses) == 1
    assert listener.is_lost


async def converse(chunks: Sequence[bytes]) -> None:
    """The same in a session, of which one run is under way."""
    guest = Guest(on_ready=lambda: None, on_lost=lambda _: None)
    conversation = Conversation(guest)
    guest.begin(conversation, b"")
    cell = Cell(guest, Nowhere(), 1, stream=True, keep=100, limit=100)
    conversation.begin(cell, "streams", b"1")
    for chunk in chunks:
        guest.stdout(chunk)
    guest.closed()
    assert conversation.up.done()
    for ended in (cell.active.ended_future, conversation.life.ended_future):
        assert ended.done()
        ended.exception()


# --- lines ---

_LINE_MOST = 4096
_CONFIG = replace(
    SMALL,
    pool=PoolConfig(min=1, max=5, starts=5, queue=4, queue_timeout=30.0),
    rpc=RpcConfig(max_line=Size(_LINE_MOST)),
)
_PATIENCE = 10.0


class Line(Struct, frozen=True):
    """A line of a client's, and how many answers it must have, at the least and most."""

    data: bytes
    least: int
    most: int


def to_line(data: bytes) -> Line:
    """Any bytes as lines; by what JSON-RPC says of them, which is not for the daemon's
    parser to decide."""
    data = data.replace(b"\n", b" ")
    if not data:
        return Line(data, 0, 0)
    if len(data) > _LINE_MOST:
        return Line(data, 1, 1)
    try:
        request = json.loads(data.decode())
    except (ValueError, RecursionError):
        return Line(data, 1, 1)
    if not isinstance(request, dict):
        return Line(data, 1, 1)
    # Without an id it may be a notification; whether it is a good one is a fine point.
    return Line(data, 1, 1) if request.get("id") is not None else Line(data, 0, 1)


class _Programs(dict[str, Program]):
    """Scripts of the engine double; one that makes no sense fails, and is no fault."""

    def get(self, code: str, default: object = None) -> Program:
        program = super().get(code, run_script)

        async def run(process: Process) -> int:
            try:
                return await program(process)
            except (LookupError, ValueError):
                return 1

        return run


class LineWorld:
    """A service that clients may say anything to, from entering until leaving."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loop = asyncio.new_event_loop()
        self._watch = contextlib.ExitStack()
        self._ids = 0

    def __enter__(self) -> Self:
        self._logs = self._watch.enter_context(watched())
        self._service = Service(self._folder, _CONFIG)
        self._service.engine.programs = _Programs(self._service.engine.programs)
        self._loop.run_until_complete(self._service.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.run_until_complete(self._service.stop())
        self._loop.close()
        assert self._service.engine.guests == {}
        self._watch.close()

    def check(self, lines: Sequence[Line], places: Sequence[int], pause: int) -> None:
        """One client says the lines, cut at these places, waits for so many turns of the
        loop, cancels what it can, and goes; its answers are counted, and the next one is
        served."""
        self._loop.run_until_complete(self._check(lines, places, pause))
        faults, grave = self._complaints()
        assert faults == [], faults
        assert grave == [], grave

    def _complaints(self) -> tuple[list[str], list[Any]]:
        """What was done wrong since the last time; nothing of it is kept."""
        engine = self._service.engine
        faults = engine.faults
        grave = [entry for entry in self._logs if entry["log_level"] in ("error", "critical")]
        engine.seen = [guest for guest in engine.seen if not guest.gone.is_set()]
        for guest in engine.seen:
            guest.faults.clear()
        engine.specs.clear()
        self._logs.clear()
        return faults, grave

    async def _check(self, lines: Sequence[Line], places: Sequence[int], pause: int) -> None:
        async with asyncio.timeout(_PATIENCE), Wire(self._service.socket) as wire:
            session = (await wire.call("session.open", {"language": "python"}))["session"]
            wire.run("out 1\nhang", keep=True)
            kept = (await wire.receive_until("run.started"))["run"]
            known = {b"$session": session.encode(), b"$kept": kept.encode()}
            await self._say(lines, places, pause, known)
            for each in await wire.call("session.list"):
                await wire.answer(wire.ask("session.close", {"session": each["session"]}))
            await wire.answer(wire.ask("run.kill", {"run": kept}))

    async def _say(
        self,
        lines: Sequence[Line],
        places: Sequence[int],
        pause: int,
        known: dict[bytes, bytes],
    ) -> None:
        reader, writer = await asyncio.open_unix_connection(
            str(self._service.socket), limit=1 << 26
        )
        stream = b"".join(line.data + b"\n" for line in lines)
        for name, value in known.items():
            stream = stream.replace(name, value)
        for start, end in cut(places, len(stream)):
            writer.write(stream[start:end])
            await asyncio.sleep(0)
        await turns(pause)
        self._ids += 1
        last = f"last {self._ids}"
        for identity in {*ids_in(lines), last}:
            writer.write(_encode("$/cancelRequest", {"id": identity}))
        writer.write(_encode("languages", {}, last))
        answers = await _answers_until(reader, last)
        # Those that were cancelled may be answered later than the last.
        least, most = sum(line.least for line in lines), sum(line.most for line in lines)
        while len(answers) < least:
            answers += [each for each in [await _message(reader)] if "method" not in each]
        writer.write(_encode("languages", {}, last))
        answers += await _answers_until(reader, last)
        assert least <= len(answers) <= most, (least, most, answers)
        writer.close()


def ids_in(lines: Sequence[Line]) -> Iterator[Any]:
    for line in lines:
        with contextlib.suppress(ValueError, RecursionError):
            request = json.loads(line.data.decode())
            if isinstance(request, dict) and type(request.get("id")) in (int, str):
                yield request["id"]


def cut(places: Sequence[int], length: int) -> Iterator[tuple[int, int]]:
    bounds = sorted({0, length, *(place % (length + 1) for place in places)})
    yield from pairwise(bounds)


def _encode(method: str, params: Any, identity: Any = None) -> bytes:
    message = {"jsonrpc": "2.0", "method": method, "params": params}
    return json.dumps(message if identity is None else {**message, "id": identity}).encode() + b"\n"


async def _message(reader: asyncio.StreamReader) -> dict[str, Any]:
    line = await reader.readline()
    assert line.endswith(b"\n"), "the daemon closed the connection"
    message: dict[str, Any] = json.loads(line)
    assert message["jsonrpc"] == "2.0"
    assert ("result" in message) + ("error" in message) + ("method" in message) == 1
    if size := message.get("params", {}).get("size"):
        await reader.readexactly(size)
    return message


async def _answers_until(reader: asyncio.StreamReader, last: str) -> list[dict[str, Any]]:
    answers = []
    while (message := await _message(reader)).get("id") != last:
        if "method" not in message:
            answers.append(message)
    return answers
