"""The frame codec: any chunking gives the same frames, and nothing over the limits."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxd.guest import frames
from sandboxd.guest.frames import Cause, Command, FrameError, FrameReader, Verdict
from tests.support.chunks import cut, cuts

Frames = list[tuple[int, bytes]]

kinds_and_payloads = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=300)), max_size=8)


def wire(kind: int, payload: bytes) -> bytes:
    """A frame as frame.h says it, not as frames.py does."""
    return len(payload).to_bytes(4, "little") + bytes([kind]) + payload


def read_all(chunks: list[bytes]) -> Frames:
    reader = FrameReader()
    return [(kind, bytes(payload)) for chunk in chunks for kind, payload in reader.feed(chunk)]


@given(kinds_and_payloads, cuts)
def test_any_chunking_gives_the_same_frames(sent: Frames, places: list[int]) -> None:
    stream = b"".join(wire(kind, payload) for kind, payload in sent)
    assert read_all(cut(stream, places)) == sent


@given(kinds_and_payloads)
def test_one_byte_at_a_time_gives_the_same_frames(sent: Frames) -> None:
    stream = b"".join(wire(kind, payload) for kind, payload in sent)
    assert read_all([bytes([byte]) for byte in stream]) == sent


@given(st.binary(max_size=400), cuts)
def test_whatever_bytes_come_nothing_but_a_frame_error_is_raised(
    stream: bytes, places: list[int]
) -> None:
    """And the frames before the fault are the same, however the bytes arrive."""

    def outcome(chunks: list[bytes]) -> tuple[Frames, bool]:
        reader, found = FrameReader(), Frames()
        try:
            for chunk in chunks:
                for kind, payload in reader.feed(chunk):
                    found.append((kind, bytes(payload)))
        except FrameError:
            return found, True
        return found, False

    assert outcome(cut(stream, places)) == outcome([stream])


def test_a_frame_of_the_largest_size_is_read_and_one_byte_more_refused() -> None:
    whole = wire(ord("o"), bytes(frames.PAYLOAD_MAX))
    assert read_all([whole]) == [(ord("o"), bytes(frames.PAYLOAD_MAX))]
    header = struct.pack("<IB", frames.PAYLOAD_MAX + 1, ord("o"))
    with pytest.raises(FrameError, match="65537"):
        read_all([header])


def test_the_frames_before_a_broken_one_are_still_read() -> None:
    reader = FrameReader()
    feed = reader.feed(wire(ord("o"), b"good") + b"\xff" * 5)
    kind, payload = next(feed)
    assert (kind, bytes(payload)) == (ord("o"), b"good")
    with pytest.raises(FrameError):
        next(feed)


def test_a_payload_over_the_limit_is_not_encoded() -> None:
    with pytest.raises(FrameError):
        frames.encode(Command.CODE, bytes(frames.PAYLOAD_MAX + 1))


@pytest.mark.parametrize(
    "size", [0, 1, frames.PAYLOAD_MAX, frames.PAYLOAD_MAX + 1, 3 * frames.PAYLOAD_MAX + 7]
)
def test_data_of_any_size_takes_as_many_frames_as_it_needs(size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    found = read_all([frames.encode_data(Command.STDIN, data[:size])])
    assert b"".join(payload for _, payload in found) == data[:size]
    assert len(found) == -(-size // frames.PAYLOAD_MAX)
    assert {kind for kind, _ in found} <= {Command.STDIN}


@pytest.mark.parametrize("stdin", [True, False])
def test_go_is_what_the_guest_reads(stdin: bool) -> None:
    ((kind, payload),) = read_all([frames.encode_go(1.5, 5 * 2**32, stdin=stdin)])
    assert kind == ord("G")
    assert struct.unpack_from("<IQ", payload) == (1500, 5 * 2**32)
    assert payload[-1] & 1 == stdin


@pytest.mark.parametrize("whole", [True, False])
def test_what_nobody_reads_before_the_end_may_wait_for_it(whole: bool) -> None:
    ((_, payload),) = read_all([frames.encode_go(1.5, 1, stdin=False, whole=whole)])
    assert payload[-1] == 16 * whole


def test_a_timeout_below_a_millisecond_is_not_none_at_all() -> None:
    ((_, payload),) = read_all([frames.encode_go(0.0001, 1, stdin=False)])
    assert struct.unpack_from("<I", payload) == (1,)


def test_a_verdict_is_what_the_guest_wrote() -> None:
    payload = struct.pack("<BiiQQQQQI", 1, -1, 9, 2**40, 3, 4, 2**50, 6, 7)
    assert frames.decode_verdict(payload) == Verdict(
        cause=Cause.TIMEOUT,
        exit_code=-1,
        signal=9,
        ran_us=2**40,
        cpu_us=3,
        rss_bytes=4,
        stdout_written=2**50,
        stderr_written=6,
        oom_kills=7,
    )


@given(st.binary(max_size=80))
def test_a_verdict_of_another_size_is_refused(payload: bytes) -> None:
    size = struct.calcsize("<BiiQQQQQI")
    if len(payload) == size:
        frames.decode_verdict(payload)
    else:
        with pytest.raises(FrameError, match=str(size)):
            frames.decode_verdict(payload)


@given(st.integers(0, 2**32 - 1))
def test_a_credit_is_what_the_guest_wrote(count: int) -> None:
    assert frames.decode_credit(count.to_bytes(4, "little")) == count


@pytest.mark.parametrize("payload", [b"", b"\0" * 3, b"\0" * 5])
def test_a_credit_of_another_size_is_refused(payload: bytes) -> None:
    with pytest.raises(FrameError):
        frames.decode_credit(payload)


def test_a_hello_is_key_and_value_lines() -> None:
    hello = frames.decode_hello(b"version=1\nnamespaces=0\nreason=unshare: a=b\n")
    assert hello == {"version": "1", "namespaces": "0", "reason": "unshare: a=b"}


@given(st.binary(max_size=200))
def test_a_hello_of_any_bytes_is_no_error(payload: bytes) -> None:
    assert all(isinstance(key, str) for key in frames.decode_hello(payload))
