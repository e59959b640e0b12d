"""What systemd is told of the daemon's life (sd_notify(3)); nothing where it is not there."""

from __future__ import annotations

import contextlib
import os
import socket


def notify(state: str) -> None:
    """Sends one state, such as `READY=1`."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    # Whoever wanted to know may be gone; that is no reason to go as well.
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifier,
        contextlib.suppress(OSError),
    ):
        notifier.sendto(state.encode(), address)
