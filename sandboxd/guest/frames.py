"""The frames between the daemon and the guest; frame.h is the same page in C."""

from __future__ import annotations

import enum
import signal
import struct
from collections.abc import Iterator
from typing import NamedTuple

VERSION = 5
PAYLOAD_MAX = 65536
MESSAGE_MAX = 1024 * 1024
"""Bytes of arguments and environment: what the runner's pipe can hold."""
STDIN_WINDOW = 262144
"""Bytes of stdin that the guest takes before it tells of room for more."""
OUTPUT_FLOOD = 64
"""Times its output limit, a run may write before it is ended."""

_HEADER = struct.Struct("<IB")
_GO = struct.Struct("<IQB")
_SIZE = struct.Struct("<Q")
_STDIN, _HOLD, _NOTES, _KEEP, _WHOLE = 1, 2, 4, 8, 16
_VERDICT = struct.Struct("<BiiQQQQQI")
_PUT = struct.Struct("<BHQ")
_PUT_MODE, _PUT_AT = 1, 2
_RANGE = struct.Struct("<QQ")
_TO_THE_END = 2**64 - 1
_CREDIT = struct.Struct("<I")
_INPUT_CREDIT = struct.Struct("<II")
_ERRNO = struct.Struct("<i")


class Command(enum.IntEnum):
    """Frames to the guest."""

    WELCOME = ord("W")
    CODE = ord("C")
    MESSAGE = ord("M")
    SIZE = ord("S")
    PUT = ord("P")
    DATA = ord("D")
    PUT_END = ord("Q")
    GO = ord("G")
    STDIN = ord("I")
    STDIN_EOF = ord("E")
    STREAMS = ord("N")
    INPUT = ord("J")
    INPUT_EOF = ord("X")
    INTERRUPT = ord("T")
    KILL = ord("K")
    LIST = ord("L")
    READ = ord("R")
    RELEASE = ord("F")
    AGAIN = ord("A")


class Event(enum.IntEnum):
    """Frames from the guest."""

    HELLO = ord("h")
    READY = ord("r")
    STDOUT = ord("o")
    STDERR = ord("e")
    CREDIT = ord("c")
    STREAMS = ord("s")
    INPUT_CREDIT = ord("i")
    NOTE = ord("n")
    EXIT = ord("x")
    FILE = ord("f")
    FILE_END = ord("g")
    PUT_FAILED = ord("p")
    FATAL = ord("!")


class Cause(enum.IntEnum):
    """What ended a run, as the guest saw it."""

    EXITED = 0
    TIMEOUT = 1
    KILLED = 2
    OUTPUT = 3
    LOST = 4


class Verdict(NamedTuple):
    """The end of a run, from the guest's struct verdict."""

    cause: int
    exit_code: int
    """-1 when a signal ended it."""
    signal: int
    ran_us: int
    cpu_us: int
    rss_bytes: int
    stdout_written: int
    stderr_written: int
    oom_kills: int


class FrameError(ValueError):
    """The stream is not frames, or a frame is not what its type says."""


def encode(command: Command, payload: bytes = b"") -> bytes:
    """One frame; the payload is at most PAYLOAD_MAX bytes."""
    if len(payload) > PAYLOAD_MAX:
        raise FrameError(f"a frame holds {PAYLOAD_MAX} bytes, not {len(payload)}")
    return _HEADER.pack(len(payload), command) + payload


def encode_data(command: Command, data: bytes) -> bytes:
    """As many frames as the data needs."""
    return b"".join(encode_each(command, data))


def encode_each(command: Command, data: bytes) -> list[bytes]:
    """The same, one by one."""
    if len(data) <= PAYLOAD_MAX:
        return [encode(command, data)] if data else []
    return [
        encode(command, data[start : start + PAYLOAD_MAX])
        for start in range(0, len(data), PAYLOAD_MAX)
    ]


def encode_interrupt(number: signal.Signals) -> bytes:
    """INTERRUPT, by SIGINT, SIGTERM or SIGHUP."""
    return encode(Command.INTERRUPT, bytes([number]))


def encode_size(size: int) -> bytes:
    """The frame that sets the size of all that the program can write."""
    return encode(Command.SIZE, _SIZE.pack(size))


def encode_put(path: str, mode: int | None = None, offset: int | None = None) -> bytes:
    """The frame that begins a file: whole and anew, or from an offset on."""
    flags = (0 if mode is None else _PUT_MODE) | (0 if offset is None else _PUT_AT)
    return encode(Command.PUT, _PUT.pack(flags, mode or 0, offset or 0) + path.encode())


def encode_read(path: str, offset: int = 0, length: int | None = None) -> bytes:
    """The frame that asks for a file, or for a part of it."""
    most = _TO_THE_END if length is None else length
    return encode(Command.READ, _RANGE.pack(offset, most) + path.encode())


def encode_go(
    timeout: float,
    output_limit: int,
    *,
    stdin: bool,
    hold: bool = False,
    notes: bool = False,
    keep: bool = False,
    whole: bool = False,
) -> bytes:
    """The frame that begins a run.

    The timeout is in seconds; with `hold` its files can be had after its end, until
    RELEASE; with `notes` there is no limit to what it notes; with `keep` its box outlives
    it, and AGAIN begins another interpreter there; with `whole` output may wait some
    milliseconds for the end of the run.
    """
    flags = _STDIN * stdin | _HOLD * hold | _NOTES * notes | _KEEP * keep | _WHOLE * whole
    return encode(Command.GO, _GO.pack(max(1, round(timeout * 1000)), output_limit, flags))


def decode_verdict(payload: bytes) -> Verdict:
    if len(payload) != _VERDICT.size:
        raise FrameError(f"a verdict has {_VERDICT.size} bytes, not {len(payload)}")
    return Verdict(*_VERDICT.unpack(payload))


def decode_credit(payload: bytes) -> int:
    if len(payload) != _CREDIT.size:
        raise FrameError(f"a credit has {_CREDIT.size} bytes, not {len(payload)}")
    credit: int = _CREDIT.unpack(payload)[0]
    return credit


def decode_streams(payload: bytes) -> int:
    """How many STREAMS there were when output began to come from the last of them."""
    return decode_credit(payload)


def decode_input_credit(payload: bytes) -> tuple[int, int]:
    """How many STREAMS there were, and the bytes of INPUT taken for the last of them."""
    if len(payload) != _INPUT_CREDIT.size:
        raise FrameError(f"a credit for input has {_INPUT_CREDIT.size} bytes, not {len(payload)}")
    streams, count = _INPUT_CREDIT.unpack(payload)
    return streams, count


def decode_error(payload: bytes) -> tuple[int, str]:
    """An errno, and what it is about."""
    if len(payload) < _ERRNO.size:
        raise FrameError("an error without its number")
    return _ERRNO.unpack_from(payload)[0], payload[_ERRNO.size :].decode(errors="replace")


def decode_hello(payload: bytes) -> dict[str, str]:
    """The `key=value` lines of a hello."""
    pairs = (line.partition("=") for line in payload.decode(errors="replace").splitlines())
    return {key: value for key, _, value in pairs}


class FrameReader:
    """Reassembles frames from bytes of any chunking."""

    def __init__(self) -> None:
        self._begun = b""
        """A frame that is not whole yet."""

    def feed(self, data: bytes) -> Iterator[tuple[int, memoryview]]:
        """The frames that are whole now, as type and payload. Raises FrameError.

        A payload is a view of `data`, but for one that began before it.
        """
        at = 0
        if self._begun:
            at = self._complete(data)
            if at < 0:
                return
            whole, self._begun = self._begun, b""
            yield whole[_HEADER.size - 1], memoryview(whole)[_HEADER.size :]
        view, end = memoryview(data), len(data)
        while end - at >= _HEADER.size:
            length, kind = _unpack(data, at)
            start = at + _HEADER.size
            if end - start < length:
                break
            at = start + length
            yield kind, view[start:at]
        self._begun = data[at:]

    def _complete(self, data: bytes) -> int:
        """Adds what the begun frame lacks, and tells how much that was; -1: it lacks more."""
        at = 0
        if (lacking := _HEADER.size - len(self._begun)) > 0:
            at = min(lacking, len(data))
            self._begun += data[:at]
            if len(self._begun) < _HEADER.size:
                return -1
        lacking = _HEADER.size + _unpack(self._begun, 0)[0] - len(self._begun)
        self._begun += data[at : at + lacking]
        return at + lacking if len(data) - at >= lacking else -1


def _unpack(data: bytes, at: int) -> tuple[int, int]:
    """The length and type in a header. Raises FrameError."""
    length, kind = _HEADER.unpack_from(data, at)
    if length > PAYLOAD_MAX:
        raise FrameError(f"a frame of {length} bytes")
    return length, kind
