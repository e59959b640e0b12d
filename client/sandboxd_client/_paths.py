"""Where the daemon listens; in a module of its own, which costs next to nothing."""

from __future__ import annotations

import os

SOCKET_VARIABLE = "SANDBOXD_SOCKET"


def default_socket_name() -> str:
    """The socket's path unless told otherwise.

    `$SANDBOXD_SOCKET`, else `/run/sandboxd/sandboxd.sock` for root, else
    `$XDG_RUNTIME_DIR/sandboxd/sandboxd.sock` (`/run/user/UID` when unset).
    """
    if chosen := os.environ.get(SOCKET_VARIABLE):
        return chosen
    if os.geteuid() == 0:
        return "/run/sandboxd/sandboxd.sock"
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}"
    return f"{runtime}/sandboxd/sandboxd.sock"
