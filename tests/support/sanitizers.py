"""C, compiled so that it stops at the first thing that it should not do."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

from sandboxd.guest import SOURCES

COMPILER = [
    *shlex.split(os.environ.get("CC", "cc")),
    *("-std=gnu17", "-g", "-O1", "-Wall", "-Wextra", "-Werror"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"),
]


def compile_c(program: Path, *sources: Path) -> Path:
    """Makes a program of parts of the guest and a test's own."""
    subprocess.run([*COMPILER, "-I", SOURCES, "-o", program, *sources], check=True)
    return program
