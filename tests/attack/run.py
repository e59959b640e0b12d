"""Runs every probe and prints what became of it: `python -m tests.attack.run`.

The exit code is 0 unless one of them failed. One that is known not to hold, with the reason,
is told as `open`, and one that would seem to hold on this host without a sandbox as
`unproven`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.attack.arena import Arena
from tests.attack.outside import Outside
from tests.attack.probe import Probe
from tests.attack.probes import ALL
from tests.attack.report import FAILED, HELD, OPEN, UNPROVEN, Row, run_probe

_COLOURS = {HELD: "green", UNPROVEN: "yellow", OPEN: "magenta", FAILED: "bold red"}
_WIDTH = 180


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    probes = [probe for probe in ALL if not options.only or options.only in probe.name]
    if not probes:
        print(f"no probe is named {options.only!r}; there are {len(ALL)}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="sandboxd-attack-") as folder:
        rows = _run(probes, Path(folder))
    if options.json:
        told = msgspec.json.encode([_plain(row) for row in rows])
        options.json.write_bytes(msgspec.json.format(told) + b"\n")
    _print_table(rows)
    return 1 if any(row.verdict == FAILED for row in rows) else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.attack.run", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what came out there too")
    parser.add_argument("--only", metavar="NAME", help="the probes with this in their name")
    return parser.parse_args(arguments)


def _run(probes: Sequence[Probe], folder: Path) -> list[Row]:
    rows = []
    with Arena(folder) as arena, Outside(arena.images()) as outside:
        for done, probe in enumerate(probes, start=1):
            if sys.stderr.isatty():
                print(f"\r\x1b[K{done}/{len(probes)} {probe.name}", end="", file=sys.stderr)
            rows.append(run_probe(probe, arena, outside))
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    return rows


def _plain(row: Row) -> dict[str, object]:
    return {
        "probe": row.probe.name,
        "language": row.probe.language,
        "expected": str(row.probe.expect),
        "got": row.got,
        "control": row.control,
        "verdict": row.verdict,
        "faults": row.faults,
        "gap": row.probe.gap,
    }


def _print_table(rows: Sequence[Row]) -> None:
    console = Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False)
    table = Table(box=None, pad_edge=False)
    for column in ("probe", "language", "expected", "got", "control", "verdict"):
        table.add_column(column, overflow="fold")
    for row in rows:
        told = (row.probe.name, row.probe.language, str(row.probe.expect), row.got, row.control)
        table.add_row(*map(escape, told), row.verdict, style=_COLOURS[row.verdict])
    console.print(table)
    for row in rows:
        if row.verdict in (FAILED, OPEN):
            why = row.probe.gap or "; ".join(row.faults)
            console.print(f"{row.verdict}: {escape(row.probe.name)}: {escape(why)}")
    counts = Counter(row.verdict for row in rows)
    console.print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))


if __name__ == "__main__":
    sys.exit(main())
