"""`sandbox debug`: what went wrong in a run, where, what it means, and what to try."""

from __future__ import annotations

import argparse
import sys
from typing import TextIO

from sandboxd_client.cli.command import Command
from sandboxd_client.cli.look import print_json
from sandboxd_client.protocol import DebugReport
from sandboxd_client.sync import Client


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="as `sandbox history` lists it")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def debug(arguments: argparse.Namespace) -> int:
    with Client(arguments.socket) as client:
        report = client.debug_report(arguments.run)
    if arguments.json:
        return print_json(report)
    print_report(report, sys.stdout)
    return 0


def print_report(report: DebugReport, to: TextIO) -> None:
    """The report for people."""
    place = ""
    if report.location is not None:
        place = f" in {report.location.file}, line {report.location.line}"
    what = ": ".join(part for part in (report.error_type, report.message) if part)
    to.write(f"{report.category.replace('_', ' ')}{place}{f' - {what}' if what else ''}\n")
    if report.snippet:
        to.write("\n" + "".join(f"  {line}\n" for line in report.snippet.splitlines()))
    if report.explanation:
        to.write(f"\n{report.explanation}\n")
    to.writelines(f"  - {suggestion}\n" for suggestion in report.suggestions)


COMMANDS = (Command("debug", _add_arguments, debug),)
