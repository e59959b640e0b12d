"""What went wrong in other warm pools does not go wrong here: where each of it is tested."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from sandboxd.config import PoolConfig
from sandboxd.engine.port import Engine
from tests.faults.asking import all_up, begun, recovers
from tests.faults.conftest import CONFIG
from tests.support.logs import watched
from tests.support.pools import Clock
from tests.support.private_engine import EngineDaemon, PrivateEngine
from tests.support.service import SMALL, Service, replace
from tests.support.wait import until
from tests.support.wire import Wire

TESTS = Path(__file__).parents[1]

HERE = "faults/test_other_pools.py"
CORE = "pool/test_core.py"
MACHINE = "pool/test_core_machine.py"
POOL = "pool/test_pool.py"
FLEET = "pool/test_fleet.py"
LIFECYCLE = "docker/test_lifecycle.py"

ROWS: dict[str, list[tuple[str, str]]] = {
    "the pool went on handing out a container that had died": [
        (POOL, "test_a_container_that_dies_while_it_waits_is_replaced_and_never_handed_out"),
        (POOL, "test_a_container_that_dies_in_the_moment_of_its_hand_out_is_replaced"),
        (LIFECYCLE, "test_a_container_that_is_killed_while_idle_is_not_handed_out"),
    ],
    "processes piled up in a container until output came back empty with exit 0": [
        (HERE, "test_two_hundred_runs_in_a_container_each_have_their_output_and_leave_no_process"),
        (HERE, "test_there_is_no_way_to_start_a_process_in_a_container_from_outside"),
    ],
    "creation failed for ever in a loop": [
        (POOL, "test_starts_that_keep_failing_are_tried_ever_more_seldom"),
        ("faults/test_double.py", "test_a_fault_is_told_once_and_over_when_it_is_over"),
        (
            "faults/test_double.py",
            "test_an_engine_that_is_down_for_days_is_used_again_once_it_is_back",
        ),
    ],
    "a recycled sandbox still had the last user's data": [
        ("docker/test_residue.py", "test_nothing_is_left_of"),
    ],
    "warm containers doubled at each restart": [
        (HERE, "test_restarts_of_the_daemon_add_no_container"),
        (LIFECYCLE, "test_containers_that_an_earlier_daemon_left_are_swept_at_start"),
    ],
    "lifetime was counted from creation, so a fresh lease was killed": [
        (CORE, "test_age_is_looked_at_only_when_a_member_is_idle"),
    ],
    "the sweep removed live containers; claims leaked on early returns": [
        (FLEET, "test_what_is_on_the_books_is_no_stray_however_far_it_is"),
        (FLEET, "test_a_container_that_came_after_the_engine_was_asked_is_no_stray"),
        (HERE, "test_two_daemons_on_one_engine_leave_each_others_containers_alone"),
        (POOL, "test_a_container_with_a_fault_or_without_an_end_is_destroyed"),
        (POOL, "test_one_that_is_cancelled_in_the_moment_of_its_hand_out_keeps_no_container"),
    ],
    "a failure between start and registration lost the container": [
        (POOL, "test_a_container_is_on_the_books_from_before_it_exists_until_it_is_gone"),
        (POOL, "test_a_creation_whose_answer_was_lost_leaves_no_container"),
        ("faults/test_wire.py", "test_a_lost_answer_is_told_and_leaves_no_container"),
    ],
    "probes reset the idle timer, so nothing ever expired": [
        (HERE, "test_asking_how_it_is_keeps_no_container_young"),
    ],
    "packages could not be had without a network": [
        ("docker/test_packages.py", "test_a_program_gets_the_profile_that_covers_its_imports"),
    ],
    "a container went back to the pool with a program still running": [
        ("docker/test_hostile.py", "test_no_program_outlasts_its_timeout"),
        (POOL, "test_a_container_whose_namespaces_are_not_replaced_in_time_is_destroyed"),
    ],
    "a health check destroyed a member that had been handed out meanwhile": [
        (CORE, "test_an_idle_member_that_is_old_is_replaced_by_the_tick"),
        (CORE, "test_age_is_looked_at_only_when_a_member_is_idle"),
        (MACHINE, "World"),
    ],
    "two clients were given the same sandbox": [
        (MACHINE, "World"),
        (LIFECYCLE, "test_two_hundred_runs_at_once_from_twenty_connections"),
    ],
    "20,000 were asked for and over 90,000 created": [
        (CORE, "test_starting_members_count_so_that_no_more_are_asked_for"),
        (MACHINE, "World"),
    ],
    "a member with a network was reused where none was allowed": [
        (FLEET, "test_a_member_with_a_network_is_never_given_to_a_run_without"),
        (
            "docker/test_limits.py",
            "test_the_network_is_there_for_those_who_ask_and_for_nobody_else",
        ),
    ],
    "a dirty member was handed out after a restart": [
        (FLEET, "test_what_an_earlier_daemon_of_this_instance_left_is_removed_and_nobody_elses"),
        (LIFECYCLE, "test_containers_that_an_earlier_daemon_left_are_swept_at_start"),
    ],
    "runs failed on a full disk, the cause not told": [
        (
            "faults/test_wire.py",
            "test_a_full_disk_is_told_in_the_error_and_in_health_and_costs_no_run_that_is_warm",
        ),
    ],
    "a lost answer was reported as exit 0": [
        (
            "rpc/test_errors.py",
            "test_a_container_that_is_lost_under_a_run_is_an_error_and_never_a_made_up_status",
        ),
        (
            "faults/test_wire.py",
            "test_connections_to_containers_that_are_cut_cost_their_runs_alone",
        ),
    ],
    "one failed command left a session that could not be used again": [
        (
            "docker/test_session_ends.py",
            "test_a_run_that_ends_by_itself_leaves_the_session_and_what_it_knew",
        ),
        ("docker/test_sessions.py", "test_code_that_is_none_is_told_and_nothing_is_lost"),
        ("rpc/test_sessions.py", "test_a_run_past_its_time_is_interrupted_and_the_state_stays"),
    ],
    "with the pool empty, a member warmed for another tenant was given": [
        (CORE, "test_a_used_member_never_goes_to_another_owner"),
        ("docker/test_owners.py", "test_a_container_never_goes_to_another_owner"),
    ],
    '"running" was taken for "ready"': [
        (CORE, "test_a_member_is_not_handed_out_before_it_has_started"),
        (POOL, "test_a_guest_that_says_nothing_is_given_up"),
        ("docker/test_verify.py", "test_a_container_with_another_setting_is_never_used"),
    ],
    "a slot was freed before its clean-up had ended": [
        (CORE, "test_a_member_is_idle_only_once_its_namespaces_are_replaced"),
        (POOL, "test_a_place_and_its_slot_are_free_only_once_the_container_is_removed"),
    ],
    "a renewal raced with the expiry and lost": [
        (CORE, "test_a_step_that_is_not_in_the_table_is_refused"),
        (MACHINE, "World"),
    ],
}


@pytest.mark.parametrize("row", ROWS)
def test_each_of_them_is_tested_where_it_is_said_to_be(row: str) -> None:
    for file, name in ROWS[row]:
        tree = ast.parse((TESTS / file).read_text())
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        assert name in {node.name for node in ast.walk(tree) if isinstance(node, kinds)}, file
    assert ROWS[row]


def test_there_is_no_way_to_start_a_process_in_a_container_from_outside() -> None:
    assert not [name for name in dir(Engine) if "exec" in name]


def test_two_hundred_runs_in_a_container_each_have_their_output_and_leave_no_process(
    engine: PrivateEngine, tmp_path: Path
) -> None:
    one = f"{CONFIG}[languages.python]\nmin = 1\nmax = 1\n"
    with EngineDaemon(tmp_path, engine, config=one) as daemon, daemon.client() as client:
        all_up(daemon)
        before = len(engine.processes())
        results = [client.run("python", f"print({number})") for number in range(200)]
        assert [result.stdout for result in results] == [f"{number}\n" for number in range(200)]
        assert len({result.container.id for result in results}) == 1
        all_up(daemon)
        assert len(engine.processes()) == before


def test_restarts_of_the_daemon_add_no_container(daemon: EngineDaemon) -> None:
    all_up(daemon)
    first = set(daemon.containers())
    for restart in range(3):
        if restart % 2:
            daemon.stop()
        else:
            daemon.process.kill()
            daemon.process.wait()
        daemon.start()
        all_up(daemon)
        again = set(daemon.containers())
        assert len(again) == len(first)
        assert not first & again


async def test_two_daemons_on_one_engine_leave_each_others_containers_alone(
    daemon: EngineDaemon, engine: PrivateEngine, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    async with Wire(daemon.socket) as wire:
        code = "print('begun'); input(); print('ended')"
        run = wire.run(code, stdin={"stream": True})
        await wire.receive_until("run.output")
        with EngineDaemon(other, engine, config=CONFIG) as second:
            all_up(second)
            second.process.kill()
            second.process.wait()
            second.start()
            async with Wire(second.socket) as another:
                await begun(another, 1)
        wire.notify("run.input", id=run, data="\n", eof=True)
        assert (await wire.result(run))["stdout"] == "begun\nended\n"
    recovers(daemon)


async def test_asking_how_it_is_keeps_no_container_young(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("sandboxd.pool.pool.time", clock)
    config = replace(SMALL, pool=PoolConfig(min=1, max=2, max_age=100.0))
    with watched():
        async with Service(tmp_path, config) as service, Wire(service.socket) as wire:
            (first,) = service.engine.guests
            for _ in range(10):
                clock.now += 11
                assert await wire.call("health")
                assert await wire.call("status")
                assert await wire.call("languages")
            await until(lambda: first not in service.engine.guests, "the old one has gone")
