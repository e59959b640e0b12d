"""systemd is told of the daemon's life, by the event loop itself and by nothing beside it."""

from __future__ import annotations

import asyncio
import os
import resource
import selectors
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandboxd import systemd

WAIT = 10.0
"""Seconds that systemd waits for a ping: on the loop's own clock, which no test waits for."""
INTERVAL = WAIT / 2


class _Clock(selectors.EpollSelector):
    """Time that passes when the loop would wait, and then at once."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout:
            self.now += timeout
        return ready


class Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.clock = _Clock()
        super().__init__(self.clock)

    def time(self) -> float:
        return self.clock.now


class Manager:
    """Stands for systemd: hears what is sent to its socket."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(address)

    def heard(self) -> list[str]:
        """What was sent since this was asked last."""
        messages = []
        while True:
            try:
                messages.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return messages

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    address = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    monkeypatch.setenv("WATCHDOG_USEC", str(round(WAIT * 1_000_000)))
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    listening = Manager(address)
    yield listening
    listening.close()


@pytest.fixture
def loop() -> Iterator[Loop]:
    with_clock = Loop()
    yield with_clock
    with_clock.close()


def test_a_ping_comes_twice_in_the_time_that_systemd_waits(manager: Manager, loop: Loop) -> None:
    async def serve() -> None:
        async with systemd.watchdog():
            await asyncio.sleep(INTERVAL - 1)
            for _ in range(10):
                manager.heard()
                await asyncio.sleep(WAIT)
                assert manager.heard() == ["WATCHDOG=1"] * 2

    loop.run_until_complete(serve())


def test_a_blocked_loop_sends_no_ping_however_long_it_is_blocked(
    manager: Manager, loop: Loop
) -> None:
    heard_meanwhile: list[str] = []

    def block() -> None:
        manager.heard()
        loop.clock.now += 100 * WAIT
        heard_meanwhile.extend(manager.heard())

    async def serve() -> None:
        threads = threading.active_count()
        async with systemd.watchdog():
            await asyncio.sleep(INTERVAL + 1)
            assert manager.heard() == ["WATCHDOG=1"] * 2
            assert threading.active_count() == threads
            loop.call_soon(block)
            await asyncio.sleep(INTERVAL)
            assert manager.heard() == ["WATCHDOG=1"]
            await asyncio.sleep(INTERVAL)
            assert manager.heard() == ["WATCHDOG=1"]

    loop.run_until_complete(serve())
    assert heard_meanwhile == []


def test_no_ping_comes_once_the_daemon_has_left_its_work(manager: Manager, loop: Loop) -> None:
    async def serve() -> None:
        async with systemd.watchdog():
            await asyncio.sleep(0)
        manager.heard()
        await asyncio.sleep(10 * WAIT)

    loop.run_until_complete(serve())
    assert manager.heard() == []


@pytest.mark.usefixtures("manager")
def test_an_error_inside_is_not_lost(loop: Loop) -> None:
    async def serve() -> None:
        async with systemd.watchdog():
            raise LookupError("the daemon's own")

    with pytest.raises(LookupError, match="the daemon's own"):
        loop.run_until_complete(serve())


def test_a_process_without_descriptors_goes_on_pinging(manager: Manager, loop: Loop) -> None:
    async def serve() -> None:
        async with systemd.watchdog():
            await asyncio.sleep(1)
            manager.heard()
            taken = take_all_descriptors()
            try:
                await asyncio.sleep(INTERVAL)
            finally:
                for each in taken:
                    os.close(each)
        assert manager.heard() == ["WATCHDOG=1"]

    loop.run_until_complete(serve())


def take_all_descriptors() -> list[int]:
    """Under a limit that is reached soon."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    taken = []
    try:
        while True:
            taken.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        return taken
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NOTIFY_SOCKET", None),
        ("WATCHDOG_USEC", None),
        ("WATCHDOG_USEC", "0"),
        ("WATCHDOG_USEC", "soon"),
        ("WATCHDOG_PID", "1"),
    ],
)
def test_nobody_is_pinged_who_did_not_ask(
    manager: Manager, loop: Loop, monkeypatch: pytest.MonkeyPatch, name: str, value: str | None
) -> None:
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)
    loop.run_until_complete(systemd.feed_watchdog())  # returns
    assert manager.heard() == []


def test_the_interval_is_half_of_what_systemd_waits() -> None:
    assert systemd.watchdog_interval({"WATCHDOG_USEC": "30000000"}) == 15.0
    mine = {"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}
    assert systemd.watchdog_interval(mine) == 1.5
    assert systemd.watchdog_interval({}) is None


# --- notify ---


def test_states_go_in_one_message(manager: Manager) -> None:
    systemd.notify("READY=1", systemd.status("serving"), systemd.extend_timeout(1.5))
    assert manager.heard() == ["READY=1\nSTATUS=serving\nEXTEND_TIMEOUT_USEC=1500000"]


def test_a_status_is_one_line_whatever_it_says(manager: Manager) -> None:
    systemd.notify(systemd.status("no image:\nREADY=1\tof ruby"))
    assert manager.heard() == ["STATUS=no image: READY=1 of ruby"]


def test_an_abstract_address_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"sandboxd-test-{os.getpid()}"
    listening = Manager(f"\0{name}")
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
    systemd.notify("READY=1")
    assert listening.heard() == ["READY=1"]
    listening.close()


def test_nobody_to_tell_is_no_error(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    manager.close()
    systemd.notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/at/all")
    systemd.notify("READY=1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    systemd.notify("READY=1")
