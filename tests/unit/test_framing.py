"""Lines out of bytes: any chunking, and one too long harms only itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sandboxd.rpc.framing import LineReader, LineTooLong
from tests.support.chunks import cut, cuts

LIMIT = 20


def read(chunks: list[bytes], limit: int = LIMIT) -> list[bytes | None]:
    """The lines, with None for one that was too long."""
    reader = LineReader(limit)
    found = [line for chunk in chunks for line in reader.feed(chunk)]
    return [None if isinstance(line, LineTooLong) else line for line in found]


@given(st.lists(st.binary(max_size=2 * LIMIT).map(lambda line: line.replace(b"\n", b""))), cuts)
def test_any_chunking_gives_the_same_lines_and_only_the_long_ones_are_lost(
    lines: list[bytes], places: list[int]
) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    expected = [line if len(line) <= LIMIT else None for line in lines if line]
    assert read(cut(stream, places)) == expected


def test_a_line_over_the_limit_is_dropped_and_the_next_one_read() -> None:
    assert read([b"x" * 50, b"y" * 50 + b"\nnext\n"]) == [None, b"next"]


def test_a_line_over_the_limit_is_told_of_before_it_ends_and_once() -> None:
    assert read([b"x" * (LIMIT + 1), b"x" * 100, b"x"]) == [None]


def test_a_line_of_exactly_the_limit_is_read() -> None:
    assert read([b"x" * LIMIT, b"\n"]) == [b"x" * LIMIT]


def test_a_line_that_has_not_ended_is_no_line() -> None:
    assert read([b"half of a line"]) == []


def test_empty_lines_are_left_out() -> None:
    assert read([b"\n\na\n\n", b"\nb\n"]) == [b"a", b"b"]


def test_an_endless_line_takes_no_memory() -> None:
    reader = LineReader(LIMIT)
    for _ in range(100):
        list(reader.feed(b"x" * 1000))
    assert reader._size == 0
    assert reader._pieces == []
