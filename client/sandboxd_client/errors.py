"""What can go wrong between a client and the daemon, as exceptions.

A program that fails is not among them: that is a `RunResult`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:  # as `typing` has it, which costs as much as all of this file
    from pathlib import Path
    from typing import Any

_INVALID_PARAMS = -32602
_CANCELLED = -32800


class SandboxError(Exception):
    """The base of all errors of this package."""


class UsageError(SandboxError):
    """A client was used in a way that cannot work, such as a session that was not entered;
    the message says what would be right."""


class NotRunningError(SandboxError):
    """No daemon listens on the socket."""

    def __init__(self, socket: str | Path, why: str) -> None:
        super().__init__(
            f"no sandboxd listens on {socket} ({why}). Start one with `sandboxd serve`, "
            "or let `sandbox run --daemon auto` start it; "
            "another socket is named by --socket or $SANDBOXD_SOCKET."
        )
        self.socket = socket


class ConnectionLostError(SandboxError):
    """The daemon closed the connection before it answered."""


class NodeLostError(SandboxError):
    """A node of a cluster, or its daemon, was lost: the program may have run, or not.

    `node` is the id that Ray has for it, None where there was none to run it.
    """

    kind = "node_lost"

    def __init__(self, node: str | None, why: str) -> None:
        super().__init__(why if node is None else f"node {node[:12]} was lost: {why}")
        self.node = node
        self.why = why


class RemoteError(SandboxError):
    """The daemon answered with an error.

    `code` is JSON-RPC's, `kind` the stable name of an error of this domain (None
    for JSON-RPC's own), and `data` whatever else the daemon told.
    """

    def __init__(self, code: int, message: str, data: dict[str, Any]) -> None:
        super().__init__(message)
        self.code = code
        self.data = data
        self.kind: str | None = data.get("kind")


class InvalidParamsError(RemoteError):
    """The request was not understood: a field is unknown, missing or of a wrong type."""


class CancelledError(RemoteError):
    """The request was cancelled, and its program killed."""


class UnknownLanguageError(RemoteError):
    pass


class InvalidLimitsError(RemoteError):
    pass


class NotPermittedError(RemoteError):
    pass


class QueueFullError(RemoteError):
    """Too many runs wait already; `retry_after` says when to come again, in seconds."""

    @property
    def retry_after(self) -> float:
        return float(self.data.get("retry_after", 1.0))


class QuotaExceededError(RemoteError):
    pass


class EngineUnavailableError(RemoteError):
    pass


class ImageUnavailableError(RemoteError):
    pass


class StartFailedError(RemoteError):
    pass


class PayloadTooLargeError(RemoteError):
    pass


class SessionNotFoundError(RemoteError):
    pass


class SessionBusyError(RemoteError):
    pass


class RunNotFoundError(RemoteError):
    pass


class ShuttingDownError(RemoteError):
    pass


_BY_KIND: dict[str, type[RemoteError]] = {
    "unknown_language": UnknownLanguageError,
    "invalid_limits": InvalidLimitsError,
    "not_permitted": NotPermittedError,
    "queue_full": QueueFullError,
    "quota_exceeded": QuotaExceededError,
    "engine_unavailable": EngineUnavailableError,
    "image_unavailable": ImageUnavailableError,
    "start_failed": StartFailedError,
    "payload_too_large": PayloadTooLargeError,
    "session_not_found": SessionNotFoundError,
    "session_busy": SessionBusyError,
    "run_not_found": RunNotFoundError,
    "shutting_down": ShuttingDownError,
}

_BY_CODE: dict[int, type[RemoteError]] = {
    _INVALID_PARAMS: InvalidParamsError,
    _CANCELLED: CancelledError,
}


def from_wire(code: int, message: str, data: dict[str, Any]) -> RemoteError:
    """The exception for an error object; a kind this client does not know is a RemoteError."""
    kind = data.get("kind")
    chosen = _BY_KIND.get(kind) if isinstance(kind, str) else None
    chosen = chosen or _BY_CODE.get(code) or RemoteError
    return chosen(code, message, data)
