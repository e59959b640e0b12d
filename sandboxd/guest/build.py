"""Compiles the guest when the package is built: a hook of hatchling's."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = ["guest.c", "child.c", "filter.c", "frame.c"]
FLAGS = [
    "-std=gnu17",
    "-O2",
    "-static",
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Wshadow",
    "-Werror",
    "-fstack-protector-strong",
    "-D_FORTIFY_SOURCE=2",
    "-Wl,-z,relro,-z,now",
    "-s",
]
_HINT = (
    "the guest could not be compiled. It needs a C compiler and the static libseccomp: "
    "apt-get install gcc libc6-dev libseccomp-dev (or set $CC)."
)


def compile_guest(folder: Path, target: Path) -> None:
    """Compiles the guest from the sources in a folder."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    command = [*compiler, *FLAGS, "-o", str(target), *SOURCES, "-lseccomp"]
    try:
        subprocess.run(command, cwd=folder, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"{_HINT}\n{error}") from None


class GuestBuildHook(BuildHookInterface):  # type: ignore[misc]  # hatchling is not installed here
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before a wheel, an editable one too, is put together."""
        folder = Path(self.root) / "sandboxd" / "guest"
        compile_guest(folder, folder / "guest")
        build_data["artifacts"].append("sandboxd/guest/guest")
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
