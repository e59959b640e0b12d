"""A daemon whose socket somebody else holds, as systemd does, and passes to each that comes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from tests.support.daemon import RunningDaemon

# sd_listen_fds(3): the socket is descriptor 3, and the process itself is named.
_PASS = 'exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"'


class ActivatedDaemon(RunningDaemon):
    """Its socket is there from the beginning until the end, whether it runs or not."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        super().__init__(folder, environment)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.socket))
        self._listener.listen(1024)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, traceback)
        self._listener.close()

    def spawn(self, **environment: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                ["/bin/sh", "-c", _PASS, "sh", *self.command()],
                stdin=self._listener.fileno(),
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment(), **environment},
            )

    def command(self) -> list[str]:
        serve = [sys.executable, "-m", "sandboxd", "--config", str(self.config), "serve"]
        return [*serve, "--socket", str(self.socket)]

    def environment(self) -> Mapping[str, str]:
        return self._environment
