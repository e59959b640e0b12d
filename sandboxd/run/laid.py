"""Files that go in: what a client said of them, checked, and the frames that lay them."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping

from msgspec import Struct

from sandboxd.errors import InvalidParamsError, PayloadTooLargeError
from sandboxd.guest import frames
from sandboxd.guest.frames import Command
from sandboxd_client.protocol import CODE_PATH, Base64, InputFile, WrittenFile, from_blob

_PATH_MAX = 4095
_PERMISSIONS = 0o777
_SCRIPT, _EXECUTABLE = b"#!", 0o755


class LaidFile(Struct, frozen=True):
    """A file with all of its content; by a path that ends in "/" it is a folder, and empty."""

    data: bytes
    mode: int | None = None
    """Permission bits; None leaves those of a file that is there, and is 0o644 otherwise."""
    offset: int | None = None
    """None for all of a file, which is laid anew."""

    def frames(self, path: str) -> list[bytes]:
        """The frames that lay it."""
        begin = frames.encode_put(path, self.mode, self.offset)
        return [begin, *frames.encode_each(Command.DATA, self.data)]


Files = Mapping[str, LaidFile]
"""By path, relative to the work folder."""


def named(path: str) -> str:
    """A path as an error tells it."""
    return "the code" if path == CODE_PATH else path[:80]


def following(files: Mapping[str, str | InputFile], most: int) -> dict[str, int]:
    """The sizes of those whose content follows their request.

    Raises InvalidParamsError, and PayloadTooLargeError past `most` bytes altogether.
    """
    sizes = {}
    for path, file in files.items():
        if isinstance(file, str) or file.size is None:
            continue
        if file.data is not None or file.base64 is not None:
            raise InvalidParamsError(
                f"files: {named(path)}: size is of content that follows: it comes with neither "
                "data nor base64"
            )
        sizes[path] = file.size
    check_total(sizes, most)
    return sizes


def to_laid(
    files: Mapping[str, str | InputFile], arrived: Mapping[str, bytes]
) -> dict[str, LaidFile]:
    """The files of a request, those whose content followed it among them. Raises
    InvalidParamsError."""
    return {path: _to_laid(named(path), file, arrived.get(path)) for path, file in files.items()}


def _to_laid(path: str, file: str | InputFile, arrived: bytes | None) -> LaidFile:
    if isinstance(file, str):
        data = file.encode()
        return LaidFile(data, _default_mode(data))
    if arrived is None and (file.data is None) == (file.base64 is None):
        raise InvalidParamsError(
            f'files: {path}: a file is text, {{"base64": "…"}}, {{"data": …}} or {{"size": …}}'
        )
    try:
        given = file.data if file.base64 is None else Base64(file.base64)
        data = from_blob(given or "") if arrived is None else arrived
    except ValueError as error:
        raise InvalidParamsError(f"files: {path}: {error}") from None
    offset = file.offset if isinstance(file, WrittenFile) else None
    if file.mode is not None and not 0 <= file.mode <= _PERMISSIONS:
        raise InvalidParamsError(
            f"files: {path}: mode is {file.mode:#o}; it is permission bits, from 0 to 0o777: "
            "none may be setuid, setgid or sticky"
        )
    mode = _default_mode(data) if file.mode is None and offset is None else file.mode
    return LaidFile(data, mode, offset)


def _default_mode(data: bytes) -> int | None:
    """What says that it is a script can be executed."""
    return _EXECUTABLE if data.startswith(_SCRIPT) else None


def encode_files(files: Files) -> list[bytes]:
    """The frames that lay files in the work folder."""
    return [frame for path, file in files.items() for frame in file.frames(path)]


def check_files(files: Files, most: int, code_name: str) -> None:
    """Raises InvalidParamsError for a path that leaves the work folder, and
    PayloadTooLargeError past `most` bytes altogether."""
    for path, file in files.items():
        check_path(path.removesuffix("/"), code_name)
        if path.endswith("/") and (file.data or file.mode is not None or file.offset is not None):
            raise InvalidParamsError(f"files: {path[:80]} is a folder: it has no content or mode")
    check_total({path: len(file.data) for path, file in files.items()}, most)


def check_total(sizes: Mapping[str, int], most: int) -> None:
    """Raises PayloadTooLargeError."""
    total = sum(sizes.values())
    if total > most:
        largest = max(sizes, key=lambda path: sizes[path])
        raise PayloadTooLargeError(
            f"files have {total} bytes, {sizes[largest]} of them in {named(largest)}; "
            f"limits.files_total is {most}: send less, or ask for more where [limits.max] has more",
            limit="files_total",
            max=most,
        )


def not_laid(error: int, path: str, tmp: int) -> InvalidParamsError | PayloadTooLargeError:
    """What a client is told of a file that the guest could not lay, by an errno; `tmp` is
    the limit."""
    what = f"files: {path}: {os.strerror(error)}"
    if error != errno.ENOSPC:
        return InvalidParamsError(what)
    return PayloadTooLargeError(
        f"{what}; limits.tmp, which is {tmp}, bounds all that is written, these files among it",
        limit="tmp",
        max=tmp,
    )


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
