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
    """One of a run's two streams, of which the first `keep` bytes are kept. A raw one
    may be cut anywhere."""

    def __init__(self, *, keep: int, raw: bool = False) -> None:
        self.count = 0
        """Bytes that came through, those thrown away by the guest not among them."""
        self._keep = keep
        self._raw = raw
        self._pieces: list[bytes] = []
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Takes what was printed and gives what can be sent on; nothing when that is
        only the beginning of a character."""
        self.count += len(data)
        if self._keep > 0:
            self._pieces.append(data[: self._keep])
            self._keep -= len(data)
        if self._raw:
            return data
        if self._held:
            data, self._held = self._held + data, b""
        if tail := incomplete_tail(data):
            data, self._held = data[:-tail], data[-tail:]
        return data

    def flush(self, *, cut: bool = False) -> bytes:
        """What is left at the end: a character that was never finished. Where the output
        was cut it is that which cut it, and is dropped: text stays text."""
        data, self._held = self._held, b""
        if cut and data:
            kept = b"".join(self._pieces)
            self._pieces = [kept.removesuffix(data)]
            return b""
        return data

    def kept(self) -> Blob:
        """The beginning of it, as much as was to be kept."""
        return to_blob(b"".join(self._pieces))
