"""What happens to the daemon itself: killed at any moment, held up, out of descriptors."""

from __future__ import annotations

import contextlib
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandboxd_client import Client, SandboxError
from tests.faults.asking import (
    SLEEP,
    all_up,
    assert_one_answer,
    begun,
    keeps_only_its_own,
    recovers,
)
from tests.faults.conftest import CONFIG
from tests.support.daemon import eventually
from tests.support.private_engine import EngineDaemon, PrivateEngine
from tests.support.wire import Wire

LANGUAGES = b'{"jsonrpc":"2.0","id":1,"method":"languages","params":{}}\n'


# --- killed ---


def kill(daemon: EngineDaemon) -> None:
    daemon.process.kill()
    daemon.process.wait()


def leaves_nothing(daemon: EngineDaemon) -> None:
    """No process at once, and no container once there is a daemon again."""
    eventually(lambda: daemon.engine.processes() == [], "no process is left")
    daemon.start()
    recovers(daemon)
    keeps_only_its_own(daemon)


@pytest.mark.parametrize("containers", [1, 2, 4])
def test_kill_9_while_containers_are_being_made_leaves_none(
    engine: PrivateEngine, tmp_path: Path, containers: int
) -> None:
    config = f"{CONFIG}[languages.python]\nmin = 3\n[languages.bash]\nmin = 3\n"
    daemon = EngineDaemon(tmp_path, engine, config=config)
    daemon.process = daemon.spawn()
    with contextlib.ExitStack() as stack:
        stack.push(daemon)
        eventually(lambda: len(daemon.containers()) >= containers, "some are there")
        kill(daemon)
        leaves_nothing(daemon)


async def test_kill_9_while_runs_are_under_way_and_others_wait_leaves_none(
    daemon: EngineDaemon,
) -> None:
    async with Wire(daemon.socket) as wire:
        runs = await begun(wire, 3)
        runs += [wire.run(SLEEP) for _ in range(5)]
        kill(daemon)
        await wire.until_closed()
        assert [wire.answers(each) for each in runs] == [[]] * 8
    leaves_nothing(daemon)


async def test_kill_9_while_it_drains_leaves_none(daemon: EngineDaemon) -> None:
    async with Wire(daemon.socket) as wire:
        await begun(wire, 2)
        daemon.process.send_signal(signal.SIGTERM)
        eventually(lambda: not daemon.socket.exists(), "it drains")
        kill(daemon)
    leaves_nothing(daemon)


def test_kill_9_while_containers_are_replaced_after_a_reload_leaves_none(
    daemon: EngineDaemon,
) -> None:
    all_up(daemon)
    before = set(daemon.containers())
    daemon.configure(CONFIG + "[limits]\nnofile = 512\n")
    daemon.process.send_signal(signal.SIGHUP)
    eventually(lambda: set(daemon.containers()) != before, "they are being replaced")
    kill(daemon)
    leaves_nothing(daemon)


def test_kill_9_of_daemon_and_engine_leaves_none(
    daemon: EngineDaemon, engine: PrivateEngine
) -> None:
    all_up(daemon)
    engine.kill()
    kill(daemon)
    engine.start()
    leaves_nothing(daemon)


# --- held up ---


async def test_a_daemon_that_was_held_up_goes_on_where_it_was(daemon: EngineDaemon) -> None:
    """As by the suspension of a machine: what ended meanwhile is answered as it ended."""
    all_up(daemon)
    async with Wire(daemon.socket) as wire:
        (late,) = await begun(wire, 1, limits={"timeout": 0.5})
        daemon.process.send_signal(signal.SIGSTOP)
        connections = [socket.socket(socket.AF_UNIX) for _ in range(20)]
        with contextlib.ExitStack() as stack:
            for each in connections:
                stack.enter_context(each)
                each.settimeout(30)
                each.connect(str(daemon.socket))
                each.sendall(LANGUAGES)
            daemon.process.send_signal(signal.SIGCONT)
            assert all(each.recv(1) == b"{" for each in connections)
        assert (await wire.result(late))["status"] == "timeout"
        assert_one_answer(wire, [late])
    recovers(daemon)


# --- descriptors ---


@contextlib.contextmanager
def few_descriptors(daemon: EngineDaemon, more: int) -> Iterator[None]:
    """The daemon can open only so many more."""
    pid, before = daemon.process.pid, resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE)
    limit = daemon.descriptors() + more
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def connect(daemon: EngineDaemon, stack: contextlib.ExitStack, count: int) -> list[socket.socket]:
    """Connections that ask something."""
    connections = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(count)]
    for each in connections:
        each.connect(str(daemon.socket))
        with contextlib.suppress(BrokenPipeError):
            each.sendall(LANGUAGES)
    return connections


def served(connection: socket.socket) -> bool:
    connection.settimeout(10)
    with contextlib.suppress(OSError):
        return bool(connection.recv(1))
    return False


def test_without_descriptors_who_is_connected_is_served_and_the_log_not_flooded(
    daemon: EngineDaemon,
) -> None:
    all_up(daemon)
    with daemon.client() as client, contextlib.ExitStack() as stack:
        client.run("python", "print(1)")
        with few_descriptors(daemon, 4):
            before = daemon.log.stat().st_size
            connect(daemon, stack, 30)
            for _ in range(20):
                assert client.run("python", "print(1)").stdout == "1\n"
            eventually(lambda: "out of system resource" in daemon.log.read_text(), "it is told")
            for _ in range(20):
                assert client.run("bash", "echo 1").stdout == "1\n"
            assert daemon.log.stat().st_size - before < 200_000
    recovers(daemon)
    keeps_only_its_own(daemon)


def test_what_comes_past_the_descriptors_is_served_once_there_are_some(
    daemon: EngineDaemon,
) -> None:
    all_up(daemon)
    with contextlib.ExitStack() as stack:
        with few_descriptors(daemon, 4):
            waiting = connect(daemon, stack, 10)
            eventually(lambda: "out of system resource" in daemon.log.read_text(), "it is told")
        assert all(served(each) for each in waiting)
    recovers(daemon)


def test_a_daemon_with_few_descriptors_keeps_some_back_for_its_containers(
    engine: PrivateEngine, tmp_path: Path
) -> None:
    """Those who come past what is left are refused at once, and not left to wait."""
    daemon = EngineDaemon(tmp_path, engine, config=CONFIG)
    daemon.process = daemon.spawn()
    resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (200, 200))  # as it begins
    with contextlib.ExitStack() as until_the_end:
        until_the_end.push(daemon)
        eventually(lambda: can_connect(daemon.client), "it serves")
        all_up(daemon)
        with daemon.client() as client, contextlib.ExitStack() as stack:
            assert client.run("python", "print(1)").stdout == "1\n"
            answers = [served(each) for each in connect(daemon, stack, 200)]
            assert any(answers)
            assert not all(answers)
            for _ in range(5):
                assert client.run("python", "print(1)", reuse="never").stdout == "1\n"
            assert client.health().status == "ok"
            assert "out of system resource" not in daemon.log.read_text()
        eventually(lambda: can_connect(daemon.client), "there is room again")


def can_connect(connect: Callable[[], Client]) -> bool:
    with contextlib.suppress(SandboxError), connect() as client:
        return bool(client.languages())
    return False
