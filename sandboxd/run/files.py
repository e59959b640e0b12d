"""Files that come out: what is in the work folder, and the ones that were asked for.

They never touch the host's file system. The guest lists and reads them, and follows no
link; what is decided here is which, and how much.
"""

from __future__ import annotations

import asyncio
import bisect
import errno
import os
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple

from wcmatch import glob

from sandboxd.pool.guest import Guest
from sandboxd.run.active import ActiveRun
from sandboxd.run.blobs import encode
from sandboxd_client.protocol import FilePart, OutputFile, SkippedFile

NO_FILE = "no such file"
_WORK_FOLDER = "/sandbox"
_PATH_MAX = 4095
_GLOB = glob.GLOBSTAR | glob.DOTGLOB | glob.BRACE
_DEEP = ("**", "{")
"""What may stand for any number of folders in a pattern."""
_TURN = 64
"""Entries that are looked at before the loop has its turn."""
_REGULAR, _FOLDER = "f", "d"
_NAMES = {"f": "file", "d": "folder", "l": "link", "p": "pipe", "s": "socket"}
_KINDS = {
    "d": "a folder",
    "l": "a symbolic link",
    "p": "a named pipe",
    "s": "a socket",
    "c": "a device",
    "b": "a device",
}


class Entry(NamedTuple):
    """Something in the work folder."""

    kind: str
    """One letter, as of `find -printf %y`."""
    size: int
    mode: int
    error: int
    """An errno: why it could not be looked at, or a folder not into; 0 otherwise."""
    path: str
    """With what is not UTF-8 escaped."""
    exact: bool
    """Whether that is its path."""

    @property
    def name_of_kind(self) -> str:
        return _NAMES.get(self.kind, "device")

    @property
    def obstacle(self) -> str | None:
        """Why it cannot be read, whatever its size."""
        if self.kind == _FOLDER and self.error == errno.E2BIG:
            return "a folder nested too deeply to be looked into"
        if self.error:
            what = "a folder, not looked into: " if self.kind == _FOLDER else ""
            return what + os.strerror(self.error)
        if self.kind != _REGULAR:
            return f"{_KINDS.get(self.kind, 'something unknown')}, not a regular file"
        return self.unsaid

    @property
    def unsaid(self) -> str | None:
        """Why its path cannot be told."""
        if not self.exact:
            return "its name is not UTF-8"
        if len(self.path.encode()) > _PATH_MAX:
            return f"its path is longer than {_PATH_MAX} bytes"
        return None


def parse_listing(data: bytes) -> Iterator[Entry]:
    """The entries of a guest's listing."""
    for line in data.split(b"\0")[:-1]:
        kind, size, mode, error, path = line.split(b" ", 4)
        text = path.decode(errors="backslashreplace")
        yield Entry(kind.decode(), int(size), int(mode, 8), int(error), text, text.encode() == path)


def matches(path: str, patterns: list[str]) -> bool:
    return bool(glob.globmatch(path, patterns, flags=_GLOB))


def with_folders(patterns: list[str]) -> list[str]:
    """The patterns, of which those that are plain names may name folders too: all that is
    in them is meant."""
    names = _names(patterns)
    magic = (_relative(each) for each in patterns if _is_magic(each))
    return [*magic, *names, *(f"{each}/**".removeprefix("./") for each in names)]


def _names(patterns: list[str]) -> list[str]:
    """Those that are plain names, each once."""
    plain = (each for each in patterns if not _is_magic(each))
    return [*dict.fromkeys(_relative(each.rstrip("/")) for each in plain)]


def _is_magic(pattern: str) -> bool:
    return bool(glob.is_magic(pattern, flags=_GLOB))


def _relative(pattern: str) -> str:
    """As seen from the work folder, of which programs know the absolute path."""
    if pattern == _WORK_FOLDER:
        return "."
    return pattern.removeprefix(f"{_WORK_FOLDER}/").removeprefix("./")


def missing(patterns: list[str], paths: list[str], skipped: list[SkippedFile]) -> list[str]:
    """Plain names among the patterns of which nothing is there: neither among the paths,
    which are sorted, nor where something was skipped and has told why."""
    told = {file.path for file in skipped}
    return [
        name
        for name in _names(patterns)
        if not (name == "." or _is_there(name, paths) or told & {"", name, *_folders(name)})
    ]


def why_missing(name: str) -> str:
    """What is told of a plain name of which nothing is there."""
    first = os.path.normpath(name).split("/")[0]
    return f"not in the work folder, {_WORK_FOLDER}" if first in {"", ".."} else NO_FILE


def tell_named(skipped: list[SkippedFile], patterns: list[str]) -> list[SkippedFile]:
    """The same, where each says whether it is missing from what was asked for by name."""
    names = {*_names(patterns)}
    above = {folder for name in names for folder in _folders(name)}

    def is_named(path: str) -> bool:
        if not path or "." in names:  # anything may have been left out, or is asked for
            return bool(names)
        return path in above or not names.isdisjoint((path, *_folders(path)))

    return [SkippedFile(file.path, file.why, is_named(file.path)) for file in skipped]


def _is_there(name: str, paths: list[str]) -> bool:
    """Whether it is a path, or a folder that one leads through."""
    for path in (name, f"{name}/"):
        at = bisect.bisect_left(paths, path)
        if at < len(paths) and (paths[at] == name or paths[at].startswith(f"{name}/")):
            return True
    return False


def _folders(path: str) -> Iterator[str]:
    """Those that it lies in."""
    while path := path.rpartition("/")[0]:
        yield path


def may_match_below(folder: str, patterns: list[str]) -> bool:
    """Whether something in that folder, or below, could be what a pattern names."""
    return any(_may_match_below(folder.split("/"), pattern) for pattern in patterns)


def _may_match_below(names: list[str], pattern: str) -> bool:
    parts = pattern.split("/")
    for name, part in zip(names, parts, strict=False):
        if any(deep in part for deep in _DEEP):
            return True
        if not matches(name, [part]):
            return False
    return len(parts) > len(names)


class Collection(NamedTuple):
    files: list[OutputFile]
    skipped: list[SkippedFile]
    folders: list[str]
    """Those with nothing in them."""

    @classmethod
    def empty(cls) -> Collection:
        return cls([], [], [])


async def list_entries(guest: Guest, run: ActiveRun) -> tuple[list[Entry], int]:
    """What is in the work folder, by path, and an errno if the listing broke off. Raises
    RunLostError."""
    guest.list_files()
    listing, error = await run.next_file()
    return sorted(parse_listing(listing), key=lambda entry: entry.path), error


class Room:
    """What may come back still."""

    def __init__(self, most_bytes: int, most_files: int) -> None:
        self._bytes = most_bytes
        self._most_files = self._files = most_files

    def take(self, size: int) -> str | None:
        """Makes room for a file; or says why there is none."""
        if self._files == 0:
            return f"too many files: [limits] files is {self._most_files}"
        if size > self._bytes:
            return f"{size} bytes; limits.files_total leaves {self._bytes}"
        self._bytes -= size
        self._files -= 1
        return None


class _Wanted(NamedTuple):
    entry: Entry
    offset: int
    length: int


class Collector:
    """Takes files back, within bounds; what does not come is listed with the reason.

    `reserve` waits until so many bytes may be held.
    """

    def __init__(
        self,
        guest: Guest,
        run: ActiveRun,
        room: Room,
        reserve: Callable[[int], Awaitable[None]],
    ) -> None:
        self._guest = guest
        self._run = run
        self._room = room
        self._reserve = reserve
        self._wanted: list[_Wanted] = []
        self._collection = Collection.empty()

    async def matching(self, patterns: list[str]) -> Collection:
        """The files that the patterns name, and folders with nothing in them. Raises
        RunLostError."""
        entries, asked = await self._list(), patterns
        patterns = with_folders(patterns)
        filled = {entry.path.rpartition("/")[0] for entry in entries}
        for number, entry in enumerate(entries):
            if number % _TURN == 0:
                await asyncio.sleep(0)
            if entry.kind != _FOLDER:
                if matches(entry.path, patterns):
                    self._want(entry)
            elif entry.error:
                if may_match_below(entry.path, patterns):
                    self._skip(entry.path, entry.obstacle or "")
            elif entry.path not in filled and matches(entry.path, patterns):
                self._take_folder(entry)
        for name in missing(asked, [entry.path for entry in entries], self._collection.skipped):
            self._skip(name, why_missing(name))
        return await self._read()

    async def parts(self, parts: list[FilePart]) -> Collection:
        """Parts of files, in that order. Raises RunLostError."""
        # An escaped name never stands in for a file that is really called so.
        entries = {entry.path: entry for entry in await self._list() if entry.exact}
        for part in parts:
            if (entry := entries.get(part.path)) is None:
                self._skip(part.path, NO_FILE)
            else:
                self._want(entry, part.offset, part.length)
        return await self._read()

    async def _list(self) -> list[Entry]:
        entries, error = await list_entries(self._guest, self._run)
        if error == errno.E2BIG:
            self._skip("", "the work folder has more in it than is listed: some was left out")
        elif error:
            self._skip("", f"the listing broke off: {os.strerror(error)}")
        return [entry for entry in entries if entry.error != errno.ENOENT]

    def _skip(self, path: str, why: str) -> None:
        self._collection.skipped.append(SkippedFile(path, why))

    def _want(self, entry: Entry, offset: int = 0, length: int | None = None) -> None:
        size = max(0, entry.size - offset)
        size = size if length is None else min(size, length)
        if why := entry.obstacle or self._room.take(size):
            self._skip(entry.path, why)
        else:
            self._wanted.append(_Wanted(entry, offset, size))

    def _take_folder(self, entry: Entry) -> None:
        if why := entry.unsaid or self._room.take(0):
            self._skip(entry.path, why)
        else:
            self._collection.folders.append(entry.path)

    async def _read(self) -> Collection:
        await self._reserve(sum(wanted.length for wanted in self._wanted))
        for entry, offset, length in self._wanted:
            # No more than that: it may be growing.
            self._guest.read_file(entry.path, offset, length)
            data, error = await self._run.next_file()
            if error:
                self._skip(entry.path, os.strerror(error))
            else:
                file = OutputFile(entry.path, len(data), await encode(data), entry.mode)
                self._collection.files.append(file)
        return self._collection
