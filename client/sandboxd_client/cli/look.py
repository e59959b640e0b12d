"""`sandbox status`, `sandbox languages` and `sandbox health`: what the daemon says of itself."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from sandboxd_client.cli.command import Command
from sandboxd_client.sync import Client


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def status(arguments: argparse.Namespace) -> int:
    with Client(arguments.socket) as client:
        result = client.status()
    if arguments.json:
        return print_json(result)
    print_line(
        f"{result.engine.name} {result.engine.version}, up {result.uptime:.0f} s, "
        f"{result.clients} clients, {result.queue} waiting, {result.totals.runs} runs"
    )
    rows = [
        (
            pool.profile,
            pool.idle,
            pool.busy,
            pool.starting,
            pool.waiting,
            pool.handed_out,
            pool.recycled,
            pool.destroyed,
            pool.failures,
            pool.problem or "",
        )
        for pool in result.pools
    ]
    header = (
        "POOL",
        "IDLE",
        "BUSY",
        "STARTING",
        "WAITING",
        "RUNS",
        "RECYCLED",
        "DESTROYED",
        "FAILURES",
        "PROBLEM",
    )
    print_table(header, rows)
    return 0


def languages(arguments: argparse.Namespace) -> int:
    with Client(arguments.socket) as client:
        result = client.languages()
    if arguments.json:
        return print_json(result)
    rows = [
        (each.name, ", ".join(each.aliases), each.version, f"{each.ready}/{each.warm}", each.image)
        for each in result
    ]
    print_table(("LANGUAGE", "ALIASES", "VERSION", "READY", "IMAGE"), rows)
    return 0


def health(arguments: argparse.Namespace) -> int:
    """Exits with 0 when all is well, 1 otherwise."""
    with Client(arguments.socket) as client:
        result = client.health()
    if arguments.json:
        print_json(result)
    else:
        print_line(result.status)
        rows = [
            (name, "ok" if check.ok else "FAILED", check.detail)
            for name, check in result.checks.items()
        ]
        print_table(("CHECK", "STATE", "DETAIL"), rows)
    return 0 if result.status == "ok" else 1


def print_json(result: Any) -> int:
    print_line(msgspec.json.encode(result).decode())
    return 0


def print_line(text: str) -> None:
    sys.stdout.write(text + "\n")


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    for line in table(header, rows):
        print_line(line)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *texts, strict=True)]
    for row in (header, *texts):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


COMMANDS = (
    Command("status", _add_arguments, status),
    Command("languages", _add_arguments, languages),
    Command("health", _add_arguments, health),
)
