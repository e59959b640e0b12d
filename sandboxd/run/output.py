"""What a program prints: cut between characters, kept within bounds."""

from __future__ import annotations

from sandboxd_client.protocol import Blob, to_blob

_CONTINUATION, _LEAD_2, _LEAD_3, _LEAD_4, _PAST = 0x80, 0xC0, 0xE0, 0xF0, 0xF8


def incomplete_tail(data: bytes) -> int:
    """How many bytes at the end begin a UTF-8 character without finishing it."""
    for back in range(1, min(3, len(data)) + 1):
        byte = data[-back]
        if byte < _CONTINUATION or byte >= _PAST:
            return 0
        if byte >= _LEAD_2:
            needs = 2 if byte < _LEAD_3 else 3 if byte < _LEAD_4 else 4
            return back if back < needs else 0
    return 0


class OutputStream:
    """One of a run's two streams."""

    def __init__(self, *, capture: bool) -> None:
        self.count = 0
        """Bytes that came through, those thrown away by the guest not among them."""
        self._capture = capture
        self._pieces: list[bytes] = []
        self._held = b""

    def feed(self, data: bytes) -> Blob | None:
        """Takes what was printed and gives what can be sent on; None when that is
        only the beginning of a character."""
        self.count += len(data)
        if self._capture:
            self._pieces.append(data)
        if self._held:
            data, self._held = self._held + data, b""
        if tail := incomplete_tail(data):
            data, self._held = data[:-tail], data[-tail:]
        return to_blob(data) if data else None

    def flush(self) -> Blob | None:
        """What is left at the end: a character that was never finished."""
        data, self._held = self._held, b""
        return to_blob(data) if data else None

    def captured(self) -> Blob | None:
        """All of it; None when it was not to be captured."""
        return to_blob(b"".join(self._pieces)) if self._capture else None
