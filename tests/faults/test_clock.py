"""The wall clock jumps, as it does when a machine hears the time: nobody is late by it."""

from __future__ import annotations

import os
import shlex
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.faults.asking import all_up, assert_one_answer
from tests.faults.conftest import CONFIG
from tests.support.private_engine import EngineDaemon, PrivateEngine
from tests.support.wire import Wire

YEAR = 365 * 24 * 3600


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("clock") / "clock.so"
    compiler = shlex.split(os.environ.get("CC", "cc"))
    source = Path(__file__).with_name("clock.c")
    flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(library), str(source)]
    subprocess.run([*compiler, *flags, "-ldl"], check=True)
    return library


@pytest.mark.parametrize("seconds", [10 * YEAR, -10 * YEAR])
async def test_a_jump_of_the_wall_clock_ends_no_run_and_no_container(
    engine: PrivateEngine, tmp_path: Path, clock: Path, seconds: int
) -> None:
    jump = tmp_path / "jump"
    jump.write_text("0")
    environment = {"LD_PRELOAD": str(clock), "JUMP": str(jump)}
    code = "print('begun'); input(); print('ended')"
    with EngineDaemon(tmp_path, engine, config=CONFIG, environment=environment) as daemon:
        all_up(daemon)
        before = set(daemon.containers())
        async with Wire(daemon.socket) as wire:
            run = wire.run(code, stdin={"stream": True}, limits={"timeout": 20.0})
            await wire.receive_until("run.output")
            jump.write_text(str(seconds))
            assert (await wire.result(wire.run("print(1)")))["stdout"] == "1\n"
            wire.notify("run.input", id=run, data="\n", eof=True)
            result = await wire.result(run)
            assert (result["status"], result["stdout"]) == ("ok", "begun\nended\n")
            assert 0 <= result["duration"] < 20
            assert 0 <= result["timings"]["queued"] < 20
            late = await wire.result(wire.run("while True: pass", limits={"timeout": 0.2}))
            assert late["status"] == "timeout"
            then = datetime.fromisoformat(late["started_at"])
            assert abs(then - datetime.now(UTC) - timedelta(seconds=seconds)) < timedelta(hours=1)
            assert 0 <= (await wire.call("status"))["uptime"] < YEAR
            assert (await wire.call("health"))["status"] == "ok"
            assert_one_answer(wire, [run])
        assert before <= set(daemon.containers())
