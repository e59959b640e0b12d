"""`make bench-against COMMIT=…`: this tree beside another commit of it, by turns.

Two daemons stand side by side and one client asks the one and then the other, so that
whatever the machine does meanwhile, it does to both. The cost of this tree over that of the
commit is one ratio for each pair of turns; the median of them is what counts.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

from rich.console import Console
from rich.table import Table

from tests.bench import machine
from tests.bench.bench import Bench
from tests.bench.measure import allow_many_files
from tests.bench.report import amount, open_console, progress, show_machine, write_json
from tests.bench.throughput import without_template
from tests.bench.tree import ROOT, compile_python, interpreter
from tests.bench.turns import GROUPS, Reading, Side, start

Of = TypeVar("Of")
STARTS = "start"
WORSE = 1.05
"""A cost over this of the other's is shown as worse."""


class Compared(NamedTuple):
    """A figure of both, and the cost of ours over theirs."""

    name: str
    unit: str
    theirs: float
    ours: float
    cost: float
    quarter: float
    """A quarter of the ratios is below this, and a quarter above the next."""
    three_quarters: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.against", description=__doc__)
    parser.add_argument("commit", help="what this tree is measured against")
    choices = [*GROUPS, STARTS]
    parser.add_argument(
        "--only", nargs="+", choices=choices, metavar="NAME", help=", ".join(choices)
    )
    parser.add_argument("--times", type=int, default=1, metavar="N", help="N times the pairs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    arguments = parser.parse_args()
    pythons = interpreter(arguments.commit), sys.executable
    compile_python(sys.executable, ROOT)
    allow_many_files()
    console = open_console()
    about, steps = machine.describe(), machine.constants()
    show_machine(console, about, steps)
    compared: list[Compared] = []
    for name in progress(console, arguments.only or choices):
        for each in _of(name, pythons, arguments.times):
            compared.append(each)
            console.print(f"  {each.name}: {each.cost:.3f}", highlight=False)
    _show(console, compared)
    if arguments.json:
        figures = [each._asdict() for each in compared]
        found = {"commit": arguments.commit, "compared": figures}
        write_json(arguments.json, about, steps, found)


def _of(name: str, pythons: tuple[str, str], times: int) -> Iterator[Compared]:
    if name == STARTS:
        yield from _by_turns(start, *pythons, 5 * times)
        return
    group = GROUPS[name]
    with contextlib.ExitStack() as stack:
        sides = []
        for python in pythons:
            bench = Bench(overload=0, python=python)
            languages = None
            if group.started:
                folder = stack.enter_context(tempfile.TemporaryDirectory())
                languages = without_template(bench, Path(folder))
            daemon = stack.enter_context(bench.daemon(group.warm, group.more, languages))
            sides.append(Side(daemon, stack.enter_context(daemon.client()), python))
        theirs, ours = sides
        for turn, rounds in group.turns:
            yield from _by_turns(turn, theirs, ours, rounds * times)


def _by_turns(
    turn: Callable[[Of], Iterator[Reading]], theirs: Of, ours: Of, rounds: int
) -> Iterator[Compared]:
    """So many pairs of turns. Who is first changes, since the second finds warm caches."""
    pairs: list[tuple[list[Reading], list[Reading]]] = []
    for number in range(rounds):
        if number % 2:
            mine = list(turn(ours))
            pairs.append((list(turn(theirs)), mine))
        else:
            other = list(turn(theirs))
            pairs.append((other, list(turn(ours))))
    for which in range(len(pairs[0][0])):
        yield _compare([(other[which], mine[which]) for other, mine in pairs])


def _compare(pairs: list[tuple[Reading, Reading]]) -> Compared:
    name, _, unit, more_is_better = pairs[0][0]
    costs = [
        theirs.value / ours.value if more_is_better else ours.value / theirs.value
        for theirs, ours in pairs
    ]
    # Twice, since one pair alone has no quartiles.
    quarter, _, three_quarters = statistics.quantiles(costs * 2, method="inclusive")
    return Compared(
        name,
        unit,
        statistics.median(theirs.value for theirs, _ in pairs),
        statistics.median(ours.value for _, ours in pairs),
        statistics.median(costs),
        quarter,
        three_quarters,
    )


def _show(console: Console, compared: list[Compared]) -> None:
    table = Table("FIGURE", box=None)
    for title in ("COMMIT", "THIS TREE", "COST", "QUARTILES"):
        table.add_column(title, justify="right")
    table.add_column("")
    for each in compared:
        table.add_row(
            each.name,
            f"{amount(each.theirs)} {each.unit}",
            f"{amount(each.ours)} {each.unit}",
            f"{each.cost:.3f}",
            f"{each.quarter:.2f} to {each.three_quarters:.2f}",
            "[red]worse[/]" if each.cost > WORSE else "",
        )
    console.print(table)


if __name__ == "__main__":
    main()
