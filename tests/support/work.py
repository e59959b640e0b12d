"""The work folder of a program in the engine double: what LIST and READ answer from."""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator

from sandboxd.guest.frames import PAYLOAD_MAX, Event

Said = Iterator[tuple[Event, bytes]]


class WorkFolder:
    """Files by path; what ends in "/" is a folder, and its bytes do not matter."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.room = 2**63
        """Bytes that it takes, all together."""
        self.failed = False
        """A file could not be laid: there will be no run."""
        self._laying = ""

    def put(self, path: str) -> None:
        self._laying = path
        self.files[path] = b""

    def data(self, data: bytes) -> Said:
        if self.failed:
            return
        self.files[self._laying] += data
        if sum(map(len, self.files.values())) > self.room:
            self.failed = True
            number = struct.pack("<i", errno.ENOSPC)
            yield Event.PUT_FAILED, number + self._laying.encode()

    def list(self) -> Said:
        lines = [
            f"{'d' if path.endswith('/') else 'f'} {len(data)} {path.rstrip('/')}\0"
            for path, data in self.files.items()
        ]
        yield from _whole("".join(lines).encode())

    def read(self, path: str) -> Said:
        if path in self.files:
            yield from _whole(self.files[path])
        else:
            yield Event.FILE_END, struct.pack("<i", errno.ENOENT)


def _whole(data: bytes) -> Said:
    for start in range(0, len(data), PAYLOAD_MAX):
        yield Event.FILE, data[start : start + PAYLOAD_MAX]
    yield Event.FILE_END, bytes(4)
