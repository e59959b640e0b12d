"""A container engine of the tests' own, which may be stopped, hung, killed and filled up.

It shares nothing with this host's engine but the binary, and images that are
copied from there. Its data lies on a tmpfs, so that its disk can be full.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from sandboxd.engine import host
from sandboxd.engine.images import Wanted, image_tag
from sandboxd.languages import BUILTIN, load
from tests.support.daemon import RunningDaemon, eventually
from tests.support.images import make_images

STANDARD = ("bash", "go", "javascript", "python", "ruby", "sh")
_PREFIX = "sandboxd-engine-"
_ENDS_WITHIN = 60.0
_PR_SET_PDEATHSIG = 1


class PrivateEngine:
    """A dockerd with these languages' images, from entering until leaving."""

    def __init__(self, languages: Sequence[str], room: str = "800m") -> None:
        """`room` is the size of its disk, in the words of mount(8)."""
        self.languages = languages
        self._room = room
        self._process: subprocess.Popen[bytes] | None = None
        self.interrupted = False
        """Whether it was ended, and so may have forgotten a container that it was starting."""

    def __enter__(self) -> Self:
        _clear_abandoned()
        # A short path: the engine's sockets lie deep in it.
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        (self.folder / "owner").write_text(str(os.getpid()))
        self.disk = self.folder / "disk"
        self.disk.mkdir()
        self.socket = self.folder / "docker.sock"
        self.log = self.folder / "dockerd.log"
        try:
            _mount(self.disk, self._room)
            self.start()
            _copy_images(self.languages, self.host)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    @property
    def host(self) -> str:
        return f"unix://{self.socket}"

    @property
    def pid(self) -> int:
        if self._process is None:
            raise AssertionError("the engine does not run")
        return self._process.pid

    # --- what may happen to an engine ---

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        command = ["dockerd", "--bridge=none", "--iptables=false", "--host", self.host]
        command += ["--data-root", str(self.disk / "data"), "--exec-root", str(self.folder / "x")]
        command += ["--pidfile", str(self.folder / "dockerd.pid")]
        command += ["--cgroup-parent", self.folder.name]
        command += ["--exec-opt", "native.cgroupdriver=cgroupfs"]
        for left in ("dockerd.pid", "x/containerd/containerd.pid"):
            # What init has not reaped yet would be taken for alive.
            (self.folder / left).unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - there are no threads that matter
            )
        eventually(self._answers, f"the engine answers; see {self.log}", _ENDS_WITHIN)

    def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise AssertionError(f"the engine ended: {self.log.read_text()[-2000:]}")
        return host._answers(self.socket)

    def stop(self) -> None:
        """As an operator does: it ends all containers first."""
        self.interrupted = True
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(_ENDS_WITHIN)
            self._process = None

    def kill(self) -> None:
        """SIGKILL; its containers are left to themselves."""
        self.interrupted = True
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            eventually(lambda: not self._own(b"containerd.toml"), "containerd has ended as well")

    def restart(self) -> None:
        self.stop()
        self.start()

    def hang(self) -> None:
        """It keeps its connections, and answers none."""
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def revive(self) -> None:
        """It runs and answers, whatever was done to it."""
        if self._process is None or self._process.poll() is not None:
            self._process = None
            self.start()
        else:
            self.go_on()
            eventually(self._answers, "the engine answers again", _ENDS_WITHIN)

    @contextlib.contextmanager
    def full_disk(self) -> Iterator[None]:
        """No byte can be written to its disk within."""
        filler = self.disk / "filler"
        try:
            with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(1 << 20))
            yield
        finally:
            filler.unlink()

    # --- what it has ---

    def docker(self, *arguments: str) -> str:
        """What a command of its client prints."""
        command = ["docker", "--host", self.host, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise AssertionError(f"{' '.join(command)}: {done.stderr}")
        return done.stdout

    def containers(self) -> list[str]:
        """Names of all containers, running or not."""
        return self.docker("ps", "--all", "--format", "{{.Names}}").split()

    def clear(self) -> None:
        """Removes all containers, of which some may be going by themselves."""

        def gone() -> bool:
            left = self.containers()
            remove = ["docker", "--host", self.host, "rm", "--force", *left]
            return not left or not subprocess.run(remove, capture_output=True, check=False)

        eventually(gone, "all containers are removed", _ENDS_WITHIN)

    def processes(self) -> list[int]:
        """All processes in its containers, and those that hold these."""
        group = f"/{self.folder.name}/".encode()
        inside = [pid for pid in _alive() if group in _read(pid, "cgroup")]
        return [*self._own(b"containerd-shim"), *inside]

    def _own(self, word: bytes) -> list[int]:
        """Processes of its own whose command line has the word."""
        folder = str(self.folder).encode()
        lines = {pid: _read(pid, "cmdline") for pid in _alive()}
        return [pid for pid, line in lines.items() if word in line and folder in line]

    # --- the end ---

    def _end(self) -> None:
        """Leaves nothing, whatever a test has done to it."""
        try:
            self.revive()  # it alone knows how to clean up
            self.clear()
            self.stop()
        finally:
            self.kill()
            self.end_forgotten()
            _remove(self.folder)

    def end_forgotten(self) -> None:
        """Processes of containers that it was starting when it was ended: it does not know
        them any more, and whoever asks it is not told of them."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


class EngineDaemon(RunningDaemon):
    """A daemon on an engine of the tests' own, with the languages that this has."""

    def __init__(
        self,
        folder: Path,
        engine: PrivateEngine,
        *,
        config: str = "",
        host: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`config` is TOML; `host` is another way to the engine than the straight one."""
        others = sorted(set(load(BUILTIN / "none").by_name) - set(engine.languages))
        disabled = "".join(f"[languages.{name}]\nenabled = false\n" for name in others)
        self.engine = engine
        self._tail = f"\n{disabled}"
        self._host = host or engine.host
        super().__init__(folder, {"SANDBOXD_ENGINE__HOST": self._host, **(environment or {})})
        self.configure(config)

    def configure(self, config: str) -> None:
        """The file as it is read at the next start or SIGHUP."""
        self.config.write_text(config + self._tail)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.engine.revive()
            super().__exit__(kind, error, traceback)
        finally:
            self.process.kill()
            self.process.wait()

    def containers(self) -> list[str]:
        return self.engine.containers()

    def descriptors(self) -> int:
        """How many it has open."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))


@pytest.fixture(scope="session")
def private_engine() -> Iterator[PrivateEngine]:
    """Python and Bash, on an engine that a test may do anything to: it must run and
    answer at the end of the test, and have no containers."""
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        pytest.skip("an engine of the tests' own needs root, and dockerd")
    with PrivateEngine(["bash", "python"]) as engine:
        yield engine


def _copy_images(languages: Sequence[str], target: str) -> None:
    """From this host's engine, where they are made first if they are missing."""
    known = load(BUILTIN / "none")
    tags = [image_tag(Wanted(known.find(name))) for name in languages]
    make_images(languages)
    with subprocess.Popen(["docker", "save", *tags], stdout=subprocess.PIPE) as saving:
        load_them = ["docker", "--host", target, "load", "--quiet"]
        subprocess.run(load_them, stdin=saving.stdout, check=True, stdout=subprocess.DEVNULL)
    if saving.returncode != 0:
        raise AssertionError(f"docker save {' '.join(tags)} failed")


def _end_with_parent() -> None:
    """Also where the tests are killed the engine ends, and ends its containers."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _clear_abandoned() -> None:
    """What tests that were killed have left."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        owner = folder / "owner"
        if owner.is_file() and not Path(f"/proc/{owner.read_text()}").exists():
            _remove(folder)


def _remove(folder: Path) -> None:
    for mount in reversed(_mounts(folder)):
        subprocess.run(["umount", "--lazy", mount], check=True)
    shutil.rmtree(folder)


def _mount(folder: Path, size: str) -> None:
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "sandboxd-tests"]
    subprocess.run([*command, str(folder)], check=True)


def _mounts(below: Path) -> list[str]:
    """Places below a folder that something is mounted on, in the order of mounting."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    places = (line.split(" ")[4] for line in lines)
    return [place for place in places if place.startswith(f"{below}/")]


def _alive() -> list[int]:
    """All processes of this host but those that wait to be reaped."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    return [pid for pid in pids if _read(pid, "stat").rpartition(b") ")[2][:1] not in (b"", b"Z")]


def _read(pid: int, what: str) -> bytes:
    """Nothing of a process that has gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/{what}").read_bytes()
    return b""
