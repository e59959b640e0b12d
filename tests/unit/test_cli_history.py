"""`sandbox history` and `sandbox show`: what of the history is printed, and how."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from sandboxd_client import cli
from sandboxd_client.cli import history as module
from sandboxd_client.errors import RunNotFoundError
from sandboxd_client.protocol import (
    Base64,
    ContainerInfo,
    EffectiveLimits,
    OutputFile,
    RunError,
    RunRecord,
    RunResult,
    RunSummary,
    Status,
    Timings,
    Truncated,
    Usage,
)

MIB = 1024**2
LIMITS = EffectiveLimits(
    timeout=30.0,
    memory=512 * MIB,
    cpus=1.0,
    cpu_shares=1024,
    pids=100,
    output=MIB,
    files_total=MIB,
    tmp=MIB,
)


def make(
    number: int,
    *,
    language: str = "python",
    status: Status = Status.OK,
    exit_code: int = 0,
    label: str | None = None,
    code: str | None = "print(1)\n",
    started_at: str = "2024-05-06T07:08:09.123456+00:00",
    **result: Any,
) -> RunRecord:
    return RunRecord(
        summary=RunSummary(
            run=f"run{number}",
            language=language,
            profile=f"{language}-data",
            status=status,
            exit_code=exit_code,
            duration=0.25,
            started_at=started_at,
            owner=1000,
            code_hash="abcdef",
            label=label,
        ),
        result=RunResult(
            run=f"run{number}",
            language=language,
            status=status,
            exit_code=exit_code,
            **({"signal": None, "stdout": "1\n", "stderr": "", "truncated": Truncated()} | result),
            duration=0.25,
            timings=Timings(0.5, 0.001, 0.25),
            usage=Usage(0.125, 10 * MIB),
            warm=True,
            container=ContainerInfo("c0ffee00c0ffee00", 3),
            started_at=started_at,
        ),
        limits=LIMITS,
        code=code,
    )


class Daemon:
    """A client and the daemon behind it: the methods that the commands use."""

    def __init__(self) -> None:
        self.records: list[RunRecord] = []
        self.asked: list[int] = []
        self.opened = 0

    def __call__(self, socket: str | Path | None) -> Self:
        assert socket == "here"
        self.opened += 1
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.opened -= 1

    def history(
        self,
        *,
        limit: int = 50,
        before: str | None = None,
        status: Status | None = None,
        language: str | None = None,
    ) -> list[RunSummary]:
        assert 1 <= limit <= 1000
        self.asked.append(limit)
        runs = [each.summary for each in reversed(self.records)]
        if before is not None:
            runs = runs[[run.run for run in runs].index(before) + 1 :]
        return [
            run for run in runs if status in (None, run.status) and language in (None, run.language)
        ][:limit]

    def history_get(self, run: str) -> RunRecord:
        for record in self.records:
            if record.summary.run == run:
                return record
        raise RunNotFoundError(1012, f"there is no run {run!r}", {"kind": "run_not_found"})


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    made = Daemon()
    monkeypatch.setattr(module, "Client", made)
    monkeypatch.setenv("TZ", "UTC-2")
    time.tzset()
    yield made
    assert made.opened == 0
    monkeypatch.undo()
    time.tzset()


def sandbox(name: str, *arguments: str) -> int:
    return cli.main([name, *arguments, "--socket", "here"])


def rows(capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    return [line.split() for line in capsys.readouterr().out.splitlines()]


# --- history ---


def test_runs_are_a_table_the_newest_first(
    daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.records = [
        make(1, label="first of two"),
        make(22, language="go", status=Status.TIMEOUT, exit_code=124),
    ]
    assert sandbox("history") == 0
    assert capsys.readouterr().out == (
        "RUN    STARTED              LANGUAGE  STATUS   EXIT  TIME     LABEL\n"
        "run22  2024-05-06 09:08:09  go        timeout  124   0.250 s\n"
        "run1   2024-05-06 09:08:09  python    ok       0     0.250 s  first of two\n"
    )


def test_an_empty_history_is_a_table_without_rows(
    daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sandbox("history") == 0
    assert rows(capsys) == [["RUN", "STARTED", "LANGUAGE", "STATUS", "EXIT", "TIME", "LABEL"]]
    assert daemon.asked == [50]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-n", "1"], ["run3"]),
        (["--language", "go"], ["run3", "run1"]),
        (["--status", "oom"], ["run2", "run1"]),
        (["--status", "oom", "--language", "go"], ["run1"]),
    ],
)
def test_fewer_may_be_asked_for(
    daemon: Daemon,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    expected: list[str],
) -> None:
    daemon.records = [
        make(1, language="go", status=Status.OOM),
        make(2, status=Status.OOM),
        make(3, language="go"),
    ]
    assert sandbox("history", *arguments) == 0
    assert [row[0] for row in rows(capsys)[1:]] == expected


@pytest.mark.parametrize(
    ("count", "there", "asked"),
    [
        (None, 3, [50]),
        ("1000", 1000, [1000]),
        ("2500", 3000, [1000, 1000, 500]),
        ("2500", 1200, [1000, 1000]),
    ],
)
def test_more_than_the_daemon_lists_at_once_come_in_pages(
    daemon: Daemon,
    capsys: pytest.CaptureFixture[str],
    count: str | None,
    there: int,
    asked: list[int],
) -> None:
    daemon.records = [make(number) for number in range(there)]
    assert sandbox("history", "--json", *(["-n", count] if count else [])) == 0
    listed = [run["run"] for run in json.loads(capsys.readouterr().out)]
    assert listed == [f"run{number}" for number in range(there)][::-1][: int(count or 50)]
    assert daemon.asked == asked


@pytest.mark.parametrize("arguments", [["-n", "0"], ["-n", "x"], ["--status", "fine"], ["more"]])
def test_what_cannot_be_asked_for_is_2(
    daemon: Daemon, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        sandbox("history", *arguments)
    assert caught.value.code == 2
    assert "sandbox history" in capsys.readouterr().err
    assert daemon.asked == []


def test_a_label_cannot_write_to_the_terminal(
    daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.records = [make(1, label="a\x1b[2J\nrun9\tb é")]
    assert sandbox("history") == 0
    assert capsys.readouterr().out.splitlines()[1].endswith("  a\\x1b[2J\\nrun9\\tb é")


# --- show ---


def test_a_run_is_shown_with_its_code_and_output(
    daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.records = [
        make(
            1,
            status=Status.ERROR,
            exit_code=139,
            label="mine",
            signal=11,
            stdout="one\ntwo\n",
            stderr="oops",
            truncated=Truncated(stdout=True),
            error=RunError("compile", "it did not compile"),
            files=[OutputFile("out/a.txt", 3, "")],
        )
    ]
    assert sandbox("show", "run1") == 0
    assert capsys.readouterr().out == (
        "run        run1\n"
        "label      mine\n"
        "language   python, profile python-data\n"
        "status     error, exit 139, signal 11\n"
        "error      compile: it did not compile\n"
        "started    2024-05-06 09:08:09\n"
        "owner      1000\n"
        "time       0.250 s of 30 s, after 0.500 s in the queue\n"
        "cpu        0.125 s\n"
        "memory     10 MiB of 512 MiB\n"
        "container  c0ffee00c0ff, use 3, warm\n"
        "code       sha256 abcdef\n"
        "files      out/a.txt (3 bytes)\n"
        "\n--- code\nprint(1)\n"
        "\n--- stdout, cut at its limit\none\ntwo\n"
        "\n--- stderr\noops\n"
    )


def test_what_was_not_kept_is_told_from_what_was_not_printed(
    daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.records = [make(1, code=None, stdout=None, stderr="")]
    assert sandbox("show", "run1") == 0
    shown = capsys.readouterr().out
    assert shown.endswith("\n--- code: not kept\n\n--- stdout: not kept\n")
    assert "label" not in shown
    assert "stderr" not in shown


def test_output_cannot_write_to_the_terminal(
    daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.records = [make(1, stdout=Base64("G1szMW0="), stderr=Base64("/wl4DQo="))]
    assert sandbox("show", "run1") == 0
    assert capsys.readouterr().out.endswith(
        "--- stdout\n\\x1b[31m\n\n--- stderr\n\N{REPLACEMENT CHARACTER}\tx\\r\n"
    )


def test_code_alone_is_the_code_as_it_was(
    daemon: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.records = [make(1, code="print('\x1b')\n\n")]
    assert sandbox("show", "--code", "run1") == 0
    assert capsys.readouterr().out == "print('\x1b')\n\n"


def test_json_is_all_that_is_kept(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.records = [make(1, stdout=Base64("gIE="))]
    assert sandbox("show", "run1", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["code"] == "print(1)\n"
    assert shown["result"]["stdout"] == {"base64": "gIE="}
    assert shown["summary"]["run"] == "run1"
    assert shown["limits"]["timeout"] == 30.0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run2"], "sandbox: there is no run 'run2'\n"),
        (["run1", "--code"], "sandbox: the code of run run1 was not kept\n"),
    ],
)
def test_what_cannot_be_shown_is_one_line_that_says_why(
    daemon: Daemon, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    daemon.records = [make(1, code=None)]
    assert sandbox("show", *arguments) == 125
    assert capsys.readouterr() == ("", told)


def test_a_run_is_shown_in_one_form(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        sandbox("show", "run1", "--json", "--code")
    assert caught.value.code == 2
    assert "--code" in capsys.readouterr().err
    assert daemon.opened == 0
