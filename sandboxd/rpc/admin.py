"""Metrics and health over HTTP on a Unix socket of their own, for whoever watches.

`GET /metrics` (Prometheus), `/healthz` (200 while something can run) and `/readyz`
(200 while every pool has, or can have, its containers).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path

import msgspec
import structlog

from sandboxd.rpc.server import bind_unix
from sandboxd_client.protocol import HealthResult

_log = structlog.get_logger("sandboxd.admin")

_TEXT = "text/plain; version=0.0.4; charset=utf-8"
_JSON = "application/json"
_REQUEST_MAX = 8192
_PATIENCE = 5.0
"""Seconds a client has for its request, and for reading the answer."""


class AdminServer:
    """Serves from `open` until `close`; every request on a connection of its own."""

    def __init__(
        self,
        path: Path,
        metrics: Callable[[], bytes],
        health: Callable[[], Awaitable[HealthResult]],
    ) -> None:
        self._path = path
        self._metrics = metrics
        self._health = health
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listens. Raises ConfigError."""
        self._server = await asyncio.start_unix_server(
            self._serve, sock=bind_unix(self._path), limit=_REQUEST_MAX
        )

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(TimeoutError, OSError, ValueError, asyncio.IncompleteReadError):
            async with asyncio.timeout(_PATIENCE):
                request = await reader.readuntil(b"\r\n\r\n")
                writer.write(await self._answer(request))
                await writer.drain()
        writer.close()

    async def _answer(self, request: bytes) -> bytes:
        method, target, *_ = [*request.split(b" ", 2), b"", b""]
        if method not in (b"GET", b"HEAD"):
            return _response(HTTPStatus.METHOD_NOT_ALLOWED, b"GET only\n")
        match target.split(b"?")[0]:
            case b"/metrics":
                return _response(HTTPStatus.OK, self._metrics())
            case b"/healthz":
                health = await self._health()
                return _health(health, fine=health.status != "down")
            case b"/readyz":
                health = await self._health()
                return _health(health, fine=health.status == "ok")
            case _:
                known = b"there are /metrics, /healthz and /readyz\n"
                return _response(HTTPStatus.NOT_FOUND, known)


def _health(health: HealthResult, *, fine: bool) -> bytes:
    status = HTTPStatus.OK if fine else HTTPStatus.SERVICE_UNAVAILABLE
    return _response(status, msgspec.json.encode(health) + b"\n", _JSON)


def _response(status: HTTPStatus, body: bytes, kind: str = _TEXT) -> bytes:
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
