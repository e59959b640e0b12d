"""Programs over the nodes of a Ray cluster: what one gets is what one daemon gives."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from sandboxd_client import Limits, Output, Program, RunResult, UnknownLanguageError
from sandboxd_client.cli import main
from sandboxd_client.ray import SandboxCluster
from tests.ray.machines import RayCluster
from tests.support.daemon import RunningDaemon, eventually

COUNT = 1000


def runs(daemon: RunningDaemon) -> int:
    with daemon.client() as client:
        return client.status().totals.runs


def busy(daemon: RunningDaemon) -> int:
    with daemon.client() as client:
        return sum(pool.busy for pool in client.status().pools)


def test_a_thousand_programs_are_spread_over_both_nodes_and_come_back_in_order(
    cluster: SandboxCluster, daemons: list[RunningDaemon]
) -> None:
    before = [runs(daemon) for daemon in daemons]
    told: list[tuple[int, int | None]] = []
    programs = [Program("python", f"print({number})") for number in range(COUNT)]
    outcomes = cluster.map(programs, progress=lambda done, total, _: told.append((done, total)))
    printed = [outcome.stdout for outcome in outcomes if isinstance(outcome, RunResult)]
    assert printed == [f"{number}\n" for number in range(COUNT)]
    assert told == [(done, COUNT) for done in range(1, COUNT + 1)]
    ran = [runs(daemon) - earlier for daemon, earlier in zip(daemons, before, strict=True)]
    assert sum(ran) == COUNT
    assert min(ran) > COUNT / 10


def test_failures_stand_in_their_place_as_with_one_daemon(cluster: SandboxCluster) -> None:
    outcomes = cluster.map(
        [
            Program("python", "exit(3)"),
            Program("cobol", ""),
            Program("python", "while True: pass", limits=Limits(timeout=0.2)),
            Program("python", "print(input())", stdin=iter([b"a", b"b\n"])),
        ]
    )
    failed, refused, late, fed = outcomes
    assert isinstance(failed, RunResult)
    assert failed.exit_code == 3
    assert isinstance(refused, UnknownLanguageError)
    assert isinstance(late, RunResult)
    assert late.status == "timeout"
    assert isinstance(fed, RunResult)
    assert fed.stdout == "ab\n"
    with pytest.raises(UnknownLanguageError):
        cluster.run("cobol", "")


def test_only_so_many_programs_are_taken_ahead_of_the_results(cluster: SandboxCluster) -> None:
    taken = 0

    def endless() -> object:
        nonlocal taken
        while True:
            taken += 1
            yield Program("python", "print(1)")

    outcomes = cluster.imap(endless(), concurrency=4)  # type: ignore[arg-type]
    for given in range(40):
        assert isinstance(next(outcomes), RunResult)
        assert taken - given <= 4 * 4 + 1
    outcomes.close()


def test_what_ends_first_comes_first_where_the_order_does_not_matter(
    cluster: SandboxCluster,
) -> None:
    codes = ["import time; time.sleep(1)", "print(1)", "print(1)", "print(1)"]
    programs = [Program("python", code) for code in codes]
    ended = [number for number, _ in cluster.imap_unordered(programs, concurrency=4)]
    assert sorted(ended) == [0, 1, 2, 3]


def test_output_comes_while_the_program_runs_and_leaving_kills_it(
    cluster: SandboxCluster, daemons: list[RunningDaemon]
) -> None:
    code = "import time; print('up'); time.sleep(25)"
    with cluster.stream("python", code) as run:
        for event in run:
            if isinstance(event, Output):
                assert event.text == "up\n"
                break

    eventually(lambda: not any(map(busy, daemons)), "the program is dead", 10)
    with cluster.stream("python", "print(2)") as run:
        assert [event.text for event in run if isinstance(event, Output)] == ["2\n"]
    assert run.result.status == "ok"


def test_a_session_stays_on_its_node_with_all_of_its_state(
    cluster: SandboxCluster, daemons: list[RunningDaemon]
) -> None:
    before = [runs(daemon) for daemon in daemons]

    def both_are_up() -> bool:
        cluster.map([Program("python", "print(1)") for _ in range(8)])
        return all(runs(daemon) > had for daemon, had in zip(daemons, before, strict=True))

    eventually(both_are_up, "both nodes are used")
    with cluster.session("python") as one, cluster.session("python") as other:
        assert one.node != other.node
        one.run("x = 1")
        other.run("x = 2")
        one.write_files({"a.txt": b"a"})
        cluster.map([Program("python", "print(1)") for _ in range(20)])
        assert [one.run("x").value, other.run("x").value] == ["1", "2"]
        assert [file.path for file in one.list_files()] == ["a.txt"]
        assert other.list_files() == []


def test_the_command_shows_the_nodes_and_what_their_daemons_say(
    machines: RayCluster, cluster: SandboxCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.run("python", "1")  # the nodes are up
    assert main(["cluster", "status", "--json", "--address", machines.address]) == 0
    nodes = json.loads(capsys.readouterr().out)
    assert [node["slots"] for node in nodes] == [2, 2]
    assert all(node["status"]["pools"] for node in nodes)
    assert main(["cluster", "status", "--address", machines.address]) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith("NODE")


def test_the_client_alone_loads_nothing_of_ray() -> None:
    code = "import sys, sandboxd_client, sandboxd_client.batch; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
