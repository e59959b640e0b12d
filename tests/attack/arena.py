"""One daemon, a program that attacks, a run beside it, and what is looked at afterwards."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import quote

from sandboxd.engine import host
from sandboxd.languages import BUILTIN, load
from sandboxd.rpc.server import instance_name
from sandboxd_client import Client, Limits, Output, RunStream, SandboxError
from sandboxd_client._wire import RunOptions
from sandboxd_client.protocol import Base64
from tests.attack.compiled import compiled
from tests.attack.probe import C, Outcome, Probe
from tests.support.daemon import RunningDaemon, eventually
from tests.support.images import make_images

POOLS = {"python": 2, "bash": 2, "javascript": 1, "ruby": 1, "sh": 1, "go": 1}
"""Containers of each language: as many at any time as are ready when nobody asks."""
_UIDS = range(60706, 61184)
"""Of programs, as the host knows them."""

_CONNECTIONS = 2
"""Of the client's: one for a run, and one to ask something meanwhile."""
_KEPT_ALIVE = 2
"""Connections to the engine that the daemon keeps for a while, for the next call."""
_SETTLES = 30.0
_CHUNK = 1 << 20

_BESIDE = """
import fcntl, os, socket, sys
print("up", flush=True)
for line in sys.stdin:
    # What ordinary programs want of the machine, and could be kept from by others.
    if (child := os.fork()) == 0:
        os._exit(0)
    os.waitpid(child, 0)
    for fd in os.openpty():
        os.close(fd)
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as client, server.accept()[0] as peer:
            client.sendall(bytes(100_000))
            left = 100_000
            while left: left -= len(peer.recv(left))
    for path in ("/etc/hostname", "/usr/bin/env"):
        with open(path) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with open("/tmp/file", "wb") as file:
        file.write(bytes(1 << 20))
    print(line.strip()[::-1], flush=True)
"""


class Baseline(NamedTuple):
    """What must be the same before and after."""

    descriptors: int
    children: str
    containers: int
    processes: int
    """In all of these."""
    stray: frozenset[int]
    """Processes with a uid of the sandbox's that are in no container."""


class Arena:
    """From entering until leaving."""

    def __init__(self, folder: Path) -> None:
        self.daemon = RunningDaemon(folder)
        self._instance = instance_name(self.daemon.socket)
        pools = "".join(f"[languages.{name}]\nmin = {n}\nmax = {n}\n" for name, n in POOLS.items())
        others = {*load(BUILTIN).by_name} - {*POOLS}
        pools += "".join(f"[languages.{name}]\nenabled = false\n" for name in others)
        self.daemon.config.write_text(f"[pool]\nmin = 0\nmax_uses = 1000000\n{pools}")
        self._stack = contextlib.ExitStack()
        self.places: dict[str, str] = {}

    def __enter__(self) -> Self:
        make_images(POOLS, self.daemon.config)
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.daemon)
            self.client = stack.enter_context(self.daemon.client())
            self.places = stack.enter_context(_listeners())
            self._run_what_is_trivial()
            eventually(self._is_full, "the pools are full", _SETTLES)
            self._memory = _status(self.daemon.process.pid, "VmRSS")
            with self._beside() as beside, self.client.stream("bash", "echo 1") as run:
                _ask(beside, self.client)  # the client has all of its connections from here on
                assert list(run)
            eventually(self._is_at_rest, "the daemon is at rest", _SETTLES)
            self._baseline = self._look()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def images(self) -> dict[str, str]:
        """The image of each language."""
        return {language.name: language.image for language in self.client.languages()}

    def arguments(self, args: tuple[str, ...]) -> list[str]:
        return [argument.format_map(self.places) for argument in args]

    # --- the attack ---

    def attack(self, probe: Probe) -> Outcome:
        """Runs it with another run beside it, and looks after everything.

        Raises AssertionError when anything but the attack itself came out otherwise than
        it would have without.
        """
        _forget_peak(self.daemon.process.pid)
        with self._beside() as beside:
            got = self.run(probe, probe.args, beside)
            _ask(beside, self.client)
        self.check_baseline(probe.memory)
        return got

    def run(self, probe: Probe, args: tuple[str, ...], beside: RunStream | None = None) -> Outcome:
        options = RunOptions(limits=Limits(timeout=probe.timeout)) | probe.options
        options["args"] = self.arguments(args)
        code, language = probe.program, probe.language
        if language == C:
            program = base64.b64encode(compiled(probe.program).read_bytes()).decode()
            options["files"] = {"probe": Base64(program), **options.get("files", {})}
            code, language = 'chmod +x probe && exec ./probe "$@"', "bash"
        if probe.waits or probe.feeds:
            options["stdin"] = ()
        written = {"stdout": bytearray(), "stderr": bytearray()}
        try:
            with (
                self._in_session(probe, options),
                self.client.stream(language, code, **options) as run,
            ):
                if probe.feeds:
                    run.feed(bytes(_CHUNK) for _ in range(0, probe.feeds, _CHUNK))
                for event in run:
                    if not isinstance(event, Output):
                        continue
                    written[event.stream] += event.data
                    if probe.waits and event.data.endswith(b"ready\n"):
                        if beside is not None:
                            _ask(beside, self.client)
                        run.send_stdin(b"go on\n")
                        run.end_stdin()
            result = run.result
        except SandboxError as error:
            return Outcome(type(error).__name__, detail=str(error))
        return Outcome(
            status=result.status.value,
            exit_code=result.exit_code,
            signal=result.signal,
            stdout=bytes(written["stdout"]),
            stderr=bytes(written["stderr"]),
            result=result,
        )

    @contextlib.contextmanager
    def _in_session(self, probe: Probe, options: RunOptions) -> Iterator[None]:
        """Has the options name a session in which others ran before, if it is to be in one."""
        if not probe.session:
            yield
            return
        with self.client.session(probe.language) as session:
            for earlier in probe.session:
                session.run(earlier, args=options["args"], limits=options["limits"])
            options["session"] = session.id
            yield

    @contextlib.contextmanager
    def _beside(self) -> Iterator[RunStream]:
        with self.daemon.client() as other, other.stream("python", _BESIDE, stdin=()) as run:
            _await_line(run, b"up\n")
            yield run
            run.end_stdin()
            for _ in run:
                pass
            assert run.result.status == "ok", run.result.stderr

    # --- the baseline ---

    def check_baseline(self, memory: int) -> None:
        """Raises AssertionError unless everything is as it was at the start."""
        eventually(self._is_full, "the pool is full again", _SETTLES)
        self._run_what_is_trivial()
        eventually(self._is_full, "the pool is full again", _SETTLES)
        try:
            eventually(self._is_at_baseline, "", _SETTLES)
        except AssertionError:
            raise AssertionError(f"{self._look()} is left, not {self._baseline}") from None
        more = _status(self.daemon.process.pid, "VmHWM") - self._memory
        assert more < memory, f"the daemon needed {more >> 20} MiB more than at rest"

    def _run_what_is_trivial(self) -> None:
        for language in ("python", "bash"):
            result = self.client.run(
                language, "print(6 * 7)" if language == "python" else "echo 42"
            )
            got = (result.status, result.stdout, result.stderr)
            assert got == ("ok", "42\n", ""), f"a trivial run in {language} came to {got}"

    def _is_full(self) -> bool:
        pools = {pool.profile: pool for pool in self.client.status().pools}
        return all(
            pools[name].idle == pools[name].size == count and not pools[name].problem
            for name, count in POOLS.items()
        )

    def _is_at_baseline(self) -> bool:
        now = self._look()
        most = self._baseline.descriptors + _KEPT_ALIVE
        return now.descriptors <= most and now[1:] == self._baseline[1:]

    def _is_at_rest(self) -> bool:
        known = load(BUILTIN)
        # A container's own processes, and the child that waits in it.
        each = {name: known.find(name).guest_processes + 1 for name in POOLS}
        wanted = sum(count * each[name] for name, count in POOLS.items())
        clients = self.client.status().clients
        return self._is_full() and clients == _CONNECTIONS and self._look().processes == wanted

    def _look(self) -> Baseline:
        pid = self.daemon.process.pid
        containers = _containers(self._instance)
        processes, stray = _processes(containers)
        return Baseline(
            descriptors=len([*Path(f"/proc/{pid}/fd").iterdir()]),
            children=Path(f"/proc/{pid}/task/{pid}/children").read_text(),
            containers=len(containers),
            processes=processes,
            stray=stray,
        )


def _await_line(run: RunStream, line: bytes) -> None:
    got = b""
    for event in run:
        got += event.data if isinstance(event, Output) and event.stream == "stdout" else b""
        if got.endswith(b"\n"):
            break
    if got != line:
        words = f"{run.result.stderr}".splitlines()[-1:] if run.ended else []
        raise AssertionError(f"the run beside said {got!r}, not {line!r} {words}")


def _ask(beside: RunStream, client: Client) -> None:
    """The run beside still answers, and so does the daemon."""
    beside.send_stdin(b"question\n")
    _await_line(beside, b"noitseuq\n")
    client.status()


@contextlib.contextmanager
def _listeners() -> Iterator[dict[str, str]]:
    """Sockets of the host's that listen, which no program may reach."""
    abstract = f"sandboxd-attack-{os.getpid()}"
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_UNIX) as unix,
    ):
        udp.bind(("127.0.0.1", 0))
        unix.bind(f"\0{abstract}")
        unix.listen()
        ports = {"port": tcp.getsockname()[1], "udp": udp.getsockname()[1]}
        yield {name: str(port) for name, port in ports.items()} | {"abstract": abstract}


def _status(pid: int, field: str) -> int:
    """Bytes of memory, as of proc_pid_status(5)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    line = next(line for line in lines if line.startswith(f"{field}:"))
    return int(line.split()[1]) << 10


def _forget_peak(pid: int) -> None:
    """VmHWM counts anew; see proc_pid_clear_refs(5)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


class _Engine(http.client.HTTPConnection):
    """The engine, asked directly: its command takes far longer."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(host.address(None).removeprefix("unix://"))


def _containers(instance: str) -> set[str]:
    """Ids of a daemon's containers that the engine knows, running or not."""
    filters = quote(json.dumps({"label": [f"sandboxd.instance={instance}"]}))
    with contextlib.closing(_Engine("localhost")) as engine:
        engine.request("GET", f"/containers/json?all=1&filters={filters}")
        return {container["Id"] for container in json.load(engine.getresponse())}


def _processes(containers: set[str]) -> tuple[int, frozenset[int]]:
    """How many processes these containers have, and which with a sandbox's uid are in no
    container at all: those would have escaped."""
    count, stray = 0, set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            uid = re.search(r"^Uid:\t(\d+)", (folder / "status").read_text(), re.MULTILINE)
            if uid is None or int(uid[1]) not in _UIDS:
                continue
            inside = {*re.findall(r"[0-9a-f]{64}", (folder / "cgroup").read_text())}
        except OSError:
            continue  # it has ended
        count += bool(inside & containers)
        if not inside:
            stray.add(int(folder.name))
    return count, frozenset(stray)
