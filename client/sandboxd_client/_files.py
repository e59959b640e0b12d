"""Files on the wire: as a caller gives them, and in pieces where a line has no room."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec import Struct

from sandboxd_client.protocol import (
    CODE_PATH,
    FILES_INLINE,
    Base64,
    Blob,
    CodeObject,
    FilesInputParams,
    FilesOutput,
    FilesRead,
    FilesWriteParams,
    InputFile,
    Params,
    RequestId,
    RunParams,
    RunResult,
    SessionOpenParams,
    WrittenFile,
    blob_pieces,
    blob_size,
    to_blob,
)

if TYPE_CHECKING:
    from sandboxd_client.protocol import OutputFile

_Result = TypeVar("_Result")


class File(Struct, frozen=True):
    """A file that goes in, with its mode: `File("#!/bin/sh\\n…", mode=0o700)`."""

    data: str | bytes
    mode: int | None = None
    """Permission bits. Without, what begins with `#!` can be executed (0o755), and
    another file that is new is 0o644."""
    offset: int | None = None
    """Of `write_files` alone: where in a file that is there already this is written."""


Files = Mapping[str, str | bytes | Base64 | InputFile | File]
"""Contents by path, relative to the work folder. A path that ends in "/" is of a folder that
has nothing in it, as `""`."""


def wire_files(files: Files) -> dict[str, str | InputFile]:
    """Raises ValueError for an offset, which a new file cannot have."""
    wired: dict[str, str | InputFile] = {}
    for path, file in written_files(files).items():
        if isinstance(file, WrittenFile):
            if file.offset is not None:
                raise ValueError(f"{path}: an offset is for write_files of a session")
            wired[path] = InputFile(
                base64=file.base64, data=file.data, size=file.size, mode=file.mode
            )
        else:
            wired[path] = file
    return wired


def written_files(files: Files) -> dict[str, str | WrittenFile]:
    return {path: _written(file) for path, file in files.items()}


def _written(file: str | bytes | Base64 | InputFile | File) -> str | WrittenFile:
    match file:
        case str():
            return file
        case InputFile():
            fields = {name: getattr(file, name) for name in file.__struct_fields__}
            return WrittenFile(**fields)
        case File():
            data = file.data if isinstance(file.data, str) else to_blob(file.data)
            if isinstance(data, str) and file.mode is None and file.offset is None:
                return data
            return WrittenFile(data=data, mode=file.mode, offset=file.offset)
        case _:
            blob = to_blob(file) if isinstance(file, bytes) else file
            return blob if isinstance(blob, str) else WrittenFile(base64=blob.base64)


def given(file: str | InputFile) -> Blob | None:
    """The content that is in a file of a request; None where it is to follow."""
    if isinstance(file, str):
        return file
    return file.data if file.base64 is None else Base64(file.base64)


def split(params: Params) -> tuple[Params, dict[str, Blob]]:
    """A request without the content that its line has no room for, its code's too, and that
    content, which follows once the daemon wants it."""
    if not isinstance(params, RunParams | SessionOpenParams | FilesWriteParams):
        return params, {}
    files: Mapping[str, str | InputFile] = params.files
    following: dict[str, Blob] = {}
    changed: dict[str, Any] = {}
    if isinstance(params, RunParams) and (code := _long_code(params.code)) is not None:
        following[CODE_PATH] = code
        changed["code"] = CodeObject(size=blob_size(code))
    named: dict[str, str | InputFile] = {}
    room = FILES_INLINE
    for path, file in files.items():
        content = given(file)
        size = 0 if content is None else blob_size(content)
        named[path] = file
        if content is None or size <= room:
            room -= size
            continue
        following[path] = content
        rest = InputFile() if isinstance(file, str) else file
        named[path] = msgspec.structs.replace(rest, base64=None, data=None, size=size)
    if not following:
        return params, {}
    changed["files"] = named
    return msgspec.structs.replace(params, **changed), following


def _long_code(code: str | CodeObject) -> Blob | None:
    """Code that a line has no room for."""
    content = code if isinstance(code, str) else Base64(code.base64 or "")
    length = len(content) if isinstance(content, str) else len(content.base64)
    return content if length > FILES_INLINE else None


def pieces(request: RequestId, following: Mapping[str, Blob]) -> Iterator[FilesInputParams]:
    """What `files.input` says of content that follows a request."""
    for path, content in following.items():
        for piece in blob_pieces(content):
            yield FilesInputParams(id=request, path=path, data=piece)


class Arriving:
    """Files that come ahead of their answer."""

    def __init__(self) -> None:
        self._pieces: dict[int, list[Blob]] = {}

    def add(self, output: FilesOutput) -> None:
        self._pieces.setdefault(output.index, []).append(output.data)

    def put_into(self, result: _Result) -> _Result:
        """The answer with all of its files."""
        if not self._pieces or not isinstance(result, RunResult | FilesRead):
            return result
        files = [self._whole(index, file) for index, file in enumerate(result.files)]
        return msgspec.structs.replace(result, files=files)

    def _whole(self, index: int, file: OutputFile) -> OutputFile:
        came = self._pieces.pop(index, None)
        return file if came is None else msgspec.structs.replace(file, data=_joined(came))


def _joined(came: list[Blob]) -> Blob:
    text = "".join(piece if isinstance(piece, str) else piece.base64 for piece in came)
    return text if isinstance(came[0], str) else Base64(text)
