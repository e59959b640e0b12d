"""A run between the guest and the client: stdin within its window, output at the reader's pace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from sandboxd.guest.frames import STDIN_WINDOW, Cause, Event, FrameReader, Verdict
from sandboxd.pool.guest import Guest
from sandboxd.run.active import ActiveRun, PutFailedError, RunLostError
from sandboxd_client import protocol

VERDICT = Verdict(Cause.EXITED, 0, 0, 1, 2, 3, 0, 0, 0)


class Recorder:
    """An attachment and a sink in one: what went to either side of a run."""

    def __init__(self) -> None:
        self.commands: list[tuple[int, bytes]] = []
        self.paused = False
        self.seqs: list[int] = []
        self.printed = b""
        self.taken = 0
        self.readers: list[Callable[[], None]] = []
        """Callbacks for when the client reads again."""
        self.client_reads = True
        self._reader = FrameReader()

    # as an attachment

    def write(self, data: bytes) -> None:
        self.commands += [(kind, bytes(payload)) for kind, payload in self._reader.feed(data)]

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def close(self) -> None: ...

    # as a sink

    def queued(self, position: int, estimate: float | None) -> None: ...

    def started(self, run: str, *, warm: bool, queued: float) -> None: ...

    raw = False

    def output(self, seq: int, stream: str, data: bytes) -> None:
        self.seqs.append(seq)
        self.printed += data

    def stdin_taken(self, count: int) -> None:
        self.taken += count

    def when_writable(self, callback: Callable[[], None]) -> bool:
        if not self.client_reads:
            self.readers.append(callback)
        return not self.client_reads

    async def hold(self, size: int) -> None: ...

    def read_again(self) -> None:
        self.client_reads = True
        while self.readers:
            self.readers.pop()()

    @property
    def stdin(self) -> bytes:
        return b"".join(payload for kind, payload in self.commands if kind == ord("I"))

    @property
    def ends(self) -> int:
        return [kind for kind, _ in self.commands].count(ord("E"))


@pytest.fixture
async def sides() -> Recorder:
    return Recorder()


@pytest.fixture
async def run(sides: Recorder) -> ActiveRun:
    guest = Guest(on_ready=lambda: None, on_lost=lambda _: None)
    guest.attached(sides)
    active = ActiveRun(guest, sides, stream=True, keep=0)
    guest.begin(active, b"")
    return active


def test_stdin_past_the_window_waits_until_the_guest_took_some(
    run: ActiveRun, sides: Recorder
) -> None:
    data = bytes(range(256)) * (3 * STDIN_WINDOW // 256)
    run.feed(data, eof=True)
    assert sides.stdin == data[:STDIN_WINDOW]
    assert sides.ends == 0
    run.credit(1000)
    assert len(sides.stdin) == STDIN_WINDOW + 1000
    run.credit(2 * STDIN_WINDOW)
    assert sides.stdin == data
    assert sides.ends == 1


def test_the_end_of_stdin_is_told_once(run: ActiveRun, sides: Recorder) -> None:
    run.feed(b"x", eof=True)
    for _ in range(3):
        run.credit(1)
    assert sides.ends == 1


def test_an_end_without_any_stdin_is_told(run: ActiveRun, sides: Recorder) -> None:
    run.feed(b"", eof=True)
    assert (sides.stdin, sides.ends) == (b"", 1)


def test_what_comes_after_the_end_of_stdin_is_passed_over(run: ActiveRun, sides: Recorder) -> None:
    run.feed(b"x", eof=True)
    run.feed(b"more", eof=False)
    assert (sides.stdin, sides.ends) == (b"x", 1)


def test_a_client_that_streams_stdin_is_told_what_was_taken(
    run: ActiveRun, sides: Recorder
) -> None:
    run.credit(5)
    assert sides.taken == 0
    run.stream_stdin()
    run.credit(7)
    assert sides.taken == 7


def test_there_is_room_for_stdin_until_the_backlog_is_full_and_then_once_it_is_not(
    run: ActiveRun,
) -> None:
    called: list[bool] = []
    run.feed(bytes(STDIN_WINDOW), eof=False)
    assert not run.when_room(lambda: called.append(True))
    run.feed(bytes(protocol.STDIN_WINDOW), eof=False)
    assert run.when_room(lambda: called.append(True))
    assert called == []
    run.credit(1)
    assert called == [True]


@pytest.mark.parametrize(
    "end",
    [lambda run: run.ended(VERDICT), lambda run: run.lost("gone"), lambda run: run.mute()],
    ids=["ended", "lost", "cancelled and then killed"],
)
async def test_a_run_that_is_over_holds_nobodys_stdin_up(
    run: ActiveRun, end: Callable[[ActiveRun], None]
) -> None:
    called: list[bool] = []
    run.feed(bytes(2 * protocol.STDIN_WINDOW), eof=False)
    assert run.when_room(lambda: called.append(True))
    end(run)
    run.ended(VERDICT)
    assert called == [True]
    assert not run.when_room(lambda: called.append(True))
    if run.ended_future.exception():
        assert isinstance(run.ended_future.exception(), RunLostError)


def test_output_is_numbered_over_both_streams(run: ActiveRun, sides: Recorder) -> None:
    run.output(Event.STDOUT, b"a")
    run.output(Event.STDERR, b"b")
    run.output(Event.STDOUT, b"c")
    assert sides.seqs == [0, 1, 2]


def test_a_slow_reader_pauses_the_container_until_it_reads(run: ActiveRun, sides: Recorder) -> None:
    sides.client_reads = False
    run.output(Event.STDOUT, b"a")
    assert sides.paused
    assert run.stalled
    run.output(Event.STDOUT, b"b")  # was on its way already
    assert len(sides.readers) == 1
    sides.read_again()
    assert not sides.paused
    assert not run.stalled
    assert sides.printed == b"ab"


def test_a_muted_run_says_nothing_and_is_held_up_by_nobody(run: ActiveRun, sides: Recorder) -> None:
    sides.client_reads = False
    run.output(Event.STDOUT, b"a")
    run.mute()
    assert not sides.paused
    run.output(Event.STDOUT, b"b")
    run.ended(VERDICT)
    assert sides.printed == b"a"
    assert not sides.paused


async def test_a_run_that_ended_lets_its_container_speak(run: ActiveRun, sides: Recorder) -> None:
    """The verdict came with the output that paused it; that the next child waits
    comes after, and no reader of this run is to hold that up."""
    sides.client_reads = False
    run.output(Event.STDOUT, b"a")
    assert sides.paused
    run.ended(VERDICT)
    assert not sides.paused


@pytest.mark.parametrize("ends_first", [True, False])
async def test_a_reader_that_comes_late_does_not_touch_the_containers_next_run(
    run: ActiveRun,
    sides: Recorder,
    ends_first: bool,
) -> None:
    sides.client_reads = False
    run.output(Event.STDOUT, b"a")
    if ends_first:
        run.ended(VERDICT)
    else:
        run.mute()
    sides.pause()  # the next run's reader is slow as well
    sides.read_again()
    assert sides.paused


async def test_the_beginning_of_a_character_is_sent_at_the_end_of_the_run(
    run: ActiveRun, sides: Recorder
) -> None:
    run.output(Event.STDOUT, b"\xe2\x82")
    assert sides.printed == b""
    run.ended(VERDICT)
    assert sides.printed == b"\xe2\x82"
    assert await run.ended_future == VERDICT


async def test_the_beginning_of_a_character_that_the_limit_has_cut_is_left_out(
    run: ActiveRun, sides: Recorder
) -> None:
    run.output(Event.STDOUT, b"aa\xe2\x82")
    run.ended(VERDICT._replace(stdout_written=5))
    assert sides.printed == b"aa"


def test_what_a_runner_notes_is_kept_within_bounds(run: ActiveRun) -> None:
    for _ in range(100):
        run.note(b"compile\n" * 1000)
    assert run.notes.startswith(b"compile\n")
    assert len(run.notes) == 65536


async def test_an_answer_about_files_comes_whole(run: ActiveRun) -> None:
    run.ended(VERDICT)
    for content, error in ((b"first", 0), (b"", 2), (b"third", 0)):
        asked = asyncio.create_task(run.next_file())
        await asyncio.sleep(0)
        for byte in content:
            run.file(bytes([byte]))
        run.file_end(error)
        assert await asked == (content, error)


@pytest.mark.parametrize("when", ["before it is asked for", "while it is waited for"])
async def test_a_container_that_is_lost_before_its_files_are_read_is_told(
    run: ActiveRun, when: str
) -> None:
    run.ended(VERDICT)
    if when == "before it is asked for":
        run._guest.closed()
    asked = asyncio.create_task(run.next_file())
    await asyncio.sleep(0)
    run._guest.closed()
    with pytest.raises(RunLostError):
        await asyncio.wait_for(asked, 1)


async def test_a_file_that_could_not_be_laid_is_the_end_of_the_run(run: ActiveRun) -> None:
    run.put_failed(28, "a/b")
    run.put_failed(28, "c")
    with pytest.raises(PutFailedError, match="a/b: No space left"):
        await run.ended_future


async def test_a_run_that_was_lost_says_why(run: ActiveRun) -> None:
    run.lost("its container ended")
    run.lost("again")
    with pytest.raises(RunLostError, match="its container ended"):
        await asyncio.wait_for(run.ended_future, 1)
