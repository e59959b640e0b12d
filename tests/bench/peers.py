"""`make bench-peers`: the same programs through what one would use instead.

Each way is measured in turn by the same lines (`peer_ways.py`), on the same image, and
from an environment of its own into which the others are installed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import venv
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from tests.bench import machine
from tests.bench.bench import Bench
from tests.bench.report import amount, open_console, show_machine, write_json
from tests.bench.tree import CACHE, ROOT

WAYS = Path(__file__).with_name("peer_ways.py")
PACKAGES = ["docker", "llm-sandbox[docker]"]
IMAGE = "sandboxd-bench-peers"
LIKE_THE_OFFICIAL = """FROM {base}
RUN mkdir -p /sandbox/.sandbox-venv/bin && ln -s /usr/bin/python3 /usr/local/bin/python && \\
    ln -s /usr/bin/python3 /sandbox/.sandbox-venv/bin/python
CMD ["sh", "-c", "trap exit TERM; sleep infinity & wait"]
"""
"""What llm-sandbox looks for in an image, and an end to its containers without a wait."""
NAMES = {
    "subprocess_alone": "subprocess, no isolation",
    "sandboxd": "sandboxd",
    "docker_exec": "Docker SDK, exec",
    "docker_run": "Docker SDK, run",
    "llm_sandbox": "llm-sandbox",
    "llm_sandbox_pooled": "llm-sandbox, pooled",
}


class Column(NamedTuple):
    """A thing that was measured of every way."""

    key: str
    title: str
    unit: str
    more_is_better: bool = False


COLUMNS = [
    Column("p50", "HELLO, P50", "ms"),
    Column("p95", "P95", "ms"),
    Column("rate", "4 AT ONCE", "/s", more_is_better=True),
    Column("output", "8 MiB OUT", "MB/s", more_is_better=True),
]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.peers", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    arguments = parser.parse_args()
    console = open_console()
    about, steps = machine.describe(), machine.constants()
    show_machine(console, about, steps)
    python, bench = _environment(console), Bench(overload=0)
    _build_image(bench.image)
    found: dict[str, dict[str, float]] = {}
    try:
        with bench.daemon({"python": 4}) as daemon:
            for way, name in NAMES.items():
                console.print(f"  {name}", style="dim")
                command = [python, str(WAYS), way, IMAGE, str(daemon.socket)]
                done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
                found[way] = json.loads(done.stdout)
    finally:
        subprocess.run(["docker", "rmi", IMAGE], check=True, stdout=subprocess.DEVNULL)
    _show(console, found)
    if arguments.json:
        told = {"versions": _versions(python), "ways": found}
        write_json(arguments.json, about, steps, told)


def _environment(console: Console) -> str:
    """The interpreter of an environment with the others in it, kept for the next time."""
    python = CACHE / "peers" / "bin" / "python"
    if not python.exists():
        console.print(f"installing {', '.join(PACKAGES)} into {CACHE / 'peers'}")
        venv.create(CACHE / "peers", with_pip=True, clear=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*install, *PACKAGES, str(ROOT / "client")], check=True, stderr=subprocess.DEVNULL
    )
    return str(python)


def _versions(python: str) -> list[str]:
    command = [python, "-m", "pip", "freeze"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\n")
    return [line for line in listed if line.startswith(("docker", "llm-sandbox"))]


def _build_image(base: str) -> None:
    """The image that sandboxd runs, with the little that the others need of one."""
    build = ["docker", "build", "--quiet", "--network=none", "--tag", IMAGE, "-"]
    recipe = LIKE_THE_OFFICIAL.format(base=base).encode()
    subprocess.run(build, input=recipe, check=True, stdout=subprocess.DEVNULL)


def _show(console: Console, found: dict[str, dict[str, float]]) -> None:
    table = Table("", box=None)
    for column in COLUMNS:
        table.add_column(column.title, justify="right")
    table.add_column("NEXT RUN SEES ITS FILES")
    for way, values in found.items():
        cells = [f"{amount(values[column.key])} {column.unit}" for column in COLUMNS]
        table.add_row(NAMES[way], *cells, "yes" if values["seen"] else "no")
    console.print(table)
    ours = found["sandboxd"]
    for column in COLUMNS:
        better = [
            f"{NAMES[way]} ({amount(values[column.key])} {column.unit})"
            for way, values in found.items()
            if way != "sandboxd"
            and (values[column.key] > ours[column.key]) == column.more_is_better
        ]
        told = f"better than sandboxd: {', '.join(better)}" if better else "nothing is better"
        console.print(f"{column.title}: {told}", highlight=False)


if __name__ == "__main__":
    main()
