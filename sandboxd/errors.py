"""Errors that know what they are on the wire.

Whatever else is raised is a bug: logged in full, and sent as a plain internal
error without its text.
"""

from __future__ import annotations

from typing import Any, ClassVar

from sandboxd_client.protocol import ErrorKind


class SandboxdError(Exception):
    """The base. The message says what was wrong and what would be right."""


class WireError(SandboxdError):
    """An error that a client sees, under its `kind` and with the fields of `data`."""

    kind: ClassVar[ErrorKind]

    def __init__(self, message: str, **data: Any) -> None:
        super().__init__(message)
        self.data = data


class UnknownLanguageError(WireError):
    kind = ErrorKind.UNKNOWN_LANGUAGE


class InvalidLimitsError(WireError):
    kind = ErrorKind.INVALID_LIMITS


class NotPermittedError(WireError):
    kind = ErrorKind.NOT_PERMITTED


class QueueFullError(WireError):
    """Carries `retry_after`, in seconds."""

    kind = ErrorKind.QUEUE_FULL


class QuotaExceededError(WireError):
    """Carries `retry_after`, in seconds."""

    kind = ErrorKind.QUOTA_EXCEEDED


class EngineUnavailableError(WireError):
    """The container engine is absent, down, or does not answer."""

    kind = ErrorKind.ENGINE_UNAVAILABLE


class ImageUnavailableError(WireError):
    """An image is neither here nor to be had."""

    kind = ErrorKind.IMAGE_UNAVAILABLE


class StartFailedError(WireError):
    """A container was refused, or its guest did not come up."""

    kind = ErrorKind.START_FAILED


class PayloadTooLargeError(WireError):
    kind = ErrorKind.PAYLOAD_TOO_LARGE


class SessionNotFoundError(WireError):
    """No such session, or none of the caller's; or it was closed or has expired."""

    kind = ErrorKind.SESSION_NOT_FOUND


class SessionBusyError(WireError):
    """Another run is under way in it."""

    kind = ErrorKind.SESSION_BUSY


class RunNotFoundError(WireError):
    """No such run, or none of the caller's."""

    kind = ErrorKind.RUN_NOT_FOUND


class ShuttingDownError(WireError):
    kind = ErrorKind.SHUTTING_DOWN


class InvalidParamsError(SandboxdError):
    """A request is of the right types and still cannot be meant."""


class ConfigError(SandboxdError):
    """The configuration says something that cannot be."""


class SetupError(SandboxdError):
    """The host cannot be made ready; the message says what to do by hand."""


class AlreadyRunningError(SandboxdError):
    """Another daemon serves this socket."""
