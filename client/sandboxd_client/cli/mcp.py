"""`sandbox mcp`: tools for models, on stdin and stdout."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util

from sandboxd_client.cli.command import Command
from sandboxd_client.errors import SandboxError


def _add_arguments(_: argparse.ArgumentParser) -> None:
    """It has those of every command alone."""


def mcp(arguments: argparse.Namespace) -> int:
    if importlib.util.find_spec("mcp") is None:
        raise SandboxError(
            "the MCP server needs the SDK of the protocol: pip install 'sandboxd-client[mcp]'"
        )
    from sandboxd_client.mcp.server import serve  # noqa: PLC0415 - it may not be there

    asyncio.run(serve(arguments.socket))
    return 0


COMMANDS = (Command("mcp", _add_arguments, mcp),)
