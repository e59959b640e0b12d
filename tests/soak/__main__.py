"""`make soak MINUTES=20`: mixed programs by good and bad clients, while containers are
killed, the engine ends and comes back and the configuration is read again. At the end
nothing may be left over, and every request must have been answered.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.live import Live

from tests.bench.report import open_console
from tests.soak import report
from tests.soak.ground import ground, may_have_engine
from tests.soak.programs import LANGUAGES
from tests.soak.soak import Outcome, Plan, Soak

_RESTART_EVERY = 90.0
"""Seconds between two ends of the engine."""
_LINE_EVERY = 15.0
"""Seconds."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20, metavar="N")
    parser.add_argument("--seed", type=int, metavar="N", help="of a soak that is to be repeated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # and nothing is left then either
    seconds = arguments.minutes * 60
    plan = Plan(
        seed=random.randrange(1_000_000) if arguments.seed is None else arguments.seed,
        seconds=seconds,
        languages=LANGUAGES,
        restarts=max(1, round(seconds / _RESTART_EVERY)),
    )
    console = open_console()
    console.print(f"seed {plan.seed}, {arguments.minutes:g} minutes", highlight=False)
    if not may_have_engine():
        console.print(
            "[yellow]The engine is not restarted: its own one needs root, and dockerd.[/]"
        )
    outcome = soak(plan, console)
    report.show(console, outcome)
    if arguments.json:
        arguments.json.write_text(json.dumps(report.plain(outcome), indent=2) + "\n")
    if report.faults(outcome):
        raise SystemExit(1)


def soak(plan: Plan, console: Console) -> Outcome:
    """Runs it, with a line that tells how it goes."""
    with ThreadPoolExecutor(1) as hand, ground(plan.languages) as place:
        running = Soak(plan, place, hand)
        if not console.is_terminal:
            return asyncio.run(running.run(_Lines(console)))
        with Live(console=console, transient=True) as live:
            return asyncio.run(running.run(lambda now: live.update(line(now))))


class _Lines:
    """A line now and then, where there is no terminal whose line can be written anew."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._due = 0.0

    def __call__(self, now: Soak) -> None:
        if time.monotonic() > self._due:
            self._due = time.monotonic() + _LINE_EVERY
            self._console.print(line(now), highlight=False)


def line(now: Soak) -> str:
    minutes, seconds = divmod(int(time.monotonic() - now.began), 60)
    ledger = now.ledger
    parts = [
        f"{minutes}:{seconds:02} of {now.plan.seconds / 60:g} min",
        f"{ledger.runs.total():,} runs",
        f"{ledger.expected.total():,} failures expected, {ledger.unexpected.total():,} not",
        f"{ledger.unanswered.total():,} without an answer",
        f"{now.memory:.0f} MiB",
        f"{now.harm.deeds.total():,} harms",
    ]
    return " · ".join(parts)


if __name__ == "__main__":
    main()
