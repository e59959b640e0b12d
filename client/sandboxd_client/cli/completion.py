"""`sandbox completion`: the script that makes a shell complete the command.

    source <(sandbox completion bash)

Languages and runs are asked of the daemon when they are completed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from sandboxd_client.cli._main import SUMMARIES, add_arguments, find_command
from sandboxd_client.cli.command import Command
from sandboxd_client.errors import SandboxError

SHELLS = ("bash", "zsh", "fish")
_FIRST_COLUMN = "2>/dev/null | sed -e 1d -e 's/ .*//'"
_ASKED = {
    "LANGUAGE": f"sandbox languages {_FIRST_COLUMN}",
    "RUN": f"sandbox history {_FIRST_COLUMN}",
    "SESSION": f"sandbox session list {_FIRST_COLUMN}",
    "LANGUAGE|SESSION": "{ sandbox languages; sandbox session list; } "
    "2>/dev/null | sed -e 's/ .*//' -e '/^[A-Z]*$/d'",
}
"""Commands that print what may stand for an argument, by the name that it has in the help."""
_FILES = ("FILE", "PATH[:NAME]")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS)


def run(arguments: argparse.Namespace) -> int:
    parser = argparse.ArgumentParser(prog="sandbox")
    parser.add_argument("--version", action="version")
    commands = parser.add_subparsers()
    for name, (_, summary) in SUMMARIES.items():
        add_arguments(commands.add_parser(name, help=summary), find_command(name))
    sys.stdout.write(script(parser, arguments.shell, _ASKED))
    return 0


def script(
    parser: argparse.ArgumentParser, shell: str, asked: Mapping[str, str] | None = None
) -> str:
    """What a shell is to read. Raises SandboxError without shtab."""
    try:
        import shtab  # noqa: PLC0415 - an extra
    except ImportError:
        raise SandboxError(
            "completion needs shtab: pip install 'sandboxd-client[completion]'"
        ) from None
    for action in _actions(parser):
        if action.type is Path or action.metavar in _FILES:
            complete = shtab.FILE
        elif action.metavar == "DIR":
            complete = shtab.DIRECTORY
        elif asked and action.metavar in asked:
            complete = shtab.cmd(asked[str(action.metavar)])
        else:
            continue
        action.complete = complete  # type: ignore[attr-defined]  # where shtab looks for it
    return str(shtab.complete(parser, shell=shell)) + "\n"


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """All of a parser's, and of the parsers below it."""
    found = []
    for action in parser._actions:  # noqa: SLF001 - nothing else tells, and shtab does the same
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - no public name
            for below in {id(each): each for each in action.choices.values()}.values():
                found += _actions(below)
        found.append(action)
    return found


COMMANDS = (Command("completion", _add_arguments, run),)
