"""Stdin and code as a request has them, and as a run is given them."""

from __future__ import annotations

from collections.abc import Mapping

from sandboxd.errors import InvalidParamsError
from sandboxd_client.protocol import (
    CODE_PATH,
    Base64,
    InputFile,
    RunParams,
    StdinObject,
    from_blob,
)


def read_stdin(stdin: str | StdinObject | None) -> tuple[bytes | None, bool]:
    """Stdin that is known whole, and whether it will come in pieces instead."""
    if stdin is None or isinstance(stdin, str):
        return (None if stdin is None else stdin.encode()), False
    if stdin.stream == (stdin.base64 is not None):
        raise InvalidParamsError('stdin is text, {"base64": "…"}, or {"stream": true}')
    try:
        return (None if stdin.stream else from_blob(Base64(stdin.base64 or ""))), stdin.stream
    except ValueError as error:
        raise InvalidParamsError(f"stdin: {error}") from None


def with_code(params: RunParams) -> Mapping[str, str | InputFile]:
    """The files of a run, and its code where that goes the way of a file."""
    code = params.code
    if isinstance(code, str):
        return params.files
    return {**params.files, CODE_PATH: InputFile(base64=code.base64, size=code.size)}


def read_code(code: bytes) -> tuple[str, bytes | None]:
    """Code as text, and where that is not all of it the bytes too."""
    try:
        return code.decode(), None
    except UnicodeDecodeError:
        return code.decode(errors="replace"), code
