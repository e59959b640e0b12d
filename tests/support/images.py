"""Images that tests need before they begin."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path


def make_images(languages: Iterable[str], config: Path | None = None) -> None:
    """Makes those that are missing, which may take minutes: no test should wait for that."""
    configured = ["--config", str(config)] if config else []
    command = [sys.executable, "-m", "sandboxd", *configured, "images", "build", *languages]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode != 0:
        raise AssertionError(built.stderr)
