"""Two hundred programs, eight at once, on the real engine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sandboxd_client import AsyncClient, Client, Limits, RunResult, UnknownLanguageError
from sandboxd_client.batch import Outcome, Program, amap_programs, imap_programs, map_programs
from tests.support.daemon import RunningDaemon, eventually

COUNT = 200
AT_ONCE = 8
COMMAND = (
    "import sys; from sandboxd_client.cli import main; sys.exit(main(['batch', *sys.argv[1:]]))"
)


class Case(NamedTuple):
    """A line of a batch, and what must become of it."""

    line: dict[str, Any]
    ends: str
    """The status of the result, or the kind of the error."""
    prints: str = ""


def case(number: int) -> Case:
    """Mostly programs that do well, in three languages; some fail, each in its own way."""
    usual = {"language": "python", "code": f"print({number})"}
    odd = {
        3: Case(usual | {"code": f"print({number}); exit(3)"}, "error", f"{number}\n"),
        7: Case(usual | {"language": "cobol"}, "unknown_language"),
        11: Case({"language": "bash", "code": "sleep 20", "limits": {"timeout": 0.2}}, "timeout"),
        13: Case(usual | {"limits": {"timeout": 1000}}, "invalid_limits"),
        4: Case({"language": "javascript", "code": f"console.log({number})"}, "ok", f"{number}\n"),
        5: Case({"language": "bash", "code": f"echo {number}"}, "ok", f"{number}\n"),
    }
    return odd.get(number % 20, Case(usual, "ok", f"{number}\n"))


CASES = [case(number) for number in range(COUNT)]
ENDS = Counter(each.ends for each in CASES)


def programs() -> Iterator[Program]:
    for each in CASES:
        limits = Limits(**each.line.get("limits", {}))
        yield Program(each.line["language"], each.line["code"], limits=limits)


def check(outcomes: list[Outcome]) -> None:
    assert len(outcomes) == COUNT
    for expected, outcome in zip(CASES, outcomes, strict=True):
        if isinstance(outcome, RunResult):
            assert (outcome.status, outcome.stdout) == (expected.ends, expected.prints)
        else:
            assert getattr(outcome, "kind", None) == expected.ends, outcome


def test_threads_give_results_in_order_with_failures_in_their_place(client: Client) -> None:
    told: list[tuple[int, int | None]] = []
    check(
        map_programs(
            client,
            list(programs()),
            AT_ONCE,
            progress=lambda done, total, _: told.append((done, total)),
        )
    )
    assert told == [(done, COUNT) for done in range(1, COUNT + 1)]


async def test_tasks_give_results_in_order_with_failures_in_their_place(
    aclient: AsyncClient,
) -> None:
    told: list[tuple[int, int | None]] = []
    check(
        await amap_programs(
            aclient,
            programs(),
            AT_ONCE,
            progress=lambda done, total, _: told.append((done, total)),
        )
    )
    assert told == [(done, None) for done in range(1, COUNT + 1)]


def test_more_at_once_than_there_are_containers_wait_for_their_turn(client: Client) -> None:
    outcomes = imap_programs(client, (Program("bash", f"echo {n}") for n in range(64)), 32)
    printed = [outcome.stdout for outcome in outcomes if isinstance(outcome, RunResult)]
    assert printed == [f"{number}\n" for number in range(64)]


def test_leaving_a_batch_kills_what_it_runs(client: Client) -> None:
    """Long before it would have ended by itself."""

    def busy() -> int:
        return sum(pool.busy for pool in client.status().pools)

    programs = [Program("cobol", ""), *[Program("bash", "sleep 25")] * 4]
    outcomes = imap_programs(client, programs)
    assert isinstance(next(outcomes), UnknownLanguageError)
    eventually(lambda: busy() > 0, "some of them run")
    outcomes.close()
    eventually(lambda: busy() == 0, "none of them runs", 10.0)


@pytest.mark.parametrize("way", ["file", "stdin"])
def test_the_command_answers_each_line_in_order(
    daemon: RunningDaemon, tmp_path: Path, way: str
) -> None:
    given = [json.dumps({**each.line, "id": f"n{at}"}) for at, each in enumerate(CASES)]
    text = "\n".join(given) + "\n"
    (tmp_path / "programs.jsonl").write_text(text)
    named = str(tmp_path / "programs.jsonl") if way == "file" else "-"
    results = tmp_path / "results.jsonl"
    ran = subprocess.run(
        [
            *(sys.executable, "-W", "error", "-c", COMMAND, named, "-j", str(AT_ONCE)),
            *("--json", "--output", str(results), "--socket", str(daemon.socket)),
        ],
        input=None if way == "file" else text,
        capture_output=True,
        text=True,
        check=False,
    )
    said = [json.loads(line) for line in results.read_text().splitlines()]
    assert [each["line"] for each in said] == list(range(1, COUNT + 1))
    assert [each["id"] for each in said] == [f"n{at}" for at in range(COUNT)]
    for expected, each in zip(CASES, said, strict=True):
        if "result" in each:
            ended = each["result"]
            assert (ended["status"], ended["stdout"]) == (expected.ends, expected.prints)
        else:
            assert each["error"]["kind"] == expected.ends
    assert json.loads(ran.stdout) == {
        "programs": COUNT,
        "ok": ENDS["ok"],
        "failed": COUNT - ENDS["ok"],
        "bad_lines": 0,
        "by_status": dict(ENDS),
    }
    assert (ran.stderr, ran.returncode) == ("", 1)


def test_the_command_lays_files_and_takes_outputs_back(
    daemon: RunningDaemon, tmp_path: Path
) -> None:
    (tmp_path / "double.py").write_text(
        "import sys; n = int(open('in').read()) * 2 + len(sys.argv) + len(input())\n"
        "open('out', 'w').write(str(n))"
    )
    line = {
        "language": "python",
        "file": "double.py",
        "files": {"in": "20"},
        "args": ["a"],
        "stdin": "xyz\n",
        "outputs": ["out"],
    }
    (tmp_path / "programs.jsonl").write_text(f"{json.dumps(line)}\n{{}}\n")
    ran = subprocess.run(
        [
            *(sys.executable, "-W", "error", "-c", COMMAND, str(tmp_path / "programs.jsonl")),
            *("--socket", str(daemon.socket)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    first, second = map(json.loads, ran.stdout.splitlines())
    assert first["result"]["files"] == [{"path": "out", "size": 2, "data": "45", "mode": 0o644}]
    assert second == {
        "line": 2,
        "error": {
            "kind": "bad_line",
            "message": "a program is given by either `code` or `file`",
        },
    }
    assert "sandbox: line 2: a program is given by either" in ran.stderr
    assert ran.returncode == 2
