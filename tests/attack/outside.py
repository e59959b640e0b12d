"""Controls: the same program where there is no sandbox around it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.attack.compiled import compiled
from tests.attack.probe import C, Probe, Where

NOBODY = 65534
_SECONDS = 20.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_OWN = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--net", "--uts", "--fork"]
_HERE = {
    "python": ["python3", "-I", "-B"],
    "javascript": ["node"],
    "ruby": ["ruby"],
    "bash": ["bash"],
    "sh": ["sh"],
}
"""How a file is run with arguments after it."""
_THERE = {
    "python": ["python3", "-I", "-B", "-"],
    "javascript": ["node", "-"],
    "ruby": ["ruby", "-"],
    "bash": ["bash", "-s", "--"],
    "sh": ["sh", "-s", "--"],
    C: ["sh", "-c", 'cat > /tmp/probe && chmod +x /tmp/probe && exec /tmp/probe "$@"', "sh"],
}
"""How what comes on stdin is run with arguments after it."""


class NoControlError(Exception):
    """The control cannot be had on this host."""


class Outside:
    """Runs probes on the host, and in plain containers that are removed in the end."""

    def __init__(self, images: Mapping[str, str]) -> None:
        """`images` by language."""
        self._images = images
        self._containers: dict[tuple[str, str], str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._containers:
            command = ["docker", "rm", "--force", *self._containers.values()]
            subprocess.run(command, check=True, capture_output=True)

    def run(self, probe: Probe, args: Sequence[str]) -> bytes:
        """What it prints. Raises NoControlError."""
        match probe.control.where:
            case Where.CONTAINER:
                return self._in_container(probe, args)
            case Where.CONTAINER_ROOT:
                return self._in_container(probe, args, user="0")
            case Where.CONTAINER_HOST:
                return self._in_container(probe, args, network="host")
            case where:
                return _on_host(probe, args, where)

    def _in_container(
        self, probe: Probe, args: Sequence[str], *, user: str = "1000", network: str = "none"
    ) -> bytes:
        language = "bash" if probe.language == C else probe.language
        key = language, network
        if key not in self._containers:
            self._containers[key] = _start(self._images[language], network)
        source = compiled(probe.program).read_bytes() if probe.language == C else probe.program
        command = ["docker", "exec", "--interactive", "--user", user, "--workdir", "/tmp"]
        command += [self._containers[key], *_THERE[probe.language], *args]
        return _output(command, input=source if isinstance(source, bytes) else source.encode())


def _start(image: str, network: str) -> str:
    """A container that waits, as user 1000, with nothing but what Docker gives to it."""
    command = ["docker", "run", "--detach", "--rm", "--network", network, "--user", "1000:1000"]
    command += ["--entrypoint", "sleep", image, "3600"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _on_host(probe: Probe, args: Sequence[str], where: Where) -> bytes:
    options: dict[str, Any] = {"start_new_session": True}
    if where is Where.ROOT:
        if os.geteuid() != 0:
            raise NoControlError("it takes root")
    elif os.geteuid() == 0:
        options |= {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    with tempfile.TemporaryDirectory(prefix="sandboxd-control-") as name:
        folder = Path(name)
        folder.chmod(0o777)
        command = [*(_OWN if where is Where.OWN else []), *_command(probe, folder), *args]
        environment = {"PATH": _PATH, "HOME": name}
        with contextlib.chdir(folder):
            return _output(command, stdin=subprocess.DEVNULL, env=environment, **options)


def _command(probe: Probe, folder: Path) -> list[str]:
    if probe.language == C:
        return [str(compiled(probe.program))]
    interpreter, *options = _HERE[probe.language]
    found = shutil.which(interpreter, path=_PATH)
    if found is None:
        raise NoControlError(f"no {interpreter} here")
    script = folder / "program"
    script.write_text(probe.program)
    script.chmod(0o644)
    return [found, *options, str(script)]


def _output(command: Sequence[str], **options: Any) -> bytes:
    """A program that fails has still printed something."""
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, timeout=_SECONDS, **options
        )
    except subprocess.TimeoutExpired:
        raise NoControlError(f"it did not end within {_SECONDS:g} s") from None
    printed: bytes = done.stdout
    return printed
