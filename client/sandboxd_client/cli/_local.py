"""Files of this machine: those that go into the sandbox, and where those go that come out."""

from __future__ import annotations

import contextlib
import os
import stat
import sys

from sandboxd_client.cli._quick import from_blob
from sandboxd_client.errors import SandboxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_PIECE = 96 * 1024
_PERMISSIONS, _USUAL = 0o777, 0o644
_EXAMPLES = 3
"""Names that are told of many files that did not come back for one reason."""
_REASONS = 10
"""And how many reasons are told: a size is part of some."""


class LocalFile:
    """A file that goes in. What is not regular, such as a pipe, is read at once."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._data: bytes | None = None
        try:
            status = os.stat(path)
            if not stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    self._data = file.read()
        except OSError as error:
            raise SandboxError(f"cannot read {path}: {error}") from None
        if self._data is None:
            self.size, self.mode = status.st_size, status.st_mode & _PERMISSIONS
        else:
            self.size, self.mode = len(self._data), _USUAL

    def pieces(self) -> Iterator[bytes]:
        """Its content, of the size that it had. Raises SandboxError."""
        if self._data is not None:
            yield from (self._data[at : at + _PIECE] for at in range(0, self.size, _PIECE))
            return
        left = self.size
        try:
            with open(self._path, "rb", buffering=0) as file:
                while left:
                    piece = file.read(min(left, _PIECE))
                    if not piece:
                        raise SandboxError(f"{self._path} became shorter while it was sent")
                    left -= len(piece)
                    yield piece
        except OSError as error:
            raise SandboxError(f"cannot read {self._path}: {error}") from None


class EmptyFolder:
    """A folder that goes in with nothing in it; its name ends in "/"."""

    size = 0
    mode = None

    def pieces(self) -> Iterator[bytes]:
        """It has none."""
        return iter(())


def find_files(named: list[str], program: str | None) -> dict[str, LocalFile | EmptyFolder]:
    """Files to lay, by the name they get; of a folder all that is in it.

    Each is PATH or PATH:NAME, of which the longest PATH counts that is there. A folder
    keeps its name as with `cp -r`, and has none in `dir/.` and `dir:.`. Raises SandboxError.
    """
    files: dict[str, LocalFile | EmptyFolder] = {}
    for each in named:
        path, name = _take_apart(each)
        if os.path.isdir(path):
            for below in _walk(path, []):
                target = os.path.normpath(os.path.join(name, os.path.relpath(below, path)))
                if below.endswith("/"):
                    if target != ".":  # the work folder itself is there
                        files[f"{target}/"] = EmptyFolder()
                elif not _is_program(below, target, program):
                    files[target] = LocalFile(below)
        else:
            files[name] = LocalFile(path)
    for name in files:
        _check_name(name)
    return files


def _check_name(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(name).decode(errors="backslashreplace")
        raise SandboxError(
            f"{shown}: the name in the sandbox is not UTF-8; rename the file, "
            "or name it by -f PATH:NAME"
        ) from None


def _take_apart(named: str) -> tuple[str, str]:
    """A path and the name it gets; "." stands for the work folder."""
    ends = [at for at, letter in enumerate(named) if letter == ":"]
    for end in (len(named), *reversed(ends)):
        path, name = named[:end], named[end + 1 :]
        if path and os.path.lexists(path):
            own = os.path.basename(path.rstrip("/"))
            return path, os.path.normpath(name or ("." if own == ".." else own or "."))
    return named.partition(":")[0], ""


def _walk(folder: str, above: list[str]) -> Iterator[str]:
    """The files in it and below, links followed; where there are none, itself with a "/"."""
    real = os.path.realpath(folder)
    if real in above:
        raise SandboxError(f"{folder} leads back to {real}: it has no end")
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise SandboxError(f"cannot read {folder}: {error}") from None
    empty = True
    for entry in entries:
        if not (entry.is_dir() or entry.is_file()):
            sys.stderr.write(f"sandbox: {entry.path} is not sent: it is no regular file\n")
            continue
        empty = False
        if entry.is_dir():
            yield from _walk(entry.path, [*above, real])
        else:
            yield entry.path
    if empty:
        yield os.path.join(folder, "")


def _is_program(path: str, target: str, program: str | None) -> bool:
    """Whether that is what runs anyway, by the same name."""
    return (
        target.startswith("main.")
        and program not in (None, "-")
        and os.path.samefile(path, program or "")
    )


def put_files(result: dict[str, Any], folder: str) -> None:
    """Writes what came back, with its mode; a path of the sandbox's never leads out of the
    folder. Raises SandboxError."""
    inside = os.path.realpath(folder)
    for file in result["files"]:
        with _inside(inside, file["path"]) as target:
            _put(target, file)
    for path in result.get("folders", ()):  # as a daemon that is older has none
        with _inside(inside, path) as target:
            os.makedirs(target, exist_ok=True)
    _tell_skipped(result["files_skipped"])


def _tell_skipped(skipped: list[dict[str, Any]]) -> None:
    """A line for each, and one for many that have the same reason."""
    by_reason: dict[str, list[str]] = {}
    for file in skipped:
        by_reason.setdefault(file["why"], []).append(file["path"] or "something")
    for number, (why, paths) in enumerate(by_reason.items()):
        if number == _REASONS:
            left = sum(len(each) for each in list(by_reason.values())[number:])
            sys.stderr.write(f"sandbox: {left} more did not come back; --json has the reasons\n")
            return
        some, told = paths[:_EXAMPLES], paths
        if len(paths) > _EXAMPLES:
            told = [f"{len(paths)} files, such as {', '.join(some)},"]
        for what in told:
            sys.stderr.write(f"sandbox: {what} did not come back: {why}\n")


@contextlib.contextmanager
def _inside(folder: str, path: str) -> Iterator[str]:
    """Where a path of the sandbox's lies in a folder; what fails there is a SandboxError."""
    target = os.path.realpath(os.path.join(folder, path))
    if os.path.commonpath([folder, target]) != folder:
        raise SandboxError(f"not written: {path} would lie outside {folder}")
    try:
        yield target
    except OSError as error:
        raise SandboxError(f"cannot write {target}: {error.strerror}") from None


def _put(target: str, file: dict[str, Any]) -> None:
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.isfile(target):
        os.unlink(target)
    mode = file.get("mode")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with open(os.open(target, flags, 0o666 if mode is None else mode), "wb") as written:
        written.write(from_blob(file["data"]))
