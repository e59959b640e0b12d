"""`--daemon auto`: a daemon for whoever has none."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

from sandboxd_client.errors import NotRunningError, SandboxError
from sandboxd_client.protocol import default_socket
from sandboxd_client.sync import Client

_START_SECONDS = 60.0
_POLL_SECONDS = 0.05


def start_unless_running(named: str | None) -> None:
    """Starts `sandboxd serve` in the background when none listens. Raises SandboxError."""
    socket = Path(named) if named else default_socket()
    if _listens(socket):
        return
    places = (Path(sys.argv[0]).resolve(), Path(sys.executable))
    beside = [str(found) for each in places if (found := each.with_name("sandboxd")).is_file()]
    program = beside[0] if beside else shutil.which("sandboxd")
    if program is None:
        raise SandboxError("sandboxd is not installed: pip install sandboxd")
    log = socket.with_suffix(".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        process = subprocess.Popen(
            [program, "serve", "--socket", str(socket)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    sys.stderr.write(f"sandbox: starting sandboxd (its log: {log})\n")
    deadline = time.monotonic() + _START_SECONDS
    while not _listens(socket):
        if process.poll() is not None or time.monotonic() > deadline:
            words = log.read_text(errors="replace").splitlines()[-1:]
            raise SandboxError(f"sandboxd did not start: {' '.join(words) or f'see {log}'}")
        time.sleep(_POLL_SECONDS)


def _listens(socket: Path) -> bool:
    try:
        with Client(socket) as client:
            client.initialize()
    except NotRunningError:
        return False
    return True
