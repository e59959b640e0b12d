"""The client of sandboxd: run code nobody has read, in warm containers.

    from sandboxd_client import Client

    with Client() as client:
        result = client.run("python", "print(6 * 7)")
        print(result.stdout)

Everything is imported on first use: the synchronous client costs no asyncio, and the
command `sandbox run` nothing at all.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:  # as `typing` has it, which this is not to import
    from typing import Any

    from sandboxd_client._files import File
    from sandboxd_client._wire import Event, Output, Queued, Started
    from sandboxd_client.aio import AsyncClient
    from sandboxd_client.aio_stream import AsyncRunStream
    from sandboxd_client.batch import (
        Program,
        aimap_programs,
        amap_programs,
        imap_programs,
        map_programs,
    )
    from sandboxd_client.errors import (
        CancelledError,
        ConnectionLostError,
        EngineUnavailableError,
        ImageUnavailableError,
        InvalidLimitsError,
        InvalidParamsError,
        NodeLostError,
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
        UsageError,
    )
    from sandboxd_client.protocol import (
        Base64,
        FilePart,
        Limits,
        Reuse,
        RunResult,
        State,
        Status,
        from_blob,
        to_blob,
    )
    from sandboxd_client.session import AsyncSession, Session
    from sandboxd_client.stream import RunStream
    from sandboxd_client.sync import Client

__version__ = "0.1.0"

__all__ = [
    "AsyncClient",
    "AsyncRunStream",
    "AsyncSession",
    "Base64",
    "CancelledError",
    "Client",
    "ConnectionLostError",
    "EngineUnavailableError",
    "Event",
    "File",
    "FilePart",
    "ImageUnavailableError",
    "InvalidLimitsError",
    "InvalidParamsError",
    "Limits",
    "NodeLostError",
    "NotPermittedError",
    "NotRunningError",
    "Output",
    "PayloadTooLargeError",
    "Program",
    "QueueFullError",
    "Queued",
    "QuotaExceededError",
    "RemoteError",
    "Reuse",
    "RunNotFoundError",
    "RunResult",
    "RunStream",
    "SandboxError",
    "Session",
    "SessionBusyError",
    "SessionNotFoundError",
    "ShuttingDownError",
    "StartFailedError",
    "Started",
    "State",
    "Status",
    "UnknownLanguageError",
    "UsageError",
    "aimap_programs",
    "amap_programs",
    "from_blob",
    "imap_programs",
    "map_programs",
    "to_blob",
]


_HOMES = {
    "_files": "File",
    "_wire": "Event Output Queued Started",
    "aio": "AsyncClient",
    "aio_stream": "AsyncRunStream",
    "batch": "Program aimap_programs amap_programs imap_programs map_programs",
    "errors": (
        "CancelledError ConnectionLostError EngineUnavailableError "
        "ImageUnavailableError InvalidLimitsError InvalidParamsError NodeLostError "
        "NotPermittedError NotRunningError PayloadTooLargeError QueueFullError QuotaExceededError "
        "RemoteError RunNotFoundError SandboxError SessionBusyError "
        "SessionNotFoundError ShuttingDownError StartFailedError UnknownLanguageError UsageError"
    ),
    "protocol": "Base64 FilePart Limits Reuse RunResult State Status from_blob to_blob",
    "session": "AsyncSession Session",
    "stream": "RunStream",
    "sync": "Client",
}
"""Where each public name is defined."""


def __getattr__(name: str) -> Any:
    import importlib  # noqa: PLC0415 - as all else, on first use

    for module, names in _HOMES.items():
        if name in names.split():
            return getattr(importlib.import_module(f"sandboxd_client.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
