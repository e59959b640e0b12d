"""What is kept of runs, over the wire and over the death of a daemon."""

from __future__ import annotations

import hashlib

import pytest

from sandboxd_client import Client, Limits, RunNotFoundError
from tests.support.daemon import RunningDaemon


def test_a_run_is_in_the_history_with_its_code_and_output(client: Client) -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    result = client.run("python", code, label="a label", limits=Limits(timeout=7))
    record = client.history_get(result.run)
    assert record.result == result
    assert record.code == code
    assert record.limits.timeout == 7
    assert (record.summary.label, record.summary.status) == ("a label", "error")
    assert record.summary.code_hash == hashlib.sha256(code.encode()).hexdigest()
    assert client.history(limit=1)[0] == record.summary


def test_the_list_is_newest_first_and_goes_on_before_a_run(client: Client) -> None:
    runs = [client.run("bash", f"exit {n}").run for n in range(5)]
    newest = [each.run for each in client.history(limit=3)]
    assert newest == runs[:1:-1]
    older = [each.run for each in client.history(limit=2, before=newest[-1])]
    assert older == [runs[1], runs[0]]
    assert {each.status for each in client.history(status=None, language="bash", limit=4)}


def test_a_run_that_nobody_made_is_not_found(client: Client) -> None:
    with pytest.raises(RunNotFoundError):
        client.history_get("0123")


def test_the_history_survives_kill_9_and_a_restart(own_daemon: RunningDaemon) -> None:
    with own_daemon.client() as client:
        runs = [client.run("python", f"print({n})").run for n in range(10)]
        assert client.history(limit=1)[0].run == runs[-1]  # reading waits for what was recorded
    own_daemon.process.kill()
    own_daemon.process.wait()
    own_daemon.start()
    with own_daemon.client() as client:
        assert [each.run for each in client.history()] == runs[::-1]
        assert client.history_get(runs[3]).result.stdout == "3\n"


def test_the_operator_may_keep_nothing_of_code_and_output(own_daemon: RunningDaemon) -> None:
    own_daemon.stop()
    own_daemon.config.write_text("[history]\nkeep_code = false\nkeep_output = false\n")
    own_daemon.start()
    with own_daemon.client() as client:
        result = client.run("python", "print('secret')")
        record = client.history_get(result.run)
    assert result.stdout == "secret\n"
    assert (record.code, record.result.stdout) == (None, None)
    assert record.summary.code_hash


def test_without_a_history_runs_go_on(own_daemon: RunningDaemon) -> None:
    own_daemon.stop()
    own_daemon.config.write_text("[history]\nenabled = false\n")
    own_daemon.start()
    with own_daemon.client() as client:
        assert client.run("python", "print(1)").stdout == "1\n"
        assert client.history() == []


def test_a_history_that_cannot_be_written_costs_nothing_else(own_daemon: RunningDaemon) -> None:
    own_daemon.stop()
    own_daemon.config.write_text('[history]\npath = "/proc/nowhere/history.db"\n')
    own_daemon._environment.pop("SANDBOXD_HISTORY__PATH")
    own_daemon.start()
    with own_daemon.client() as client:
        assert client.run("python", "print(1)").stdout == "1\n"
        health = client.health()
    assert health.status == "degraded"
    assert not health.checks["history"].ok
