"""A client that knows no more than JSON and newlines, so that it can send anything."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from tests.support.wait import DEADLINE

Message = dict[str, Any]

_LINE_MOST = 256 * 1024 * 1024


def blob_bytes(blob: str | Message) -> bytes:
    return blob.encode() if isinstance(blob, str) else base64.b64decode(blob["base64"])


class Wire:
    """One connection. What comes while an answer is waited for is kept in `messages`."""

    def __init__(self, socket: Path, patience: float | None = None) -> None:
        """`patience` is how many seconds a message may be waited for."""
        self._socket = socket
        self._patience = patience or DEADLINE
        self._ids = itertools.count(1)
        self.messages: list[Message] = []
        """Everything that came, in order."""

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_unix_connection(
            str(self._socket), limit=_LINE_MOST
        )
        self._transport = cast("asyncio.Transport", self._writer.transport)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
        await asyncio.sleep(0)

    def close(self) -> None:
        self._writer.close()

    def stop_reading(self) -> None:
        """From here on the daemon's output is left in the socket."""
        self._transport.pause_reading()

    def read_on(self) -> None:
        self._transport.resume_reading()

    async def send_bytes(self, data: bytes) -> None:
        self._writer.write(data)
        async with asyncio.timeout(self._patience):
            await self._writer.drain()

    def write(self, message: Any) -> None:
        self._writer.write(json.dumps(message).encode() + b"\n")

    def ask(self, method: str, params: Any = None, *, identity: Any = None) -> Any:
        """Sends a request, and returns its id without waiting for the answer."""
        identity = next(self._ids) if identity is None else identity
        message = {"jsonrpc": "2.0", "id": identity, "method": method, "params": params or {}}
        self.write(message)
        return identity

    def notify(self, method: str, **params: Any) -> None:
        self.write({"jsonrpc": "2.0", "method": method, "params": params})

    def run(self, code: str | dict[str, Any], **params: Any) -> Any:
        return self.ask("run", {"language": "python", "code": code, **params})

    async def receive(self) -> Message:
        """The next message. Raises EOFError at the end of the connection."""
        async with asyncio.timeout(self._patience):
            line = await self._reader.readline()
        if not line:
            raise EOFError
        message: Message = json.loads(line)
        if size := message.get("params", {}).get("size"):
            message["params"]["raw"] = await self._reader.readexactly(size)
        self.messages.append(message)
        return message

    async def until_closed(self) -> None:
        with contextlib.suppress(EOFError, ConnectionResetError):
            while True:
                await self.receive()

    async def receive_until(self, method: str) -> Message:
        """The params of the next notification of this kind."""
        while (message := await self.receive()).get("method") != method:
            pass
        params: Message = message["params"]
        return params

    def answers(self, identity: Any) -> list[Message]:
        return [each for each in self.messages if "method" not in each and each["id"] == identity]

    async def answer(self, identity: Any) -> Message:
        """The answer to a request, whether it came already or not."""
        while not (found := self.answers(identity)):
            await self.receive()
        return found[0]

    async def result(self, identity: Any) -> Any:
        answer = await self.answer(identity)
        assert "error" not in answer, answer
        return answer["result"]

    async def error(self, identity: Any) -> Message:
        answer = await self.answer(identity)
        assert "result" not in answer, answer
        error: Message = answer["error"]
        return error

    async def call(self, method: str, params: Any = None) -> Any:
        return await self.result(self.ask(method, params))

    async def everything(self) -> None:
        """Until all that the daemon had to say so far has come."""
        await self.answer(self.ask("languages"))

    def events(self, identity: Any, method: str = "run.output") -> list[Message]:
        """The params of a run's notifications that came so far."""
        return [
            each["params"]
            for each in self.messages
            if each.get("method") == method and each["params"]["id"] == identity
        ]

    def output(self, identity: Any, stream: str = "stdout") -> bytes:
        """What came in `run.output` so far."""
        events = self.events(identity)
        return b"".join(
            each["raw"] if "raw" in each else blob_bytes(each["data"])
            for each in events
            if each["stream"] == stream
        )
