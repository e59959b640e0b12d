"""Where the host refuses a child its namespaces, each container is used once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sandboxd.run.runner import Runner
from tests.support.changed import changed_runner, run


def refuse_namespaces(config: dict[str, Any]) -> None:
    """Docker's own profile lets nobody without capabilities make namespaces."""
    config["HostConfig"]["SecurityOpt"] = ["no-new-privileges"]


def refuse_mounts(config: dict[str, Any]) -> None:
    """Docker's own masks on proc keep everybody from mounting another: namespaces can be
    made, and are of no use."""
    del config["HostConfig"]["MaskedPaths"], config["HostConfig"]["ReadonlyPaths"]


@pytest.fixture(params=[refuse_namespaces, refuse_mounts])
async def runner(request: pytest.FixtureRequest) -> AsyncIterator[Runner]:
    async with changed_runner(request.param) as changed:
        yield changed


async def test_no_container_is_used_twice(runner: Runner) -> None:
    results = [await run(runner, "open('/tmp/x', 'x'); print('hello')") for _ in range(4)]
    assert [(each.stdout, each.stderr) for each in results] == [("hello\n", "")] * 4
    assert len({each.container.id for each in results}) == 4
    assert {each.container.uses for each in results} == {1}


async def test_a_timeout_and_what_hangs_on_are_ended_too(runner: Runner) -> None:
    code = "import os, time\nif os.fork() == 0: os.setsid()\nprint(1)\ntime.sleep(100)"
    result = await run(runner, code, timeout=0.5)
    assert (result.status, result.exit_code) == ("timeout", 124)


async def test_the_program_still_has_no_privileges(runner: Runner) -> None:
    code = "print([l for l in open('/proc/self/status') if l[:3] in ('Cap', 'NoN') or 'Uid' in l])"
    result = await run(runner, code)
    assert isinstance(result.stdout, str)
    assert result.stdout.count("0000000000000000") == 5
    assert "NoNewPrivs:\\t1" in result.stdout
    assert "Uid:\\t0" not in result.stdout


async def test_runs_at_once_each_have_their_own_container(runner: Runner) -> None:
    results = await asyncio.gather(*(run(runner, f"print({n})") for n in range(4)))
    assert [each.stdout for each in results] == ["0\n", "1\n", "2\n", "3\n"]


async def test_files_come_out_when_all_processes_have_been_killed(runner: Runner) -> None:
    code = "import os, time\nopen('kept', 'w')\nif os.fork() == 0: time.sleep(100)"
    results = await asyncio.gather(*(run(runner, code, outputs=["*"]) for _ in range(4)))
    kept = [[file.path for file in each.files] for each in results]
    assert kept == [["kept"]] * 4, results[0].files_skipped
    assert {each.status for each in results} == {"ok"}
