"""Pages that are made from the code whenever the site is built, and so are never old."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pygments.formatters import HtmlFormatter

import sandboxd_client
from sandboxd.rpc.openrpc import document, page
from sandboxd.units import config_example

_ROOT = Path(__file__).parents[2]
_WIDTH = "88"
_COMMANDS = {
    "sandbox": "import sys; from sandboxd_client.cli import main; sys.exit(main())",
    "sandboxd": "import sys; from sandboxd.cli import main; sys.exit(main())",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """mkdocs calls it once it has found the pages that are written by hand."""
    for path, text in (
        ("reference/command-line.md", "\n".join(_command_line())),
        ("reference/client.md", "\n".join(_client())),
        ("reference/configuration.md", "\n".join(_configuration())),
        ("reference/protocol.md", page(document())),
        ("explanation/security.md", (_ROOT / "SECURITY.md").read_text()),
        ("changes.md", (_ROOT / "CHANGELOG.md").read_text()),
        ("highlight.css", HtmlFormatter().get_style_defs(".codehilite")),
    ):
        files.append(File.generated(config, path, content=text))
    return files


def _command_line() -> Iterator[str]:
    yield "# Command line"
    for command in _COMMANDS:
        text = _help(command)
        yield from (f"\n## {command}\n", _block(text))
        for name in _subcommands(text):
            yield from (f"\n### {command} {name}\n", _block(_help(command, name)))


def _help(command: str, *names: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", _COMMANDS[command], *names, "--help"],
        env={**os.environ, "COLUMNS": _WIDTH},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.replace("usage: -c", f"usage: {command}")


def _subcommands(text: str) -> list[str]:
    """The names that a help text lists below its commands."""
    listed = text.partition("commands:\n")[2] or text.partition("COMMAND\n")[2]
    lines = listed.partition("\n\n")[0].splitlines()
    indent = min(len(line) - len(line.lstrip()) for line in lines)
    return [line.split()[0] for line in lines if not line[indent:].startswith(" ")]


def _configuration() -> Iterator[str]:
    yield "# Configuration\n"
    yield "Printed by `sandboxd config example`.\n"
    yield _block(config_example(), "toml")


def _client() -> Iterator[str]:
    """The package's public names by module, and all types of the protocol."""
    yield f"# Client\n\n{inspect.getdoc(sandboxd_client)}"
    for title, module, names in (
        ("Synchronous", "sync", _public("sync")),
        ("Asynchronous", "aio", _public("aio")),
        ("A run under way", "stream", _public("stream")),
        ("The same, asynchronous", "aio_stream", _public("aio_stream")),
        ("Options and events", "_wire", ["RunOptions", *_public("_wire"), "DebugFacts"]),
        ("Files that go in", "_files", _public("_files")),
        ("Many programs", "batch", _public("batch")),
        ("Many machines", "ray.cluster", ["SandboxCluster"]),
        ("A session on one of them", "ray.session", ["ClusterSession"]),
        ("A run on one of them", "ray.stream", ["ClusterStream"]),
        ("Errors", "errors", _public("errors")),
        ("Types of the protocol", "protocol", []),
    ):
        yield f"\n## {title}\n\n::: sandboxd_client.{module}\n    options:"
        yield f"      members: {names or 'null'}"


def _public(module: str) -> list[str]:
    """Those of the package's names that are defined there, as `__getattr__` knows."""
    return sandboxd_client._HOMES[module].split()  # noqa: SLF001 - its own table


def _block(text: str, language: str = "text") -> str:
    return f"```{language}\n{text.rstrip()}\n```\n"
