"""`sandbox history` and `sandbox show`: the runs that have ended, and one of them."""

from __future__ import annotations

import argparse
import sys
from datetime import datetime

from sandboxd_client.cli.command import Command
from sandboxd_client.cli.look import print_json, print_line, print_table
from sandboxd_client.errors import SandboxError
from sandboxd_client.protocol import Blob, RunRecord, RunSummary, Status, from_blob
from sandboxd_client.sync import Client

HEADER = ("RUN", "STARTED", "LANGUAGE", "STATUS", "EXIT", "TIME", "LABEL")
_PAGE = 1000
"""The most runs that the daemon lists at once."""


def _add_history_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-n", dest="count", type=_count, default=50, metavar="N", help="how many (50)"
    )
    parser.add_argument("--language", metavar="L", help="of one language only")
    parser.add_argument("--status", choices=[each.value for each in Status], help="of one end only")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _add_show_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print all of it as JSON instead")
    form.add_argument("--code", action="store_true", help="print the code alone, as it was")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 1")
    return int(text)


def history(arguments: argparse.Namespace) -> int:
    with Client(arguments.socket) as client:
        runs = _list(client, arguments)
    if arguments.json:
        return print_json(runs)
    print_table(HEADER, rows(runs))
    return 0


def rows(runs: list[RunSummary]) -> list[tuple[object, ...]]:
    """A line of a table for each run, under HEADER."""
    return [
        (
            run.run,
            local_time(run.started_at),
            run.language,
            run.status.value,
            run.exit_code,
            f"{run.duration:.3f} s",
            _visible(run.label or "", lines=False),
        )
        for run in runs
    ]


def _list(client: Client, arguments: argparse.Namespace) -> list[RunSummary]:
    runs: list[RunSummary] = []
    status = Status(arguments.status) if arguments.status else None
    while (left := arguments.count - len(runs)) > 0:
        wanted = min(left, _PAGE)
        page = client.history(
            limit=wanted,
            before=runs[-1].run if runs else None,
            status=status,
            language=arguments.language,
        )
        runs += page
        if len(page) < wanted:
            break
    return runs


def show(arguments: argparse.Namespace) -> int:
    """Exits with 0 however the run ended. Raises SandboxError for code that was not kept."""
    with Client(arguments.socket) as client:
        record = client.history_get(arguments.run)
    if arguments.json:
        return print_json(record)
    if arguments.code:
        if record.code is None:
            raise SandboxError(f"the code of run {arguments.run} was not kept")
        sys.stdout.buffer.write(record.code.encode())
        return 0
    _print_summary(record)
    _print_part("code", record.code)
    _print_part("stdout", record.result.stdout, cut=record.result.truncated.stdout)
    _print_part("stderr", record.result.stderr, cut=record.result.truncated.stderr)
    return 0


def _print_summary(record: RunRecord) -> None:
    summary, result, limits = record.summary, record.result, record.limits
    signal = "" if result.signal is None else f", signal {result.signal}"
    facts = {
        "run": summary.run,
        "label": _visible(summary.label or "", lines=False),
        "language": f"{summary.language}, profile {summary.profile}",
        "status": f"{summary.status.value}, exit {summary.exit_code}{signal}",
        "error": _visible(f"{result.error.phase}: {result.error.message}", lines=False)
        if result.error
        else "",
        "started": local_time(summary.started_at),
        "owner": summary.owner,
        "time": f"{summary.duration:.3f} s of {limits.timeout:g} s, "
        f"after {result.timings.queued:.3f} s in the queue",
        "cpu": f"{result.usage.cpu:.3f} s",
        "memory": f"{_mib(result.usage.memory_peak)} of {_mib(limits.memory)}",
        "container": f"{result.container.id[:12]}, use {result.container.uses}, "
        + ("warm" if result.warm else "cold"),
        "code": f"sha256 {summary.code_hash}",
        "files": ", ".join(
            f"{_visible(each.path, lines=False)} ({each.size} bytes)" for each in result.files
        ),
    }
    for name, fact in facts.items():
        if fact != "":
            print_line(f"{name:<10} {fact}")


def _print_part(name: str, part: Blob | None, *, cut: bool = False) -> None:
    if part is None:
        print_line(f"\n--- {name}: not kept")
        return
    data = from_blob(part)
    if data:
        print_line(f"\n--- {name}{', cut at its limit' if cut else ''}")
        print_line(_visible(data.decode(errors="replace")).rstrip("\n"))


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"


def local_time(started_at: str) -> str:
    """In the time of whoever reads it; as it is where it is no time."""
    try:
        return f"{datetime.fromisoformat(started_at).astimezone():%Y-%m-%d %H:%M:%S}"
    except ValueError:
        return _visible(started_at, lines=False)


def _visible(text: str, *, lines: bool = True) -> str:
    """Text that a program or a stranger made, fit for a terminal: it moves no cursor."""
    kept = "\n\t" if lines else ""
    return "".join(
        each if each.isprintable() or each in kept else each.encode("unicode_escape").decode()
        for each in text
    )


COMMANDS = (
    Command("history", _add_history_arguments, history),
    Command("show", _add_show_arguments, show),
)
