"""The contract's types: sizes and blobs, and where the daemon listens."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxd_client.protocol import (
    ERROR_CODES,
    Base64,
    Blob,
    ErrorKind,
    default_socket,
    from_blob,
    parse_size,
    to_blob,
)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (0, 0),
        (1024, 1024),
        ("1024", 1024),
        ("1B", 1),
        ("256MiB", 256 * 2**20),
        ("64k", 64 * 2**10),
        ("64KB", 64_000),
        ("1.5 GB", 1_500_000_000),
        ("1.5GiB", 3 * 2**29),
        (" 2 TiB ", 2 * 2**40),
        ("2t", 2 * 2**40),
        ("9007199254740993", 9007199254740993),
    ],
)
def test_a_size_is_bytes_or_a_number_with_a_unit(written: int | str, meant: int) -> None:
    assert parse_size(written) == meant


@pytest.mark.parametrize("written", [-1, "", "MiB", "-1", "1 elephant", "1e5", "1,5 MiB", "0x10"])
def test_what_is_no_size_is_refused(written: int | str) -> None:
    with pytest.raises(ValueError, match=r"not a size|negative"):
        parse_size(written)


@given(st.integers() | st.text() | st.from_regex(r"\d{1,400}(\.\d+)?[a-zA-Z]*", fullmatch=True))
def test_any_size_is_bytes_or_a_value_error(written: int | str) -> None:
    try:
        size = parse_size(written)
    except ValueError:
        return
    assert size >= 0


def test_a_number_too_large_for_a_float_is_a_size_or_a_value_error() -> None:
    with contextlib.suppress(ValueError):
        assert parse_size("9" * 400) > 0


@given(st.binary() | st.text(st.characters(exclude_categories=["Cs"])).map(str.encode))
def test_a_blob_is_the_same_bytes_again_also_over_the_wire(data: bytes) -> None:
    blob = to_blob(data)
    assert from_blob(blob) == data
    wire = msgspec.json.encode(blob)
    assert from_blob(msgspec.json.decode(wire, type=Blob)) == data
    json.loads(wire)


@given(st.binary())
def test_a_blob_is_text_exactly_when_the_bytes_are(data: bytes) -> None:
    try:
        data.decode()
    except UnicodeDecodeError:
        assert isinstance(to_blob(data), Base64)
    else:
        assert isinstance(to_blob(data), str)


def test_much_that_json_would_make_far_longer_is_base64() -> None:
    zeros = to_blob(bytes(1 << 20))
    assert isinstance(zeros, Base64)
    assert from_blob(zeros) == bytes(1 << 20)
    assert to_blob(bytes(1000)) == "\0" * 1000
    for text in ("é\n\t" * 100_000, "\x1b[1mline\x1b[m\n" * 100_000):
        assert to_blob(text.encode()) == text


@pytest.mark.parametrize("text", ["a", "====", "a b=", "ä", "AA=A", "AAA\n"])
def test_malformed_base64_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_blob(Base64(text))


def test_every_kind_of_error_has_a_positive_code_of_its_own() -> None:
    assert set(ERROR_CODES) == set(ErrorKind)
    assert len(set(ERROR_CODES.values())) == len(ErrorKind)
    assert min(ERROR_CODES.values()) > 0


@pytest.mark.parametrize(
    ("environment", "uid", "path"),
    [
        ({"SANDBOXD_SOCKET": "/a/b"}, 0, "/a/b"),
        ({"SANDBOXD_SOCKET": "/a/b"}, 1000, "/a/b"),
        ({}, 0, "/run/sandboxd/sandboxd.sock"),
        ({"XDG_RUNTIME_DIR": "/x"}, 1000, "/x/sandboxd/sandboxd.sock"),
        ({}, 1000, "/run/user/1000/sandboxd/sandboxd.sock"),
    ],
)
def test_the_socket_is_where_the_contract_says(
    environment: dict[str, str], uid: int, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SANDBOXD_SOCKET", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("os.geteuid", lambda: uid)
    assert default_socket() == Path(path)
