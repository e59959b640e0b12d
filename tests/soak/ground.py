"""What the daemon stands on: an engine of its own where root allows it, and what both hold."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from sandboxd.languages import BUILTIN, load
from sandboxd_client import AsyncClient
from sandboxd_client.protocol import StatusResult
from tests.bench.measure import MIB, parent, resident
from tests.support.daemon import RunningDaemon
from tests.support.private_engine import EngineDaemon, PrivateEngine, _read

ENGINE_ROOM = "3g"
HISTORY_MOST = 32
"""MiB."""
STARTS = 2
"""Containers that are started at once."""
_CONFIG = f"""
drain_timeout = 10.0
[engine]
timeout = 10.0
[limits]
nofile = {{nofile}}
[pool]
min = 1
max = 4
max_uses = 200
starts = {STARTS}
[history]
max_count = 5000
max_bytes = "{HISTORY_MOST}MiB"
"""
_KEPT_ALIVE = 2
"""Connections to the engine that the daemon keeps for a while, for the next call."""
_ANSWERS = 60.0
_SETTLES = 60.0
"""Seconds until nothing comes and goes any more, whatever was done."""
_OUTLIVES = 10.0
"""Seconds for which a shim may outlive the container that the engine has removed."""


class Rest(NamedTuple):
    """What there is while nobody asks for anything."""

    containers: int
    descriptors: int
    """Beside one for each container."""
    threads: int
    memory: float
    """MiB that the daemon holds."""
    history: float
    """MiB of its database, with its journal."""
    forgotten: int
    """Shims, and starts that came no further, that the engine has left when it ended."""


class Ground:
    """A daemon, and its engine if that may be restarted."""

    def __init__(
        self,
        daemon: RunningDaemon,
        engine: PrivateEngine | None,
        configure: Callable[[str], object],
    ) -> None:
        """`configure` writes the daemon's configuration."""
        self.daemon = daemon
        self.engine = engine
        self._configure = configure
        self._replaced = 0

    @property
    def pid(self) -> int:
        return self.daemon.process.pid

    def must_live(self) -> None:
        """Raises SystemExit where the daemon has ended: there is nothing left to soak."""
        if (code := self.daemon.process.poll()) is not None:
            said = self.daemon.log.read_text()[-3000:]
            raise SystemExit(f"the daemon has ended with exit code {code}: {said}")

    def configure(self, *, replace: bool = False) -> None:
        """Writes the configuration: the same, or one for which containers are replaced."""
        self._replaced += replace
        self._configure(_CONFIG.format(nofile=1000 + self._replaced))

    def reload(self) -> None:
        self.daemon.process.send_signal(signal.SIGHUP)

    def kill_container(self, name: str) -> None:
        """Returns once it is gone. One that went by itself is no error."""
        self._docker("kill", name)
        while name in self.daemon.containers():
            time.sleep(0.05)

    def _docker(self, *arguments: str) -> None:
        host = ["--host", self.engine.host] if self.engine else []
        subprocess.run(["docker", *host, *arguments], check=False, capture_output=True)

    # --- what there is ---

    def settle(self, before: Rest | None = None) -> tuple[Rest, list[str]]:
        """Waits until all is at rest, as it was `before`; what is not in time has leaked."""
        begun = time.monotonic()
        while True:
            passed = time.monotonic() - begun
            left, rest = self._unsettled(), self._rest()
            if before and rest.descriptors > before.descriptors + _KEPT_ALIVE:
                left.append(f"{rest.descriptors - before.descriptors} descriptors")
            forgets = rest.forgotten and passed < _OUTLIVES
            if passed > _SETTLES or not (left or forgets):
                return rest, left
            time.sleep(0.1)

    def _unsettled(self) -> list[str]:
        """What is there that should not be, or not yet."""
        try:
            status = asyncio.run(self._ask())
        except TimeoutError:
            return ["requests for the daemon's state that it does not answer"]
        containers = self.daemon.containers()
        return [*_of_daemon(status), *self._of_host(containers, sum(p.size for p in status.pools))]

    async def _ask(self) -> StatusResult:
        """Its state, after the sessions that clients have left are closed."""
        async with asyncio.timeout(_ANSWERS), AsyncClient(self.daemon.socket) as client:
            for each in await client.sessions():
                await client.close_session(each.session)
            return await client.status()

    def _of_host(self, containers: list[str], known: int) -> list[str]:
        found = []
        if len(containers) != known:
            found.append(f"{len(containers)} containers, of which the pools know {known}")
        if strays := len(self._strays()):
            found.append(f"{strays} processes of containers that the engine does not know")
        if children := _children(self.pid):
            found.append(f"{len(children)} processes that the daemon started")
        return found

    def _rest(self) -> Rest:
        process = Path(f"/proc/{self.pid}")
        containers = len(self.daemon.containers())
        return Rest(
            containers=containers,
            descriptors=len(list((process / "fd").iterdir())) - containers,
            threads=len(list((process / "task").iterdir())),
            memory=resident(self.pid),
            history=self.history(),
            forgotten=self._forgotten(),
        )

    def history(self) -> float:
        """MiB."""
        files = self.daemon.config.parent.glob("history.db*")
        return sum(file.stat().st_size for file in files) / MIB

    def stop(self) -> list[str]:
        """Stops the daemon. What is left of it has leaked."""
        code = self.daemon.stop()
        deadline = time.monotonic() + _SETTLES
        while (left := self._left()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return [*left, *([f"the daemon stopped with exit code {code}"] if code else [])]

    def _left(self) -> list[str]:
        if containers := self.daemon.containers():
            return [f"{len(containers)} containers of a daemon that has stopped"]
        if strays := self._strays():
            lines = [_read(pid, "cmdline")[:80] for pid in strays]
            return [f"{len(strays)} processes of containers that have gone: {lines}"]
        return []

    def _strays(self) -> list[int]:
        """Processes in containers that the engine does not know, of an engine of our own."""
        if self.engine is None:
            return []
        # What an engine ended over before it became a guest is its own as well.
        begun = self._shims(self.engine), self._half_started(self.engine)
        inside = set(self.engine.processes()).difference(*begun)
        known = self._known(self.engine)
        groups = {pid: _read(pid, "cgroup") for pid in inside}
        return [pid for pid, group in groups.items() if group and not _names(group, known)]

    def _forgotten(self) -> int:
        """Shims without a container: an engine that ends while it starts one leaves its
        shim, which is out of a daemon's reach and holds nothing."""
        if self.engine is None:
            return 0
        lines = [_read(pid, "cmdline") for pid in self._shims(self.engine)]
        known = self._known(self.engine)
        half = len(self._half_started(self.engine))
        return sum(bool(line) and not _names(line, known) for line in lines) + half

    @staticmethod
    def _half_started(engine: PrivateEngine) -> list[int]:
        return [pid for pid in engine.processes() if _read(pid, "cmdline") == b"runc\0init\0"]

    @staticmethod
    def _shims(engine: PrivateEngine) -> list[int]:
        return engine._own(b"containerd-shim")

    @staticmethod
    def _known(engine: PrivateEngine) -> list[bytes]:
        return engine.docker("ps", "--all", "--quiet", "--no-trunc").encode().split()

    def complaints(self) -> list[str]:
        """Errors in the daemon's log that it has no name for."""
        lines = self.daemon.log.read_text().splitlines()
        found = []
        for line in lines:
            try:
                said = json.loads(line)
            except ValueError:
                found.append(line)
            else:
                if "exception" in said or said.get("level") in ("error", "critical"):
                    found.append(f"{said.get('event')}: {str(said.get('exception', ''))[-400:]}")
        return found


def _names(line: bytes, containers: list[bytes]) -> bool:
    return any(container in line for container in containers)


def _of_daemon(status: StatusResult) -> list[str]:
    found = [
        f"{count} of {pool.profile} {what}"
        for pool in status.pools
        for what, count in (
            ("busy", pool.busy),
            ("starting", pool.starting),
            ("waiting", pool.waiting),
        )
        if count
    ]
    found += [f"no {pool.profile} is ready" for pool in status.pools if not pool.idle]
    if status.clients > 1:
        found.append(f"{status.clients - 1} clients that have gone")
    return found


def _children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if entry.name.isdecimal() and parent(int(entry.name)) == pid:
                found.append(int(entry.name))
    return found


def may_have_engine() -> bool:
    """Whether an engine of the soak's own can be started here."""
    return os.geteuid() == 0 and shutil.which("dockerd") is not None


@contextlib.contextmanager
def ground(languages: Sequence[str]) -> Iterator[Ground]:
    """A daemon that serves these languages, with full pools."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sandboxd-soak-")))
        if may_have_engine():
            engine = stack.enter_context(PrivateEngine(languages, ENGINE_ROOM))
            daemon = EngineDaemon(folder, engine)
            found = Ground(daemon, engine, daemon.configure)
        else:
            running = RunningDaemon(folder)
            others = sorted(set(load(BUILTIN / "none").by_name) - set(languages))
            disabled = "".join(f"[languages.{name}]\nenabled = false\n" for name in others)
            found = Ground(running, None, lambda text: running.config.write_text(text + disabled))
        found.configure()
        stack.enter_context(found.daemon)
        found.settle()
        yield found
