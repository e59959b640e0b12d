"""The guest, the first process of every container: its frames, and its program in C."""

from __future__ import annotations

from pathlib import Path

from sandboxd.errors import SetupError

SOURCES = Path(__file__).parent


BINARIES = ("guest", "enter.so", "bash.so")


def binaries() -> dict[str, bytes]:
    """What the package's build compiled, by name: all of it goes into every image."""
    found = {}
    for name in BINARIES:
        path = SOURCES / name
        if not path.is_file():
            raise SetupError(f"{path} was not built; install the package again with pip")
        found[name] = path.read_bytes()
    return found
