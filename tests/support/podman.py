"""A Podman of the tests' own, behind the socket that speaks Docker's API.

Its images and containers lie in a folder of its own, so that it shares nothing with
another Podman of this host but the binary.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from sandboxd.engine import host
from tests.support.daemon import eventually

NEEDS = ("podman", "conmon", "runc")

_ENGINE = """
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
[engine.runtimes]
runc = ["{runc}"]
"""
# crun, its usual runtime, knows no cgroups of version 1.
_STORAGE = """
[storage]
driver = "overlay"
graphroot = "{folder}/images"
runroot = "{folder}/run"
"""


class Podman:
    """`podman system service`, from entering until leaving."""

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="sandboxd-podman-"))
        self.socket = self.folder / "podman.sock"
        engine, storage = self.folder / "containers.conf", self.folder / "storage.conf"
        engine.write_text(_ENGINE.format(runc=shutil.which("runc")))
        storage.write_text(_STORAGE.format(folder=self.folder))
        self._environment = {
            **os.environ,
            "CONTAINERS_CONF": str(engine),
            "CONTAINERS_STORAGE_CONF": str(storage),
        }
        self._log = self.folder / "service.log"
        with self._log.open("wb") as log:
            self._service = subprocess.Popen(
                self._command("system", "service", "--time=0", self.host),
                env=self._environment,
                cwd=self.folder,  # where it notes what ran out of memory
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        eventually(lambda: host._answers(self.socket), f"Podman answers; see {self._log}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._service.terminate()
        self._service.wait()
        self.podman("rm", "--all", "--force", "--time=0")
        with contextlib.suppress(AssertionError):  # nothing may be mounted
            self.podman("umount", "--all")
        subprocess.run(["umount", "--quiet", self.folder / "images/overlay"], check=False)
        shutil.rmtree(self.folder)

    @property
    def host(self) -> str:
        return f"unix://{self.socket}"

    def podman(self, *arguments: str) -> str:
        """What a command of its own prints."""
        done = subprocess.run(
            self._command(*arguments),
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise AssertionError(f"podman {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def copy_images(self, tags: Sequence[str]) -> None:
        """From this host's engine."""
        with subprocess.Popen(["docker", "save", *tags], stdout=subprocess.PIPE) as saving:
            subprocess.run(
                self._command("load", "--quiet"),
                env=self._environment,
                stdin=saving.stdout,
                stdout=subprocess.DEVNULL,
                check=True,
            )
        if saving.returncode != 0:
            raise AssertionError(f"docker save {' '.join(tags)} failed")
        for tag in tags:
            # What comes over its socket is taken for a name of Docker's registry.
            library = "" if "/" in tag else "library/"
            own = tag if library else f"localhost/{tag}"
            self.podman("tag", own, f"docker.io/{library}{tag}")

    def _command(self, *arguments: str) -> list[str]:
        return ["podman", "--tmpdir", str(self.folder / "tmp"), *arguments]
