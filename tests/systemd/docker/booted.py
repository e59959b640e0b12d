"""A host of its own with systemd as its first process, and our units installed on it.

It is a container whose root is all but empty: programs are this host's own, from
/usr and from where sandboxd is installed, and cannot be written to. Its systemd has
what a container needs to have for that: CAP_SYS_ADMIN, its cgroup, and no seccomp
profile. The engine's socket is this host's, and the engine's units are masked.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from types import TracebackType
from typing import Self

import sandboxd
import sandboxd_client
from sandboxd.units import install_units, next_steps
from sandboxd_client import AsyncClient, Client
from tests.support.daemon import eventually
from tests.systemd.conftest import EXECUTABLE

SYSTEMD = Path("/usr/lib/systemd/systemd")
ENGINE = Path("/run/docker.sock")
_IMAGE = f"sandboxd-test/systemd:{os.getpid()}"
_LINKS = {name: f"usr/{name}" for name in ("bin", "sbin", "lib", "lib64")}
_FOLDERS = ("dev", "etc", "home", "proc", "root", "run", "sys", "tmp", "usr", "var")
_MASKED = ("docker.service", "docker.socket", "containerd.service", "systemd-firstboot.service")
_SETTLED = ("running", "degraded")


def reason_to_skip() -> str:
    """Why there can be no such host here; empty when there can."""
    if os.geteuid() != 0:
        return "only root may start a container with a systemd in it"
    if not SYSTEMD.exists() or Path("/bin").resolve() != Path("/usr/bin"):
        return "this host has no systemd in /usr, or a /bin of its own"
    return "" if ENGINE.is_socket() else f"no engine listens on {ENGINE}"


class BootedHost:
    """Up from entering until leaving. `folder` is where its /run/sandboxd is seen."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = f"sandboxd-test-{os.getpid()}"
        self.socket = folder / "run/sandboxd.sock"

    def __enter__(self) -> Self:
        root = self._folder / "root"
        self._fill(root)
        self.socket.parent.mkdir()
        _engine("import", "-", _IMAGE, data=_archive(root))
        mounts = [f"{path}:{path}:ro" for path in ("/usr", *_programs())]
        mounts += ["/sys/fs/cgroup:/sys/fs/cgroup:rw", f"{ENGINE}:{ENGINE}"]
        mounts.append(f"{self.socket.parent}:/run/sandboxd:rw")
        options = ["--detach", "--rm", "--network=none", "--cgroupns=host", "--cap-add=SYS_ADMIN"]
        options += ["--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined"]
        options += ["--tmpfs=/run", "--tmpfs=/tmp", "--env=container=docker"]
        options += [f"--volume={mount}" for mount in mounts]
        first = [str(SYSTEMD), "--unit=basic.target", "--show-status=no"]
        _engine("run", f"--name={self._name}", *options, _IMAGE, *first)
        try:
            eventually(lambda: self._state() in _SETTLED, "systemd is up")
            for step in next_steps(user=False):
                if "USER" not in step:
                    self.shell(step)
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            # Its containers belong to the engine that it shares with this host.
            self.shell("systemctl stop sandboxd.socket sandboxd.service")
        self._remove()

    def shell(self, command: str) -> str:
        """What a command prints there. Raises CalledProcessError."""
        return _engine("exec", self._name, "sh", "-c", command)

    def show(self, property: str) -> str:  # noqa: A002 - systemctl's own word
        return self.shell(f"systemctl show --value --property={property} sandboxd").strip()

    def journal(self) -> str:
        return self.shell("journalctl --no-pager --output=cat --unit=sandboxd")

    def client(self) -> Client:
        return Client(self.socket)

    def async_client(self) -> AsyncClient:
        return AsyncClient(self.socket)

    def _state(self) -> str:
        with contextlib.suppress(subprocess.CalledProcessError):
            return self.shell("systemctl is-system-running || true").strip()
        return "gone"

    def _remove(self) -> None:
        for command in (["rm", "--force", self._name], ["rmi", _IMAGE]):
            with contextlib.suppress(subprocess.CalledProcessError):
                _engine(*command)

    def _fill(self, root: Path) -> None:
        for name in _FOLDERS:
            (root / name).mkdir(parents=True)
        for name, target in _LINKS.items():
            (root / name).symlink_to(target)
        (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
        (root / "etc/group").write_text(f"root:x:0:\ndocker:x:{ENGINE.stat().st_gid}:\n")
        (root / "etc/machine-id").touch()
        install_units(user=False, root=root, executable=EXECUTABLE)
        units = root / "etc/systemd/system"
        for name in _MASKED:
            (units / name).symlink_to("/dev/null")
        (units / "sandboxd.service.d").mkdir()
        # A checkout may be where the service sees nothing; and nobody waits for long.
        places = " ".join(map(str, _programs()))
        (units / "sandboxd.service.d/test.conf").write_text(
            f"[Service]\nProtectHome=tmpfs\nBindReadOnlyPaths={places}\nWatchdogSec=3\n"
        )


def _programs() -> list[Path]:
    """Where sandboxd and its interpreter are, apart from /usr."""
    needed = {Path(sys.prefix), Path(sys.base_prefix)}
    needed |= {Path(str(module.__file__)).parents[1] for module in (sandboxd, sandboxd_client)}
    needed = {path for path in needed if not path.is_relative_to("/usr")}
    return sorted(
        path
        for path in needed
        if not any(path != other and path.is_relative_to(other) for other in needed)
    )


def _archive(root: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(root, arcname=".")
    return buffer.getvalue()


def _engine(*command: str, data: bytes | None = None) -> str:
    done = subprocess.run(["docker", *command], input=data, capture_output=True, check=False)
    if done.returncode != 0:
        words = (done.stdout + done.stderr).decode(errors="replace")
        raise subprocess.CalledProcessError(done.returncode, ["docker", *command[:3]], words)
    return done.stdout.decode()
