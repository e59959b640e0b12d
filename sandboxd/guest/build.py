"""Compiles the guest when the package is built: a hook of hatchling's."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = [
    "guest.c",
    "commands.c",
    "exchange.c",
    "start.c",
    "life.c",
    "pump.c",
    "streams.c",
    "child.c",
    "init.c",
    "serve.c",
    "root.c",
    "machine.c",
    "shown.c",
    "enter.c",
    "template.c",
    "files.c",
    "pass.c",
    "facts.c",
    "filter.c",
    "frame.c",
]
BINARIES = ["guest", "enter.so", "bash.so"]
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]
FLAGS = [
    "-std=gnu17",
    "-O2",
    *WARNINGS,
    "-static",
    "-fstack-protector-strong",
    "-D_FORTIFY_SOURCE=2",
    "-Wl,-z,relro,-z,now",
    "-s",
]
# Loaded into interpreters of any C library: it has none of its own, or uses theirs.
SHARED_FLAGS = [
    "-std=gnu17",
    "-O2",
    *WARNINGS,
    "-shared",
    "-fPIC",
    "-ffreestanding",
    "-nostdlib",
    "-fno-stack-protector",
    "-s",
]
_HINT = (
    "the guest could not be compiled. It needs a C compiler and the static libseccomp: "
    "apt-get install gcc libc6-dev libseccomp-dev (or set $CC)."
)


def compile_guest(folder: Path) -> None:
    """Compiles the guest, and what interpreters load of it, beside their sources."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    for command in (
        [*compiler, *FLAGS, "-o", "guest", *SOURCES, "-lseccomp"],
        [*compiler, *SHARED_FLAGS, "-Wl,-z,defs", "-o", "enter.so", "enter.c", "python.c"],
        [*compiler, *SHARED_FLAGS, "-Wl,-z,now", "-o", "bash.so", "bash.c"],
    ):
        try:
            subprocess.run(command, cwd=folder, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise SystemExit(f"{_HINT}\n{error}") from None


class GuestBuildHook(BuildHookInterface):  # type: ignore[misc]  # hatchling is not installed here
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before a wheel, an editable one too, is put together."""
        compile_guest(Path(self.root) / "sandboxd" / "guest")
        build_data["artifacts"] += [f"sandboxd/guest/{name}" for name in BINARIES]
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
