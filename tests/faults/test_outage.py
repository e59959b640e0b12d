"""The engine goes away, hangs, or comes late: clients are told, and nothing else is needed
for the daemon to serve again but that the engine does."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from sandboxd_client import Client, SandboxError
from tests.faults.asking import (
    all_up,
    assert_one_answer,
    begun,
    keeps_only_its_own,
    problems,
    recovers,
    refused,
)
from tests.faults.conftest import CONFIG
from tests.support.daemon import eventually
from tests.support.private_engine import EngineDaemon, PrivateEngine
from tests.support.wire import Wire

UNKNOWN_END = "how the program ended is not known"

outages = pytest.mark.parametrize(
    ("stop", "go_on"),
    [
        pytest.param(PrivateEngine.kill, PrivateEngine.start, id="killed"),
        pytest.param(PrivateEngine.hang, PrivateEngine.go_on, id="hung"),
    ],
)
Deed = Callable[[PrivateEngine], None]


@pytest.mark.long
async def test_runs_whose_engine_is_killed_are_told_once_and_the_next_ones_why(
    daemon: EngineDaemon, engine: PrivateEngine
) -> None:
    async with Wire(daemon.socket) as wire:
        runs = await begun(wire, 2)
        all_up(daemon)
        engine.kill()
        for each in runs:
            assert UNKNOWN_END in await refused(wire, each, "engine_unavailable")
        new = [wire.run("print(1)") for _ in range(3)]
        for each in new:
            assert "cannot be reached" in await refused(wire, each, "engine_unavailable")
        health = await wire.call("health")
        assert health["status"] == "down"
        assert "cannot be reached" in health["checks"]["engine"]["detail"]
        engine.start()
        recovers(daemon)
        await wire.everything()
        assert_one_answer(wire, runs + new)
    keeps_only_its_own(daemon)


async def test_an_engine_that_is_restarted_costs_the_runs_under_way_and_no_others(
    daemon: EngineDaemon, engine: PrivateEngine
) -> None:
    async with Wire(daemon.socket) as wire:
        runs = await begun(wire, 2)
        engine.restart()
        for each in runs:
            assert UNKNOWN_END in await refused(wire, each, "engine_unavailable")
        recovers(daemon)
        await wire.everything()
        assert_one_answer(wire, runs)
    keeps_only_its_own(daemon)


@pytest.mark.long
async def test_a_run_whose_engine_hangs_is_told_within_its_deadline_and_others_are_not_held_up(
    daemon: EngineDaemon, engine: PrivateEngine
) -> None:
    async with Wire(daemon.socket) as wire:
        runs = await begun(wire, 2, limits={"timeout": 1.0})
        engine.hang()
        late = wire.run("print(1)", limits={"timeout": 1.0})
        assert await wire.call("languages")
        for each in runs:
            await refused(wire, each, "engine_unavailable")
        # Whether its place was made before or not, it is told as soon.
        assert (await wire.error(late))["data"]["kind"] in ("engine_unavailable", "queue_full")
        runs.append(late)
        health = await wire.call("health")
        assert health["status"] == "down"
        assert "overloaded or hung" in health["checks"]["engine"]["detail"]
        engine.go_on()
        recovers(daemon)
        await wire.everything()
        assert_one_answer(wire, runs)
    keeps_only_its_own(daemon)


async def test_a_run_goes_on_where_its_engine_hung_for_a_while(
    daemon: EngineDaemon, engine: PrivateEngine
) -> None:
    async with Wire(daemon.socket) as wire:
        code = "print('begun'); input(); print('x' * 100_000)"
        run = wire.run(code, stdin={"stream": True})
        await wire.receive_until("run.output")
        engine.hang()
        wire.notify("run.input", id=run, data="\n")
        assert await wire.call("languages")
        engine.go_on()
        result = await wire.result(run)
        assert (result["status"], result["stdout"]) == ("ok", "begun\n" + "x" * 100_000 + "\n")
    recovers(daemon)


@pytest.mark.long
def test_a_daemon_that_starts_before_its_engine_says_so_and_serves_once_it_is_there(
    engine: PrivateEngine, tmp_path: Path
) -> None:
    engine.kill()
    with EngineDaemon(tmp_path, engine, config=CONFIG) as daemon, daemon.client() as client:
        assert client.health().status == "down"
        assert "cannot be reached" in problems(client)["engine"]
        engine.start()
        eventually(lambda: can_run(client), "a run is served")
        recovers(daemon)


def can_run(client: Client) -> bool:
    with contextlib.suppress(SandboxError):
        return client.run("python", "print(1)").stdout == "1\n"
    return False


@pytest.mark.long
@outages
def test_a_daemon_ends_when_it_is_told_to_though_its_engine_does_not_answer(
    daemon: EngineDaemon, engine: PrivateEngine, stop: Deed, go_on: Deed
) -> None:
    all_up(daemon)
    stop(engine)
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(30) == 0
    assert not daemon.socket.exists()
    go_on(engine)


@pytest.mark.long
async def test_runs_that_outlast_the_drain_are_told_though_their_engine_hangs(
    daemon: EngineDaemon, engine: PrivateEngine
) -> None:
    async with Wire(daemon.socket) as wire:
        runs = await begun(wire, 2)
        engine.hang()
        daemon.process.send_signal(signal.SIGTERM)
        await wire.until_closed()
        for each in runs:
            await refused(wire, each, "shutting_down")
        assert_one_answer(wire, runs)
    assert daemon.process.wait(30) == 0
    engine.go_on()


def test_a_configuration_that_is_read_while_the_engine_hangs_costs_no_container(
    daemon: EngineDaemon, engine: PrivateEngine
) -> None:
    all_up(daemon)
    with daemon.client() as client:
        before = set(daemon.containers())
        engine.hang()
        daemon.process.send_signal(signal.SIGHUP)
        eventually(lambda: "configuration reloaded" in daemon.log.read_text(), "it was read")
        engine.go_on()
        assert client.run("python", "print(1)").stdout == "1\n"
        recovers(daemon)
        assert before <= set(daemon.containers())


def kill(engine: PrivateEngine, names: list[str]) -> None:
    engine.docker("kill", *names)


def remove(engine: PrivateEngine, names: list[str]) -> None:
    engine.docker("rm", "--force", *names)


def stop(engine: PrivateEngine, names: list[str]) -> None:
    engine.docker("stop", "--time", "0", *names)


@pytest.mark.parametrize("deed", [kill, remove, stop])
async def test_containers_that_somebody_ends_cost_their_runs_and_are_replaced(
    daemon: EngineDaemon,
    engine: PrivateEngine,
    deed: Callable[[PrivateEngine, list[str]], None],
) -> None:
    async with Wire(daemon.socket) as wire:
        for _ in range(2):
            runs = await begun(wire, 2)
            all_up(daemon)
            deed(engine, engine.docker("ps", "--format", "{{.Names}}").split())
            for each in runs:
                assert UNKNOWN_END in await refused(wire, each, "engine_unavailable")
            recovers(daemon)
            await wire.everything()
            assert_one_answer(wire, runs)
    keeps_only_its_own(daemon)


@pytest.mark.long
async def test_a_container_that_somebody_pauses_is_given_up_and_replaced(
    engine: PrivateEngine, tmp_path: Path
) -> None:
    """It can neither end its run nor die: the daemon's own deadline is what is left."""
    one = f"{CONFIG}[languages.python]\nmin = 1\nmax = 1\n"
    with EngineDaemon(tmp_path, engine, config=one) as daemon:
        async with Wire(daemon.socket) as wire:
            (run,) = await begun(wire, 1, limits={"timeout": 1.0})
            (paused,) = [each for each in engine.containers() if each.endswith("-python")]
            engine.docker("pause", paused)
            assert UNKNOWN_END in await refused(wire, run, "engine_unavailable")
            recovers(daemon)
            await wire.everything()
            assert_one_answer(wire, [run])
        assert paused not in engine.containers()
