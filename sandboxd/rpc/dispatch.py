"""One typed request out of a line, one line out of an answer: below this there is no JSON."""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

import msgspec
from msgspec import UnsetType

from sandboxd.errors import WireError
from sandboxd_client.protocol import (
    ERROR_CODES,
    INVALID_PARAMS,
    INVALID_REQUEST,
    PARSE_ERROR,
    ErrorObject,
    Method,
    Request,
    RequestId,
    Response,
    decoder,
)

_T = TypeVar("_T")

_ID = re.compile(
    rb'\s*\{\s*(?:"(?:jsonrpc|method)"\s*:\s*"[^"\\]*"\s*,\s*)*'
    rb'"id"\s*:\s*(\d{1,18}|"[^"\\]{0,200}")'
)
"""An id that stands before the params: one in them is another request's."""
_encoder = msgspec.json.Encoder()
_request = decoder(Request)


class RequestError(Exception):
    """A line that is no request, or a request that is not understood."""

    def __init__(self, code: int, message: str, request: RequestId | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.request = request


def parse(line: bytes) -> Request:
    """The request in a line. Raises RequestError, with the request's id where it has one."""
    if line.lstrip()[:1] == b"[":
        raise RequestError(INVALID_REQUEST, "batches are not taken: send one request a line")
    try:
        request = _request.decode(line)
        _strict.decode(line.decode())
    except msgspec.ValidationError as error:
        raise RequestError(INVALID_REQUEST, f"not a request: {error}", _id_of(line)) from None
    except RecursionError:
        raise RequestError(PARSE_ERROR, "nested too deeply") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise RequestError(PARSE_ERROR, f"not JSON: {error}") from None
    if request.jsonrpc != "2.0":
        identity = None if isinstance(request.id, UnsetType) else request.id
        raise RequestError(INVALID_REQUEST, 'jsonrpc must be "2.0"', identity)
    return request


def parse_params(request: Request, kind: type[_T]) -> _T:
    """The params as a type. Raises RequestError, telling the field."""
    try:
        return decoder(kind).decode(request.params)
    except msgspec.DecodeError as error:
        identity = None if isinstance(request.id, UnsetType) else request.id
        raise RequestError(
            INVALID_PARAMS, f"params of {request.method}: {error}", identity
        ) from None


def _no_duplicates(pairs: list[tuple[str, Any]]) -> None:
    """JSON leaves open which of two equal keys counts, and two readers may differ."""
    if len(dict(pairs)) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands twice")


_strict = json.JSONDecoder(object_pairs_hook=_no_duplicates)


class _OnlyId(msgspec.Struct):
    id: RequestId


_only_id = msgspec.json.Decoder(_OnlyId)
_identity: msgspec.json.Decoder[RequestId] = msgspec.json.Decoder(RequestId)


def _id_of(line: bytes) -> RequestId | None:
    try:
        return _only_id.decode(line).id
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None


def id_in(start: bytes) -> RequestId | None:
    """The id in the beginning of a request that was too long to be read."""
    match = _ID.match(start)
    if match is None:
        return None
    try:
        return _identity.decode(match[1])
    except msgspec.DecodeError:
        return None


def result_line(request: RequestId, result: Any) -> bytes:
    return _encoder.encode(Response(id=request, result=result)) + b"\n"


def error_line(request: RequestId | None, error: ErrorObject) -> bytes:
    return _encoder.encode(Response(id=request, error=error)) + b"\n"


def notification_line(method: Method, params: Any) -> bytes:
    return _encoder.encode({"jsonrpc": "2.0", "method": method, "params": params}) + b"\n"


def to_error_object(error: WireError) -> ErrorObject:
    return ErrorObject(
        code=ERROR_CODES[error.kind],
        message=str(error),
        data={"kind": error.kind.value, **error.data},
    )
