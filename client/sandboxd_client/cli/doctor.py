"""`sandbox doctor`: whether a client gets as far as a program that runs, and what to do if not.

It looks from where a client stands; `sandboxd doctor` looks at the host and its isolation.
"""

from __future__ import annotations

import argparse
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sandboxd_client import __version__
from sandboxd_client._paths import SOCKET_VARIABLE
from sandboxd_client.cli.command import Command
from sandboxd_client.cli.look import print_json, print_line, print_table
from sandboxd_client.errors import SandboxError
from sandboxd_client.protocol import PROTOCOL, default_socket
from sandboxd_client.sync import Client


class Finding(NamedTuple):
    check: str
    ok: bool
    detail: str
    remedy: str = ""


def _wrong(check: str, detail: str, remedy: str = "") -> Finding:
    return Finding(check, ok=False, detail=detail, remedy=remedy)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def doctor(arguments: argparse.Namespace) -> int:
    """Exits with 0 when all is well, 1 otherwise."""
    found = list(_findings(arguments.socket))
    well = all(each.ok for each in found)
    if arguments.json:
        print_json([each._asdict() for each in found])
        return 0 if well else 1
    rows = [(each.check, "ok" if each.ok else "FAILED", each.detail) for each in found]
    print_table(("CHECK", "STATE", "DETAIL"), rows)
    for each in found:
        if each.remedy:
            print_line(f"\n{each.check}: {each.remedy}")
    return 0 if well else 1


def _findings(named: str | None) -> Iterator[Finding]:
    """One thing after the other, up to the first that nothing can come after."""
    path = Path(named) if named else default_socket()
    socket = _socket(path, _named_by(named))
    yield socket
    if not socket.ok:
        return
    try:
        with Client(path) as client:
            yield _daemon(client)
            for name, check in client.health().checks.items():
                if not check.ok:
                    yield _wrong(name, check.detail)
            for language in client.languages():
                if language.ready:
                    yield _run(client, language.name)
    except SandboxError as error:
        yield _wrong("daemon", str(error))


def _named_by(named: str | None) -> str:
    if named:
        return "--socket"
    return f"${SOCKET_VARIABLE}" if SOCKET_VARIABLE in os.environ else "the default"


def _socket(path: Path, by: str) -> Finding:
    try:
        status = path.stat()
    except PermissionError:
        return _wrong("socket", f"{path} ({by}): its folder is closed to you")
    except OSError:
        return _wrong(
            "socket",
            f"{path} ({by}) is not there",
            "start a daemon with `sandboxd serve` or `systemctl start sandboxd.socket`, "
            f"or name its socket with --socket or ${SOCKET_VARIABLE}",
        )
    if not stat.S_ISSOCK(status.st_mode):
        return _wrong("socket", f"{path} ({by}) is no socket")
    if not os.access(path, os.W_OK):
        return _wrong(
            "socket",
            f"{path} ({by}) is closed to you",
            "its group may use it: `ls -l` tells which, and `usermod -aG GROUP YOU` makes you "
            "one of it, once you have logged in again",
        )
    return Finding("socket", ok=True, detail=f"{path} ({by})")


def _daemon(client: Client) -> Finding:
    hello = client.initialize()
    told = f"{hello.server} {hello.version}, protocol {hello.protocol}, on {hello.engine.name}"
    if hello.protocol == PROTOCOL:
        return Finding("daemon", ok=True, detail=told)
    return _wrong(
        "daemon",
        f"{told}; this client, {__version__}, speaks protocol {PROTOCOL}",
        "install the client and the daemon of one version",
    )


def _run(client: Client, language: str) -> Finding:
    """An empty program: what comes of it is the language's business, that it comes is not."""
    began = time.perf_counter()
    try:
        client.run(language, "", label="doctor")
    except SandboxError as error:
        return _wrong(language, str(error))
    return Finding(
        language, ok=True, detail=f"answers in {(time.perf_counter() - began) * 1000:.1f} ms"
    )


COMMANDS = (Command("doctor", _add_arguments, doctor),)
