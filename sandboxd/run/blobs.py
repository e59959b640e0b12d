"""Blobs of any size, without holding up the loop: it has its turn after each piece."""

from __future__ import annotations

import asyncio
import base64
import codecs

from sandboxd_client.protocol import Base64, Blob, count_long, from_blob, to_blob

_PIECE = 768 * 1024
"""Bytes: a multiple of three, so that the base64 of pieces is that of the whole."""


async def encode(data: bytes) -> Blob:
    """As `to_blob`."""
    if len(data) <= _PIECE:
        return to_blob(data)
    text = await _text(data)
    if text is not None:
        return text
    pieces = []
    for at in range(0, len(data), _PIECE):
        pieces.append(base64.b64encode(data[at : at + _PIECE]).decode("ascii"))
        await asyncio.sleep(0)
    return Base64("".join(pieces))


async def _text(data: bytes) -> str | None:
    """None where it is not UTF-8, or JSON would make it more than twice as long."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    pieces, long = [], 0
    for at in range(0, len(data), _PIECE):
        piece = data[at : at + _PIECE]
        long += count_long(piece)
        try:
            pieces.append(decoder.decode(piece, at + _PIECE >= len(data)))
        except UnicodeDecodeError:
            return None
        await asyncio.sleep(0)
    return "".join(pieces) if 5 * long <= len(data) else None


async def decode(blob: Blob) -> bytes:
    """As `from_blob`."""
    if isinstance(blob, str):
        return from_blob(blob)
    pieces, step = [], _PIECE // 3 * 4
    for at in range(0, len(blob.base64), step):
        pieces.append(from_blob(Base64(blob.base64[at : at + step])))
        if len(blob.base64) > step:
            await asyncio.sleep(0)
    return b"".join(pieces)
