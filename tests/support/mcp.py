"""`sandbox mcp` in a process of its own, and a client of the official SDK that talks to it."""

from __future__ import annotations

import sys
from pathlib import Path

from mcp import Client, StdioServerParameters

_PROGRAM = "import sys; from sandboxd_client.cli import main; sys.exit(main())"


def connect(socket: Path) -> Client:
    """To be entered; the server serves until it is left."""
    arguments = ["-W", "error", "-c", _PROGRAM, "mcp", "--socket", str(socket)]
    return Client(StdioServerParameters(command=sys.executable, args=arguments))


class Progress:
    """Takes progress notifications."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.text = ""

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        self.steps.append(progress)
        self.text += message or ""
