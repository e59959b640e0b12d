"""A program's output: cut between characters, and nothing of it lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxd.run.output import OutputStream, incomplete_tail
from sandboxd_client.protocol import from_blob
from tests.support.chunks import cut, cuts

text = st.text(st.characters(exclude_categories=["Cs"]))
mixed = st.lists(text.map(str.encode) | st.binary(max_size=5)).map(b"".join)


def feed_all(stream: OutputStream, chunks: list[bytes]) -> list[bytes]:
    """What can be sent on, piece by piece."""
    return [*(stream.feed(chunk) for chunk in chunks), stream.flush()]


@given(text, cuts)
def test_text_stays_text_wherever_it_is_cut(printed: str, places: list[int]) -> None:
    pieces = feed_all(OutputStream(keep=0), cut(printed.encode(), places))
    assert "".join(piece.decode() for piece in pieces) == printed


@given(mixed, cuts)
def test_the_pieces_together_are_what_was_printed(printed: bytes, places: list[int]) -> None:
    for raw in (False, True):
        stream = OutputStream(keep=len(printed), raw=raw)
        assert b"".join(feed_all(stream, cut(printed, places))) == printed
        assert from_blob(stream.kept()) == printed
        assert stream.count == len(printed)


@given(mixed, cuts)
def test_no_more_than_the_beginning_of_one_character_is_held_back(
    printed: bytes, places: list[int]
) -> None:
    stream = OutputStream(keep=0)
    given_out = 0
    for chunk in cut(printed, places):
        given_out += len(stream.feed(chunk))
        assert stream.count - given_out <= 3


@given(mixed, cuts)
def test_nothing_is_held_back_where_nobody_decodes(printed: bytes, places: list[int]) -> None:
    stream = OutputStream(keep=0, raw=True)
    assert [stream.feed(chunk) for chunk in cut(printed, places)] == cut(printed, places)
    assert stream.flush() == b""


@given(mixed, cuts, st.integers(0, 20))
def test_as_much_is_kept_as_was_to_be_kept(printed: bytes, places: list[int], keep: int) -> None:
    stream = OutputStream(keep=keep)
    feed_all(stream, cut(printed, places))
    assert from_blob(stream.kept()) == printed[:keep]


@pytest.mark.parametrize(
    ("data", "tail"),
    [
        (b"", 0),
        (b"a", 0),
        ("é".encode(), 0),
        ("é".encode()[:1], 1),
        (b"a" + "€".encode()[:1], 1),
        ("€".encode()[:2], 2),
        ("€".encode(), 0),
        ("😀".encode()[:1], 1),
        ("😀".encode()[:2], 2),
        ("😀".encode()[:3], 3),
        ("😀".encode(), 0),
        (b"\x80", 0),
        (b"\x80\x80\x80\x80", 0),
        (b"\xc3\xa9\xa9", 0),
        (b"\xff", 0),
        (b"\xf8", 0),
        (b"\xf0\x9fa", 0),
    ],
)
def test_the_incomplete_tail_is_the_beginning_of_a_character(data: bytes, tail: int) -> None:
    assert incomplete_tail(data) == tail


def test_a_character_that_is_never_finished_comes_at_the_end_as_bytes() -> None:
    stream = OutputStream(keep=0)
    assert stream.feed(b"a\xe2\x82") == b"a"
    assert stream.flush() == b"\xe2\x82"
    assert stream.flush() == b""


def test_what_is_no_text_is_not_held_back() -> None:
    assert OutputStream(keep=0).feed(b"\xff\xfe") == b"\xff\xfe"


def test_what_is_not_to_be_kept_takes_no_memory() -> None:
    stream = OutputStream(keep=10)
    for _ in range(100):
        stream.feed(b"x" * 1000)
    assert sum(map(len, stream._pieces)) == 10
    assert stream.kept() == "x" * 10


def test_a_stream_that_printed_nothing_is_empty_text() -> None:
    assert OutputStream(keep=10).kept() == ""
