"""Files of a run: laid before it, and the ones that were asked for taken back after it.

They never touch the host's file system. The guest lays, lists and reads them,
and follows no link; what is decided here is which, and how much.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from wcmatch import glob

from sandboxd.errors import InvalidParamsError, PayloadTooLargeError
from sandboxd.guest import frames
from sandboxd.guest.frames import Command
from sandboxd.pool.guest import Guest
from sandboxd.run.active import ActiveRun
from sandboxd_client.protocol import Base64, OutputFile, SkippedFile, from_blob, to_blob

_PATH_MAX = 4095
_GLOB = glob.GLOBSTAR | glob.DOTGLOB | glob.BRACE
_REGULAR = "f"
_NAMES = {"f": "file", "d": "folder", "l": "link", "p": "pipe", "s": "socket"}
_KINDS = {
    "d": "a folder",
    "l": "a symbolic link",
    "p": "a named pipe",
    "s": "a socket",
    "c": "a device",
    "b": "a device",
}


def encode_files(files: Mapping[str, str | Base64], most: int, code_name: str) -> bytes:
    """The frames that lay files in the work folder.

    Raises InvalidParamsError for a path that leaves it, PayloadTooLargeError past `most`.
    """
    parts = []
    for path, data in decode_files(files, most, code_name).items():
        parts.append(frames.encode(Command.PUT, path.encode()))
        parts.append(frames.encode_data(Command.DATA, data))
    return b"".join(parts)


def decode_files(files: Mapping[str, str | Base64], most: int, code_name: str) -> dict[str, bytes]:
    """The same checks, and the bytes of each file."""
    decoded = {}
    for path, blob in files.items():
        check_path(path, code_name)
        try:
            decoded[path] = from_blob(blob)
        except ValueError as error:
            raise InvalidParamsError(f"files: {path}: {error}") from None
    total = sum(len(data) for data in decoded.values())
    if total > most:
        raise PayloadTooLargeError(
            f"files have {total} bytes; limits.files_total is {most}", limit="files_total", max=most
        )
    return decoded


def check_path(path: str, code_name: str) -> None:
    """Raises InvalidParamsError for one that leaves the work folder or is the program."""
    parts = path.split("/")
    if not path or "\0" in path or len(path.encode()) > _PATH_MAX:
        raise InvalidParamsError(f"files: not a path: {path[:80]!r}")
    if any(part in ("", ".", "..") for part in parts):
        raise InvalidParamsError(
            f'files: {path[:80]!r} must be relative to the work folder, without "." or ".."'
        )
    if path == code_name:
        raise InvalidParamsError(f"files: {path} is the program itself")


class Entry(NamedTuple):
    """Something in the work folder."""

    kind: str
    """One letter, as of `find -printf %y`."""
    size: int
    path: str

    @property
    def name_of_kind(self) -> str:
        return _NAMES.get(self.kind, "device")


def parse_listing(data: bytes) -> Iterator[Entry]:
    """The entries of a guest's listing; those that no text can name are left out."""
    for line in data.split(b"\0")[:-1]:
        kind, size, path = line.split(b" ", 2)
        try:
            yield Entry(kind.decode(), int(size), path.decode())
        except UnicodeDecodeError:
            continue


def matches(path: str, patterns: list[str]) -> bool:
    return bool(glob.globmatch(path, patterns, flags=_GLOB))


def exactly(path: str) -> str:
    """The pattern that this path alone matches."""
    return str(glob.escape(path))


class Collection(NamedTuple):
    files: list[OutputFile]
    skipped: list[SkippedFile]


async def list_entries(guest: Guest, run: ActiveRun) -> tuple[list[Entry], int]:
    """What is in the work folder, by path, and an errno if the listing broke off. Raises
    RunLostError."""
    guest.list_files()
    listing, error = await run.next_file()
    return sorted(parse_listing(listing), key=lambda entry: entry.path), error


async def collect(
    guest: Guest, run: ActiveRun, patterns: list[str], most_bytes: int, most_files: int
) -> Collection:
    """Takes back the files that the patterns name, of a run that was held at its end.

    What does not come is listed with the reason. Raises RunLostError.
    """
    collection = Collection([], [])
    entries, error = await list_entries(guest, run)
    if error:
        collection.skipped.append(SkippedFile("", f"the listing broke off: {os.strerror(error)}"))
    left = most_bytes
    for entry in entries:
        if not matches(entry.path, patterns):
            continue
        if why := _obstacle(entry, left, most_files - len(collection.files)):
            if entry.kind != "d":
                collection.skipped.append(SkippedFile(entry.path, why))
            continue
        guest.read_file(entry.path)
        data, error = await run.next_file()
        if error:
            collection.skipped.append(SkippedFile(entry.path, os.strerror(error)))
            continue
        left -= len(data)
        collection.files.append(OutputFile(entry.path, len(data), to_blob(data)))
    return collection


def _obstacle(entry: Entry, bytes_left: int, files_left: int) -> str | None:
    if entry.kind != _REGULAR:
        return f"{_KINDS.get(entry.kind, 'something unknown')}, not a regular file"
    if files_left <= 0:
        return "too many files"
    if entry.size > bytes_left:
        return f"{entry.size} bytes; limits.files_total leaves {bytes_left}"
    return None
