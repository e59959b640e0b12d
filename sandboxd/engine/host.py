"""The engine on this host: found, and where that was asked for installed and started."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from sandboxd.errors import SetupError

Say = Callable[[str], None]

_SOCKETS = ("/var/run/docker.sock", "/run/podman/podman.sock")
_START_SECONDS = 60.0
_DAEMON_LOG = Path("/var/log/sandboxd-dockerd.log")


def usual_sockets() -> list[Path]:
    """Where engines listen, in the order in which they are tried."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    own = [f"{runtime}/docker.sock", f"{runtime}/podman/podman.sock"] if runtime else []
    return [Path(path) for path in (_SOCKETS[0], *own, *_SOCKETS[1:])]


def find(configured: str | None) -> str | None:
    """The address of an engine that answers: the configured one, `$DOCKER_HOST`, a usual socket.

    One that is named is returned as it is, also when nobody answers there.
    """
    if named := configured or os.environ.get("DOCKER_HOST"):
        return named
    return next((f"unix://{path}" for path in usual_sockets() if _answers(path)), None)


def address(configured: str | None) -> str:
    """As `find`, but the first usual socket when none answers: an engine may come yet."""
    return find(configured) or f"unix://{_SOCKETS[0]}"


def make_ready(configured: str | None, say: Say, *, install: bool) -> None:
    """Sees to it that an engine runs, which is started or installed if need be.

    Raises SetupError, telling what to do by hand.
    """
    found = find(configured)
    if found is not None:
        path = Path(found.removeprefix("unix://"))
        if not found.startswith("unix://") or _answers(path):
            say(f"engine: {found}")
            return
        if configured or os.environ.get("DOCKER_HOST"):
            raise SetupError(
                f"no engine answers at {found}, which the configuration or $DOCKER_HOST names; "
                "start it, or name none"
            )
    if shutil.which("dockerd") is None:
        if not install:
            raise SetupError(
                "there is no container engine. `sandboxd setup --install-engine` installs the "
                "distribution's docker.io; or install one yourself and come back"
            )
        install_packages(["docker.io"], say)
    _start(say)


def install_packages(packages: list[str], say: Say) -> None:
    """Installs packages of the distribution. Raises SetupError."""
    by_hand = f"apt-get install {' '.join(packages)}"
    if shutil.which("apt-get") is None:
        raise SetupError(f"this is no Debian or Ubuntu: install {' '.join(packages)} by hand")
    if os.geteuid() != 0:
        raise SetupError(f"only root can install packages: sudo {by_hand}")
    say(f"installing {' '.join(packages)}")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-q"],
        ["apt-get", "install", "-qy", "--no-install-recommends", *packages],
    ):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            tail = "\n".join((done.stdout + done.stderr).splitlines()[-10:])
            raise SetupError(f"`{' '.join(command)}` failed; try `{by_hand}` by hand:\n{tail}")


def _start(say: Say) -> None:
    if os.geteuid() != 0:
        raise SetupError(
            "the engine is not running, and only root can start it: sudo systemctl start docker"
        )
    if Path("/run/systemd/system").is_dir():
        say("starting docker through systemd")
        subprocess.run(["systemctl", "start", "docker.service"], check=False)
    else:
        say(f"starting dockerd (its log: {_DAEMON_LOG})")
        _start_directly()
    deadline = time.monotonic() + _START_SECONDS
    while not _answers(Path(_SOCKETS[0])):
        if time.monotonic() > deadline:
            raise SetupError(
                f"dockerd did not answer within {_START_SECONDS:g} s; see {_DAEMON_LOG} or "
                "`journalctl -u docker`"
            )
        time.sleep(0.2)
    say("engine: running")


def _start_directly() -> None:
    """No container of ours has a network, so the engine needs no bridge and no firewall."""
    with _DAEMON_LOG.open("ab") as log:
        subprocess.Popen(
            ["dockerd", "--bridge=none", "--iptables=false"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _answers(path: Path) -> bool:
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    probe.settimeout(2.0)
    try:
        probe.connect(str(path))
        probe.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
        return b" 200 " in probe.recv(64)
    except OSError:
        return False
    finally:
        probe.close()
