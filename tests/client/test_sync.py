"""The synchronous client against a real server."""

from __future__ import annotations

import gc
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import pytest

from sandboxd.config import PoolConfig
from sandboxd.guest.frames import Command
from sandboxd.guest.frames import Event as GuestEvent
from sandboxd_client import (
    CancelledError,
    Client,
    ConnectionLostError,
    EngineUnavailableError,
    Event,
    ImageUnavailableError,
    InvalidLimitsError,
    InvalidParamsError,
    Limits,
    NotRunningError,
    Output,
    QueueFullError,
    RemoteError,
    Reuse,
    RunStream,
    SandboxError,
    Started,
    Status,
    UnknownLanguageError,
    UsageError,
    from_blob,
)
from sandboxd_client.errors import from_wire
from sandboxd_client.protocol import STDIN_WINDOW
from tests.support.impostor import Impostor, drain, read_line
from tests.support.program import Process
from tests.support.service import SMALL, Service, ServiceThread, replace
from tests.support.wait import DEADLINE

MUCH = 8 * STDIN_WINDOW


def pieces(count: int, size: int = 65536) -> Iterator[bytes]:
    return (b"x" * size for _ in range(count))


def abort_all(served: ServiceThread) -> None:
    """Ends all connections from the daemon's side; there must be some."""
    served.wait_for(lambda service: bool(service.hub.connections), "somebody is connected")

    def abort(service: Service) -> None:
        for connection in list(service.hub.connections):
            connection.abort()

    served.ask(abort)


# --- runs ---


def test_a_run_gives_its_result(client: Client) -> None:
    result = client.run("python", "out hello\nerr oops\nexit 3")
    assert (result.status, result.exit_code) == (Status.ERROR, 3)
    assert (result.stdout, result.stderr) == ("hello\n", "oops\n")
    assert result.warm
    assert result.container.uses == 1


def test_options_reach_the_program(client: Client) -> None:
    result = client.run("py", "args\nenv A", args=("one", "two words"), env={"A": "b"})
    assert result.stdout == "one\ntwo words\nb\n"


@pytest.mark.parametrize("stdin", ["text", b"text", b"\xff\x00", "", b"", [b"in ", b"pieces"], []])
def test_stdin_may_be_text_bytes_or_pieces(
    client: Client, stdin: str | bytes | list[bytes]
) -> None:
    result = client.run("python", "cat", stdin=stdin)
    assert result.stdout is not None
    expected = (
        stdin.encode()
        if isinstance(stdin, str)
        else b"".join([stdin] if isinstance(stdin, bytes) else stdin)
    )
    assert from_blob(result.stdout) == expected


def test_limits_and_reuse_are_passed_on(client: Client) -> None:
    result = client.run("python", "out before\nhang", limits=Limits(timeout=0.01))
    assert (result.status, result.exit_code) == (Status.TIMEOUT, 124)
    cut = client.run("python", "out 123456", limits=Limits(output=3), reuse="never")
    assert cut.stdout == "123"
    assert cut.truncated.stdout
    assert client.run("python", "", reuse=Reuse.NEVER, capture=False).stdout is None


def test_an_option_that_does_not_exist_is_refused_before_anything_is_sent(client: Client) -> None:
    with pytest.raises(TypeError, match="timeout"):
        client.run("python", "", timeout=5)  # type: ignore[call-arg]


# --- streams ---


def test_a_streams_events_come_in_order_and_then_its_result(client: Client) -> None:
    with client.stream("python", "out a\nerr b\nout c") as run:
        assert not run.ended
        started, *outputs = list(run)
    assert run.ended
    assert isinstance(started, Started)
    assert outputs == [
        Output("stdout", b"a\n"),
        Output("stderr", b"b\n"),
        Output("stdout", b"c\n"),
    ]
    assert run.result.stdout == "a\nc\n"
    assert run.result.run == started.run


def test_output_comes_while_the_program_runs(client: Client, served: ServiceThread) -> None:
    with client.stream("python", "out first\nwait go\nout second") as run:
        events = iter(run)
        assert isinstance(next(events), Started)
        assert next(events) == Output("stdout", b"first\n")
        served.ask(lambda service: service.engine.events["go"].set())
        assert list(events) == [Output("stdout", b"second\n")]


def test_there_is_no_result_before_the_end(client: Client) -> None:
    with client.stream("python", "") as run:
        with pytest.raises(UsageError, match="iterate"):
            _ = run.result
        list(run)


def test_a_stream_that_was_not_entered_says_how_to(client: Client) -> None:
    uses: list[Callable[[RunStream], object]] = [
        list,
        lambda run: list(run.take()),
        lambda run: run.send_stdin(b"1"),
        RunStream.end_stdin,
        lambda run: run.feed([b"1"]),
        RunStream.interrupt,
        RunStream.cancel,
        RunStream.fileno,
    ]
    for use in uses:
        with pytest.raises(UsageError, match=r"enter it first, by `with client\.stream"):
            use(client.stream("python", "", stdin=()))


def test_stdin_may_be_sent_in_answer_to_output(client: Client) -> None:
    with client.stream("python", "cat", stdin=()) as run:
        events = iter(run)
        assert isinstance(next(events), Started)
        for word in (b"one", b"two", b"three"):
            run.send_stdin(word)
            assert next(events) == Output("stdout", word)
        run.end_stdin()
        assert list(events) == []
    assert run.result.stdout == "onetwothree"


def test_what_has_arrived_may_be_taken_without_waiting(client: Client) -> None:
    seen: list[Event] = []
    with client.stream("python", "out a\nout b") as run:
        while not run.ended:
            seen += run.take()
    assert [event.data for event in seen if isinstance(event, Output)] == [b"a\n", b"b\n"]


def test_leaving_a_stream_before_its_end_kills_the_program(
    client: Client, served: ServiceThread
) -> None:
    with client.stream("python", "out begun\nhang") as run:
        assert isinstance(next(iter(run)), Started)
    served.wait_for(lambda service: service.runner.active == 0, "it is killed")
    assert served.ask(lambda service: service.engine.seen[0].heard[Command.KILL]) == 1
    assert client.run("python", "out again").stdout == "again\n"


@pytest.mark.parametrize(("name", "number"), [("INT", 2), ("TERM", 15), ("HUP", 1)])
def test_an_interrupt_is_the_programs(
    client: Client, name: Literal["INT", "TERM", "HUP"], number: int
) -> None:
    with client.stream("python", "out up\nhang") as run:
        for event in run:
            if isinstance(event, Output):
                run.interrupt(name)
    result = run.result
    assert (result.stdout, result.exit_code, result.signal) == ("up\n", 128 + number, number)


def test_cancelling_ends_the_iteration_in_an_error(client: Client) -> None:
    with client.stream("python", "out begun\nhang") as run:
        events = iter(run)
        next(events)
        run.cancel()
        with pytest.raises(CancelledError) as caught:
            list(events)
    assert caught.value.code == -32800
    assert client.run("python", "out again").stdout == "again\n"


# --- stdin over the windows ---


def test_stdin_far_over_the_windows_reaches_a_program_that_reads(client: Client) -> None:
    code = f"read {MUCH}\nout done\ncat"
    result = client.run("python", code, stdin=pieces(MUCH // 65536))
    assert result.stdout == "done\n"


@pytest.mark.parametrize("code", ["exit 4", "read 10\nexit 4", "hang"])
def test_stdin_far_over_the_windows_does_not_hang_with_a_program_that_does_not_read(
    client: Client, code: str
) -> None:
    result = client.run("python", code, stdin=pieces(10_000), limits=Limits(timeout=0.2))
    assert result.exit_code in (4, 124)


def test_pieces_of_any_size_are_sent_within_the_window(client: Client) -> None:
    sent = [b"", b"a", b"b" * (3 * STDIN_WINDOW), b"", b"c"]
    result = client.run("python", "cat", stdin=sent, limits=Limits(output="8MiB"))
    assert result.stdout == b"".join(sent).decode()


def test_stdin_and_output_may_both_be_more_than_the_sockets_hold(client: Client) -> None:
    result = client.run("python", "cat", stdin="0123456789" * 400_000, limits=Limits(output="8MiB"))
    assert result.stdout == "0123456789" * 400_000


def test_a_program_that_floods_while_its_stdin_is_sent_does_not_block_it(client: Client) -> None:
    limits = Limits(output="64MiB")
    with client.stream(
        "python", "flood 20000000\ncat", stdin=(), limits=limits, capture=False
    ) as run:
        run.send_stdin(b"x" * (STDIN_WINDOW // 2))
        run.end_stdin()
        printed = sum(len(event.data) for event in run if isinstance(event, Output))
    assert printed > 20_000_000


def test_output_of_any_bytes_comes_whole_while_stdin_is_fed_in_pieces(
    client: Client, served: ServiceThread
) -> None:
    """Its bytes may look like lines, and like answers."""
    tricky = b'\n{"jsonrpc": "2.0", "id": 2, "result": {}}\n\xff\0' * 1000

    async def program(process: Process) -> int:
        while data := await process.read():
            await process.write(data[:0] + tricky)
        await process.write(tricky, GuestEvent.STDERR)
        return 0

    served.ask(lambda service: service.engine.programs.update(tricky=program))
    limits = Limits(output="64MiB")
    with client.stream("python", "tricky", stdin=(), limits=limits, capture=False) as run:
        run.send_stdin(b"x")
        run.end_stdin()
        events = [event for event in run if isinstance(event, Output)]
    for name in ("stdout", "stderr"):
        assert b"".join(event.data for event in events if event.stream == name) == tricky
    with client.stream("python", "tricky", stdin=(), limits=limits, capture=False) as run:
        run.feed(pieces(MUCH // 65536))
        list(run)
    assert run.result.status is Status.OK
    assert client.run("python", "out again").stdout == "again\n"


def test_an_answer_that_comes_late_is_not_taken_for_anothers(
    client: Client, served: ServiceThread
) -> None:
    """A stream tells the daemon first how it wants its output, and the engine is slow."""
    gate = served.ask(lambda service: service.engine.on["info"].hold())
    with client.stream("python", "out x") as run:
        list(run)
    assert "python" in [language.name for language in client.languages()]
    served.ask(lambda _: gate.set())
    for _ in range(3):
        assert "python" in [language.name for language in client.languages()]
        assert client.status().clients == 1
    with client.stream("python", "out y") as run:
        assert Output("stdout", b"y\n") in list(run)


# --- errors ---


def test_errors_of_the_daemon_are_exceptions_of_their_own(client: Client) -> None:
    with pytest.raises(UnknownLanguageError, match="'cobol'") as unknown:
        client.run("cobol", "")
    assert unknown.value.kind == "unknown_language"
    with pytest.raises(InvalidLimitsError, match=r"limits\.timeout") as limits:
        client.run("python", "", limits=Limits(timeout=1000))
    assert limits.value.data["max"] == 30.0
    with pytest.raises(ImageUnavailableError):
        client.run("ruby", "")
    with pytest.raises(InvalidParamsError, match="A=B"):
        client.run("python", "", env={"A=B": "c"})
    with pytest.raises(EngineUnavailableError, match="lost"):
        client.run("python", "die\nhang")
    assert client.run("python", "out fine").stdout == "fine\n"


def test_a_full_queue_says_when_to_come_again(tmp_path: Path) -> None:
    pool = PoolConfig(min=1, max=1, queue_timeout=0.01)
    with (
        ServiceThread(tmp_path, replace(SMALL, pool=pool)) as served,
        Client(served.socket) as client,
        client.stream("python", "hang") as busy,
    ):
        next(iter(busy))
        with pytest.raises(QueueFullError) as caught:
            client.run("python", "")
        assert caught.value.retry_after >= 1.0


def test_a_kind_of_error_that_this_client_does_not_know_is_still_an_error() -> None:
    error = from_wire(2000, "of the future", {"kind": "new", "more": 1})
    assert type(error) is RemoteError
    assert (error.code, error.kind, str(error)) == (2000, "new", "of the future")
    assert error.data["more"] == 1
    assert from_wire(-32603, "internal", {}).kind is None


def test_without_a_daemon_the_error_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "none.sock"
    with pytest.raises(NotRunningError) as caught, Client(path) as client:
        client.run("python", "")
    text = str(caught.value)
    for word in (str(path), "sandboxd serve", "--daemon auto", "--socket", "$SANDBOXD_SOCKET"):
        assert word in text
    assert caught.value.socket == path


def test_a_socket_that_nobody_listens_on_is_no_daemon(tmp_path: Path) -> None:
    path = tmp_path / "left.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with pytest.raises(NotRunningError, match="refused"):
        Client(path).status()


def test_a_connection_that_is_lost_under_a_run_is_an_error_and_the_next_call_connects_anew(
    client: Client, served: ServiceThread
) -> None:
    with client.stream("python", "hang") as run:
        events = iter(run)
        next(events)
        abort_all(served)
        with pytest.raises(ConnectionLostError, match=r"before it answered|broke"):
            next(events)
    assert client.run("python", "out again").stdout == "again\n"


def test_a_connection_that_is_lost_while_stdin_is_sent_is_an_error(
    client: Client, served: ServiceThread
) -> None:
    def cut() -> Iterator[bytes]:
        yield b"x" * 65536
        abort_all(served)
        yield from pieces(1000)

    with pytest.raises(ConnectionLostError):
        client.run("python", "cat", stdin=cut())


@pytest.mark.parametrize(
    "line", [b"rubbish\n", b'{"jsonrpc": "2.0", "id": 1}\n', b"[]\n", b"\xff\n"]
)
def test_what_is_no_answer_is_an_error_of_this_package(tmp_path: Path, line: bytes) -> None:
    def answer(connection: socket.socket) -> None:
        read_line(connection)
        connection.sendall(line)
        drain(connection)

    with (
        Impostor(tmp_path, answer) as impostor,
        Client(impostor.socket) as client,
        pytest.raises(SandboxError),
    ):
        client.run("python", "")


# --- the other methods ---


def test_what_the_daemon_says_of_itself(client: Client) -> None:
    assert client.initialize().server == "sandboxd"
    assert "python" in [language.name for language in client.languages()]
    assert client.status().clients == 1
    assert client.health().checks["engine"].ok


# --- connections ---


def test_a_connection_is_used_again(client: Client, served: ServiceThread) -> None:
    for _ in range(5):
        client.run("python", "")
    with client.stream("python", "") as run:
        list(run)
    client.status()
    assert served.ask(lambda service: len(service.hub.connections)) == 1


def test_a_connection_after_an_error_is_used_again(client: Client, served: ServiceThread) -> None:
    for _ in range(3):
        with pytest.raises(UnknownLanguageError):
            client.run("cobol", "")
        with pytest.raises(RemoteError):
            client.run("python", "die\nhang")
    assert served.ask(lambda service: len(service.hub.connections)) == 1


def test_a_connection_that_the_daemon_has_closed_meanwhile_is_replaced(
    client: Client, served: ServiceThread
) -> None:
    client.run("python", "")
    abort_all(served)
    served.wait_for(lambda service: not service.hub.connections, "it is closed")
    assert client.run("python", "out again").stdout == "again\n"


def test_closing_a_client_closes_its_connections(client: Client, served: ServiceThread) -> None:
    client.run("python", "")
    client.close()
    served.wait_for(lambda service: not service.hub.connections, "it is closed")


def test_a_client_may_be_shared_between_threads(client: Client, served: ServiceThread) -> None:
    start = threading.Barrier(8)

    def work(name: int) -> list[str]:
        start.wait(DEADLINE)
        return [str(client.run("python", f"out {name}-{n}").stdout) for n in range(10)]

    with ThreadPoolExecutor(8) as threads:
        printed = list(threads.map(work, range(8)))
    assert printed == [[f"{name}-{n}\n" for n in range(10)] for name in range(8)]
    assert served.ask(lambda service: len(service.hub.connections)) <= 8


def test_an_idle_connection_that_another_thread_takes_first_is_no_error(client: Client) -> None:
    class Raced(list[object]):
        """Another thread empties it between being looked at and being taken from."""

        def __len__(self) -> int:
            count = super().__len__()
            for connection in self:
                connection.close()  # type: ignore[attr-defined]
            self.clear()
            return count

    client.run("python", "")
    client._idle = raced = Raced(client._idle)  # type: ignore[assignment]
    assert client.run("python", "out fine").stdout == "fine\n"
    client._idle = list(raced)  # type: ignore[arg-type]


def test_a_client_that_was_used_and_closed_leaves_no_socket_open(served: ServiceThread) -> None:
    with Client(served.socket) as client:
        client.run("python", "")
        with pytest.raises(RemoteError):
            client.run("cobol", "")
        with client.stream("python", "hang") as run:
            next(iter(run))
    del client, run
    gc.collect()  # a ResourceWarning would fail this test


# --- what it costs ---


@pytest.mark.parametrize(
    ("code", "module"),
    [
        ("import sandboxd_client", "sandboxd_client"),
        ("from sandboxd_client import Client; Client('/nowhere')", "sandboxd_client.sync"),
        ("import sandboxd_client.cli", "sandboxd_client.cli"),
    ],
)
def test_the_synchronous_client_imports_neither_asyncio_nor_aiohttp(code: str, module: str) -> None:
    program = f"import sys; {code}; print(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(ran.stdout.split())
    assert module in loaded
    assert not {"asyncio", "aiohttp", "aiodocker", "sandboxd"} & loaded


def test_the_asynchronous_client_is_there_when_it_is_asked_for() -> None:
    program = "import sys, sandboxd_client; sandboxd_client.AsyncClient; print(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "asyncio" in ran.stdout.split()
