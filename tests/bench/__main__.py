"""`make bench`: how fast it is, as ratios against what the same machine does without it.

Everything is measured in one run, side by side, and nothing is asserted: absolute
times move with the machine, ratios much less.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.bench import hand_out, machine, modes, output, report, resources, throughput, waiting
from tests.bench.bench import Bench, Subject
from tests.bench.chart import draw
from tests.bench.measure import Measured, allow_many_files

SUBJECTS: dict[str, Subject] = {
    "hand-out": hand_out.hand_out,
    "commands": hand_out.commands,
    "modes": modes.modes,
    "runs": throughput.runs_per_second,
    "preloaded": throughput.preloaded,
    "never": throughput.never_reused,
    "refill": throughput.refill,
    "output": output.a_gibibyte,
    "bytes": output.single_bytes,
    "queue": waiting.hand_out_with_a_queue,
    "fairness": waiting.fairness,
    "overload": waiting.overload,
    "connections": waiting.many_connections,
    "memory": resources.idle_memory,
    "idle": resources.idle_daemon,
    "start": resources.first_request,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=SUBJECTS, metavar="NAME", help=", ".join(SUBJECTS)
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="and draw them, as SVG")
    parser.add_argument("--overload", type=float, default=10, metavar="SECONDS")
    arguments = parser.parse_args()
    allow_many_files()
    console = report.open_console()
    about, steps = machine.describe(), machine.constants()
    report.show_machine(console, about, steps)
    bench = Bench(overload=arguments.overload)
    measured: list[Measured] = []
    for name in report.progress(console, arguments.only or list(SUBJECTS)):
        for each in SUBJECTS[name](bench):
            measured.append(each)
            console.print(report.line(each), highlight=False)
    report.show(console, measured)
    if arguments.json:
        found = {"measured": [report.plain(each) for each in measured]}
        report.write_json(arguments.json, about, steps, found)
    if arguments.chart:
        arguments.chart.write_text(draw(measured, about))


if __name__ == "__main__":
    main()
