"""A container's streams over the connection of the call that attached to it."""

from __future__ import annotations

import asyncio

import aiohttp

from sandboxd.engine.port import Receiver

_STDERR = 2
_HEADER_BYTES = 8


class DockerAttachment(asyncio.Protocol):
    """The upgraded connection: Docker's own frames in, the container's bytes out.

    Each is an 8-byte header (stream, three zeros, a big-endian length) and its
    payload (docs.docker.com/reference/api/engine, ContainerAttach).
    """

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        transport: asyncio.Transport,
        receiver: Receiver,
    ) -> None:
        self._response = response
        self._transport = transport
        self._receiver = receiver
        self._header = b""
        """The header of the present frame, as far as it has come."""
        self._is_stderr = False
        self._left = 0
        """Bytes of its payload that are still to come."""
        self._open = True

    def data_received(self, data: bytes) -> None:
        """Every byte is copied once: a payload goes on before it is whole."""
        view, at, end = memoryview(data), 0, len(data)
        pieces: list[memoryview] = []
        while at < end:
            if self._left == 0:
                start = at
                at += min(_HEADER_BYTES - len(self._header), end - at)
                self._header += view[start:at]
                if len(self._header) < _HEADER_BYTES:
                    break
                self._left = int.from_bytes(self._header[4:], "big")
                self._is_stderr, self._header = self._header[0] == _STDERR, b""
            piece = view[at : at + self._left]
            at += len(piece)
            self._left -= len(piece)
            if self._is_stderr:
                self._receiver.stderr(bytes(piece))
            else:
                pieces.append(piece)
        if pieces:
            self._receiver.stdout(b"".join(pieces))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._open:
            self._open = False
            self._response.close()  # gives the connection back to aiohttp's books
            self._receiver.closed()

    def eof_received(self) -> None:
        return None

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def pause(self) -> None:
        if self._open:
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._open:
            self._transport.resume_reading()

    def close(self) -> None:
        self._transport.abort()
