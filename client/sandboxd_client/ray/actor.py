"""The actor on each node: a client of that node's own daemon."""

from __future__ import annotations

import asyncio
import enum
import sys
from collections.abc import AsyncIterator
from typing import Any, Literal

import msgspec
from msgspec import Struct

from sandboxd_client._wire import Output, Started
from sandboxd_client.aio import AsyncClient
from sandboxd_client.aio_stream import AsyncRunStream
from sandboxd_client.batch import Program, _arun_patiently
from sandboxd_client.errors import (
    ConnectionLostError,
    NotRunningError,
    RemoteError,
    SandboxError,
    ShuttingDownError,
    from_wire,
)
from sandboxd_client.protocol import FilesRead, Method, Params, RunParams, RunResult

DaemonMode = Literal["auto", "never"]
_POLL = 0.2
"""Seconds between one look for the daemon and the next."""


class Lost(enum.Enum):
    """How far a program got whose daemon is gone."""

    NOT_STARTED = "not started"
    UNKNOWN = "unknown"


class Fault(Struct, frozen=True):
    """An error on its way between processes."""

    message: str
    code: int | None = None
    data: dict[str, Any] = {}
    lost: Lost | None = None

    def error(self) -> SandboxError:
        if self.code is None:
            return SandboxError(self.message)
        return from_wire(self.code, self.message, self.data)


class Ended(Struct, frozen=True):
    """What became of a program."""

    result: RunResult | None = None
    fault: Fault | None = None


class Happened(Struct, frozen=True):
    """One event of a stream, or its end."""

    started: Started | None = None
    output: Output | None = None
    ended: Ended | None = None


_START = """
import sys
from sandboxd_client.cli.daemon import start_unless_running
from sandboxd_client.errors import SandboxError
try:
    start_unless_running(None)
except SandboxError as error:
    sys.exit(str(error))
"""

_LOST = {NotRunningError: Lost.NOT_STARTED, ConnectionLostError: Lost.UNKNOWN}

encode = msgspec.msgpack.Encoder().encode
_batch = msgspec.msgpack.Decoder(list[RunParams])
_program = msgspec.msgpack.Decoder(RunParams)


def to_fault(error: SandboxError) -> Fault:
    if not isinstance(error, RemoteError):
        return Fault(str(error), lost=_LOST.get(type(error)))
    lost = None
    if isinstance(error, ShuttingDownError):
        lost = Lost.UNKNOWN if "run" in error.data else Lost.NOT_STARTED
    return Fault(str(error), error.code, error.data, lost)


async def _start_daemon() -> None:
    """By a process in between: Ray ends an actor's children with it, and a daemon is to stay.

    Raises SandboxError.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _START, stderr=asyncio.subprocess.PIPE
    )
    _, words = await process.communicate()
    if process.returncode:
        raise SandboxError(words.decode(errors="replace").strip())


class NodeActor:
    """Speaks to the daemon on this node's socket, at most `slots` programs of a batch at once."""

    def __init__(self, slots: int, daemon: DaemonMode) -> None:
        self._client = AsyncClient()
        self._places = asyncio.Semaphore(slots)
        self._daemon = daemon

    async def ready(self) -> None:
        """Returns once the daemon answers; starts one where it is to."""
        while True:
            try:
                await self._client.initialize()
            except ConnectionLostError:
                pass
            except NotRunningError:
                if self._daemon == "auto":
                    await _start_daemon()
            else:
                return
            await asyncio.sleep(_POLL)

    async def run(self, batch: bytes) -> bytes:
        """Runs programs side by side; what became of each, in their order."""
        ends = await asyncio.gather(*(self._run(params) for params in _batch.decode(batch)))
        return encode(ends)

    async def _run(self, params: RunParams) -> Ended:
        async with self._places:
            outcome = await _arun_patiently(self._client, Program.of(params))
        if isinstance(outcome, SandboxError):
            return Ended(fault=to_fault(outcome))
        return Ended(result=outcome)

    async def stream(self, program: bytes) -> AsyncIterator[bytes]:
        """The events of a run, each a `Happened`."""
        try:
            async with AsyncRunStream(self._client, _program.decode(program)) as run:
                async for event in run:
                    if isinstance(event, Output):
                        yield encode(Happened(output=event))
                    else:
                        yield encode(Happened(started=event))
                yield encode(Happened(ended=Ended(result=run.result)))
        except SandboxError as error:
            yield encode(Happened(ended=Ended(fault=to_fault(error))))

    async def call(self, method: Method, params: bytes, kind: type[Params]) -> bytes | Fault:
        """Any other request: the answer as it stands, or why there is none."""
        # Files may come ahead of their answer, and belong into it.
        answered: Any = FilesRead if method is Method.FILES_READ else msgspec.Raw
        try:
            answer = await self._client._call(  # noqa: SLF001 - a part of the client
                method, msgspec.msgpack.decode(params, type=kind), answered
            )
        except SandboxError as error:
            return to_fault(error)
        return msgspec.json.encode(answer)
