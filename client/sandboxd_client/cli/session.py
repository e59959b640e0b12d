"""`sandbox session`: sessions that outlive a command, for `sandbox run --session`."""

from __future__ import annotations

import argparse

from sandboxd_client.cli.command import Command
from sandboxd_client.cli.history import local_time
from sandboxd_client.cli.look import print_json, print_line, print_table
from sandboxd_client.errors import SandboxError
from sandboxd_client.protocol import Limits
from sandboxd_client.sync import Client

_HEADER = ("SESSION", "LANGUAGE", "OPENED", "LAST USED", "RUNS")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("open", "list", "close"))
    parser.add_argument("of", nargs="?", metavar="LANGUAGE|SESSION", help="to open, or to close")
    opened = parser.add_argument_group("open")
    opened.add_argument("-t", "--timeout", type=float, metavar="SECONDS", help="of each run")
    opened.add_argument("--memory", metavar="SIZE", help="of the session, such as 256MiB")
    opened.add_argument("--profile", help="a profile of the language")
    opened.add_argument("--network", action="store_true", help="needs the operator's leave")
    opened.add_argument("--ttl", type=float, metavar="SECONDS", help="how long it may lie unused")
    parser.add_argument("--json", action="store_true", help="print JSON instead")


def session(arguments: argparse.Namespace) -> int:
    actions = {"open": _open, "list": _list, "close": _close}
    with Client(arguments.socket) as client:
        actions[arguments.action](client, arguments)
    return 0


def _open(client: Client, arguments: argparse.Namespace) -> None:
    """Prints its id. It stays until it is closed, or lies unused for too long."""
    wanted = client.session(
        _of(arguments, "a language"),
        limits=Limits(timeout=arguments.timeout, memory=arguments.memory),
        profile=arguments.profile,
        network=arguments.network,
        keep=True,
        **({} if arguments.ttl is None else {"ttl": arguments.ttl}),
    )
    with wanted as opened:
        if arguments.json:
            print_json({"session": opened.id, "language": opened.language})
        else:
            print_line(opened.id)


def _list(client: Client, arguments: argparse.Namespace) -> None:
    sessions = client.sessions()
    if arguments.json:
        print_json(sessions)
        return
    rows = [
        (
            each.session,
            each.language,
            local_time(each.created_at),
            local_time(each.last_used_at),
            each.runs,
        )
        for each in sessions
    ]
    print_table(_HEADER, rows)


def _close(client: Client, arguments: argparse.Namespace) -> None:
    client.close_session(_of(arguments, "a session"))


def _of(arguments: argparse.Namespace, what: str) -> str:
    if arguments.of is None:
        raise SandboxError(
            f"say {what}: sandbox session {arguments.action} {what.split()[1].upper()}"
        )
    return str(arguments.of)


COMMANDS = (
    Command(
        "session",
        _add_arguments,
        session,
        usage="sandbox session {open LANGUAGE | list | close SESSION} [options]",
    ),
)
