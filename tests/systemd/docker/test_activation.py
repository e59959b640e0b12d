"""The socket outlives the daemon, and with it every request that was accepted."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandboxd_client import AsyncClient
from sandboxd_client import Client as SyncClient
from tests.support.daemon import RunningDaemon, eventually
from tests.support.wait import DEADLINE
from tests.systemd.conftest import needs
from tests.systemd.docker.activated import ActivatedDaemon
from tests.systemd.docker.load import Client, more_results

CLIENTS = 8
RESTARTS = 3
BETWEEN = 20
"""Results from one restart to the next."""


@pytest.fixture
def activated(tmp_path: Path) -> Iterator[ActivatedDaemon]:
    daemon = ActivatedDaemon(tmp_path)
    daemon.config.write_text("[pool]\nmin = 0\nmax = 4\n[languages.python]\nmin = 1\n")
    with daemon:
        yield daemon


async def test_no_accepted_run_is_lost_and_none_is_run_twice_over_three_restarts(
    activated: ActivatedDaemon,
) -> None:
    done, progress = asyncio.Event(), asyncio.Condition()
    clients = [Client(activated.socket, f"client-{number}") for number in range(CLIENTS)]
    async with asyncio.timeout(110), asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(client.go_on(done, progress))
        for _ in range(RESTARTS):
            await more_results(clients, BETWEEN, progress)
            assert await asyncio.to_thread(activated.stop) == 0
            await asyncio.to_thread(activated.start)
        await more_results(clients, BETWEEN, progress)
        done.set()
    answered = {label: text for client in clients for label, text in client.results.items()}
    assert answered == {label: f"{label}\n" for label in answered}
    # What the daemons themselves remember: each run that was answered, once, and no other.
    ran = await history(activated.socket)
    assert ran == Counter(answered.keys())
    outcomes = sum((client.outcomes for client in clients), Counter[str]())
    assert outcomes["answered"] == len(answered) > (RESTARTS + 1) * BETWEEN
    print(f"{RESTARTS} restarts, {CLIENTS} clients: {dict(outcomes)}")


async def history(path: Path) -> Counter[str]:
    """How often each label is in the history, which all daemons of a socket share."""
    labels: Counter[str] = Counter()
    async with AsyncClient(path) as client:
        before = None
        while page := await client.history(limit=100, before=before):
            labels.update(summary.label or "" for summary in page)
            before = page[-1].run
    return labels


def test_who_connects_while_no_daemon_runs_is_served_by_the_next(
    activated: ActivatedDaemon,
) -> None:
    assert activated.stop() == 0
    assert activated.socket.exists()
    with SyncClient(activated.socket) as client:
        with client.stream("python", "print(6 * 7)") as run:
            activated.start()
            assert [event for event in run if event is not None]
        assert run.result.stdout == "42\n"


def test_a_daemon_that_is_killed_leaves_the_socket_to_the_next(
    activated: ActivatedDaemon,
) -> None:
    activated.process.kill()
    activated.process.wait()
    assert activated.socket.exists()
    activated.start()
    with activated.client() as client:
        assert client.run("python", "print(1)").stdout == "1\n"


@needs("systemd-socket-activate")
def test_systemds_own_activation_starts_the_daemon_for_the_first_client(tmp_path: Path) -> None:
    """A program of systemd's that does for one command what a socket unit does."""
    path, config, log = (tmp_path / name for name in ("sandboxd.sock", "sandboxd.toml", "log"))
    config.write_text("[pool]\nmin = 0\nmax = 1\n")
    serve = [sys.executable, "-m", "sandboxd", "--config", str(config), "serve"]
    kept = [f"--setenv=SANDBOXD_HISTORY__PATH={tmp_path / 'history.db'}"]
    kept += [f"--setenv={name}" for name in ("PYTHONPATH", "DOCKER_HOST") if name in os.environ]
    with log.open("ab") as file:
        process = subprocess.Popen(
            ["systemd-socket-activate", f"--listen={path}", *kept, *serve, f"--socket={path}"],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
    try:
        # Its socket has a name before it is listened on.
        eventually(lambda: b"Listening on" in log.read_bytes(), "systemd-socket-activate listens")
        assert b"serving" not in log.read_bytes()
        with SyncClient(path) as client:
            assert client.run("python", "print(6 * 7)").stdout == "42\n"
            assert '"passed":true' in log.read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert path.exists()
    finally:
        process.kill()
        process.wait()


def test_the_watchdog_is_fed_for_as_long_as_the_daemon_serves(tmp_path: Path) -> None:
    fed = RunningDaemon(tmp_path, {"WATCHDOG_USEC": "200000"})
    fed.config.write_text("[pool]\nmin = 0\n")
    with fed, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        fed._notify.unlink()
        manager.bind(str(fed._notify))
        manager.settimeout(DEADLINE)
        for _ in range(3):
            hear(manager, "WATCHDOG=1")
        fed.process.send_signal(signal.SIGTERM)
        stopping = hear(manager, "STOPPING=1")
        assert any(line.startswith("EXTEND_TIMEOUT_USEC=") for line in stopping), stopping
        assert fed.process.wait(60) == 0


def hear(manager: socket.socket, state: str) -> list[str]:
    """Waits for a message with this state in it; returns all that it says."""
    while state not in (states := manager.recv(4096).decode().splitlines()):
        pass
    return states
