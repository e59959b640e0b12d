"""`sandboxd doctor`: the report, for people or for programs."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sandboxd import config
from sandboxd.doctor.findings import Row, State
from sandboxd.doctor.gather import gather
from sandboxd.doctor.report import Report, report
from sandboxd.errors import SandboxdError

_WIDTH = 100
_STYLES = {State.OK: "green", State.MISSING: "yellow", State.BROKEN: "bold red"}
_REFUSED = 2
"""With such a configuration the daemon would not serve either."""


def run(path: Path | None, *, as_json: bool, out: Console, err: Console) -> int:
    """Prints the report; returns the exit code."""
    try:
        found = report(asyncio.run(gather(config.load(path))))
    except SandboxdError as error:
        err.print(f"sandboxd: {error}", style="red", markup=False, highlight=False)
        return _REFUSED
    if as_json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    else:
        show(found, out)
    return found.exit_code


def show(found: Report, out: Console) -> None:
    """Two tables: what is there, and how to get what is not."""
    width = min(out.width, _WIDTH) if out.is_terminal else _WIDTH
    out.width = width  # to a pipe it would be 80
    out.print(_layers(found.rows))
    lacking = [row for row in found.rows if row.state is not State.OK]
    if lacking:
        out.print()
        out.print(_remedies(lacking))
    out.print()
    out.print(Text(found.verdict))


def _layers(rows: Sequence[Row]) -> Table:
    table = _table("LAYER", "STATE", "FOUND", "STOPS")
    table.columns[2].ratio, table.columns[3].ratio = 5, 3
    for row in rows:
        state = Text(row.state.value, style=_STYLES[row.state])
        table.add_row(Text(row.name), state, Text(row.detail), Text(row.stops))
    return table


def _remedies(rows: Iterable[Row]) -> Table:
    table = _table("LAYER", "HOW TO GET IT")
    table.columns[1].ratio = 1
    for row in rows:
        table.add_row(Text(row.name), Text(row.remedy))
    return table


def _table(*titles: str) -> Table:
    table = Table(*titles, box=None, pad_edge=False, expand=True)
    for column in table.columns:
        column.overflow = "fold"
    table.columns[0].no_wrap = True
    return table
