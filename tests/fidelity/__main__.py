"""`make fidelity`: how many programs do in the sandbox what they do outside of it."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from sandboxd_client import AsyncClient
from tests.bench.report import open_console
from tests.fidelity.corpus import LANGUAGES, Case, cases, read
from tests.fidelity.suite import Verdict, compare, daemon


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fidelity", description=__doc__)
    parser.add_argument("--language", nargs="+", choices=sorted(LANGUAGES), metavar="NAME")
    parser.add_argument("--only", metavar="TEXT", help="programs with this in their names")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the table here")
    arguments = parser.parse_args()
    console, began = open_console(), time.perf_counter()
    found = asyncio.run(_verdicts(arguments.language, arguments.only or ""))
    console.print(f"{len(found)} comparisons in {time.perf_counter() - began:.0f} s", style="dim")
    _show(console, found)
    if arguments.json:
        arguments.json.write_text(json.dumps(_plain(found), indent=2, ensure_ascii=False) + "\n")
    return any(verdict.problems for verdict in found.values())


async def _verdicts(languages: list[str] | None, only: str) -> dict[Case, Verdict]:
    corpora = read(languages)
    asked = [case for case in cases(corpora) if only in case.program]
    found: dict[Case, Verdict] = {}
    with (
        tempfile.TemporaryDirectory(prefix="sandboxd-fidelity-") as folder,
        daemon(Path(folder), corpora) as running,
    ):
        async with AsyncClient(running.socket) as client:
            await compare(corpora, asked, client, found.__setitem__)
    return {case: found[case] for case in asked}


def _show(console: Console, found: dict[Case, Verdict]) -> None:
    for case, verdict in found.items():
        if verdict.problems:
            console.print(f"{case}", style="red", markup=False, highlight=False)
            for problem in verdict.problems:
                console.print(f"    {problem}", markup=False, highlight=False, soft_wrap=True)
    table = Table("LANGUAGE", box=None)
    for title in ("PROGRAMS", "IN SESSIONS", "EQUAL", "MEANT", "DIFFERENT"):
        table.add_column(title, justify="right")
    for language, counts in _counts(found).items():
        table.add_row(language, *map(str, counts.values()))
    console.print(table)
    reasons: dict[str, list[Case]] = {}
    for case, verdict in found.items():
        if verdict.meant:
            reasons.setdefault(verdict.meant, []).append(case)
    for reason, those in reasons.items():
        console.print(f"meant: {reason}", markup=False, highlight=False, soft_wrap=True)
        for case in those:
            console.print(f"    {case}", style="dim", markup=False, highlight=False)


def _counts(found: dict[Case, Verdict]) -> dict[str, dict[str, int]]:
    return {
        language: {
            "programs": len({case.program for case in those}),
            "in_sessions": sum(case.session for case in those),
            "equal": sum(not found[case].problems and not found[case].meant for case in those),
            "meant": sum(not found[case].problems and bool(found[case].meant) for case in those),
            "different": sum(bool(found[case].problems) for case in those),
        }
        for language in dict.fromkeys(case.language for case in found)
        for those in [[case for case in found if case.language == language]]
    }


def _plain(found: dict[Case, Verdict]) -> dict[str, object]:
    return {
        "languages": _counts(found),
        "meant": [
            {**case._asdict(), "reason": each.meant} for case, each in found.items() if each.meant
        ],
        "different": [
            {**case._asdict(), "problems": each.problems}
            for case, each in found.items()
            if each.problems
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
