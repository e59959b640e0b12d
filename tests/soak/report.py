"""What came of a soak: a table for people, the same for programs, and the verdict."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.report import amount
from tests.soak.ground import HISTORY_MOST, STARTS
from tests.soak.soak import KILLED, RESTARTED, Outcome

_GROWTH = 1.5
_GROWTH_LEAST = 32.0
"""MiB: what grows by less was not warm yet."""
_JOURNAL = 8.0
"""MiB that the history's log may take beside its file."""
_STATUSES = ("ok", "error", "timeout", "oom", "output_limit", "killed")


def faults(outcome: Outcome) -> list[str]:
    """Why it has failed, if it has."""
    ledger, warm, end = outcome.ledger, outcome.warm, outcome.end
    found = [f"no answer: {count} of {what}" for what, count in ledger.unanswered.items()]
    found += [f"unexpected: {count} of {cause}" for cause, count in ledger.unexpected.items()]
    found += [f"left over: {what}" for what in outcome.left]
    found += [f"the daemon complains: {line}" for line in outcome.complaints[:20]]
    if end.memory > warm.memory * _GROWTH and end.memory > warm.memory + _GROWTH_LEAST:
        found.append(f"memory grew from {warm.memory:.0f} to {end.memory:.0f} MiB")
    ends = outcome.harm.deeds[KILLED] + outcome.harm.deeds[RESTARTED]
    if end.forgotten > 2 * STARTS * ends:
        found.append(f"{end.forgotten} shims and half starts without a container")
    if end.history > HISTORY_MOST + _JOURNAL:
        found.append(f"the history has {end.history:.0f} MiB, and may have {HISTORY_MOST}")
    return found


def show(console: Console, outcome: Outcome) -> None:
    console.print(_runs(outcome))
    console.print(_failures(outcome))
    console.print(_latency(outcome))
    console.print(_rest(outcome))
    console.print(f"done: {_counts(outcome.ledger.done)}", highlight=False)
    console.print(f"harm: {_counts(outcome.harm.deeds)}", highlight=False)
    for line in outcome.ledger.told:
        console.print(f"  {line}", style="red", highlight=False, markup=False)
    found = faults(outcome)
    for fault in found:
        console.print(f"✗ {fault}", style="red", highlight=False, markup=False)
    if not found:
        console.print("✓ every request was answered, and nothing is left over", style="green")


def _runs(outcome: Outcome) -> Table:
    table = Table("RUNS", *_STATUSES, "all", box=None)
    runs = outcome.ledger.runs
    for language in sorted({language for language, _ in runs}):
        counts = [runs[language, status] for status in _STATUSES]
        table.add_row(language, *(f"{count:,}" for count in [*counts, sum(counts)]))
    sums = [sum(runs[each] for each in runs if each[1] == status) for status in _STATUSES]
    table.add_row("all", *(f"{count:,}" for count in [*sums, sum(sums)]), style="bold")
    return _to_the_right(table)


def _failures(outcome: Outcome) -> Table:
    ledger = outcome.ledger
    table = Table("FAILURES BY CAUSE", "expected", "unexpected", box=None)
    for cause in sorted({*ledger.expected, *ledger.unexpected}):
        table.add_row(cause, f"{ledger.expected[cause]:,}", f"{ledger.unexpected[cause]:,}")
    table.add_row("no answer", "", f"{ledger.unanswered.total():,}")
    table.add_row(f"of {ledger.asked:,} requests", style="bold")
    return _to_the_right(table)


def _latency(outcome: Outcome) -> Table:
    table = Table("A PLAIN PROGRAM", "first fifth", "last fifth", "drift", box=None)
    for name, figures in latency(outcome).items():
        first, last, drift = (figures[key] for key in ("first", "last", "drift"))
        table.add_row(name, f"{amount(first)} ms", f"{amount(last)} ms", f"{drift:.2f}")
    return _to_the_right(table)


def latency(outcome: Outcome) -> dict[str, dict[str, float]]:
    """Milliseconds from request to result in the first and the last fifth, and their ratio."""
    found = {}
    if min(len(outcome.first), len(outcome.last)) > 1:
        for percent in (50, 99):
            first, last = (_percentile(each, percent) for each in (outcome.first, outcome.last))
            found[f"p{percent}"] = {"first": first, "last": last, "drift": last / first}
    return found


def _percentile(seconds: Sequence[float], percent: int) -> float:
    return statistics.quantiles(seconds, n=100, method="inclusive")[percent - 1] * 1000


def _rest(outcome: Outcome) -> Table:
    table = Table("AT REST", "after warm-up", "at the end", "more", box=None)
    warm, end = outcome.warm, outcome.end
    for name, before, after in zip(warm._fields, warm, end, strict=True):
        table.add_row(name, amount(before), amount(after), amount(after - before))
    table.add_row("memory at most", "", amount(outcome.peak))
    return _to_the_right(table)


def _to_the_right(table: Table) -> Table:
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def _counts(counted: Counter[str]) -> str:
    return ", ".join(f"{what} {count:,}" for what, count in sorted(counted.items()))


def plain(outcome: Outcome) -> dict[str, Any]:
    """For JSON."""
    ledger = outcome.ledger
    return {
        "seed": outcome.plan.seed,
        "seconds": outcome.plan.seconds,
        "requests": ledger.asked,
        "runs": _nested(ledger.runs.items()),
        "done": ledger.done,
        "harm": outcome.harm.deeds,
        "failures": {"expected": ledger.expected, "unexpected": ledger.unexpected},
        "unanswered": ledger.unanswered,
        "told": ledger.told,
        "latency": latency(outcome),
        "rest": {
            "warm": outcome.warm._asdict(),
            "end": outcome.end._asdict(),
            "peak": outcome.peak,
        },
        "faults": faults(outcome),
    }


def _nested(counts: Iterable[tuple[tuple[str, str], int]]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for (language, status), count in counts:
        found.setdefault(language, {})[status] = count
    return found
