"""The talk with a session's driver: what it is to run goes in, lines on how that goes come out.

The driver shares a process with the program, so nothing that it says is trusted: it is
bounded and typed, and what does not fit ends the session.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from sandboxd.errors import SandboxdError
from sandboxd.languages import Language
from sandboxd.run.files import Collection
from sandboxd_client.protocol import Base64, OutputFile, SkippedFile, from_blob, to_blob

SESSION = "SANDBOXD_SESSION"
"""Set in the environment of a driver, whose runner then leaves it the notes."""
READY = 0
"""The run that a driver says has ended when it is up."""
_ROOM = 8 * 1024 * 1024
"""Bytes of files that are made of a value: they come in the line."""
_LINE_MOST = 16 * 1024 * 1024
_Count = Annotated[int, Meta(ge=0, le=2**53)]


class DriverError(SandboxdError):
    """What a driver says cannot be."""


class Shown(Struct, frozen=True):
    """A file made of a value, such as its HTML; without data it was too large."""

    path: Annotated[
        str, Meta(pattern=r"^((value|display-\d{1,9})\.(html|png)|figure-\d{1,9}\.png)$")
    ]
    size: _Count
    data: Annotated[str, Meta(max_length=_LINE_MOST)] | None = None


class Word(Struct, frozen=True):
    """A run has begun, and can be interrupted; or it has ended, and the next may come."""

    run: _Count
    exit_code: Annotated[int, Meta(ge=0, le=255)] | None = None
    """None when it has begun."""
    cpu: Annotated[float, Meta(ge=0, le=1e9)] = 0.0
    """Seconds since the session began."""
    memory: _Count = 0
    value: Annotated[str, Meta(max_length=100_000)] | None = None
    files: Annotated[list[Shown], Meta(max_length=1000)] = []


_decoder = msgspec.json.Decoder(Word)


class WordReader:
    """Reassembles a driver's lines from notes of any chunking."""

    def __init__(self) -> None:
        self._left = bytearray()
        self._searched = 0

    def feed(self, data: bytes) -> Iterator[Word]:
        """Those that are whole now. Raises DriverError."""
        self._left += data
        while (at := self._left.find(b"\n", self._searched)) >= 0:
            line = bytes(self._left[:at])
            del self._left[: at + 1]
            self._searched = 0
            try:
                yield _decoder.decode(line)
            except (msgspec.DecodeError, ValueError, RecursionError) as error:
                raise DriverError(f"its driver said what it cannot mean: {error}") from None
        self._searched = len(self._left)
        if self._searched > _LINE_MOST:
            raise DriverError(f"its driver said more than {_LINE_MOST} bytes in a line")


class Piece(Struct, frozen=True):
    """What a driver is to run."""

    run: int
    code: str
    args: list[str]
    env: dict[str, str]
    streams: str
    """What it opens as stdin, stdout and stderr before it tells of the beginning: with a
    dot and the descriptor's number behind it. Where they are not there it has the last."""
    room: int
    """Bytes of files that may be made of its value."""
    interrupts: int
    """How many there were in the session."""


def encode_piece(  # noqa: PLR0913 - a run has many parts
    language: Language,
    run: int,
    code: str,
    *,
    args: list[str],
    env: dict[str, str],
    streams: str,
    files_total: int,
    interrupts: int,
) -> bytes:
    """For the driver's stdin. Raises InvalidParamsError for what no process can be given."""
    fields = language.encode_fields(args, env)
    if language.message == "shell":
        # A shell's text has no NUL: that of a script is passed over too.
        parts = (streams.encode(), fields, code.replace("\0", "").encode())
        sizes = " ".join(str(len(part)) for part in parts)
        return f"{run} {sizes}\n".encode() + b"".join(parts)
    room = min(files_total, _ROOM)
    payload = msgspec.json.encode(Piece(run, code, args, env, streams, room, interrupts))
    return b"%d\n%s" % (len(payload), payload)


def shown_files(end: Word, most: int) -> Collection:
    """The files that were made of a value, within `most` bytes."""
    collection = Collection.empty()
    left = most
    for shown in end.files:
        try:
            data = None if shown.data is None else from_blob(Base64(shown.data))
        except ValueError:
            data = None
        if data is None or len(data) > left:
            why = f"{shown.size} bytes; there is room for {min(left, _ROOM)}"
            collection.skipped.append(SkippedFile(shown.path, why))
            continue
        left -= len(data)
        collection.files.append(OutputFile(shown.path, len(data), to_blob(data)))
    return collection
