"""Runs that outlive their connection, on the real engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from sandboxd_client import AsyncClient, Client, Output, Started, Status
from tests.support.daemon import RunningDaemon, eventually

LINES = 2000
COUNT = f"""
import sys, time
for number in range({LINES}):
    print(number, "é", file=(sys.stdout, sys.stderr)[number % 2], flush=True)
    if number % 100 == 0:
        time.sleep(0.01)
"""
WHOLE = {
    stream: "".join(f"{number} é\n" for number in range(which, LINES, 2))
    for which, stream in enumerate(("stdout", "stderr"))
}
VANISHING = """
import os, signal, sys
from sandboxd_client import Client, Output
with Client(sys.argv[1]) as client, client.stream("python", sys.argv[2], keep=True) as stream:
    for event in stream:
        if isinstance(event, Output) and stream.seq >= 20:
            break
        if not isinstance(event, Output):
            print(event.run, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def vanished(daemon: RunningDaemon, code: str) -> str:
    """The id of a kept run whose client was killed in the middle of it."""
    command = [sys.executable, "-c", VANISHING, str(daemon.socket), code]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    return ran.stdout.split()[0]


def test_a_client_vanishes_and_what_another_attaches_to_is_whole(
    daemon: RunningDaemon, client: Client
) -> None:
    run = vanished(daemon, COUNT)
    for _ in range(2):  # while it runs, and when it has ended
        printed = {"stdout": b"", "stderr": b""}
        seqs = []
        with client.attach(run) as joined:
            for event in joined:
                assert isinstance(event, Output)
                printed[event.stream] += event.data
                seqs.append(joined.seq)
        assert {name: data.decode() for name, data in printed.items()} == WHOLE
        assert seqs == list(range(len(seqs)))
        assert joined.result.status is Status.OK
        assert (joined.result.stdout, joined.result.stderr) == (WHOLE["stdout"], WHOLE["stderr"])
    assert client.history_get(run).result.stdout == WHOLE["stdout"]


async def test_leaving_and_joining_again_and_again_loses_nothing_and_repeats_nothing(
    aclient: AsyncClient, client: Client
) -> None:
    async with aclient.stream("python", COUNT, keep=True) as started_by:
        started = await anext(aiter(started_by))
        assert isinstance(started, Started)
    printed = {"stdout": b"", "stderr": b""}
    last, ended = None, False
    while not ended:
        with client.attach(started.run, after=last) as joined:
            for number, event in enumerate(joined):
                assert isinstance(event, Output)
                printed[event.stream] += event.data
                if number == 6:
                    break
            ended = joined.ended
        last = last if joined.seq is None else joined.seq
    assert {name: data.decode() for name, data in printed.items()} == WHOLE


def test_a_kept_run_is_killed_with_all_its_processes(client: Client) -> None:
    code = "echo before; sleep 1000 & sleep 1000"
    with client.stream("bash", code, keep=True) as stream:
        events = iter(stream)
        started = next(events)
        assert isinstance(started, Started)
        assert next(events) == Output("stdout", b"before\n")
    client.kill(started.run)
    with client.attach(started.run) as joined:
        assert list(joined) == [Output("stdout", b"before\n")]
    assert joined.result.status is Status.KILLED


def test_the_command_detaches_attaches_and_kills(daemon: RunningDaemon) -> None:
    def sandbox(*arguments: str) -> subprocess.CompletedProcess[str]:
        beside = Path(sys.executable).with_name("sandbox")
        return subprocess.run(
            [beside, *arguments, "--socket", str(daemon.socket)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    run = sandbox("run", "--detach", "python", "-c", "print(1); raise SystemExit(4)").stdout.strip()
    ran = sandbox("attach", run)
    assert (ran.stdout, ran.stderr, ran.returncode) == ("1\n", "", 4)
    forever = sandbox("run", "--detach", "sh", "-c", "while :; do sleep 1; done").stdout.strip()
    assert sandbox("kill", forever).returncode == 0
    assert sandbox("attach", forever).returncode == 137


def test_a_kept_run_holds_the_drain_and_is_written_to_the_history(
    own_daemon: RunningDaemon,
) -> None:
    run = vanished(own_daemon, COUNT + "\ntime.sleep(1)")
    with own_daemon.client() as client:
        eventually(lambda: client.status().clients == 1, "its client has gone")
    os.kill(own_daemon.process.pid, signal.SIGTERM)
    assert own_daemon.process.wait(60) == 0
    own_daemon.start()
    with own_daemon.client() as client, client.attach(run) as joined:
        assert (
            b"".join(
                event.data
                for event in joined
                if isinstance(event, Output) and event.stream == "stdout"
            )
            == WHOLE["stdout"].encode()
        )
