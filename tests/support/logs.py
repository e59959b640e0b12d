"""The log as a witness: what nobody foresaw is logged as an error, and fails the test."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from structlog.testing import capture_logs
from structlog.typing import EventDict

_GRAVE = ("error", "critical")


class _Listener(logging.Handler):
    """Takes what the event loop complains of: an exception in a callback, a task forgotten."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.complaints: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.complaints.append(record.getMessage())


@contextlib.contextmanager
def watched() -> Iterator[list[EventDict]]:
    """The log's entries; at the end there must be no error among them, nor one of the loop's."""
    listener, loops = _Listener(), logging.getLogger("asyncio")
    loops.addHandler(listener)
    try:
        with capture_logs() as entries:
            yield entries
    finally:
        loops.removeHandler(listener)
    grave = [entry for entry in entries if entry["log_level"] in _GRAVE]
    assert not grave, grave
    assert not listener.complaints, listener.complaints
