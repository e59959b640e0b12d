"""The machine's own constants, which all that is measured is made of."""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from sandboxd.engine import host
from tests.bench.measure import BARE, command, timed


def describe() -> dict[str, str | int]:
    """What it is."""
    return {
        "cores": os.cpu_count() or 1,
        "processor": _processor(),
        "kernel": os.uname().release,
        "python": sys.version.split()[0],
        "engine": _engine_version(),
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def constants() -> dict[str, float]:
    """What each step takes, in ms (median)."""
    steps: dict[str, Callable[[], list[float]]] = {
        "round trip of a socket pair": _socket_pair,
        "fork": lambda: timed(_fork, 200),
        "start of a process": lambda: timed(command(["/bin/true"]), 100),
        "start of the bare interpreter": lambda: timed(command(BARE), 100),
        "fsync": _fsync,
        "ping of the engine": _ping,
    }
    return {name: statistics.median(step()) for name, step in steps.items()}


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "?")


def _engine_version() -> str:
    asked = ["docker", "version", "--format", "{{.Server.Version}}"]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()


def _socket_pair() -> list[float]:
    """A byte to another process and back."""
    ours, theirs = socket.socketpair()
    if (child := os.fork()) == 0:
        ours.close()
        while data := theirs.recv(1):
            theirs.send(data)
        os._exit(0)
    theirs.close()

    def trip() -> None:
        ours.send(b"x")
        ours.recv(1)

    times = timed(trip, 2000)
    ours.close()
    os.waitpid(child, 0)
    return times


def _fork() -> None:
    if (child := os.fork()) == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _fsync() -> list[float]:
    with tempfile.TemporaryFile(dir=".") as file:

        def sync() -> None:
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())

        return timed(sync, 50)


def _ping() -> list[float]:
    with socket.socket(socket.AF_UNIX) as engine:
        engine.connect(urlsplit(host.address(None)).path)

        def ping() -> None:
            engine.sendall(b"HEAD /_ping HTTP/1.1\r\nHost: engine\r\n\r\n")
            while not engine.recv(4096).endswith(b"\r\n\r\n"):
                pass

        return timed(ping, 200)
