"""The client of sandboxd: run code nobody has read, in warm containers.

    from sandboxd_client import Client

    with Client() as client:
        result = client.run("python", "print(6 * 7)")
        print(result.stdout)

The asynchronous client is imported on first use, so that the synchronous one
costs no asyncio.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandboxd_client._wire import Event, Output, Started
from sandboxd_client.errors import (
    CancelledError,
    ConnectionLostError,
    EngineUnavailableError,
    ImageUnavailableError,
    InvalidLimitsError,
    InvalidParamsError,
    NotPermittedError,
    NotRunningError,
    PayloadTooLargeError,
    QueueFullError,
    QuotaExceededError,
    RemoteError,
    RunNotFoundError,
    SandboxError,
    SessionBusyError,
    SessionNotFoundError,
    ShuttingDownError,
    StartFailedError,
    UnknownLanguageError,
)
from sandboxd_client.protocol import Base64, Limits, Reuse, RunResult, Status, from_blob, to_blob
from sandboxd_client.sync import Client, RunStream

if TYPE_CHECKING:
    from sandboxd_client.aio import AsyncClient, AsyncRunStream

__version__ = "0.1.0"

__all__ = [
    "AsyncClient",
    "AsyncRunStream",
    "Base64",
    "CancelledError",
    "Client",
    "ConnectionLostError",
    "EngineUnavailableError",
    "Event",
    "ImageUnavailableError",
    "InvalidLimitsError",
    "InvalidParamsError",
    "Limits",
    "NotPermittedError",
    "NotRunningError",
    "Output",
    "PayloadTooLargeError",
    "QueueFullError",
    "QuotaExceededError",
    "RemoteError",
    "Reuse",
    "RunNotFoundError",
    "RunResult",
    "RunStream",
    "SandboxError",
    "SessionBusyError",
    "SessionNotFoundError",
    "ShuttingDownError",
    "StartFailedError",
    "Started",
    "Status",
    "UnknownLanguageError",
    "from_blob",
    "to_blob",
]


def __getattr__(name: str) -> Any:
    if name in {"AsyncClient", "AsyncRunStream"}:
        from sandboxd_client import aio  # noqa: PLC0415 - this delay is the point

        return getattr(aio, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
