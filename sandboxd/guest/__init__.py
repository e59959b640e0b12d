"""The guest, the first process of every container: its frames, and its program in C."""

from __future__ import annotations

from pathlib import Path

from sandboxd.errors import SetupError

SOURCES = Path(__file__).parent


def binary() -> Path:
    """The compiled guest, which the package's build leaves beside its sources."""
    path = SOURCES / "guest"
    if not path.is_file():
        raise SetupError(f"the guest was not built ({path}); install the package again with pip")
    return path
