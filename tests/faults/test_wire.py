"""The engine answers with errors, late, or not so that it is heard; or its disk is full."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.asking import (
    all_up,
    assert_one_answer,
    begun,
    keeps_only_its_own,
    problems,
    recovers,
    refused,
)
from tests.faults.broken_wire import BrokenWire
from tests.faults.conftest import CONFIG
from tests.support.private_engine import EngineDaemon, PrivateEngine
from tests.support.wire import Wire

FRESH = {"reuse": "never"}
"""Each such run takes a container, so that another one must be made."""
WORDS = "failed to reticulate the splines"


async def until_refused(wire: Wire, kind: str, **params: object) -> str:
    """Runs until one of them is not served by what was ready before; what it is told."""
    while True:
        run = wire.run("print(1)", **params)
        answer = await wire.answer(run)
        if "error" in answer:
            assert_one_answer(wire, [run])
            return await refused(wire, run, kind)


@pytest.mark.parametrize("call", ["create", "attach", "start"])
async def test_an_error_of_the_engine_is_told_in_its_words_and_over_when_it_is_over(
    wired_daemon: EngineDaemon, wire: BrokenWire, call: str
) -> None:
    all_up(wired_daemon)
    wire.refuse(call, WORDS)
    async with Wire(wired_daemon.socket) as asking:
        assert WORDS in await until_refused(asking, "start_failed", **FRESH)
    with wired_daemon.client() as client:
        assert client.health().status == "degraded"
        assert WORDS in problems(client)["pool python"]
    wire.mend()
    recovers(wired_daemon)
    keeps_only_its_own(wired_daemon)


@pytest.mark.parametrize("call", ["create", "attach", "start"])
async def test_a_lost_answer_is_told_and_leaves_no_container(
    wired_daemon: EngineDaemon, wire: BrokenWire, call: str
) -> None:
    all_up(wired_daemon)
    wire.lose_answer(call)
    async with Wire(wired_daemon.socket) as asking:
        assert call in await until_refused(asking, "engine_unavailable", **FRESH)
    with wired_daemon.client() as client:
        assert client.health().status == "degraded"
        assert call in problems(client)["pool python"]
    wire.mend()
    recovers(wired_daemon)
    keeps_only_its_own(wired_daemon)


@pytest.mark.long
async def test_containers_that_cannot_be_removed_are_told_of_and_do_not_pile_up(
    wired_daemon: EngineDaemon, wire: BrokenWire
) -> None:
    all_up(wired_daemon)
    wire.refuse("remove", WORDS)
    async with Wire(wired_daemon.socket) as asking:
        assert WORDS in await until_refused(asking, "start_failed", **FRESH)
    with wired_daemon.client() as client:
        assert client.health().status == "degraded"
        assert WORDS in problems(client)["pool python"]
        assert all(pool.size <= 3 for pool in client.status().pools)
    wire.mend()
    recovers(wired_daemon)
    keeps_only_its_own(wired_daemon)


async def test_a_removal_whose_answer_is_lost_is_asked_for_again(
    wired_daemon: EngineDaemon, wire: BrokenWire
) -> None:
    wire.lose_answer("remove", times=1)
    async with Wire(wired_daemon.socket) as asking:
        for _ in range(5):
            assert await asking.result(asking.run("print(1)", **FRESH))
    recovers(wired_daemon)
    keeps_only_its_own(wired_daemon)


async def test_an_answer_that_is_late_is_waited_for(
    wired_daemon: EngineDaemon, wire: BrokenWire
) -> None:
    async with Wire(wired_daemon.socket) as asking:
        all_up(wired_daemon)
        with wire.delay_answer("create"):
            runs = [asking.run("print(1)", **FRESH) for _ in range(3)]
            await asking.receive_until("run.started")  # in the one that was there
            assert await asking.call("languages")
        for each in runs:
            assert (await asking.result(each))["stdout"] == "1\n"
        assert_one_answer(asking, runs)
    recovers(wired_daemon)


@pytest.mark.long
async def test_an_answer_that_does_not_come_in_time_is_told(
    wired_daemon: EngineDaemon, wire: BrokenWire
) -> None:
    async with Wire(wired_daemon.socket) as asking:
        with wire.delay_answer("start"):
            message = await until_refused(asking, "engine_unavailable", **FRESH)
            assert "did not start" in message
            assert "overloaded or hung" in message
    recovers(wired_daemon)
    keeps_only_its_own(wired_daemon)


async def test_limits_that_the_engine_does_not_take_are_told_and_no_run_begins(
    wired_daemon: EngineDaemon, wire: BrokenWire
) -> None:
    wire.refuse("update", WORDS, times=1)
    async with Wire(wired_daemon.socket) as asking:
        run = asking.run("print(1)", limits={"cpus": 0.5})
        assert WORDS in await refused(asking, run, "start_failed")
        assert asking.events(run, "run.started") == []
    recovers(wired_daemon)
    keeps_only_its_own(wired_daemon)


async def test_connections_to_containers_that_are_cut_cost_their_runs_alone(
    wired_daemon: EngineDaemon, wire: BrokenWire
) -> None:
    async with Wire(wired_daemon.socket) as asking:
        runs = await begun(asking, 2)
        wire.cut_attached()
        for each in runs:
            message = await refused(asking, each, "engine_unavailable")
            assert "how the program ended is not known" in message
        assert_one_answer(asking, runs)
    recovers(wired_daemon)
    keeps_only_its_own(wired_daemon)


def test_a_container_that_the_engine_lists_without_a_name_is_passed_over(
    engine: PrivateEngine, wire: BrokenWire, tmp_path: Path
) -> None:
    """One that it failed to remove has none any more."""
    wire.pretend("list", [{"Id": "0" * 64, "Names": [], "State": "dead"}])
    with EngineDaemon(tmp_path, engine, config=CONFIG, host=wire.host) as daemon:
        recovers(daemon)


async def test_an_image_that_is_gone_is_told_and_used_again_once_it_is_back(
    daemon: EngineDaemon, engine: PrivateEngine
) -> None:
    all_up(daemon)
    with daemon.client() as client:
        (image,) = {each.image for each in client.languages() if each.name == "python"}
    engine.docker("tag", image, "kept")
    engine.docker("rmi", "--force", image)
    try:
        async with Wire(daemon.socket) as asking:
            assert image in await until_refused(asking, "image_unavailable", **FRESH)
        with daemon.client() as client:
            assert client.health().status == "degraded"
            assert image in problems(client)["pool python"]
    finally:
        engine.docker("tag", "kept", image)
        engine.docker("rmi", "kept")
    recovers(daemon)
    keeps_only_its_own(daemon)


async def test_a_full_disk_is_told_in_the_error_and_in_health_and_costs_no_run_that_is_warm(
    daemon: EngineDaemon, engine: PrivateEngine
) -> None:
    all_up(daemon)
    async with Wire(daemon.socket) as asking:
        with engine.full_disk():
            message = await until_refused(asking, "start_failed", **FRESH)
            assert "no space left on device" in message
            bash = asking.ask("run", {"language": "bash", "code": "echo 1"})
            assert (await asking.result(bash))["stdout"] == "1\n"
            health = await asking.call("health")
            assert health["status"] == "degraded"
            assert "no space left on device" in health["checks"]["pool python"]["detail"]
    recovers(daemon)
    keeps_only_its_own(daemon)


async def test_no_path_of_the_host_is_in_what_is_told_of_the_engine(
    daemon: EngineDaemon, engine: PrivateEngine
) -> None:
    all_up(daemon)
    async with Wire(daemon.socket) as asking:
        with engine.full_disk():
            message = await until_refused(asking, "start_failed", **FRESH)
            health = await asking.call("health")
        engine.hang()
        down = await asking.call("health")
        engine.go_on()
    assert str(engine.folder) not in message
    assert str(engine.folder) not in str(health)
    assert str(engine.folder) not in str(down)
