"""Files of a run: which may be laid, and which come back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxd.errors import InvalidParamsError, PayloadTooLargeError
from sandboxd.guest.frames import PAYLOAD_MAX, Command, FrameReader
from sandboxd.run.files import Entry, encode_files, parse_listing
from sandboxd_client.protocol import Base64


def laid(frames: bytes) -> dict[str, bytes]:
    """What a guest makes of the frames."""
    files: dict[str, bytes] = {}
    path = ""
    for kind, payload in FrameReader().feed(frames):
        if kind == Command.PUT:
            path = bytes(payload).decode()
            files[path] = b""
        else:
            assert kind == Command.DATA
            files[path] += payload
    return files


def test_text_and_bytes_are_laid_as_they_are_and_empty_files_too() -> None:
    frames = encode_files({"a/b.txt": "é", "c": Base64("/wA="), "empty": ""}, 100, "main.py")
    assert laid(frames) == {"a/b.txt": "é".encode(), "c": b"\xff\x00", "empty": b""}


def test_a_large_file_takes_as_many_frames_as_it_needs() -> None:
    text = "0123456789abcdef" * (PAYLOAD_MAX // 8)
    assert laid(encode_files({"big": text}, len(text), "main.py")) == {"big": text.encode()}


@pytest.mark.parametrize(
    "path",
    [
        *("", ".", "..", "/", "/a", "a/", "a//b", "../a", "a/../b", "a/..", "./a", "a/./b"),
        *("a\0b", "x" * 5000, "é" * 2048),
    ],
)
def test_a_path_that_leaves_the_work_folder_is_refused(path: str) -> None:
    with pytest.raises(InvalidParamsError, match="files"):
        encode_files({path: ""}, 100, "main.py")


@pytest.mark.parametrize(
    "path", ["a", ".hidden", "...", "a..b", "a b\n", "é/😀", "-", "~", "main.pyc"]
)
def test_any_other_path_is_taken(path: str) -> None:
    assert laid(encode_files({path: "x"}, 100, "main.py")) == {path: b"x"}


def test_a_path_that_is_the_program_is_refused() -> None:
    with pytest.raises(InvalidParamsError, match="program itself"):
        encode_files({"main.py": ""}, 100, "main.py")


def test_malformed_base64_is_refused_with_the_path() -> None:
    with pytest.raises(InvalidParamsError, match="a/b"):
        encode_files({"a/b": Base64("?")}, 100, "main.py")


def test_files_past_their_limit_are_refused_with_it() -> None:
    encode_files({"a": "12", "b": "345"}, 5, "main.py")
    with pytest.raises(PayloadTooLargeError) as caught:
        encode_files({"a": "12", "b": "3456"}, 5, "main.py")
    assert caught.value.data == {"limit": "files_total", "max": 5}


paths = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(st.lists(st.tuples(st.sampled_from("fdlpscb?"), st.integers(0, 2**62), paths)))
def test_a_listing_is_read_whatever_the_paths_are(entries: list[tuple[str, int, str]]) -> None:
    listing = "".join(f"{kind} {size} {path}\0" for kind, size, path in entries)
    assert list(parse_listing(listing.encode())) == [Entry(*entry) for entry in entries]


def test_what_no_text_can_name_is_left_out_of_a_listing() -> None:
    assert list(parse_listing(b"f 1 a\xff\0f 2 b\0")) == [Entry("f", 2, "b")]


def test_a_listing_that_broke_off_ends_with_the_last_whole_entry() -> None:
    assert list(parse_listing(b"f 1 a\0f 2 b")) == [Entry("f", 1, "a")]
    assert list(parse_listing(b"")) == []
