"""The commands of `sandbox` and where they live, and the way from a command line to one."""

from __future__ import annotations

import argparse
import functools
import importlib
import os
import sys

from sandboxd_client import __version__, cli
from sandboxd_client.cli._terminal import fill_closed
from sandboxd_client.errors import CancelledError, SandboxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sandboxd_client.cli.command import Command

_REFUSED = 125
"""Exit code when the program was not run at all, as of `docker run` and `env`."""
_MISUSED = 2
_INTERRUPTED = 130
_PIPE_CLOSED = 141
"""As of a program that SIGPIPE ends."""

SUMMARIES = {
    "run": ("run", "run a program, and exit with its code (124 at a timeout)"),
    "attach": ("kept", "join a run that was started with --detach, from its beginning"),
    "kill": ("kept", "end a run that was started with --detach"),
    "repl": ("repl", "a session at the terminal: state lives on from line to line"),
    "session": ("session", "open, list and close sessions for run --session"),
    "batch": ("batch", "run many programs, one for each line of a file"),
    "debug": ("debug", "what went wrong in a run, and what to try"),
    "history": ("history", "runs that have ended, newest first"),
    "show": ("history", "one run: its code and what it printed"),
    "status": ("look", "pools, queue and totals"),
    "top": ("top", "the same, live, with rates and the last runs"),
    "languages": ("look", "what can be run"),
    "health": ("look", "what is in order and what is not"),
    "doctor": (
        "doctor",
        "whether a client gets as far as a program that runs, and what to do if not",
    ),
    "cluster": ("cluster", "the nodes of a Ray cluster and their daemons"),
    "completion": ("completion", "print what makes a shell complete this command"),
    "mcp": ("mcp", "serve tools for models (Model Context Protocol) on stdin and stdout"),
}
"""Where each command lives: no other module is loaded for it."""


def prepare(argv: Sequence[str] | None) -> Callable[[], int]:
    """What runs a command line, this process's own unless given, and returns the exit code."""
    fill_closed()
    given = list(sys.argv[1:] if argv is None else argv)
    if given and given[0] in SUMMARIES:
        command = find_command(given[0])
        return functools.partial(_run, command, _parse(command, given[1:]))
    told = (f"  {name:<12} {summary}\n" for name, (_, summary) in SUMMARIES.items())
    parser = argparse.ArgumentParser(
        prog="sandbox",
        description=cli.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"commands:\n{''.join(told)}\nsandbox COMMAND --help tells more.",
    )
    parser.add_argument("--version", action="version", version=f"sandbox {__version__}")
    parser.add_argument("command", choices=SUMMARIES, metavar="COMMAND")
    if given:
        parser.parse_args(given)  # leaves by itself for every command line that comes here
    parser.print_help(sys.stderr)
    return lambda: _MISUSED


def find_command(name: str) -> Command:
    """The command of a name; loads its module."""
    module = importlib.import_module(f"sandboxd_client.cli.{SUMMARIES[name][0]}")
    found: Command = next(command for command in module.COMMANDS if command.name == name)
    return found


def add_arguments(parser: argparse.ArgumentParser, command: Command) -> None:
    """A command's own, and those that all have."""
    command.add_arguments(parser)
    parser.add_argument("--socket", metavar="FILE", help="the daemon's socket")
    parser.add_argument(
        "--daemon",
        choices=("auto", "never"),
        default="never",
        help="auto: start a daemon if none listens",
    )


def _parse(command: Command, given: list[str]) -> argparse.Namespace:
    """What follows a `--` is the program's; before it, options and names may mix."""
    own, rest = given, []
    if "--" in given:
        at = given.index("--")
        own, rest = given[:at], given[at + 1 :]
    parser = argparse.ArgumentParser(
        prog=f"sandbox {command.name}",
        usage=command.usage,
        description=SUMMARIES[command.name][1],
    )
    add_arguments(parser, command)
    arguments = parser.parse_intermixed_args(own)
    arguments.args = rest
    return arguments


def _run(command: Command, arguments: argparse.Namespace) -> int:
    try:
        if arguments.daemon == "auto":
            from sandboxd_client.cli import daemon  # noqa: PLC0415 - slow, and seldom needed

            daemon.start_unless_running(arguments.socket)
        code = command.run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
        return _PIPE_CLOSED
    except (KeyboardInterrupt, CancelledError):
        return _INTERRUPTED
    except SandboxError as error:
        sys.stderr.write(f"sandbox: {error}\n")
        return _REFUSED
    except OSError as error:
        if error.filename is not None:  # no error of writing, which knows no name
            raise
        _discard_output()
        sys.stderr.write(f"sandbox: cannot write to stdout: {error.strerror}\n")
        return _REFUSED
    return code


def _discard_output() -> None:
    """What is left in stdout's buffer has no reader, and is not to be told of at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
