"""Batches: order, bounds, failures in their place; and `sandbox batch` around them."""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import json
import os
import pty
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.typing import EventDict

from sandboxd_client import (
    AsyncClient,
    Client,
    ConnectionLostError,
    EngineUnavailableError,
    Limits,
    NotRunningError,
    QueueFullError,
    RemoteError,
    RunResult,
    SandboxError,
    Status,
    UnknownLanguageError,
)
from sandboxd_client.batch import (
    RETRIES,
    InOrder,
    Outcome,
    Program,
    Programs,
    Progress,
    aimap_programs,
    amap_programs,
    imap_programs,
    map_programs,
    pause_before_retry,
)
from sandboxd_client.cli import main
from sandboxd_client.cli.batch import (
    BadLineError,
    Bar,
    Counted,
    answer,
    parse_line,
    render,
)
from sandboxd_client.errors import InvalidParamsError
from sandboxd_client.protocol import Base64, CodeObject, InputFile, RunParams, StdinObject
from tests.support.impostor import Impostor, read_line, wait_until_read
from tests.support.logs import watched
from tests.support.program import Process
from tests.support.service import Service, ServiceThread
from tests.support.wait import DEADLINE, turns

RESULT = {
    "run": "r",
    "language": "python",
    "status": "ok",
    "exit_code": 0,
    "signal": None,
    "stdout": "here\n",
    "stderr": "",
    "truncated": {},
    "duration": 0.0,
    "timings": {"queued": 0.0, "handed_out": 0.0, "ran": 0.0},
    "usage": {"cpu": 0.0, "memory_peak": 0},
    "warm": True,
    "container": {"id": "c", "uses": 1},
    "started_at": "now",
}


def python(code: str) -> Program:
    return Program("python", code)


def printed(outcome: Outcome) -> str:
    assert isinstance(outcome, RunResult), outcome
    assert isinstance(outcome.stdout, str)
    return outcome.stdout


def queue_full(retry_after: float) -> QueueFullError:
    return QueueFullError(1004, "full", {"kind": "queue_full", "retry_after": retry_after})


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[EventDict]]:
    with watched() as entries:
        yield entries


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServiceThread]:
    with ServiceThread(tmp_path) as thread:
        yield thread
    assert thread.service.engine.faults == []


@pytest.fixture
def client(served: ServiceThread) -> Iterator[Client]:
    with Client(served.socket) as connected:
        yield connected


# --- programs ---


@pytest.mark.parametrize("option", ["timeout", "stream", "stay"])
def test_an_option_that_does_not_exist_is_refused_where_the_program_is_made(option: str) -> None:
    with pytest.raises(TypeError):
        Program("python", "", **{option: 5})  # type: ignore[arg-type]


@pytest.mark.parametrize("arguments", [{"code": "\ud800"}, {"code": "", "env": {"A": "\udfff"}}])
def test_text_that_is_not_unicode_is_refused_where_the_program_is_made(
    arguments: dict[str, Any],
) -> None:
    with pytest.raises(ValueError, match="surrogates"):
        Program("python", **arguments)
    with pytest.raises(ValueError, match="surrogates"):
        Program.of(RunParams(language="python", **arguments))


def test_a_program_of_params_cannot_have_its_stdin_streamed() -> None:
    with pytest.raises(ValueError, match="stream"):
        Program.of(RunParams(language="python", code="", stdin=StdinObject(stream=True)))
    made = Program.of(RunParams(language="python", code="x", stdin=StdinObject(base64="AA==")))
    assert (made.language, made.code, made.params.stream) == ("python", "x", False)


def test_a_program_shows_the_beginning_of_its_code() -> None:
    assert repr(python("x" * 1000)) == f"Program('python', '{'x' * 60}')"


# --- decisions ---


@given(st.integers(1, 5), st.data())
def test_whatever_the_order_of_the_ends_each_is_given_back_once_and_in_order(
    look_ahead: int, data: st.DataObject
) -> None:
    order = InOrder[int](look_ahead)
    under_way: set[int] = set()
    taken, given_back = 0, list[int]()
    for _ in range(30):
        assert order.has_room == (taken - len(given_back) < look_ahead)
        assert order.is_waiting == bool(under_way)
        if order.has_room and (not under_way or data.draw(st.booleans())):
            assert order.take() == taken
            under_way.add(taken)
            taken += 1
        else:
            number = data.draw(st.sampled_from(sorted(under_way)))
            under_way.remove(number)
            order.end(number, number)
            given_back += order.ready()
    assert given_back == list(range(min(under_way, default=taken)))


@pytest.mark.parametrize(
    ("error", "tries", "pause"),
    [
        (queue_full(2.5), 1, 2.5),
        (queue_full(2.5), RETRIES, 2.5),
        (queue_full(2.5), RETRIES + 1, None),
        (queue_full(1e9), 1, 60.0),
        (queue_full(-1.0), 1, 0.0),
        (RemoteError(1, "no", {}), 1, None),
        (NotRunningError(Path("here"), "gone"), 1, None),
    ],
)
def test_only_a_full_queue_is_waited_for_and_not_without_end(
    error: SandboxError, tries: int, pause: float | None
) -> None:
    assert pause_before_retry(error, python(""), tries) == pause


def test_a_program_whose_stdin_may_be_used_up_is_not_offered_again() -> None:
    again = Program("python", "", stdin=[b"a", b"b"])
    once = Program("python", "", stdin=iter([b"a", b"b"]))
    assert pause_before_retry(queue_full(1.0), again, 1) == 1.0
    assert pause_before_retry(queue_full(1.0), once, 1) is None


# --- both clients ---

Mapped = Callable[..., list[Outcome]]


def threads(
    path: Path, programs: Programs, concurrency: int = 4, progress: Progress | None = None
) -> list[Outcome]:
    with Client(path) as client:
        return map_programs(client, programs, concurrency, progress)


def tasks(
    path: Path, programs: Programs, concurrency: int = 4, progress: Progress | None = None
) -> list[Outcome]:
    async def run() -> list[Outcome]:
        client = AsyncClient(path)
        try:
            return await amap_programs(client, programs, concurrency, progress)
        finally:
            await client.close()

    return asyncio.run(run())


both = pytest.mark.parametrize("mapped", [threads, tasks])


@both
def test_results_are_in_the_programs_order_whatever_that_of_their_ends(
    mapped: Mapped, served: ServiceThread
) -> None:
    """The first two end once the last is known to have ended."""
    codes = ["wait go\nout 0", "wait go\nout 1", "out 2", "out 3"]
    ends: list[str] = []

    def progress(_: int, __: int | None, outcome: Outcome) -> None:
        ends.append(printed(outcome))
        if ends[-1] == "3\n":
            served.ask(lambda service: service.engine.events["go"].set())

    outcomes = mapped(served.socket, map(python, codes), progress=progress)
    assert [printed(outcome) for outcome in outcomes] == ["0\n", "1\n", "2\n", "3\n"]
    assert ends.index("3\n") < min(ends.index("0\n"), ends.index("1\n"))
    assert len(ends) == 4


@both
def test_no_more_run_at_once_than_were_asked_for(mapped: Mapped, served: ServiceThread) -> None:
    now, peak = 0, 0
    all_there = asyncio.Event()

    async def counted(_: Process) -> int:
        nonlocal now, peak
        now += 1
        peak = max(peak, now)
        if now == 3:
            all_there.set()
        await all_there.wait()
        await turns()
        now -= 1
        return 0

    served.service.engine.programs["count"] = counted
    outcomes = mapped(served.socket, [python("count")] * 30, concurrency=3)
    assert all(printed(outcome) == "" for outcome in outcomes)
    assert (len(outcomes), peak) == (30, 3)


@both
def test_what_cannot_run_is_an_error_in_its_place_and_the_rest_goes_on(
    mapped: Mapped, served: ServiceThread
) -> None:
    mine = SandboxError("never a program")
    outcomes = mapped(
        served.socket,
        [
            python("out first"),
            Program("cobol", ""),
            mine,
            python("exit 3"),
            Program("python", "", env={"A=B": "c"}),
            python("die\nhang"),
            Program("python", "hang", limits=Limits(timeout=0.01)),
            python("out last"),
        ],
    )
    kinds = [type(outcome) for outcome in outcomes]
    assert printed(outcomes[0]) == "first\n"
    assert kinds[1] is UnknownLanguageError
    assert outcomes[2] is mine
    assert isinstance(outcomes[3], RunResult)
    assert outcomes[3].exit_code == 3
    assert kinds[4:6] == [InvalidParamsError, EngineUnavailableError]
    assert isinstance(outcomes[6], RunResult)
    assert outcomes[6].status is Status.TIMEOUT
    assert printed(outcomes[7]) == "last\n"


@both
def test_what_runs_on_a_connection_that_is_lost_is_an_error_and_the_rest_goes_on(
    mapped: Mapped, served: ServiceThread
) -> None:
    def cut(service: Service) -> None:
        for connection in list(service.hub.connections):
            connection.abort()

    def cut_when_both_run() -> None:
        served.wait_for(lambda service: service.runner.active == 2, "both run")
        served.ask(cut)

    cutting = threading.Thread(target=cut_when_both_run)
    cutting.start()
    outcomes = mapped(served.socket, map(python, ["hang", "hang", "out on"]), concurrency=2)
    cutting.join(DEADLINE)
    assert [type(outcome) for outcome in outcomes[:2]] == [ConnectionLostError] * 2
    assert printed(outcomes[2]) == "on\n"


@both
def test_without_a_daemon_every_program_has_its_error(mapped: Mapped, tmp_path: Path) -> None:
    outcomes = mapped(tmp_path / "none.sock", [python("")] * 5)
    assert [type(outcome) for outcome in outcomes] == [NotRunningError] * 5


@both
def test_of_nothing_comes_nothing(mapped: Mapped, served: ServiceThread) -> None:
    assert mapped(served.socket, []) == []
    assert mapped(served.socket, iter(())) == []


@both
@pytest.mark.parametrize(("make", "total"), [(list, 6), (iter, None)])
def test_progress_is_told_of_each_end_by_whoever_takes_the_results(
    mapped: Mapped,
    served: ServiceThread,
    make: Callable[[Iterable[Program]], Programs],
    total: int | None,
) -> None:
    told: list[tuple[int, int | None]] = []
    tellers = set()

    def progress(done: int, of: int | None, _: Outcome) -> None:
        told.append((done, of))
        tellers.add(threading.get_ident())

    mapped(served.socket, make([python("")] * 6), progress=progress)
    assert told == [(done, total) for done in range(1, 7)]
    assert tellers == {threading.get_ident()}


@both
def test_options_reach_the_program(mapped: Mapped, served: ServiceThread) -> None:
    programs = [
        Program("python", "args\nenv A\ncat", args=("one",), env={"A": "b"}, stdin="text"),
        Program("python", "cat", stdin=iter([b"in ", b"pieces"])),
        Program("python", "cat", stdin=b"\xff"),
        Program.of(RunParams(language="python", code="cat", stdin=StdinObject(base64="/w=="))),
    ]
    outcomes = mapped(served.socket, programs)
    assert [outcome.stdout for outcome in outcomes if isinstance(outcome, RunResult)] == [
        "one\nb\ntext",
        "in pieces",
        Base64("/w=="),
        Base64("/w=="),
    ]


@both
@pytest.mark.parametrize("concurrency", [0, -1])
def test_there_must_be_room_for_one(mapped: Mapped, tmp_path: Path, concurrency: int) -> None:
    with pytest.raises(ValueError, match=f"concurrency is {concurrency}; it must be at least 1"):
        mapped(tmp_path, [], concurrency)


@both
@pytest.mark.parametrize("where", ["programs", "progress", "stdin"])
def test_an_error_of_the_callers_own_is_raised_and_kills_what_runs(
    mapped: Mapped, served: ServiceThread, where: str
) -> None:
    def fail(*_: object) -> None:
        raise LookupError(where)

    def failing() -> Iterator[bytes]:
        yield b"x"
        fail()

    def programs() -> Iterator[Program]:
        yield python("hang")
        yield python("out done")
        if where == "programs":
            fail()
        if where == "stdin":
            yield Program("python", "hang", stdin=failing())

    with pytest.raises(LookupError, match=where):
        mapped(served.socket, programs(), progress=fail if where == "progress" else None)
    served.wait_for(lambda service: service.runner.active == 0, "they are killed")


def refuses(
    times: int, retry_after: float, asked: SimpleQueue[bytes] | None = None
) -> Callable[[socket.socket], None]:
    """Says so often that the queue is full, and then answers."""

    def behave(connection: socket.socket) -> None:
        data = {"kind": "queue_full", "retry_after": retry_after}
        for number in itertools.count():
            line = read_line(connection)
            if not line:
                return
            said: dict[str, Any] = {"jsonrpc": "2.0", "id": json.loads(line)["id"]}
            if number < times:
                said["error"] = {"code": 1004, "message": "full", "data": data}
            else:
                said["result"] = RESULT
            connection.sendall(json.dumps(said).encode() + b"\n")
            wait_until_read(connection)
            if asked is not None:
                asked.put(line)

    return behave


@both
def test_a_full_queue_is_waited_for(mapped: Mapped, tmp_path: Path) -> None:
    with Impostor(tmp_path, refuses(RETRIES, 0.0)) as impostor:
        (outcome,) = mapped(impostor.socket, [python("")])
    assert printed(outcome) == "here\n"


@both
def test_a_queue_that_stays_full_is_an_error_in_its_place(mapped: Mapped, tmp_path: Path) -> None:
    with Impostor(tmp_path, refuses(RETRIES + 1, 0.0)) as impostor:
        first, second = mapped(impostor.socket, [python("")] * 2, concurrency=1)
    assert isinstance(first, QueueFullError)
    assert printed(second) == "here\n"


# --- taking results one by one ---


def test_programs_are_taken_as_results_are_asked_for(client: Client) -> None:
    """There is no end of them."""
    taken = 0

    def endless() -> Iterator[Program]:
        nonlocal taken
        while True:
            taken += 1
            yield python(f"out {taken}")

    with contextlib.closing(imap_programs(client, endless(), concurrency=2)) as outcomes:
        assert taken == 0
        for number, outcome in enumerate(itertools.islice(outcomes, 40), start=1):
            assert printed(outcome) == f"{number}\n"
            assert taken <= number + 8


async def test_programs_are_taken_as_results_are_awaited(served: ServiceThread) -> None:
    taken = 0

    async def endless() -> AsyncIterator[Program]:
        nonlocal taken
        while True:
            taken += 1
            yield python(f"out {taken}")

    async with (
        AsyncClient(served.socket) as client,
        contextlib.aclosing(aimap_programs(client, endless(), concurrency=2)) as outcomes,
    ):
        number = 0
        async for outcome in outcomes:
            number += 1
            assert printed(outcome) == f"{number}\n"
            assert taken <= number + 8
            if number == 40:
                break


def test_closing_kills_what_runs_and_drops_what_waits(
    client: Client, served: ServiceThread
) -> None:
    programs = [python("out first"), *[python("hang")] * 6]
    outcomes = imap_programs(client, programs, concurrency=3)
    assert printed(next(outcomes)) == "first\n"
    outcomes.close()
    served.wait_for(lambda service: service.runner.active == 0, "they are killed")
    assert [printed(outcome) for outcome in map_programs(client, [python("out on")])] == ["on\n"]


def test_an_end_does_not_wait_until_a_full_queue_may_have_room(tmp_path: Path) -> None:
    asked: SimpleQueue[bytes] = SimpleQueue()

    def programs() -> Iterator[Program]:
        yield python("out once")
        assert b"out once" in asked.get(timeout=DEADLINE)
        raise LookupError

    with Impostor(tmp_path, refuses(1, 60.0, asked)) as impostor, Client(impostor.socket) as client:
        with pytest.raises(LookupError):
            map_programs(client, programs())
        assert asked.empty()


async def test_cancelling_kills_what_runs(served: ServiceThread) -> None:
    begun = asyncio.Event()
    async with AsyncClient(served.socket) as client:
        mapping = asyncio.create_task(
            amap_programs(
                client,
                [python("out first"), *[python("hang")] * 6],
                progress=lambda *_: begun.set(),
            )
        )
        await begun.wait()
        mapping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await mapping
        served.wait_for(lambda service: service.runner.active == 0, "they are killed")


async def test_programs_that_are_slow_to_come_hold_up_no_result(served: ServiceThread) -> None:
    """Each is made once the result of the one before it is here."""
    here = asyncio.Event()

    async def programs() -> AsyncIterator[Program]:
        for number in range(3):
            yield python(f"out {number}")
            await here.wait()
            here.clear()

    seen = []
    async with AsyncClient(served.socket) as client:
        async for outcome in aimap_programs(client, programs()):
            seen.append(printed(outcome))
            here.set()
    assert seen == ["0\n", "1\n", "2\n"]


def test_programs_that_are_slow_to_come_hold_up_the_results_before_them_alone(
    client: Client, served: ServiceThread
) -> None:
    ended: list[Outcome] = []

    def programs() -> Iterator[Program]:
        yield python("out 0")
        served.wait_for(lambda service: service.runner.totals().runs == 1, "it has ended")
        yield python("out 1")

    for _ in imap_programs(client, programs(), progress=lambda *told: ended.append(told[2])):
        pass
    assert [printed(outcome) for outcome in ended] == ["0\n", "1\n"]


def test_the_threads_cost_no_asyncio() -> None:
    program = "import sys, sandboxd_client.batch; print('asyncio' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert ran.stdout == b"False\n"


# --- the command: lines in ---


def test_a_line_is_a_program_with_whatever_a_run_takes(tmp_path: Path) -> None:
    text = json.dumps(
        {
            "id": 7,
            "language": "python",
            "code": "print()",
            "args": ["a"],
            "env": {"A": "b"},
            "stdin": {"base64": "/w=="},
            "limits": {"timeout": 2, "memory": "64MiB"},
            "files": {"in": "x", "raw": {"base64": "AA=="}},
            "outputs": ["*.csv"],
            "reuse": "never",
        }
    )
    line = parse_line(text.encode(), tmp_path)
    assert line.id == 7
    assert isinstance(line.program, Program)
    assert line.program.params == RunParams(
        language="python",
        code="print()",
        args=["a"],
        env={"A": "b"},
        stdin=StdinObject(base64="/w=="),
        limits=Limits(timeout=2, memory="64MiB"),
        files={"in": "x", "raw": InputFile(base64="AA==")},
        outputs=["*.csv"],
        reuse=msgspec.convert("never", type(line.program.params.reuse)),
        stream=False,
    )


def test_a_file_that_is_not_utf_8_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "program").write_bytes(b"print('\xe9')")
    line = parse_line(b'{"language": "python", "file": "program"}', tmp_path)
    assert isinstance(line.program, Program)
    assert line.program.params.code == CodeObject(base64="cHJpbnQoJ+knKQ==")
    assert line.program.code == "print('\ufffd')"


def test_a_file_is_looked_for_beside_the_batch_and_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_bytes(b"print('\xc3\xa9')\r\n")
    line = parse_line(b'{"language": "python", "file": "program.py"}', tmp_path)
    assert isinstance(line.program, Program)
    assert line.program.code == "print('é')\r\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"nonsense", "JSON is malformed"),
        (b"[]", "Expected `object`"),
        (b"\xff", "JSON is malformed"),
        (b'{"language": "python", "code": "\xff"}', "utf-8"),
        (b'{"language": "python"}', "either `code` or `file`"),
        (b'{"language": "python", "code": "", "file": "x"}', "either `code` or `file`"),
        (b'{"language": "python", "file": "none"}', "cannot read none: .*No such file"),
        (b'{"language": "python", "file": "."}', "cannot read .: .*directory"),
        (b'{"language": "python", "file": 5}', "not the name of a file"),
        (b'{"code": ""}', "missing required field `language`"),
        (
            b'{"language": "python", "code": 5}',
            r"Expected `str \| object`, got `int`",
        ),
        (b'{"language": "python", "code": "", "timeout": 5}', "unknown field `timeout`"),
        (b'{"language": "python", "code": "", "limits": {"time": 5}}', "unknown field `time`"),
        (b'{"language": "python", "code": "", "stdin": {"stream": true}}', "stream"),
        (b'{"language": "python", "code": "", "stream": true}', "`stream` means nothing"),
        (b'{"language": "python", "code": "", "id": []}', r"got `array` - at `\$.id`"),
    ],
)
def test_a_line_that_is_no_program_says_why(tmp_path: Path, text: bytes, why: str) -> None:
    line = parse_line(text, tmp_path)
    assert isinstance(line.program, BadLineError)
    with pytest.raises(BadLineError, match=why):
        raise line.program


def test_a_line_that_is_no_program_keeps_its_id(tmp_path: Path) -> None:
    assert parse_line(b'{"id": "mine", "language": 5}', tmp_path).id == "mine"


# --- the command: results out ---


def result(**parts: Any) -> RunResult:
    return msgspec.convert({**RESULT, **parts}, RunResult)


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (BadLineError("no"), {"kind": "bad_line", "message": "no"}),
        (queue_full(1.0), {"kind": "queue_full", "message": "full", "code": 1004}),
        (InvalidParamsError(-32602, "odd", {}), {"message": "odd", "code": -32602}),
        (SandboxError("other"), {"message": "other"}),
    ],
)
def test_an_error_is_answered_with_its_kind(outcome: Outcome, error: dict[str, Any]) -> None:
    text = answer(3, "a", outcome)
    assert text.endswith(b"}\n")
    assert json.loads(text) == {"line": 3, "id": "a", "error": error}


def test_a_result_is_answered_whole_and_on_one_line() -> None:
    text = answer(3, None, result(stdout="a\nb\n"))
    assert text.count(b"\n") == 1
    said = json.loads(text)
    assert (said["line"], said["result"]["stdout"]) == (3, "a\nb\n")
    assert set(said) == {"line", "result"}


@pytest.mark.parametrize(
    ("outcomes", "exit_code", "sentence"),
    [
        ([], 0, "0 programs: 0 ok, 0 failed"),
        ([result()], 0, "1 programs: 1 ok, 0 failed"),
        ([result(), result(status="timeout")], 1, "2 programs: 1 ok, 1 failed"),
        ([queue_full(1.0)], 1, "1 programs: 0 ok, 1 failed"),
        (
            [queue_full(1.0), BadLineError("")],
            2,
            "1 programs: 0 ok, 1 failed, 1 bad lines",
        ),
    ],
)
def test_the_exit_code_is_the_worst_of_what_became_of_the_lines(
    outcomes: list[Outcome], exit_code: int, sentence: str
) -> None:
    counted = Counted()
    for outcome in outcomes:
        counted.add(outcome)
    assert (counted.exit_code(), counted.sentence()) == (exit_code, sentence)


# --- the command: the bar ---


@pytest.mark.parametrize(
    ("done", "total", "failed", "width", "text"),
    [
        (0, 4, 0, 80, f"[{'.' * 30}] 0/4"),
        (1, 4, 0, 80, f"[{'#' * 7}{'.' * 23}] 1/4"),
        (4, 4, 2, 80, f"[{'#' * 30}] 4/4, 2 failed"),
        (9, 4, 0, 80, f"[{'#' * 30}] 9/4"),
        (3, None, 1, 80, "3 done, 1 failed"),
        (0, 0, 0, 80, "0/0"),
        (1, 4, 0, 10, "[#######.."),
    ],
)
def test_the_bar_tells_how_far_it_is(
    done: int, total: int | None, failed: int, width: int, text: str
) -> None:
    assert render(done, total, failed, width) == text


def test_the_bar_is_drawn_no_oftener_than_can_be_seen_and_hidden_for_others() -> None:
    now = 0.0
    screen = io.StringIO()
    bar = Bar(screen, 100, lambda: now)
    bar.hide()
    bar.advance(1, None, result())
    now = 0.05
    bar.advance(2, None, result())
    now = 0.15
    bar.advance(3, None, SandboxError())
    bar.hide()
    bar.hide()
    bar.advance(4, None, result())
    drawn = screen.getvalue().split("\r")
    assert [text.partition("] ")[2] for text in drawn] == [
        "",
        "1/100\x1b[K",
        "3/100, 1 failed\x1b[K",
        "",
        "4/100, 1 failed\x1b[K",
    ]


# --- the command as a whole ---

PROGRAM = (
    "import sys; from sandboxd_client.cli import main; sys.exit(main(['batch', *sys.argv[1:]]))"
)


def command(served: ServiceThread, *arguments: str) -> list[str]:
    path = str(served.socket)
    return [sys.executable, "-W", "error", "-c", PROGRAM, *arguments, "--socket", path]


def batch(
    served: ServiceThread, *arguments: str, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command(served, *arguments), input=stdin, capture_output=True, timeout=DEADLINE, check=False
    )


def lines(*objects: object) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in objects)


def code(text: str, **more: object) -> dict[str, object]:
    return {"language": "python", "code": text, **more}


def told(output: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def test_each_line_is_answered_in_order_and_bad_ones_are_told_by_number(
    served: ServiceThread, tmp_path: Path
) -> None:
    file = tmp_path / "programs.jsonl"
    (tmp_path / "beside").write_text("out beside")
    file.write_bytes(
        lines(code("wait last\nout one", id="a"))
        + b"\n  \r\nrubbish\n"
        + lines({"language": "python", "file": "beside"}, code("exit 3"))
        + b'{"id": "b"}\n'
        + lines(code("out five\nmark last"))[:-1]
    )
    ran = batch(served, str(file))
    said = told(ran.stdout)
    assert [each["line"] for each in said] == [1, 4, 5, 6, 7, 8]
    assert [each.get("id") for each in said] == ["a", None, None, None, "b", None]
    assert [each.get("error", {}).get("kind") for each in said] == [
        *(None, "bad_line", None, None, "bad_line", None)
    ]
    ended = [each["result"] for each in said if "result" in each]
    assert [each["stdout"] for each in ended] == ["one\n", "beside\n", "", "five\n"]
    assert [each["exit_code"] for each in ended] == [0, 0, 3, 0]
    errors = ran.stderr.decode().splitlines()
    assert [error.split(": ")[:2] for error in errors[:-1]] == [
        ["sandbox", "line 4"],
        ["sandbox", "line 7"],
    ]
    assert errors[-1] == "4 programs: 3 ok, 1 failed, 2 bad lines"
    assert ran.returncode == 2


@pytest.mark.parametrize(
    ("stdin", "exit_code"),
    [
        (b"", 0),
        (lines(code("out a"), code("out b")), 0),
        (lines(code("out a"), code("signal 9")), 1),
        (lines({"language": "cobol", "code": ""}), 1),
        (b"rubbish\n", 2),
    ],
)
def test_the_exit_code_tells_how_it_went(
    served: ServiceThread, stdin: bytes, exit_code: int
) -> None:
    ran = batch(served, "-", stdin=stdin)
    assert ran.returncode == exit_code
    assert len(told(ran.stdout)) == len(stdin.splitlines())
    assert b"Traceback" not in ran.stderr


def test_results_may_go_to_a_file_and_the_count_be_json(
    served: ServiceThread, tmp_path: Path
) -> None:
    output = tmp_path / "results"
    stdin = lines(code("out a"), code("exit 1"), {"language": "cobol", "code": ""}, 5)
    ran = batch(served, "-", "--output", str(output), "--json", stdin=stdin)
    assert [each["line"] for each in told(output.read_bytes())] == [1, 2, 3, 4]
    assert json.loads(ran.stdout) == {
        "programs": 3,
        "ok": 1,
        "failed": 2,
        "bad_lines": 1,
        "by_status": {"ok": 1, "error": 1, "unknown_language": 1},
    }
    assert ran.stderr.startswith(b"sandbox: line 4: Expected `object`")


def test_stdin_may_be_a_file_that_others_read_on_from(
    served: ServiceThread, tmp_path: Path
) -> None:
    file = tmp_path / "programs"
    file.write_bytes(lines(code("out a"), code("out b")))
    with file.open("rb") as stdin:
        ran = subprocess.run(
            command(served, "-", "-j", "1"), stdin=stdin, capture_output=True, check=False
        )
    assert [each["result"]["stdout"] for each in told(ran.stdout)] == ["a\n", "b\n"]


def test_a_result_is_written_while_the_next_program_is_waited_for(served: ServiceThread) -> None:
    """Whoever writes the programs may look at each result first."""
    process = subprocess.Popen(
        command(served, "-"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        for stdin in (lines(code("out a")), b"rubbish\n", lines(code("out b"))):
            process.stdin.write(stdin)
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["line"] > 0
        process.stdin.close()
        assert process.stdout.read() == b""
        assert process.wait(DEADLINE) == 2


def test_an_interrupt_ends_it_and_kills_what_runs(served: ServiceThread) -> None:
    process = subprocess.Popen(
        command(served, "-"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        assert process.stdin is not None
        process.stdin.write(lines(code("hang")))
        process.stdin.flush()
        served.wait_for(lambda service: service.runner.active == 1, "it runs")
        process.send_signal(2)
        assert process.wait(DEADLINE) == 130
    served.wait_for(lambda service: service.runner.active == 0, "it is killed")


def test_results_whose_reader_has_gone_end_it_without_a_traceback(served: ServiceThread) -> None:
    process = subprocess.Popen(
        command(served, "-"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.write(lines(code("out a")))
        process.stdin.flush()
        assert process.wait(DEADLINE) == 125
        assert process.stderr.read() == b"sandbox: cannot write the results: Broken pipe\n"


def test_on_a_terminal_there_is_a_bar_and_whole_lines(
    served: ServiceThread, tmp_path: Path
) -> None:
    file = tmp_path / "programs"
    file.write_bytes(lines(code("out a")) + b"rubbish\n" + lines(code("exit 1")))
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command(served, str(file)), stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # so a terminal ends whose other side is gone
        while data := os.read(ours, 65536):
            shown += data
    os.close(ours)
    assert process.wait(DEADLINE) == 2
    assert b"/3" in shown
    assert shown.endswith(b"2 programs: 1 ok, 1 failed, 1 bad lines\r\n")
    kept = [line.rpartition(b"\r")[2].removeprefix(b"\x1b[K") for line in shown.split(b"\r\n")]
    assert len([line for line in kept if line.startswith(b'{"line":')]) == 3
    assert len([line for line in kept if line.startswith(b"sandbox: line 2: ")]) == 1


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["none.jsonl"], "cannot read none.jsonl: No such file"),
        (["."], "cannot read .: Is a directory"),
        (["-", "--output", "none/results"], "cannot write none/results: No such file"),
        (["programs", "--output", "./programs"], "holds the programs"),
    ],
)
def test_files_that_cannot_be_used_are_told_before_anything_runs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    why: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "programs").write_text("kept")
    assert main(["batch", *arguments, "--socket", "nowhere"]) == 125
    shown = capsys.readouterr()
    assert shown.out == ""
    assert why in shown.err
    assert (tmp_path / "programs").read_text() == "kept"


def test_without_a_daemon_it_is_125_and_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "programs").write_bytes(lines(code("")))
    arguments = [str(tmp_path / "programs"), "--socket", str(tmp_path / "none.sock")]
    assert main(["batch", *arguments]) == 125
    assert "sandboxd serve" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["-", "-j", "0"], ["-", "-j", "many"], ["-", "more"]])
def test_what_cannot_be_asked_for_is_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["batch", *arguments])
    assert caught.value.code == 2
    assert "sandbox batch" in capsys.readouterr().err
