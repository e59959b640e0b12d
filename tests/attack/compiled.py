"""Probes in C, compiled once: static, so that they run in any image."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import tempfile
from pathlib import Path

_SOURCES = Path(__file__).with_name("c")
_COMPILER = [
    *shlex.split(os.environ.get("CC", "cc")),
    *("-std=gnu17", "-O1", "-Wall", "-Wextra", "-Werror", "-static", "-s", "-pthread"),
]


def compiled(name: str) -> Path:
    """The program of c/NAME.c, kept for as long as its source stays the same."""
    source = _SOURCES / f"{name}.c"
    digest = hashlib.sha256(source.read_bytes() + repr(_COMPILER).encode()).hexdigest()[:12]
    program = _cache() / f"{name}-{digest}"
    if not program.exists():
        with tempfile.TemporaryDirectory(dir=program.parent) as folder:
            made = Path(folder) / name
            subprocess.run([*_COMPILER, "-o", made, source], check=True)
            made.rename(program)
    return program


def _cache() -> Path:
    """A folder that nobody else can write to, and all can read."""
    cache = Path(tempfile.gettempdir()) / f"sandboxd-attack-{os.geteuid()}"
    cache.mkdir(mode=0o755, exist_ok=True)
    status = cache.lstat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise AssertionError(f"{cache} is not ours alone to write to")
    return cache
