"""What systemd is told of the daemon's life (sd_notify(3)); nothing where it is not there."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Mapping

_MICROSECONDS = 1_000_000


def notify(*states: str) -> None:
    """Sends states in one message, such as `READY=1` and a `status`."""
    address = _address()
    if address is None:
        return
    # Whoever wanted to know may be gone; that is no reason to go as well.
    with contextlib.suppress(OSError), _open() as notifier:
        notifier.sendto("\n".join(states).encode(), address)


def status(text: str) -> str:
    """The state that `systemctl status` shows: what the daemon does, in a line."""
    return f"STATUS={' '.join(text.split())}"


def extend_timeout(seconds: float) -> str:
    """The state that asks for more time to start or stop, from now on, than the unit has."""
    return f"EXTEND_TIMEOUT_USEC={round(seconds * _MICROSECONDS)}"


def watchdog_interval(environ: Mapping[str, str] = os.environ) -> float | None:
    """Seconds from ping to ping, half of what systemd waits for one.

    None where it does not watch this process (sd_watchdog_enabled(3)).
    """
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    wait = environ.get("WATCHDOG_USEC", "")
    return int(wait) / _MICROSECONDS / 2 if wait.isdecimal() and int(wait) > 0 else None


async def feed_watchdog() -> None:
    """Pings for as long as the event loop turns; returns at once where nobody watches.

    There is no thread that could go on pinging while the loop hangs.
    """
    address, interval = _address(), watchdog_interval()
    if address is None or interval is None:
        return
    # Opened once: to be out of descriptors is no reason to be taken for dead.
    with _open() as notifier:
        notifier.setblocking(False)
        while True:
            with contextlib.suppress(OSError):
                notifier.sendto(b"WATCHDOG=1", address)
            await asyncio.sleep(interval)


@contextlib.asynccontextmanager
async def watchdog() -> AsyncIterator[None]:
    """Feeds the watchdog until the block is left."""
    feeding = asyncio.create_task(feed_watchdog(), name="watchdog")
    try:
        yield
    finally:
        feeding.cancel()
        await asyncio.wait([feeding])


def _open() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)


def _address() -> str | None:
    """Where who wants to be told listens; a leading @ stands for an abstract name."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    return "\0" + address[1:] if address.startswith("@") else address or None
