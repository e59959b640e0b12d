"""The wire between a daemon and a real engine, which breaks where a test says."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.wait import DEADLINE

CALLS = {
    "create": r"POST \S*/containers/create\b",
    "attach": r"POST \S*/containers/[^/]+/attach\b",
    "start": r"POST \S*/containers/[^/]+/start\b",
    "update": r"POST \S*/containers/[^/]+/update\b",
    "remove": r"DELETE \S*/containers/",
    "list": r"GET \S*/containers/json\b",
    "info": r"GET \S*/info\b",
    "image": r"GET \S*/images/\S+/json\b",
}
"""The calls of a daemon, by their first line."""

_LENGTH = re.compile(rb"(?mi)^content-length: *(\d+)")
_CHUNK = 1 << 16


class _Fault:
    """What happens to one call from now on."""

    def __init__(self, times: int | None) -> None:
        self.left = times

    def strikes(self) -> bool:
        if self.left == 0:
            return False
        if self.left is not None:
            self.left -= 1
        return True


class _Lie(_Fault):
    def __init__(self, status: int, answer: Any, times: int | None) -> None:
        super().__init__(times)
        body = json.dumps(answer).encode()
        head = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nConnection: close\r\n"
        self.answer = head.encode() + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


class _Loss(_Fault):
    pass


class _Delay(_Fault):
    def __init__(self) -> None:
        super().__init__(None)
        self.over = asyncio.Event()


class BrokenWire:
    """A socket that leads to an engine's. What is sent to it arrives, unless a fault strikes."""

    def __init__(self, engine: Path, socket: Path) -> None:
        self.socket = socket
        self.calls: list[str] = []
        """The names of those that came, in order."""
        self._engine = engine
        self._faults: dict[str, _Fault] = {}
        self._attached: set[asyncio.StreamWriter] = set()
        self._busy: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    @property
    def host(self) -> str:
        return f"unix://{self.socket}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._ask(self._open())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ask(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE)
        self._loop.close()

    # --- what a test says ---

    def refuse(
        self, call: str, message: str, *, status: int = 500, times: int | None = None
    ) -> None:
        """The engine is not asked, and its client told this; for ever, unless it is
        told how many times."""
        self._faults[call] = _Lie(status, {"message": message}, times)

    def pretend(self, call: str, answer: Any, *, times: int | None = None) -> None:
        """The engine is not asked, and its client given this for its answer."""
        self._faults[call] = _Lie(200, answer, times)

    def lose_answer(self, call: str, *, times: int | None = None) -> None:
        """The engine does as it is told, and its answer does not arrive."""
        self._faults[call] = _Loss(times)

    @contextlib.contextmanager
    def delay_answer(self, call: str) -> Iterator[None]:
        """The engine does as it is told, and its answers arrive once this is left."""
        self._faults[call] = fault = _Delay()
        try:
            yield
        finally:
            del self._faults[call]
            self._loop.call_soon_threadsafe(fault.over.set)

    def mend(self) -> None:
        self._faults.clear()

    def cut_attached(self) -> None:
        """The connections to all containers end, and no container."""

        async def cut() -> None:
            for writer in self._attached:
                writer.transport.abort()

        self._ask(cut())

    # --- the wire ---

    def _ask(self, work: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(DEADLINE)

    async def _open(self) -> None:
        self._server = await asyncio.start_unix_server(self._take, self.socket)

    async def _close(self) -> None:
        self._server.close()
        for task in self._busy:
            task.cancel()
        await asyncio.gather(*self._busy, return_exceptions=True)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._busy.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._one_call(reader, writer)
        finally:
            self._busy.discard(task)
            writer.transport.abort()

    async def _one_call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One for each connection: the client is told that there will be no second."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        body = await reader.readexactly(int(length[1])) if length else b""
        first = head.partition(b"\r\n")[0].decode()
        name = next((name for name, line in CALLS.items() if re.match(line, first)), first)
        self.calls.append(name)
        fault = self._faults.get(name)
        if fault is not None and not fault.strikes():
            fault = None
        if isinstance(fault, _Lie):
            writer.write(fault.answer)
            await writer.drain()
            return
        engine_reader, engine_writer = await asyncio.open_unix_connection(self._engine)
        try:
            engine_writer.write(_only_call(head) + body)
            if isinstance(fault, _Loss):
                await engine_reader.readline()  # it is done
                return
            first_piece = await engine_reader.read(_CHUNK)
            if isinstance(fault, _Delay):
                await fault.over.wait()
            writer.write(first_piece)
            if name == "attach":
                self._attached.add(writer)
            forth = asyncio.create_task(_pump(reader, engine_writer))
            try:
                await _pump(engine_reader, writer)
            finally:
                forth.cancel()
        finally:
            self._attached.discard(writer)
            engine_writer.transport.abort()


def _only_call(head: bytes) -> bytes:
    """A request after which the connection ends, unless it becomes something else."""
    if b"\r\nUpgrade:" in head:
        return head
    return head[:-2] + b"Connection: close\r\n\r\n"


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
    writer.write_eof()
