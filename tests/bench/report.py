"""What was measured, for people and for programs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.measure import Fact, Figure, Measured


def open_console() -> Console:
    """As wide as the terminal, or as the table where there is none."""
    return Console() if sys.stdout.isatty() else Console(width=132)


def show_machine(console: Console, machine: dict[str, str | int], steps: dict[str, float]) -> None:
    console.print(", ".join(f"{name} {value}" for name, value in machine.items()), style="dim")
    for name, value in steps.items():
        console.print(f"  {name:<32}{value:9.3f} ms", highlight=False)
    if float(machine["load"]) > int(machine["cores"]) / 2:
        console.print(
            "[yellow]This machine is busy with something else: what is measured against two "
            "processes looks better than it is, and the rest worse.[/]"
        )


def progress(console: Console, names: Sequence[str]) -> Iterator[str]:
    """Each name, told before what it stands for is measured, and how long all took."""
    began = time.perf_counter()
    for number, name in enumerate(names, 1):
        console.print(f"[dim]{number}/{len(names)}[/] {name}", highlight=False)
        yield name
    console.print(f"[dim]in {time.perf_counter() - began:.0f} s[/]\n", highlight=False)


def line(each: Measured) -> str:
    """One measurement, as soon as it is there."""
    if isinstance(each, Fact):
        return f"  {each.name}: {amount(each.value)} {each.unit}"
    return f"  {each.name}: {each.ratio:.3g} of {each.against}{_verdict(each)}"


def amount(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _verdict(figure: Figure) -> str:
    if figure.goal is None:
        return ""
    return f"  [{'green]✓' if figure.goal.met(figure.ratio) else 'red]✗'}[/]"


def show(console: Console, measured: list[Measured]) -> None:
    table = Table("FIGURE", box=None)
    for title in ("OURS", "THEIRS", "RATIO", "GOAL"):
        table.add_column(title, justify="right")
    table.add_column("")
    table.add_column("AGAINST")
    for each in measured:
        if isinstance(each, Fact):
            table.add_row(each.name, f"{amount(each.value)} {each.unit}")
        else:
            table.add_row(
                each.name,
                f"{amount(each.ours)} {each.unit}",
                f"{amount(each.theirs)} {each.unit}",
                f"{each.ratio:.3g}",
                str(each.goal or ""),
                _verdict(each).strip(),
                each.against,
            )
    console.print(table)


def write_json(
    path: Path, machine: dict[str, str | int], steps: dict[str, float], found: dict[str, Any]
) -> None:
    report = {"machine": machine, "milliseconds": steps} | found
    path.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")


def plain(each: Measured) -> dict[str, Any]:
    if isinstance(each, Fact):
        return each._asdict()
    goal = each.goal
    return each._asdict() | {
        "ratio": each.ratio,
        "goal": str(goal) if goal else None,
        "met": goal.met(each.ratio) if goal else None,
    }
