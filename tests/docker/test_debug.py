"""Debug reports over the wire: what only the daemon knows is in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandboxd_client import Client, Limits
from sandboxd_client.cli import main
from tests.support.daemon import RunningDaemon


def test_a_failed_run_of_the_history_is_explained(client: Client) -> None:
    result = client.run("python", "x = [1]\n\nprint(x[3])\n")
    report = client.debug_report(result.run)
    assert (report.category, report.error_type) == ("exception", "IndexError")
    assert report.location is not None
    assert report.location.line == 3
    assert "> 3" in report.snippet
    assert report.suggestions


def test_limits_of_the_run_are_in_the_explanation(client: Client) -> None:
    late = client.run("bash", "echo reached here; sleep 60", limits=Limits(timeout=0.4))
    told = client.debug_report(late.run)
    assert told.category == "timeout"
    assert "0.4" in told.explanation
    assert "reached here" in told.explanation
    full = client.run("python", "x = bytearray(2 << 30)\nfor i in range(0, 2<<30, 4096): x[i] = 1")
    assert "512" in client.debug_report(full.run).explanation


def test_the_facts_of_a_run_elsewhere_are_explained_too(client: Client) -> None:
    report = client.debug_report(
        language="node",
        code="foo()\n",
        exit_code=1,
        stderr="/sandbox/main.js:1\nfoo()\n^\n\n"
        "ReferenceError: foo is not defined\n    at Object.<anonymous> (/sandbox/main.js:1:1)\n",
    )
    assert report.error_type == "ReferenceError"


def test_the_command_shows_the_line_of_a_file_that_it_sent(
    daemon: RunningDaemon, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    helper = tmp_path / "helper.py"
    helper.write_text("def run():\n    return 1 / 0\n")
    arguments = ["--file", str(helper), "python", "-c", "import helper; helper.run()"]
    main(["run", "--socket", str(daemon.socket), "--explain", *arguments])
    err = capfd.readouterr().err
    assert "in helper.py, line 2" in err
    assert "> 2 |     return 1 / 0" in err


def test_the_command_explains_after_a_failure(
    daemon: RunningDaemon, capfd: pytest.CaptureFixture[str]
) -> None:
    code = main(["run", "--socket", str(daemon.socket), "--explain", "python", "-c", "1/0"])
    out, err = capfd.readouterr()
    assert code == 1
    assert "ZeroDivisionError" in err
    assert "  - " in err
    assert out == ""
