"""`sandbox top`: pools, queue, runs and rates, drawn anew every second.

With rich (the extra `top`) in colour, without it as plain text. Where stdout is no
terminal it is printed once.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from msgspec import Struct

from sandboxd_client.cli import history
from sandboxd_client.cli.command import Command
from sandboxd_client.cli.look import print_json, print_line, table
from sandboxd_client.protocol import PoolStatus, RunSummary, StatusResult
from sandboxd_client.sync import Client

if TYPE_CHECKING:
    from rich.console import Group

_EVERY = 1.0
_RUNS = 10
_POOLS = (
    *("POOL", "IDLE", "BUSY", "STARTING", "WAITING", "RUNS/S"),
    *("RUNS", "RECYCLED", "DESTROYED", "FAILURES", "PROBLEM"),
)
_MIB = 1024 * 1024


class View(Struct, frozen=True):
    """What is drawn, and what it is compared with: the status of a moment before."""

    status: StatusResult
    before: StatusResult
    runs: list[RunSummary]

    @property
    def seconds(self) -> float:
        return self.status.uptime - self.before.uptime

    def rate(self, now: int, before: int) -> float:
        """A second; 0 where there is nothing to compare with, or the daemon is another."""
        return max(0, now - before) / self.seconds if self.seconds > 0 else 0.0


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print a status a line, on and on")
    parser.add_argument("--every", type=_seconds, default=_EVERY, metavar="SECONDS", help="(1)")


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) < float("inf"):
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds over 0")


def top(arguments: argparse.Namespace) -> int:
    """Ends with 0 when it is interrupted."""
    with Client(arguments.socket) as client, contextlib.suppress(KeyboardInterrupt):
        if arguments.json:
            for status in _statuses(client, arguments.every):
                print_json(status)
                sys.stdout.flush()
        elif not sys.stdout.isatty():
            for line in lines(_view(client, client.status(), None)):
                print_line(line)
        else:
            _draw(client, arguments.every)
    return 0


def _statuses(client: Client, every: float) -> Iterator[StatusResult]:
    while True:
        yield client.status()
        time.sleep(every)


def _view(client: Client, status: StatusResult, before: StatusResult | None) -> View:
    return View(status, before or status, client.history(limit=_RUNS))


def _draw(client: Client, every: float) -> None:
    before = None
    with _screen() as draw:
        for status in _statuses(client, every):
            draw(_view(client, status, before))
            before = status


# --- what it says ---


def summary(view: View) -> list[str]:
    status, totals = view.status, view.status.totals
    before = view.before.totals
    ends = ", ".join(f"{count} {name}" for name, count in sorted(totals.by_status.items()))
    running = sum(pool.busy for pool in status.pools)
    rate = view.rate(totals.runs, before.runs)
    printed = view.rate(totals.output_bytes, before.output_bytes) / _MIB
    engine = f"{status.engine.name} {status.engine.version}"
    return [
        f"{engine}, up {status.uptime:.0f} s, {status.clients} clients",
        f"{running} running, {status.queue} waiting, {rate:.1f} runs/s, {printed:.1f} MiB/s",
        f"{totals.runs} runs" + (f": {ends}" if ends else ""),
    ]


def pools(view: View) -> list[tuple[object, ...]]:
    before: dict[tuple[int, str], PoolStatus] = {
        (at, pool.profile): pool for at, pool in enumerate(view.before.pools)
    }
    return [
        (
            pool.profile,
            pool.idle,
            pool.busy,
            pool.starting,
            pool.waiting,
            f"{view.rate(pool.handed_out, before.get((at, pool.profile), pool).handed_out):.1f}",
            pool.handed_out,
            pool.recycled,
            pool.destroyed,
            pool.failures,
            pool.problem or "",
        )
        for at, pool in enumerate(view.status.pools)
    ]


def lines(view: View) -> Iterator[str]:
    """All of it as plain text."""
    yield from summary(view)
    yield ""
    yield from table(_POOLS, pools(view))
    yield ""
    yield from table(history.HEADER, history.rows(view.runs))


# --- how it is drawn ---


@contextlib.contextmanager
def _screen() -> Iterator[Callable[[View], None]]:
    """A screen of its own, which gives back what was there before."""
    try:
        from rich.live import Live
    except ImportError:
        sys.stdout.write("\x1b[?1049h\x1b[?25l")
        try:
            yield _draw_plain
        finally:
            sys.stdout.write("\x1b[?25h\x1b[?1049l")
            sys.stdout.flush()
    else:
        with Live(screen=True, auto_refresh=False) as live:
            yield lambda view: live.update(_rich(view), refresh=True)


def _draw_plain(view: View) -> None:
    width, height = shutil.get_terminal_size()
    cut = [line[:width] for line in lines(view)][:height]
    sys.stdout.write("\x1b[H\x1b[2J" + "\r\n".join(cut))
    sys.stdout.flush()


def _rich(view: View) -> Group:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    drawn = []
    for header, rows in ((_POOLS, pools(view)), (history.HEADER, history.rows(view.runs))):
        drawn.append(Table(*header, box=None, header_style="bold", pad_edge=False))
        for row in rows:
            style = "red" if header is _POOLS and row[-1] else None
            drawn[-1].add_row(*(Text(str(cell)) for cell in row), style=style)
    head = Text("\n".join(summary(view)) + "\n", style="bold")
    return Group(head, drawn[0], Text(""), drawn[1])


COMMANDS = (Command("top", _add_arguments, top),)
