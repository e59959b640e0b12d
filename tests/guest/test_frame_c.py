"""The frames in C, under sanitizers, against those in Python: one page in two languages."""

from __future__ import annotations

import enum
import re
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandboxd.guest import SOURCES, frames
from sandboxd.guest.frames import PAYLOAD_MAX, Cause, Command, Event, FrameError, FrameReader
from tests.support.chunks import cut, cuts
from tests.support.sanitizers import COMPILER, compile_c

RESERVE = 4096
"""OUTBOX_RESERVE of frame.h."""

Frames = list[tuple[int, bytes]]
Orders = list[tuple[str, int, bytes]]


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("harness") / "frame_harness"
    return compile_c(program, SOURCES / "frame.c", Path(__file__).with_name("frame_harness.c"))


def block(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


def in_c(harness: Path, chunks: list[bytes]) -> tuple[Frames, bool]:
    """The frames in these chunks, and whether the stream is broken."""
    ran = subprocess.run(
        [harness, "in"], input=b"".join(map(block, chunks)), capture_output=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, b"")
    lines = ran.stdout.decode().splitlines()
    broken = lines[-1:] == ["broken"]
    found = [line.split(" ") for line in (lines[:-1] if broken else lines)]
    return [(int(kind, 16), bytes.fromhex(payload)) for kind, payload in found], broken


def in_python(chunks: list[bytes]) -> tuple[Frames, bool]:
    reader, found = FrameReader(), Frames()
    try:
        for chunk in chunks:
            for kind, payload in reader.feed(chunk):
                found.append((kind, bytes(payload)))
    except FrameError:
        return found, True
    return found, False


def frame(kind: int, payload: bytes) -> bytes:
    return struct.pack("<IB", len(payload), kind) + payload


payloads = st.binary(max_size=200) | st.integers(PAYLOAD_MAX - 3, PAYLOAD_MAX).map(bytes)
streams = st.lists(st.builds(frame, st.integers(0, 255), payloads), max_size=6).map(b"".join)
anything = st.builds(
    bytes.__add__, streams, st.just(b"") | st.binary(max_size=20) | st.just(b"\1\0\1\0x")
)


@settings(max_examples=60)
@given(stream=anything, places=cuts)
def test_both_read_the_same_frames_from_any_bytes_however_they_arrive(
    harness: Path, stream: bytes, places: list[int]
) -> None:
    chunks = cut(stream, places)
    assert in_c(harness, chunks) == in_python(chunks)


@settings(max_examples=40)
@given(stream=st.binary(max_size=300), places=cuts)
def test_both_agree_on_rubbish(harness: Path, stream: bytes, places: list[int]) -> None:
    chunks = cut(stream, places)
    assert in_c(harness, chunks) == in_python(chunks)


@pytest.mark.parametrize("length", [0, 1, PAYLOAD_MAX, PAYLOAD_MAX + 1, 2**31, 2**32 - 1])
def test_both_draw_the_line_at_the_same_length(harness: Path, length: int) -> None:
    chunks = [struct.pack("<IB", length, 7) + bytes(min(length, PAYLOAD_MAX))]
    found, broken = in_c(harness, chunks)
    assert (found, broken) == in_python(chunks)
    assert broken == (length > PAYLOAD_MAX)


def test_a_frame_of_the_largest_size_comes_through_a_byte_at_a_time(harness: Path) -> None:
    stream = frame(1, b"") + frame(2, bytes(range(256)) * 256)
    chunks = [stream[at : at + 1] for at in range(len(stream))]
    assert in_c(harness, chunks) == ([(1, b""), (2, bytes(range(256)) * 256)], False)


def out_c(harness: Path, orders: Orders) -> tuple[Frames, list[bool]]:
    """What Python reads of what C wrote, and which orders fitted."""
    given_in = b"".join(
        order.encode() + bytes([kind]) + block(payload) for order, kind, payload in orders
    )
    ran = subprocess.run([harness, "out"], input=given_in, capture_output=True, check=True)
    found, broken = in_python([ran.stdout])
    assert not broken
    return found, [each == "1" for each in ran.stderr.decode()]


orders = st.lists(
    st.tuples(
        st.sampled_from("aappf"),
        st.integers(0, 255),
        st.binary(max_size=50) | st.sampled_from([1000, RESERVE, 20_000, PAYLOAD_MAX]).map(bytes),
    ),
    max_size=12,
)


@settings(max_examples=60)
@given(orders=orders)
def test_python_reads_what_c_wrote_and_what_did_not_fit_is_left_out_whole(
    harness: Path, orders: Orders
) -> None:
    found, fitted = out_c(harness, orders)
    assert len(fitted) == len(orders)
    expected = [
        (kind, payload)
        for (order, kind, payload), fits in zip(orders, fitted, strict=True)
        if fits and order != "f"
    ]
    assert found == expected


def test_output_leaves_room_for_the_other_frames(harness: Path) -> None:
    control = ("a", 2, bytes(RESERVE - 5))
    _, fitted = out_c(harness, [("p", 1, bytes(PAYLOAD_MAX)), ("p", 1, b"x"), control])
    assert fitted == [True, False, True]


def test_after_a_flush_there_is_room_again(harness: Path) -> None:
    full = ("p", 1, bytes(PAYLOAD_MAX))
    found, fitted = out_c(harness, [full, full, ("f", 0, b""), full])
    assert fitted == [True, False, True, True]
    assert len(found) == 2


def names_in_header(prefix: str) -> dict[str, int]:
    """The enumerators of frame.h that begin so, without that."""
    header = (SOURCES / "frame.h").read_text()
    found = re.findall(rf"\b{prefix}(\w+) = ('.'|\d+)", header)
    return {name: ord(value[1]) if "'" in value else int(value) for name, value in found}


@pytest.mark.parametrize(
    ("prefix", "kind"), [("CMD_", Command), ("EVT_", Event), ("CAUSE_", Cause)]
)
def test_both_have_the_same_types(prefix: str, kind: type[enum.IntEnum]) -> None:
    assert names_in_header(prefix) == {member.name: member.value for member in kind}


def test_both_have_the_same_version_and_limits() -> None:
    found = names_in_header("FRAME_")
    assert found["VERSION"] == frames.VERSION
    assert found["PAYLOAD_MAX"] == PAYLOAD_MAX
    flood = re.search(r"OUTPUT_FLOOD = (\d+)", all_sources())
    window = re.search(r"STDIN_WINDOW = (\d+)", all_sources())
    assert flood is not None
    assert window is not None
    assert int(flood[1]) == frames.OUTPUT_FLOOD
    assert int(window[1]) == frames.STDIN_WINDOW


def all_sources() -> str:
    return "".join(path.read_text() for path in sorted(SOURCES.glob("*.[ch]")))


def test_both_have_structs_of_the_same_size(harness: Path) -> None:
    ran = subprocess.run([harness, "sizes"], capture_output=True, check=True)
    go, verdict = map(int, ran.stdout.split())
    ((_, payload),) = FrameReader().feed(frames.encode_go(1.0, 1, stdin=True))
    assert len(payload) == go
    assert frames.decode_verdict(bytes(verdict))


@pytest.mark.parametrize("source", sorted(path.name for path in SOURCES.glob("*.c")))
def test_the_guest_compiles_with_sanitizers_and_without_a_warning(
    source: str, tmp_path: Path
) -> None:
    ran = subprocess.run(
        [*COMPILER, "-c", source, "-o", tmp_path / "object.o"],
        cwd=SOURCES,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
