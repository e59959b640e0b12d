"""What lives longer than a request, sessions and kept runs, where engine or daemon fail: it is
said that it is lost, once to each who asks, and nothing of it is left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.asking import (
    SLEEP,
    all_up,
    assert_one_answer,
    keeps_only_its_own,
    recovers,
    refused,
)
from tests.support.daemon import eventually
from tests.support.private_engine import EngineDaemon, PrivateEngine
from tests.support.wire import Wire

UNKNOWN_END = "how the program ended is not known"


def kill_containers(engine: PrivateEngine) -> None:
    engine.docker("kill", *engine.docker("ps", "--format", "{{.Names}}").split())


losses = pytest.mark.parametrize(
    "lose",
    [
        pytest.param(PrivateEngine.kill, id="engine killed"),
        pytest.param(PrivateEngine.restart, id="engine restarted"),
        pytest.param(kill_containers, id="containers killed"),
    ],
)
Loss = Callable[[PrivateEngine], None]


async def open_session(wire: Wire, **params: Any) -> str:
    opened = await wire.call("session.open", {"language": "python", **params})
    session: str = opened["session"]
    return session


async def start_kept(wire: Wire) -> tuple[Any, str]:
    """A kept run that has printed something and then sleeps: its request, and its name."""
    identity = wire.run(SLEEP, keep=True)
    started = await wire.receive_until("run.started")
    while wire.output(identity) != b"begun\n":
        await wire.receive()
    return identity, started["run"]


@losses
async def test_a_session_that_is_lost_says_so_to_who_uses_it_and_a_new_one_can_be_opened(
    daemon: EngineDaemon, engine: PrivateEngine, lose: Loss
) -> None:
    async with Wire(daemon.socket) as wire:
        used, idle = await open_session(wire), await open_session(wire)
        run = wire.run(SLEEP, session=used)
        await wire.receive_until("run.output")
        waiting = wire.run("print(1)", session=used)
        # An engine that is killed while it starts a container forgets it, and it lives on.
        all_up(daemon)
        lose(engine)
        assert "session was lost" in await refused(wire, run, "engine_unavailable")
        assert "container was lost" in await refused(wire, waiting, "session_not_found")
        engine.revive()
        recovers(daemon)
        for session in (used, idle):
            await refused(wire, wire.run("print(1)", session=session), "session_not_found")
        assert await wire.call("session.list") == []
        again = wire.run("print(2)", session=await open_session(wire))
        assert (await wire.result(again))["stdout"] == "2\n"
        assert_one_answer(wire, [run, waiting])


@losses
async def test_a_kept_run_that_is_lost_is_told_to_all_who_ask_for_it(
    daemon: EngineDaemon, engine: PrivateEngine, lose: Loss
) -> None:
    async with Wire(daemon.socket) as first, Wire(daemon.socket) as second:
        started, run = await start_kept(first)
        joined = second.ask("run.attach", {"run": run})
        await second.receive_until("run.output")
        all_up(daemon)
        lose(engine)
        late = second.ask("run.attach", {"run": run})
        assert UNKNOWN_END in await refused(first, started, "engine_unavailable")
        for identity in (joined, late):
            assert UNKNOWN_END in await refused(second, identity, "engine_unavailable")
        engine.revive()
        recovers(daemon)
        await second.everything()
        assert_one_answer(first, [started])
        assert_one_answer(second, [joined, late])
    keeps_only_its_own(daemon)


async def test_a_session_and_a_kept_run_outlive_a_while_in_which_the_engine_hangs(
    daemon: EngineDaemon, engine: PrivateEngine
) -> None:
    async with Wire(daemon.socket) as wire:
        session = await open_session(wire)
        await wire.result(wire.run("x = 42", session=session))
        kept = wire.run("print('begun'); input(); print('ended')", keep=True,
                        stdin={"stream": True})  # fmt: skip
        await wire.receive_until("run.output")
        engine.hang()
        run = wire.run("print(x)", session=session)
        wire.notify("run.input", id=kept, data="\n", eof=True)
        assert await wire.call("session.list")
        engine.go_on()
        assert (await wire.result(run))["stdout"] == "42\n"
        assert (await wire.result(kept))["stdout"] == "begun\nended\n"
    recovers(daemon)


async def test_kill_9_of_the_daemon_takes_its_sessions_and_kept_runs_with_it(
    daemon: EngineDaemon, engine: PrivateEngine
) -> None:
    async with Wire(daemon.socket) as wire:
        session = await open_session(wire, keep=True)
        await wire.result(wire.run("x = 1", session=session))
        started, run = await start_kept(wire)
        all_up(daemon)
        daemon.process.kill()
        daemon.process.wait()
        await wire.until_closed()
        assert wire.answers(started) == []
    eventually(lambda: engine.processes() == [], "no process is left")
    daemon.start()
    async with Wire(daemon.socket) as wire:
        assert await wire.call("session.list") == []
        await refused(wire, wire.run("print(x)", session=session), "session_not_found")
        await refused(wire, wire.ask("run.attach", {"run": run}), "run_not_found")
    recovers(daemon)
    keeps_only_its_own(daemon)
