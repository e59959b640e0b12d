"""The soak, in its shortest form."""

from __future__ import annotations

import io
import json
from random import Random

from rich.console import Console

from sandboxd_client import AsyncClient, Program
from sandboxd_client.protocol import RunResult
from tests.soak import report
from tests.soak.__main__ import soak
from tests.soak.programs import LANGUAGES, every
from tests.soak.soak import Plan

ENDING = ("bash", "python")
"""Languages of the engine that is restarted; the others' programs run on the usual one."""


async def test_the_programs_end_as_they_say_where_nothing_goes_wrong(
    aclient: AsyncClient,
) -> None:
    programs = [*every(Random(1), [each for each in LANGUAGES if each not in ENDING])]
    wanted = [Program(each.language, each.code, **each.options) for each in programs]
    outcomes = await aclient.map(wanted, concurrency=4)
    for program, outcome in zip(programs, outcomes, strict=True):
        assert isinstance(outcome, RunResult), (program, outcome)
        assert program.fault(outcome) is None, program


def test_nothing_is_left_over_and_every_request_answered_though_the_engine_ends_meanwhile() -> None:
    plan = Plan(seed=1, seconds=3.0, languages=ENDING, restarts=1)
    shown = io.StringIO()
    console = Console(file=shown, width=120)
    outcome = soak(plan, console)
    report.show(console, outcome)
    told = shown.getvalue()
    assert report.faults(outcome) == [], told
    assert "every request was answered" in told
    assert json.loads(json.dumps(report.plain(outcome)))["faults"] == []
