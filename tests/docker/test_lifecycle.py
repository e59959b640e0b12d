"""The daemon comes and goes; containers do not outlive it, and no request is forgotten."""

from __future__ import annotations

import asyncio
import signal
import subprocess

import pytest

from sandboxd_client import (
    AsyncClient,
    CancelledError,
    Client,
    ConnectionLostError,
    Limits,
    Output,
    SandboxError,
    ShuttingDownError,
    Started,
)
from tests.support.daemon import RunningDaemon, eventually, pools_are_full

SLEEP = "print('started'); import time; time.sleep(25)"


def test_a_stopped_daemon_leaves_no_container_and_no_socket(own_daemon: RunningDaemon) -> None:
    with own_daemon.client() as client:
        client.run("python", "pass")
    assert own_daemon.stop() == 0
    assert own_daemon.containers() == []
    assert not own_daemon.socket.exists()


async def test_kill_9_with_twenty_runs_in_flight_leaves_no_container_and_a_new_daemon_serves(
    own_daemon: RunningDaemon,
) -> None:
    own_daemon.stop()
    own_daemon.config.write_text("[pool]\nmin = 0\nmax = 20\n[languages.python]\nmin = 4\n")
    own_daemon.start()
    async with AsyncClient(own_daemon.socket) as client:
        streams = [client.stream("python", SLEEP) for _ in range(20)]
        for stream in streams:
            await stream.__aenter__()
        for stream in streams:
            async for event in stream:
                if isinstance(event, Output):
                    break
        assert len(own_daemon.containers()) >= 20
        own_daemon.process.kill()
        own_daemon.process.wait()
        for stream in streams:
            with pytest.raises(ConnectionLostError):
                async for _ in stream:
                    pass
    eventually(lambda: own_daemon.containers() == [], "no container is left", 10.0)
    own_daemon.start()
    with own_daemon.client() as again:
        assert again.run("python", "print(1)").stdout == "1\n"


def test_containers_that_an_earlier_daemon_left_are_swept_at_start(
    own_daemon: RunningDaemon,
) -> None:
    """Its containers are stopped first, so that its death does not end them."""
    with own_daemon.client() as client:
        eventually(lambda: pools_are_full(client), "pools are full")
    left = own_daemon.containers()
    subprocess.run(["docker", "pause", *left], check=True, capture_output=True)
    own_daemon.process.kill()
    own_daemon.process.wait()
    assert set(left) <= set(own_daemon.containers())
    own_daemon.start()
    assert not set(left) & set(own_daemon.containers())


async def test_sigterm_lets_runs_end_and_refuses_new_ones(own_daemon: RunningDaemon) -> None:
    async with AsyncClient(own_daemon.socket) as client:
        code = "print(1); input(); print(2)"
        async with client.stream("python", code, stdin=()) as stream:
            async for event in stream:
                if isinstance(event, Output):
                    break
            own_daemon.process.send_signal(signal.SIGTERM)
            eventually(lambda: not own_daemon.socket.exists(), "nobody new is let in")
            with pytest.raises(ShuttingDownError):
                await client.run("python", "pass")
            await stream.send_stdin(b"\n")
            async for _ in stream:
                pass
        assert stream.result.stdout == "1\n2\n"
    assert own_daemon.process.wait(30) == 0
    assert own_daemon.containers() == []


async def test_runs_that_outlast_the_drain_are_told(own_daemon: RunningDaemon) -> None:
    own_daemon.stop()
    own_daemon.config.write_text("drain_timeout = 0.2\n")
    own_daemon.start()
    client = AsyncClient(own_daemon.socket)
    async with client, client.stream("python", SLEEP) as stream:
        async for event in stream:
            if isinstance(event, Output):
                break
        own_daemon.process.send_signal(signal.SIGTERM)
        with pytest.raises(ShuttingDownError):
            async for _ in stream:
                pass
    assert own_daemon.process.wait(30) == 0
    assert own_daemon.containers() == []


def test_a_second_daemon_on_the_socket_is_refused_and_the_first_unharmed(
    own_daemon: RunningDaemon,
) -> None:
    second = own_daemon.spawn()
    assert second.wait(30) == 1
    assert "another daemon holds" in own_daemon.log.read_text()
    with own_daemon.client() as client:
        assert client.run("python", "print(1)").stdout == "1\n"


def test_a_socket_left_by_a_dead_daemon_is_replaced(own_daemon: RunningDaemon) -> None:
    own_daemon.process.kill()
    own_daemon.process.wait()
    assert own_daemon.socket.exists()
    own_daemon.start()
    with own_daemon.client() as client:
        assert client.run("python", "print(1)").stdout == "1\n"


def test_sighup_reads_the_configuration_again(own_daemon: RunningDaemon) -> None:
    with own_daemon.client() as client:
        assert client.initialize().limits.default.timeout == 30.0
        own_daemon.config.write_text("[limits.default]\ntimeout = 2.5\noutput = 1000\n")
        own_daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: client.initialize().limits.default.timeout == 2.5, "reloaded")
        own_daemon.config.write_text("[limits.default]\nwrong = 1\n")
        own_daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: "not reloaded" in own_daemon.log.read_text(), "refused")
        assert client.initialize().limits.default.timeout == 2.5
        assert client.run("python", "print(1)").stdout == "1\n"


async def test_a_cancelled_run_is_killed_and_answered_once(daemon: RunningDaemon) -> None:
    async with AsyncClient(daemon.socket) as client:
        async with client.stream("python", SLEEP) as stream:
            async for event in stream:
                if isinstance(event, Output):
                    await stream.cancel()
                    break
            with pytest.raises(CancelledError):
                async for _ in stream:
                    pass
        assert (await client.run("python", "print(1)")).stdout == "1\n"


def test_a_client_that_goes_away_takes_its_run_with_it(daemon: RunningDaemon) -> None:
    with daemon.client() as client:
        with client.stream("python", SLEEP) as stream:
            next(event for event in stream if isinstance(event, Output))
            assert busy(client) >= 1
        eventually(lambda: busy(client) == 0, "the run was killed")


def busy(client: Client) -> int:
    return sum(pool.busy for pool in client.status().pools)


async def test_two_hundred_runs_at_once_from_twenty_connections(daemon: RunningDaemon) -> None:
    """Each gets its own output and exactly one answer."""

    async def one(client: AsyncClient, number: int) -> None:
        code = f"import sys; print({number}); print({number}, file=sys.stderr); sys.exit({number})"
        seen: list[bytes] = []
        started = 0
        async with client.stream("python", code) as stream:
            async for event in stream:
                if isinstance(event, Started):
                    started += 1
                else:
                    seen.append(event.data)
        result = stream.result
        expected = f"{number}\n"
        assert (result.stdout, result.stderr, result.exit_code) == (expected, expected, number)
        assert started == 1
        assert b"".join(seen) == 2 * expected.encode()

    clients = [AsyncClient(daemon.socket) for _ in range(20)]
    try:
        async with asyncio.timeout(100):
            await asyncio.gather(*(one(clients[n % 20], n) for n in range(200)))
    finally:
        for client in clients:
            await client.close()


def test_a_container_that_is_killed_while_idle_is_not_handed_out(
    own_daemon: RunningDaemon,
) -> None:
    with own_daemon.client() as client:
        eventually(lambda: pools_are_full(client), "pools are full")
        idle = own_daemon.containers()
        subprocess.run(["docker", "kill", *idle], check=True, capture_output=True)
        for _ in range(3):
            assert client.run("python", "print(1)").stdout == "1\n"


def test_a_container_that_is_killed_during_a_run_is_an_error_that_says_so(
    own_daemon: RunningDaemon,
) -> None:
    with own_daemon.client() as client, client.stream("python", SLEEP) as stream:
        next(event for event in stream if isinstance(event, Output))
        # Some may be starting still, and cannot be killed yet.
        kill = ["docker", "kill", *own_daemon.containers()]
        subprocess.run(kill, check=False, capture_output=True)
        with pytest.raises(SandboxError, match="how the program ended is not known"):
            list(stream)
        assert client.run("python", "print(1)", limits=Limits(timeout=5)).stdout == "1\n"
