"""Nodes and daemons that come, go, and come back: no answer is lost."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandboxd_client import NodeLostError, Output, Program, RunResult, SandboxError
from sandboxd_client.batch import Outcome
from sandboxd_client.ray import ClusterSession, SandboxCluster
from tests.ray.machines import RayCluster
from tests.ray.test_cluster import busy, runs
from tests.support.daemon import RunningDaemon, eventually

COUNT = 300


def programs(enough: Callable[[], bool] = lambda: True) -> Iterator[Program]:
    """So many, and more until it is enough."""
    for number in itertools.count():
        if number >= COUNT and enough():
            return
        yield Program("python", f"import time; time.sleep(0.02); print({number})")


def check(outcomes: list[Outcome]) -> None:
    wrong = [each for each in outcomes if isinstance(each, SandboxError)]
    assert not wrong, wrong[0]
    printed = [each.stdout for each in outcomes if isinstance(each, RunResult)]
    assert printed == [f"{number}\n" for number in range(len(outcomes))]


def test_a_node_that_is_added_is_used_and_its_death_loses_no_answer(
    machines: RayCluster, cluster: SandboxCluster, third: RunningDaemon
) -> None:
    before, node, dead = runs(third), None, threading.Event()
    outcomes: list[Outcome] = []
    for outcome in cluster.imap(programs(dead.is_set)):
        outcomes.append(outcome)
        if node is None:
            node = machines.add(third.socket)
        elif not dead.is_set() and runs(third) > before + 4:
            machines.kill(node)
            dead.set()
    check(outcomes)


def test_a_daemon_that_is_killed_and_started_again_loses_no_answer(
    cluster: SandboxCluster, daemons: list[RunningDaemon]
) -> None:
    victim, outcomes = daemons[0], list[Outcome]()
    for outcome in cluster.imap(programs()):
        outcomes.append(outcome)
        if len(outcomes) == COUNT // 4:
            victim.process.kill()
            victim.process.wait()
        elif len(outcomes) == COUNT // 2:
            victim.start()
    check(outcomes)
    eventually(
        lambda: bool(cluster.map(list(programs())[:8])) and runs(victim) > 0,
        "the daemon that came back is used",
    )


def test_a_run_whose_daemon_dies_ends_with_node_lost(
    cluster: SandboxCluster, daemons: list[RunningDaemon]
) -> None:
    code = "import time; print('up'); time.sleep(25)"
    with cluster.stream("python", code) as run:
        assert next(event.text for event in run if isinstance(event, Output)) == "up\n"
        victim = next(each for each in daemons if busy(each))
        victim.process.kill()
        victim.process.wait()
        with pytest.raises(NodeLostError) as raised:
            list(run)
    assert (raised.value.kind, raised.value.node) == ("node_lost", run.node)
    assert cluster.run("python", "print(1)").stdout == "1\n"
    victim.start()


def test_a_session_ends_with_its_node(
    machines: RayCluster, cluster: SandboxCluster, third: RunningDaemon
) -> None:
    node = machines.add(third.socket)
    with contextlib.ExitStack() as stack:

        def opened() -> ClusterSession:
            return stack.enter_context(cluster.session("python"))

        there: list[ClusterSession] = []

        def reached() -> bool:
            session = opened()
            if session.node == node.node_id:
                there.append(session)
            else:
                session.close()
            return bool(there)

        eventually(reached, "a session on the new node")
        assert there[0].run("1 + 1").value == "2"
        machines.kill(node)

        def is_lost() -> bool:
            try:
                there[0].run("1 + 1")
            except NodeLostError:
                return True
            return False  # its actor had not heard of it yet

        eventually(is_lost, "the session is lost")


def test_a_node_starts_the_daemon_that_it_lacks_when_told_to(
    machines: RayCluster, tmp_path: Path
) -> None:
    absent = tmp_path / "sandboxd.sock"
    node = machines.add(
        absent, SANDBOXD_POOL__MIN="0", SANDBOXD_HISTORY__PATH=str(tmp_path / "history.db")
    )
    try:
        with machines.client() as never:
            assert never.run("python", "print(1)").stdout == "1\n"
            assert not absent.exists()
        with SandboxCluster.connect(machines.address, daemon="auto"):
            eventually(absent.exists, "it is started")
        os.kill(peer(absent), signal.SIGTERM)
        eventually(lambda: not absent.exists(), "it is stopped")
    finally:
        machines.kill(node)


def peer(path: Path) -> int:
    """The process that listens."""
    with socket.socket(socket.AF_UNIX) as asked:
        asked.connect(str(path))
        credentials = asked.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int(struct.unpack("3i", credentials)[0])
