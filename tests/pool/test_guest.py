"""The daemon's side of a guest: what it says ends in a result or a loss, never in silence."""

from __future__ import annotations

import asyncio
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxd.errors import StartFailedError
from sandboxd.guest.frames import VERSION, Command, Event, Verdict, encode
from sandboxd.pool.guest import Guest
from tests.support.chunks import cut, cuts

HELLO = f"version={VERSION}\nnamespaces=1\n".encode()
EXIT = struct.pack("<BiiQQQQQI", 0, 3, 0, 1, 2, 3, 4, 5, 0)


def frame(event: Event | int, payload: bytes = b"") -> bytes:
    return struct.pack("<IB", len(payload), event) + payload


class Both:
    """Whoever runs something, and the attachment that it is run through."""

    def __init__(self) -> None:
        self.said: list[tuple[str, object]] = []
        self.written = b""
        self.closed = False

    def output(self, stream: Event, data: bytes) -> None:
        self.said.append((stream.name, data))

    def credit(self, count: int) -> None:
        self.said.append(("credit", count))

    def note(self, data: bytes) -> None:
        self.said.append(("note", data))

    def ended(self, verdict: Verdict) -> None:
        self.said.append(("ended", verdict.exit_code))

    def lost(self, why: str) -> None:
        self.said.append(("lost", why))

    def file(self, data: bytes) -> None:
        self.said.append(("file", data))

    def file_end(self, error: int) -> None:
        self.said.append(("file end", error))

    def put_failed(self, error: int, path: str) -> None:
        self.said.append(("put failed", (error, path)))

    def write(self, data: bytes) -> None:
        self.written += data

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def close(self) -> None:
        self.closed = True


class Watched:
    """A guest, and what became of it."""

    def __init__(self) -> None:
        self.readies = 0
        self.losses: list[str] = []
        self.guest = Guest(on_ready=self._ready, on_lost=self.losses.append)
        self.both = Both()
        self.guest.attached(self.both)

    def _ready(self) -> None:
        self.readies += 1

    def up(self) -> None:
        self.guest.stdout(frame(Event.HELLO, HELLO) + frame(Event.READY))

    def running(self) -> None:
        self.up()
        self.guest.begin(self.both, b"go")


@pytest.fixture
async def watched() -> Watched:
    return Watched()


async def test_it_is_up_once_a_child_waits_and_not_before(watched: Watched) -> None:
    watched.guest.stdout(frame(Event.HELLO, HELLO))
    assert watched.guest.hello.result()["namespaces"] == "1"
    assert watched.guest.namespaces
    assert not watched.guest.up.done()
    watched.guest.stdout(frame(Event.READY))
    assert watched.guest.up.done()
    assert watched.readies == 0


async def test_a_child_that_waits_again_is_told_of(watched: Watched) -> None:
    watched.up()
    watched.guest.stdout(frame(Event.READY))
    assert watched.readies == 1


async def test_a_guest_that_was_refused_namespaces_has_none(watched: Watched) -> None:
    refused = f"version={VERSION}\nnamespaces=0\nreason=clone: Operation not permitted\n"
    assert not watched.guest.namespaces
    watched.guest.stdout(frame(Event.HELLO, refused.encode()))
    assert not watched.guest.namespaces


async def test_a_guest_is_welcomed_when_the_pool_says_so_and_not_for_its_hello(
    watched: Watched,
) -> None:
    watched.up()
    assert watched.both.written == b""
    watched.guest.welcome()
    assert watched.both.written == encode(Command.WELCOME)


@pytest.mark.parametrize("version", ["0", str(VERSION + 1), "", f"{VERSION}.0"])
async def test_a_guest_of_another_version_is_given_up(watched: Watched, version: str) -> None:
    watched.guest.stdout(frame(Event.HELLO, f"version={version}\nnamespaces=1\n".encode()))
    with pytest.raises(StartFailedError, match="images build"):
        await watched.guest.up
    assert watched.both.closed
    assert watched.both.written == b""
    assert watched.guest.lost


async def test_a_run_hears_everything_in_order(watched: Watched) -> None:
    watched.running()
    watched.guest.stdout(
        frame(Event.STDOUT, b"a")
        + frame(Event.STDERR, b"b")
        + frame(Event.CREDIT, struct.pack("<I", 7))
        + frame(Event.NOTE, b"n")
        + frame(Event.STDOUT, b"c")
        + frame(Event.PUT_FAILED, struct.pack("<i", 28) + b"a/b")
        + frame(Event.EXIT, EXIT)
        + frame(Event.FILE, b"some")
        + frame(Event.FILE_END, struct.pack("<i", 2))
        + frame(Event.READY)
    )
    assert watched.both.said == [
        ("STDOUT", b"a"),
        ("STDERR", b"b"),
        ("credit", 7),
        ("note", b"n"),
        ("STDOUT", b"c"),
        ("put failed", (28, "a/b")),
        ("ended", 3),
        ("file", b"some"),
        ("file end", 2),
    ]
    assert watched.readies == 1
    assert not watched.losses


async def test_adjoining_pieces_of_a_stream_go_on_as_one(watched: Watched) -> None:
    watched.running()
    watched.guest.stdout(frame(Event.STDOUT, b"x") * 1000 + frame(Event.STDERR, b"y") * 2)
    assert watched.both.said == [("STDOUT", b"x" * 1000), ("STDERR", b"yy")]


pieces = st.lists(
    st.tuples(st.sampled_from([Event.STDOUT, Event.STDERR, Event.NOTE]), st.binary(max_size=9))
)


@given(pieces, cuts)
def test_any_chunking_gives_a_run_the_same_bytes(
    sent: list[tuple[Event, bytes]], places: list[int]
) -> None:
    async def heard() -> Watched:
        watched = Watched()
        watched.running()
        for chunk in cut(b"".join(frame(*piece) for piece in sent), places):
            watched.guest.stdout(chunk)
        return watched

    both = asyncio.run(heard()).both
    for event in (Event.STDOUT, Event.STDERR):
        found = b"".join(bytes(data) for kind, data in both.said if kind == event.name)  # type: ignore[call-overload]
        assert found == b"".join(data for kind, data in sent if kind is event)


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\xff" * 64,
        frame(ord("?")),
        frame(0),
        frame(Event.EXIT, b"short"),
        frame(Event.CREDIT, b"short"),
        frame(Event.FILE_END, b""),
        frame(Event.PUT_FAILED, b"abc"),
        frame(Event.FATAL, b"no room"),
    ],
    ids=[
        "no frame",
        "unknown",
        "zero",
        "half a verdict",
        "half a credit",
        "no errno",
        "half an errno",
        "fatal",
    ],
)
async def test_rubbish_from_the_guest_is_the_loss_of_its_run(
    watched: Watched, rubbish: bytes
) -> None:
    watched.running()
    watched.guest.stdout(rubbish)
    (said,) = watched.both.said
    assert said[0] == "lost"
    assert watched.both.closed
    assert len(watched.losses) == 1


async def test_output_before_the_rubbish_is_not_lost_with_it(watched: Watched) -> None:
    watched.running()
    watched.guest.stdout(frame(Event.STDOUT, b"kept") + b"\xff" * 64)
    assert [kind for kind, _ in watched.both.said] == ["STDOUT", "lost"]


async def test_what_comes_for_a_run_that_nobody_wants_any_more_is_passed_over(
    watched: Watched,
) -> None:
    watched.running()
    watched.guest.forget()
    watched.guest.stdout(frame(Event.NOTE, b"n") + frame(Event.EXIT, EXIT))
    assert watched.both.said == []
    assert not watched.guest.lost


@given(st.binary(max_size=300))
def test_no_bytes_from_a_guest_raise_anything(data: bytes) -> None:
    async def hear() -> None:
        watched = Watched()
        watched.running()
        watched.guest.stdout(data)

    asyncio.run(hear())


async def test_the_end_of_the_container_is_the_loss_of_its_run_with_its_last_words(
    watched: Watched,
) -> None:
    watched.running()
    watched.guest.stderr(b"exec format error\n")
    watched.guest.closed()
    watched.guest.closed()
    assert watched.both.said == [("lost", "its container ended: exec format error")]
    assert len(watched.losses) == 1


async def test_the_end_of_a_container_that_is_not_up_is_a_failed_start(watched: Watched) -> None:
    watched.guest.closed()
    with pytest.raises(StartFailedError, match="container ended"):
        await watched.guest.up


async def test_a_run_that_is_begun_in_a_lost_guest_is_told_so(watched: Watched) -> None:
    """The container ended between the hand-out and this."""
    watched.up()
    watched.guest.closed()
    watched.guest.begin(watched.both, b"go")
    await asyncio.sleep(0)
    assert [kind for kind, _ in watched.both.said] == ["lost"]
    assert watched.both.written == b""


async def test_nothing_is_written_to_a_guest_that_is_lost(watched: Watched) -> None:
    watched.running()
    watched.guest.closed()
    written = watched.both.written
    watched.guest.kill()
    watched.guest.send_stdin(b"x")
    watched.guest.end_stdin()
    assert watched.both.written == written


async def test_a_run_that_was_forgotten_hears_nothing(watched: Watched) -> None:
    watched.running()
    watched.guest.forget()
    watched.guest.stdout(frame(Event.STDOUT, b"late"))
    watched.guest.close()
    assert watched.both.said == []


async def test_output_is_that_of_the_streams_which_were_made_last(watched: Watched) -> None:
    """What an earlier run left behind may be on its way still."""
    watched.running()
    taken: list[int] = []
    for number in (1, 2):
        watched.guest.make_streams("name", taken.append)
        made = frame(Event.STREAMS, struct.pack("<I", number))
        late, own = frame(Event.STDOUT, b"late"), frame(Event.STDOUT, b"own")
        watched.guest.stdout(late + made + own)
    assert [said for _, said in watched.both.said] == [b"own", b"own"]
    watched.guest.stdout(frame(Event.INPUT_CREDIT, struct.pack("<II", 1, 5)))
    watched.guest.stdout(frame(Event.INPUT_CREDIT, struct.pack("<II", 2, 7)))
    assert taken == [7]


async def test_what_is_written_together_goes_in_one_piece(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces: list[bytes] = []
    watched.running()
    monkeypatch.setattr(watched.both, "write", pieces.append)
    with watched.guest.together():
        watched.guest.send_input(b"x")
        watched.guest.end_input()
    assert pieces == [encode(Command.INPUT, b"x") + encode(Command.INPUT_EOF)]
