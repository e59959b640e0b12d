"""A real daemon in a process of its own, as a user starts it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from sandboxd.rpc.server import instance_name
from sandboxd_client import Client

READY_SECONDS = 60.0


def eventually(check: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    """Waits for something that another process does and tells nobody of."""
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)


def pools_are_full(client: Client) -> bool:
    """Whether every language that is kept warm is."""
    return all(each.ready for each in client.languages() if each.warm)


class RunningDaemon:
    """`sandboxd serve` on a socket in a folder, from entering until leaving."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        *,
        python: str = sys.executable,
    ) -> None:
        self._python = python
        self.socket = folder / "sandboxd.sock"
        self.log = folder / "sandboxd.log"
        self.config = folder / "sandboxd.toml"
        self.config.touch()
        self._notify = folder / "notify.sock"
        self._environment = {
            "SANDBOXD_HISTORY__PATH": str(folder / "history.db"),
            **(environment or {}),
        }

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Starts the daemon, and waits until it says that it serves."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
            self._notify.unlink(missing_ok=True)
            notified.bind(str(self._notify))
            notified.settimeout(READY_SECONDS)
            self.process = self.spawn(NOTIFY_SOCKET=str(self._notify))
            try:
                while b"READY=1" not in notified.recv(256):
                    pass
            except TimeoutError:
                self.stop()
                raise AssertionError(f"not ready: {self.log.read_text()}") from None

    def spawn(self, **environment: str) -> subprocess.Popen[bytes]:
        """Another process of the same daemon, which is not waited for."""
        command = [self._python, "-P", "-m", "sandboxd", "--config", str(self.config), "serve"]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*command, "--socket", str(self.socket)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self._environment, **environment},
            )

    def stop(self) -> int:
        """SIGTERM, and the exit code once it is gone."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def client(self) -> Client:
        return Client(self.socket)

    def containers(self) -> list[str]:
        """Names of the containers of this daemon that the engine knows."""
        label = f"label=sandboxd.instance={instance_name(self.socket)}"
        listed = subprocess.run(
            ["docker", "ps", "--all", "--filter", label, "--format", "{{.Names}}"],
            check=True,
            capture_output=True,
            text=True,
        )
        return listed.stdout.split()
