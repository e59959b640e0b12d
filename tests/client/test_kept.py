"""Kept runs through both clients and the command."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import pytest

from sandboxd_client import (
    AsyncClient,
    CancelledError,
    Client,
    Output,
    RunNotFoundError,
    Started,
    Status,
)
from tests.client.test_cli import PROGRAM, Ran, sandbox
from tests.support.service import Service, ServiceThread
from tests.support.wait import DEADLINE


def go(served: ServiceThread) -> None:
    served.ask(lambda service: service.engine.events["go"].set())


# --- the synchronous client ---


def test_leaving_a_kept_run_leaves_it_alone(served: ServiceThread, client: Client) -> None:
    with client.stream("python", "out a\nwait go\nout b", keep=True) as left:
        events = iter(left)
        started = next(events)
        assert isinstance(started, Started)
        assert next(events) == Output("stdout", b"a\n")
    assert left.seq == 0
    with Client(served.socket) as other, other.attach(started.run, after=left.seq) as joined:
        go(served)
        assert list(joined) == [Output("stdout", b"b\n")]
        assert joined.seq == 1
    assert joined.result.stdout == "a\nb\n"


def test_a_kept_run_can_be_waited_for_as_any_other(client: Client) -> None:
    result = client.run("python", "out a", keep=True)
    assert result.stdout == "a\n"
    with client.attach(result.run) as joined:
        assert list(joined) == [Output("stdout", b"a\n")]
    assert joined.result == result


def test_a_kept_run_can_be_killed(client: Client) -> None:
    with client.stream("python", "hang", keep=True) as stream:
        started = next(iter(stream))
        assert isinstance(started, Started)
        assert client.kill(started.run)
        assert list(stream) == []
    assert not client.kill(started.run)
    assert stream.result.status is Status.KILLED


def test_cancelling_a_stream_that_was_attached_ends_the_following_alone(
    served: ServiceThread, client: Client
) -> None:
    with client.stream("python", "wait go\nout a", keep=True) as stream:
        started = next(iter(stream))
        assert isinstance(started, Started)
    with client.attach(started.run) as joined:
        joined.cancel()
        with pytest.raises(CancelledError):
            list(joined)
    go(served)
    with client.attach(started.run) as joined:
        assert list(joined) == [Output("stdout", b"a\n")]


def test_a_run_that_is_not_there_is_an_error_of_its_own(client: Client) -> None:
    with client.attach("nonsense") as joined, pytest.raises(RunNotFoundError):
        list(joined)
    with pytest.raises(RunNotFoundError):
        client.kill("nonsense")


# --- the asynchronous one ---


async def test_leaving_a_kept_run_leaves_it_alone_also_on_a_shared_connection(
    service: Service, aclient: AsyncClient
) -> None:
    async with aclient.stream("python", "out a\nwait go\nout b", keep=True) as left:
        events = aiter(left)
        started = await anext(events)
        assert isinstance(started, Started)
        assert await anext(events) == Output("stdout", b"a\n")
    async with aclient.attach(started.run, after=left.seq) as joined:
        service.engine.events["go"].set()
        assert [event async for event in joined] == [Output("stdout", b"b\n")]
    assert joined.result.stdout == "a\nb\n"
    assert joined.seq == 1


async def test_a_task_that_is_cancelled_leaves_its_kept_run_alone(
    service: Service, aclient: AsyncClient
) -> None:
    code = "mark begun\nwait go\nmark done"
    waiting = asyncio.create_task(aclient.run("python", code, keep=True))
    await service.engine.events["begun"].wait()
    waiting.cancel()
    await asyncio.wait([waiting])
    await aclient.status()
    service.engine.events["go"].set()
    await service.engine.events["done"].wait()


async def test_a_kept_run_can_be_killed_from_another_client(
    service: Service, aclient: AsyncClient
) -> None:
    async with aclient.stream("python", "hang", keep=True) as stream:
        started = await anext(aiter(stream))
        assert isinstance(started, Started)
        async with AsyncClient(service.socket) as other:
            assert await other.kill(started.run)
            assert not await other.kill(started.run)
        assert [event async for event in stream] == []
    assert stream.result.status is Status.KILLED


# --- the command ---


def detached(served: ServiceThread, *arguments: str) -> str:
    ran = sandbox(served.socket, "run", "--detach", *arguments)
    assert (ran.returncode, ran.stderr) == (0, b"")
    return ran.stdout.decode().strip()


def attach(served: ServiceThread, run: str, *arguments: str) -> Ran:
    return sandbox(served.socket, "attach", run, *arguments)


def test_a_run_is_detached_and_attached_to_as_if_it_ran_here(served: ServiceThread) -> None:
    run = detached(served, "python", "-c", "out a\nwait go\nerr b\nexit 3")
    go(served)
    for _ in range(2):
        ran = attach(served, run)
        assert (ran.stdout, ran.stderr, ran.returncode) == (b"a\n", b"b\n", 3)
    result = json.loads(attach(served, run, "--json").stdout)
    assert (result["run"], result["stdout"], result["exit_code"]) == (run, "a\n", 3)


def test_a_detached_run_takes_no_stdin_but_its_program(served: ServiceThread) -> None:
    ran = sandbox(served.socket, "run", "--detach", "--json", "python", "-", stdin=b"cat\nout end")
    assert attach(served, json.loads(ran.stdout)["run"]).stdout == b"end\n"


def test_what_is_printed_comes_to_who_attached_while_it_is(served: ServiceThread) -> None:
    run = detached(served, "python", "-c", "out a\nwait go\nout b")
    command = [sys.executable, "-c", PROGRAM, "attach", "--socket", str(served.socket), run]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"a\n"
        go(served)
        assert process.stdout.read() == b"b\n"
        assert process.wait(DEADLINE) == 0


def test_a_detached_run_can_be_killed(served: ServiceThread) -> None:
    run = detached(served, "python", "-c", "out a\nhang")
    killed = sandbox(served.socket, "kill", run)
    assert (killed.returncode, killed.stderr) == (0, b"")
    again = sandbox(served.socket, "kill", run)
    assert (again.returncode, again.stderr.decode()) == (
        0,
        f"sandbox: the run {run} had ended already\n",
    )
    ran = attach(served, run)
    assert (ran.stdout, ran.returncode) == (b"a\n", 137)
    assert b"killed" in ran.stderr


@pytest.mark.parametrize("command", ["attach", "kill"])
def test_a_run_that_is_not_there_is_refused(served: ServiceThread, command: str) -> None:
    ran = sandbox(served.socket, command, "nonsense")
    assert ran.returncode == 125
    assert b"there is no run" in ran.stderr


def test_a_run_that_is_refused_is_not_detached(served: ServiceThread) -> None:
    ran = sandbox(served.socket, "run", "--detach", "cobol", "-c", "")
    assert (ran.stdout, ran.returncode) == (b"", 125)
