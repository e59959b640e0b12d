"""The command `sandbox`: run code, and look at the daemon that runs it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from sandboxd_client import __version__
from sandboxd_client.cli import debug, history, look, run
from sandboxd_client.cli.command import Command
from sandboxd_client.errors import CancelledError, SandboxError

_REFUSED = 125
"""Exit code when the program was not run at all, as of `docker run` and `env`."""
_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if argv is None else argv)
    modules = (run, debug, history, look)
    commands = {command.name: command for module in modules for command in module.COMMANDS}
    if given and given[0] in commands:
        return _run(commands[given[0]], given[1:])
    parser = argparse.ArgumentParser(
        prog="sandbox",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="commands:\n"
        + "".join(f"  {name:<12} {command.summary}\n" for name, command in commands.items())
        + "\nsandbox COMMAND --help tells more.",
    )
    parser.add_argument("--version", action="version", version=f"sandbox {__version__}")
    parser.add_argument("command", choices=commands, metavar="COMMAND")
    parser.parse_args(given)
    return 2  # parse_args leaves by itself for every command line that comes here


def _run(command: Command, given: list[str]) -> int:
    """What follows a `--` is the program's; before it, options and names may mix."""
    own, rest = given, []
    if "--" in given:
        at = given.index("--")
        own, rest = given[:at], given[at + 1 :]
    parser = argparse.ArgumentParser(
        prog=f"sandbox {command.name}", usage=command.usage, description=command.summary
    )
    command.add_arguments(parser)
    parser.add_argument("--socket", help="the daemon's socket")
    parser.add_argument(
        "--daemon",
        choices=("auto", "never"),
        default="never",
        help="auto: start a daemon if none listens",
    )
    arguments = parser.parse_intermixed_args(own)
    arguments.args = rest
    try:
        if arguments.daemon == "auto":
            from sandboxd_client.cli import daemon  # noqa: PLC0415 - slow, and seldom needed

            daemon.start_unless_running(arguments.socket)
        return command.run(arguments)
    except (KeyboardInterrupt, CancelledError):
        return _INTERRUPTED
    except SandboxError as error:
        sys.stderr.write(f"sandbox: {error}\n")
        return _REFUSED
