"""The soak, in its shortest form."""

from __future__ import annotations

import io
import json
from random import Random

from rich.console import Console

from sandboxd_client import Client
from tests.soak import report
from tests.soak.__main__ import soak
from tests.soak.programs import LANGUAGES, every
from tests.soak.soak import Plan


def test_the_programs_end_as_they_say_where_nothing_goes_wrong(client: Client) -> None:
    for program in every(Random(1), LANGUAGES):
        result = client.run(program.language, program.code, **program.options)
        assert program.fault(result) is None, program


def test_nothing_is_left_over_and_every_request_answered_though_the_engine_ends_meanwhile() -> None:
    plan = Plan(seed=1, seconds=3.0, languages=("bash", "python"), restarts=1)
    shown = io.StringIO()
    console = Console(file=shown, width=120)
    outcome = soak(plan, console)
    report.show(console, outcome)
    told = shown.getvalue()
    assert report.faults(outcome) == [], told
    assert "every request was answered" in told
    assert json.loads(json.dumps(report.plain(outcome)))["faults"] == []
