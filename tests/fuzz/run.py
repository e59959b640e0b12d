"""Fuzzes everything for some seconds each: `python -m tests.fuzz.run --seconds 60`.

A finding is printed, kept among the seeds where it can be, and makes the exit code 1.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from tests.fuzz.targets import TARGETS, Finding, Outcome, Target, missing

_out = Console(highlight=False, width=None if sys.stdout.isatty() else 160)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target")
    parser.add_argument("--only", action="append", choices=[target.name for target in TARGETS])
    arguments = parser.parse_args(argv)
    if (what := missing()) is not None:
        parser.error(f"there is no fuzzer for C: install {what}")
    chosen = [each for each in TARGETS if not arguments.only or each.name in arguments.only]
    table = Table("TARGET", "WHAT", "BY", "SEEDS", "RUNS", "A SECOND", "EDGES", "RESULT", box=None)
    findings = 0
    for target in chosen:
        result, outcome = "nothing found", None
        try:
            outcome = target.fuzz(arguments.seconds, _Line(target))
        except Finding as finding:
            findings += 1
            result = "FOUND" + (f": {finding.seed.name}" if finding.seed else "")
            _out.print(f"\n{target.name}: {finding}", markup=False)
        table.add_row(target.name, target.subject, *_numbers(outcome), result)
    _clear()
    _out.print(table)
    return 1 if findings else 0


def _numbers(outcome: Outcome | None) -> tuple[str, ...]:
    if outcome is None:
        return ("-",) * 5
    edges = "-" if outcome.edges is None else str(outcome.edges)
    rate = outcome.runs / max(outcome.seconds, 0.001)
    return outcome.by, str(outcome.seeds), f"{outcome.runs:,}", f"{rate:,.0f}", edges


class _Line:
    """How far a target is: one line, rewritten on a terminal and otherwise now and then."""

    def __init__(self, target: Target) -> None:
        self._name = target.name
        self._next = 0.0

    def __call__(self, text: str) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        terminal = sys.stderr.isatty()
        self._next = now + (0.2 if terminal else 10.0)
        start, end = ("\r\x1b[K", "") if terminal else ("", "\n")
        sys.stderr.write(f"{start}{self._name}: {text}{end}")
        sys.stderr.flush()


def _clear() -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")


if __name__ == "__main__":
    sys.exit(main())
