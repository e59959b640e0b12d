"""What a client knows of a run that has to wait."""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandboxd.config import PoolConfig
from sandboxd_client import AsyncClient, Client, Queued, Started
from tests.client.test_cli import PROGRAM
from tests.support.service import SMALL, Service, ServiceThread, replace
from tests.support.wait import DEADLINE, until

ONE = replace(SMALL, pool=PoolConfig(min=1, max=1))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServiceThread]:
    """With one container."""
    with ServiceThread(tmp_path, ONE) as thread:
        yield thread


def go(served: ServiceThread) -> None:
    served.ask(lambda service: service.engine.events["go"].set())


def waits(served: ServiceThread) -> None:
    served.wait_for(lambda service: service.pool().waiting == 1, "one waits")


def test_a_stream_knows_where_its_run_stands_until_it_starts(
    served: ServiceThread, client: Client
) -> None:
    with client.stream("python", "wait go") as first, client.stream("python", "") as second:
        waits(served)
        while second.queued is None:
            assert list(second.take()) == []
        assert second.queued == Queued(1, None)
        go(served)
        assert [type(event) for event in first] == [Started]
        assert [type(event) for event in second] == [Started]
        assert second.queued is None


async def test_an_asynchronous_stream_knows_as_well(tmp_path: Path) -> None:
    async with (
        Service(tmp_path, ONE) as service,
        AsyncClient(service.socket) as aclient,
        aclient.stream("python", "wait go") as first,
        aclient.stream("python", "") as second,
    ):
        ending = asyncio.create_task(anext(aiter(second)))
        await until(lambda: second.queued == Queued(1, None), "it knows")
        service.engine.events["go"].set()
        assert [type(event) async for event in first] == [Started]
        assert isinstance(await ending, Started)
        assert second.queued is None


def printed(descriptor: int, word: bytes) -> bytes:
    """What came on a terminal until a word did."""
    text = b""
    while word not in text:
        text += os.read(descriptor, 4096)
    return text


@pytest.mark.parametrize("detach", [[], ["--detach"]])
def test_the_command_shows_it_on_a_terminal_and_takes_it_away(
    served: ServiceThread, client: Client, detach: list[str]
) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", PROGRAM, "run", "--socket", str(served.socket), *detach]
    with client.stream("python", "wait go") as first:
        next(iter(first))
        with subprocess.Popen(
            [*command, "python", "-c", "out a"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=theirs,
        ) as process:
            assert b"number 1 in the queue" in printed(ours, b"queue")
            go(served)
            assert printed(ours, b"\x1b[K").endswith(b"\r\x1b[K")
            assert process.wait(DEADLINE) == 0
    os.close(ours)
    os.close(theirs)


def test_the_command_says_nothing_of_it_elsewhere(served: ServiceThread, client: Client) -> None:
    command = [sys.executable, "-c", PROGRAM, "run", "--socket", str(served.socket)]
    with client.stream("python", "wait go") as first:
        next(iter(first))
        with subprocess.Popen(
            [*command, "python", "-c", "out a"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            waits(served)
            go(served)
            assert process.communicate(timeout=DEADLINE) == (b"a\n", b"")
