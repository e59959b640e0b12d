"""The Unix socket: one daemon, and one only, listens on it.

A lock beside the socket says who serves it. It is held as long as the daemon
lives and freed by the kernel however it ends, so a second daemon is refused
without touching the first one's socket, and a socket left by a dead one is
replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import socket
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import structlog

from sandboxd.errors import AlreadyRunningError, ConfigError
from sandboxd.rpc.connection import Connection, Hub

_log = structlog.get_logger("sandboxd.rpc")

_BACKLOG = 1024
_MODE = 0o660
_LAST_WORDS = 2.0
"""Seconds a client has to read its answers when the daemon stops."""
_FIRST_PASSED = 3  # sd_listen_fds(3)


class SocketLock:
    """The right to serve one socket. Raises AlreadyRunningError when another has it."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + ".lock")

    def __enter__(self) -> Self:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
            self._file = self._path.open("a+")
        except OSError as error:
            raise ConfigError(
                f"cannot make the socket's folder {self._path.parent}: {error}"
            ) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise AlreadyRunningError(
                f"another daemon holds {self._path}; stop it first, or serve another socket "
                "with --socket"
            ) from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()


def instance_name(path: Path) -> str:
    """Names the daemon of a socket on this machine, the same after each restart."""
    machine = Path("/etc/machine-id")
    identity = machine.read_text().strip() if machine.is_file() else socket.gethostname()
    return hashlib.sha256(f"{identity}:{path.resolve()}".encode()).hexdigest()[:10]


class Server:
    """Accepts connections from `open` until `close`."""

    def __init__(self, path: Path, hub: Hub) -> None:
        self._path = path
        self._hub = hub
        self._server: asyncio.Server | None = None
        self._passed = False

    async def open(self) -> None:
        """Listens, on the socket that systemd passed if it did."""
        loop = asyncio.get_running_loop()
        listener = _passed_socket()
        self._passed = listener is not None
        if listener is None:
            listener = bind_unix(self._path)
        # Since Python 3.13 closing would remove the socket's name, also of one that was
        # passed and that systemd goes on listening on.
        kept: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
        # Out of descriptors asyncio tries, and complains, as often in one turn as it lets
        # connections wait; so it is told one, and the kernel the truth.
        self._server = await loop.create_unix_server(
            lambda: Connection(self._hub), sock=listener, backlog=1, **kept
        )
        listener.listen(_BACKLOG)
        _log.info("listening", socket=str(self._path), passed=self._passed)

    def stop_accepting(self) -> None:
        if self._server is None:
            return
        self._server.close()
        if not self._passed:
            self._path.unlink(missing_ok=True)

    async def close(self) -> None:
        """Ends the connections that are left, once their answers are sent."""
        self.stop_accepting()
        left = list(self._hub.connections)
        for connection in left:
            connection.close()
        if left:
            closed = [connection.closed for connection in left]
            _, unread = await asyncio.wait(closed, timeout=_LAST_WORDS)
            for connection in left if unread else ():
                connection.abort()


def bind_unix(path: Path) -> socket.socket:
    """A listening socket in the place of whatever was there: the lock says that nobody
    serves it. Raises ConfigError.

    Another than the final name first, so that nobody sees it with a wrong mode.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.unlink(missing_ok=True)
        listener.bind(str(temporary))
        temporary.chmod(_MODE)
        listener.listen(_BACKLOG)  # whoever sees the name can connect
        temporary.rename(path)
    except OSError as error:
        listener.close()
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise ConfigError(f"cannot listen on {path}: {error}") from None
    return listener


def _passed_socket() -> socket.socket | None:
    """The socket of socket activation (sd_listen_fds), if there is one for us."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return None
    if os.environ.get("LISTEN_FDS") != "1":
        raise ConfigError("socket activation must pass exactly one socket")
    return socket.socket(fileno=_FIRST_PASSED)
