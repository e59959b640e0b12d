"""Lines out of bytes. Knows newlines and limits, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

_START = 512


class LineTooLong(NamedTuple):
    """A line over the limit was left out; the lines after it follow."""

    start: bytes
    """Its first bytes, which may tell what it was about."""


class LineReader:
    """Cuts a byte stream at its newlines, and lets no line grow past the limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self._size = 0
        self._dropping = False

    def feed(self, data: bytes) -> Iterator[bytes | LineTooLong]:
        """The lines that are whole now; empty ones are left out."""
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            line = self._finish(data[start:end])
            start = end + 1
            if line:
                yield line
        if start < len(data):
            yield from self._keep(data[start:] if start else data)

    def _finish(self, last: bytes) -> bytes | LineTooLong | None:
        pieces, self._pieces = self._pieces, []
        size, self._size = self._size + len(last), 0
        if self._dropping:
            self._dropping = False
            return None
        if size > self._limit:
            return LineTooLong(b"".join((*pieces, last))[:_START])
        return b"".join((*pieces, last)) if pieces else last

    def _keep(self, rest: bytes) -> Iterator[LineTooLong]:
        if self._dropping:
            return
        self._pieces.append(rest)
        self._size += len(rest)
        if self._size > self._limit:
            start = b"".join(self._pieces)[:_START]
            self._pieces.clear()
            self._size = 0
            self._dropping = True
            yield LineTooLong(start)
