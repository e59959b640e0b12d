"""The log as a witness: what nobody foresaw is logged as an error, and fails the test."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from structlog.testing import capture_logs
from structlog.typing import EventDict

_GRAVE = ("error", "critical")


@contextlib.contextmanager
def watched() -> Iterator[list[EventDict]]:
    """The log's entries; at the end there must be no error among them."""
    with capture_logs() as entries:
        yield entries
    grave = [entry for entry in entries if entry["log_level"] in _GRAVE]
    assert not grave, grave
