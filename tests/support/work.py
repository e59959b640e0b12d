"""The work folder of a program in the engine double: what LIST and READ answer from."""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator

from sandboxd.guest.frames import PAYLOAD_MAX, Event

_PUT, _RANGE = struct.Struct("<BHQ"), struct.Struct("<QQ")
_PUT_MODE, _PUT_AT = 1, 2

Said = Iterator[tuple[Event, bytes]]


class WorkFolder:
    """Files by path; what ends in "/" is a folder, and its bytes do not matter."""

    def __init__(self) -> None:
        self.files: dict[str, bytearray] = {}
        self.room = 2**63
        """Bytes that it takes, all together."""
        self.failed = False
        """A file could not be laid: there will be no run."""
        self._modes: dict[str, int] = {}
        self._laying = ""
        self._at = 0

    def put(self, payload: bytes) -> None:
        flags, mode, self._at = _PUT.unpack_from(payload)
        path = self._laying = payload[_PUT.size :].decode()
        if flags & _PUT_MODE:
            self._modes[path] = mode
        content = bytearray(self.files.get(path, b"") if flags & _PUT_AT else b"")
        self.files[path] = content.ljust(self._at, b"\0")

    def data(self, data: bytes) -> Said:
        if self.failed:
            return
        content = self.files[self._laying]
        content[self._at : self._at + len(data)] = data
        self._at += len(data)
        if sum(map(len, self.files.values())) > self.room:
            self.failed = True
            number = struct.pack("<i", errno.ENOSPC)
            yield Event.PUT_FAILED, number + self._laying.encode()

    def list(self) -> Said:
        lines = [
            f"{'d' if path.endswith('/') else 'f'} {len(data)} {self._modes.get(path, 0o644):o} "
            f"0 {path.rstrip('/')}\0"
            for path, data in self.files.items()
        ]
        yield from _whole("".join(lines).encode())

    def read(self, payload: bytes) -> Said:
        offset, length = _RANGE.unpack_from(payload)
        path = payload[_RANGE.size :].decode()
        if path in self.files:
            yield from _whole(bytes(self.files[path][offset : offset + length]))
        else:
            yield Event.FILE_END, struct.pack("<i", errno.ENOENT)


def _whole(data: bytes) -> Said:
    for start in range(0, len(data), PAYLOAD_MAX):
        yield Event.FILE, data[start : start + PAYLOAD_MAX]
    yield Event.FILE_END, bytes(4)
