"""The asynchronous client against a real server, in one loop with it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest

from sandboxd.guest.frames import Command
from sandboxd.guest.frames import Event as GuestEvent
from sandboxd_client import (
    AsyncClient,
    AsyncRunStream,
    CancelledError,
    ConnectionLostError,
    Event,
    InvalidLimitsError,
    Limits,
    NotRunningError,
    Output,
    RemoteError,
    RunResult,
    SandboxError,
    Started,
    Status,
    UnknownLanguageError,
    UsageError,
)
from sandboxd_client.protocol import STDIN_WINDOW
from tests.support.program import Process
from tests.support.service import Service
from tests.support.wait import DEADLINE, turns, until

MUCH = 8 * STDIN_WINDOW


def pieces(count: int, size: int = 65536) -> Iterator[bytes]:
    return (b"x" * size for _ in range(count))


async def begun(service: Service, count: int = 1) -> None:
    await until(
        lambda: sum(guest.process is not None for guest in service.engine.seen) == count,
        f"{count} programs run",
    )


async def run(client: AsyncClient, code: str = "") -> RunResult:
    async with asyncio.timeout(DEADLINE):
        return await client.run("python", code)


async def collect(stream: AsyncRunStream) -> list[Event]:
    return [event async for event in stream]


# --- runs ---


async def test_a_run_gives_its_result(aclient: AsyncClient) -> None:
    result = await aclient.run("python", "out hello\nargs\nexit 3", args=["a b"])
    assert (result.status, result.exit_code) == (Status.ERROR, 3)
    assert result.stdout == "hello\na b\n"


async def test_100_runs_at_once_over_one_connection_have_each_their_own_result(
    service: Service, aclient: AsyncClient
) -> None:
    results = await asyncio.gather(*(run(aclient, f"out {number}") for number in range(100)))
    assert [result.stdout for result in results] == [f"{number}\n" for number in range(100)]
    assert len(service.hub.connections) == 1


async def test_a_stream_that_was_not_entered_says_how_to(aclient: AsyncClient) -> None:
    uses: list[Callable[[AsyncRunStream], Awaitable[object]]] = [
        AsyncRunStream.__anext__,
        lambda run: run.send_stdin(b"1"),
        AsyncRunStream.end_stdin,
        lambda run: run.feed([b"1"]),
        AsyncRunStream.interrupt,
        AsyncRunStream.cancel,
    ]
    for use in uses:
        with pytest.raises(UsageError, match=r"enter it first, by `async with client\.stream"):
            await use(aclient.stream("python", "", stdin=()))


async def test_a_streams_events_come_in_order_and_then_its_result(aclient: AsyncClient) -> None:
    async with aclient.stream("python", "out a\nerr b\nout c") as stream:
        with pytest.raises(UsageError, match="iterate"):
            _ = stream.result
        started, *outputs = [event async for event in stream]
    assert isinstance(started, Started)
    assert outputs == [
        Output("stdout", b"a\n"),
        Output("stderr", b"b\n"),
        Output("stdout", b"c\n"),
    ]
    assert stream.result.stdout == "a\nc\n"


async def test_stdin_may_be_sent_in_answer_to_output(aclient: AsyncClient) -> None:
    async with aclient.stream("python", "cat", stdin=()) as stream:
        events = aiter(stream)
        assert isinstance(await anext(events), Started)
        for word in (b"one", b"two"):
            await stream.send_stdin(word)
            assert await anext(events) == Output("stdout", word)
        await stream.end_stdin()
        assert [event async for event in events] == []
    assert stream.result.stdout == "onetwo"


@pytest.mark.parametrize("stdin", ["text", b"\xff", [b"in ", b"pieces"], []])
async def test_stdin_may_be_text_bytes_or_pieces(
    aclient: AsyncClient, stdin: str | bytes | list[bytes]
) -> None:
    result = await aclient.run("python", "cat", stdin=stdin)
    assert result.status is Status.OK


async def test_stdin_far_over_the_windows_reaches_a_program_that_reads(
    aclient: AsyncClient,
) -> None:
    code = f"read {MUCH}\nout done\ncat"
    result = await aclient.run("python", code, stdin=pieces(MUCH // 65536))
    assert result.stdout == "done\n"


@pytest.mark.parametrize("code", ["exit 4", "read 10\nexit 4", "hang"])
async def test_stdin_far_over_the_windows_does_not_hang_with_a_program_that_does_not_read(
    aclient: AsyncClient, code: str
) -> None:
    async with asyncio.timeout(DEADLINE):
        result = await aclient.run("python", code, stdin=pieces(10_000), limits=Limits(timeout=0.2))
    assert result.exit_code in (4, 124)


async def test_the_longest_answer_that_the_daemon_can_give_is_received(
    service: Service, aclient: AsyncClient
) -> None:
    """Control characters take six bytes of JSON each; with more of them it would be base64."""
    size = 8 * 2**20
    printed = (b"\0aaaa" * (size // 5 + 1))[-size:]

    async def nothing(process: Process) -> int:
        await process.write(printed)
        await process.write(printed, GuestEvent.STDERR)
        return 0

    service.engine.programs["nothing"] = nothing
    async with asyncio.timeout(DEADLINE):
        result = await aclient.run("python", "nothing", limits=Limits(output=size))
    assert result.stdout is not None
    assert result.stderr is not None
    assert result.stdout == result.stderr == printed.decode()


# --- cancelling ---


async def test_cancelling_the_task_kills_the_program(
    service: Service, aclient: AsyncClient
) -> None:
    task = asyncio.create_task(run(aclient, "hang"))
    await begun(service)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: service.runner.active == 0, "it is killed")
    assert service.engine.seen[0].heard[Command.KILL] == 1
    assert (await run(aclient, "out again")).stdout == "again\n"


async def test_leaving_a_stream_before_its_end_kills_the_program(
    service: Service, aclient: AsyncClient
) -> None:
    async with aclient.stream("python", "out begun\nhang") as stream:
        assert isinstance(await anext(aiter(stream)), Started)
    await until(lambda: service.runner.active == 0, "it is killed")
    assert aclient._waiting == {}
    assert (await run(aclient, "out again")).stdout == "again\n"


@pytest.mark.parametrize(("name", "number"), [("INT", 2), ("TERM", 15), ("HUP", 1)])
async def test_an_interrupt_is_the_programs(
    aclient: AsyncClient, name: Literal["INT", "TERM", "HUP"], number: int
) -> None:
    async with aclient.stream("python", "out up\nhang") as run:
        async for event in run:
            if isinstance(event, Output):
                await run.interrupt(name)
    result = run.result
    assert (result.stdout, result.exit_code, result.signal) == ("up\n", 128 + number, number)


async def test_cancelling_a_stream_ends_its_iteration_in_an_error(aclient: AsyncClient) -> None:
    async with aclient.stream("python", "hang") as stream:
        events = aiter(stream)
        await anext(events)
        await stream.cancel()
        with pytest.raises(CancelledError):
            await anext(events)


async def test_a_stream_whose_events_are_left_lying_does_not_hold_up_leaving_it(
    service: Service, aclient: AsyncClient
) -> None:
    limits = Limits(output="64MiB")
    async with asyncio.timeout(DEADLINE):
        async with aclient.stream(
            "python", "flood 40000000\nhang", limits=limits, capture=False
        ) as stream:
            await anext(aiter(stream))
            await until(stream._incoming.full, "its events pile up")
        assert (await run(aclient, "out again")).stdout == "again\n"
    await until(lambda: service.runner.active == 0, "it is killed")


# --- errors ---


async def test_errors_of_the_daemon_are_exceptions_of_their_own(aclient: AsyncClient) -> None:
    with pytest.raises(UnknownLanguageError):
        await aclient.run("cobol", "")
    with pytest.raises(InvalidLimitsError):
        await aclient.run("python", "", limits=Limits(timeout=1000))
    with pytest.raises(TypeError, match="timeout"):
        await aclient.run("python", "", timeout=5)  # type: ignore[call-arg]
    with pytest.raises(RemoteError, match="lost"):
        await run(aclient, "die\nhang")
    assert (await run(aclient, "out fine")).stdout == "fine\n"


async def test_without_a_daemon_the_error_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "none.sock"
    with pytest.raises(NotRunningError, match="sandboxd serve"):
        async with AsyncClient(path):
            pass
    with pytest.raises(NotRunningError):
        await AsyncClient(path).run("python", "")


async def test_a_connection_that_is_lost_is_an_error_for_each_run_and_the_next_connects_anew(
    service: Service, aclient: AsyncClient
) -> None:
    tasks = [asyncio.create_task(run(aclient, "hang")) for _ in range(3)]
    await begun(service, 3)
    for connection in list(service.hub.connections):
        connection.abort()
    for task in tasks:
        with pytest.raises(ConnectionLostError):
            await task
    assert (await run(aclient, "out again")).stdout == "again\n"
    assert aclient._waiting == {}


async def test_a_connection_that_is_lost_leaves_no_socket_open(
    service: Service, aclient: AsyncClient
) -> None:
    await run(aclient)
    writer = aclient._writer
    assert writer is not None
    for connection in list(service.hub.connections):
        connection.abort()
    await until(lambda: aclient._writer is None, "the loss is seen")
    assert writer.transport.is_closing()
    del writer
    await turns()
    gc.collect()


async def test_a_lost_connection_is_told_also_to_a_stream_whose_events_were_left_lying(
    service: Service, aclient: AsyncClient
) -> None:
    limits = Limits(output="64MiB")
    other = asyncio.create_task(run(aclient, "hang"))
    await begun(service)
    async with aclient.stream("python", "flood 40000000", limits=limits, capture=False) as stream:
        await until(stream._incoming.full, "its events pile up")
        for connection in list(service.hub.connections):
            connection.abort()
        with pytest.raises(ConnectionLostError):
            await asyncio.wait_for(collect(stream), DEADLINE)
    with pytest.raises(ConnectionLostError):
        await asyncio.wait_for(other, DEADLINE)


async def test_closing_the_client_ends_the_calls_that_are_under_way(
    service: Service, aclient: AsyncClient
) -> None:
    task = asyncio.create_task(run(aclient, "hang"))
    await begun(service)
    await aclient.close()
    with pytest.raises(ConnectionLostError):
        await task
    await until(lambda: service.runner.active == 0, "the run is cancelled")


async def test_leaving_a_stream_after_the_daemon_has_gone_hides_no_other_error(
    service: Service, aclient: AsyncClient
) -> None:
    async def work() -> None:
        async with aclient.stream("python", "hang") as stream:
            await anext(aiter(stream))
            await service.stop()
            await until(lambda: aclient._writer is None, "the loss is seen")
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await work()


@contextlib.asynccontextmanager
async def impostor(folder: Path, *lines: bytes) -> AsyncIterator[Path]:
    """Something that answers the first line with these, and then only listens."""
    path = folder / "impostor.sock"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.writelines(lines)
        await reader.read()
        writer.close()

    async with await asyncio.start_unix_server(answer, path):
        yield path


@pytest.mark.parametrize(
    "line",
    [
        b"rubbish\n",
        b"[]\n",
        b"\xff\n",
        b'{"jsonrpc": "2.0", "id": 1}\n',
        b'{"jsonrpc": "2.0", "id": 1, "result": {}}\n',
    ],
)
async def test_what_is_no_answer_is_an_error_of_this_package(tmp_path: Path, line: bytes) -> None:
    async with impostor(tmp_path, line) as path, AsyncClient(path) as client:
        with pytest.raises(SandboxError):
            await run(client)


async def test_a_notification_that_this_client_does_not_know_is_passed_over(
    tmp_path: Path,
) -> None:
    lines = (
        b'{"jsonrpc": "2.0", "method": "run.new", "params": {"id": 1}}\n',
        b'{"jsonrpc": "2.0", "method": "daemon.news", "params": {"a": 1}}\n',
        b'{"jsonrpc": "2.0", "id": 1, "error": {"code": -32800, "message": "cancelled"}}\n',
    )
    async with impostor(tmp_path, *lines) as path, AsyncClient(path) as client:
        with pytest.raises(CancelledError):
            await run(client)


# --- the other methods ---


async def test_what_the_daemon_says_of_itself(aclient: AsyncClient) -> None:
    assert (await aclient.initialize()).server == "sandboxd"
    assert "python" in [language.name for language in await aclient.languages()]
    assert (await aclient.status()).clients == 1
    assert (await aclient.health()).checks["engine"].ok


async def test_a_client_connects_by_itself_and_once(service: Service) -> None:
    client = AsyncClient(service.socket)
    await asyncio.gather(*(run(client) for _ in range(10)))
    assert len(service.hub.connections) == 1
    await client.close()
    await until(lambda: not service.hub.connections, "it is closed")
