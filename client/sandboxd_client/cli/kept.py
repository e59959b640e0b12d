"""`sandbox attach` and `sandbox kill`: runs that were started with `sandbox run --detach`."""

from __future__ import annotations

import sys

from sandboxd_client._paths import default_socket_name
from sandboxd_client.cli._quick import QuickRun
from sandboxd_client.cli.command import Command
from sandboxd_client.cli.run import pass_on

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def _add_attach_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--into", default=".", metavar="DIR", help="put files that come back here")
    parser.add_argument("--json", action="store_true", help="print the result as JSON instead")
    parser.add_argument("-v", "--verbose", action="store_true", help="tell at the end how it went")


def _add_kill_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN")


def attach(arguments: argparse.Namespace) -> int:
    """Exits with the program's code. Interrupting it leaves the run alone."""
    socket = arguments.socket or default_socket_name()
    running = QuickRun(socket, {"run": arguments.run}, "run.attach")
    return pass_on(running, arguments, feed=False, interrupt=False)[0]


def kill(arguments: argparse.Namespace) -> int:
    """One that has ended is told, and is no failure: it is as it was to be."""
    from sandboxd_client.sync import Client  # noqa: PLC0415 - slow, and not for `attach`

    with Client(arguments.socket) as client:
        if not client.kill(arguments.run):
            sys.stderr.write(f"sandbox: the run {arguments.run} had ended already\n")
    return 0


COMMANDS = (
    Command("attach", _add_attach_arguments, attach),
    Command("kill", _add_kill_arguments, kill),
)
