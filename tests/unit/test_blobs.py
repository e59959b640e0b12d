"""Blobs that are made and read piece by piece are those that are made at once."""

from __future__ import annotations

import os

import pytest

from sandboxd.run.blobs import decode, encode
from sandboxd_client.protocol import Base64, from_blob, to_blob

LARGE = 2 * 1024 * 1024


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text",
        b"\xff",
        b"text" * LARGE,
        ("\N{EURO SIGN}" * LARGE).encode(),
        b"x" * LARGE + b"\xff",
        b"\xe2\x82" + b"x" * LARGE,
        b"x" * LARGE + b"\xe2\x82",
        bytes(LARGE),
        os.urandom(LARGE + 1),
    ],
    ids=lambda data: f"{data[:4]!r}…{data[-4:]!r}",
)
async def test_a_blob_is_the_same_however_large(data: bytes) -> None:
    blob = await encode(data)
    assert blob == to_blob(data)
    assert await decode(blob) == from_blob(blob) == data


async def test_malformed_base64_is_an_error_also_piece_by_piece() -> None:
    with pytest.raises(ValueError, match=r"(?i)base64|padding"):
        await decode(Base64("A" * LARGE + "*"))
