"""Where the host refuses a child its namespaces, each container is used once."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import msgspec
import pytest

from sandboxd.config import Config
from sandboxd.engine import host
from sandboxd.engine.docker import DockerEngine
from sandboxd.engine.images import Wanted, image_tag
from sandboxd.engine.port import LABEL_INSTANCE, ContainerSpec
from sandboxd.engine.spec import Placement, Shape, container_spec
from sandboxd.languages import BUILTIN, load
from sandboxd.pool.core import Settings
from sandboxd.pool.fleet import Fleet, PoolSpec, Variant
from sandboxd.pool.pool import Plan
from sandboxd.run.active import ActiveRun
from sandboxd.run.limits import to_resources
from sandboxd.run.profiles import Profile, make_profiles
from sandboxd.run.runner import Runner, RunRequest
from sandboxd_client.protocol import Limits, RunResult

INSTANCE = "test-no-namespaces"


class Nobody:
    """A sink for events that the test does not look at."""

    raw = False

    def started(self, run: str, *, warm: bool, queued: float) -> None: ...

    def output(self, seq: int, stream: str, data: bytes) -> None: ...

    def stdin_taken(self, count: int) -> None: ...

    def when_writable(self, callback: object) -> bool:
        return False


@pytest.fixture
async def runner() -> AsyncIterator[Runner]:
    """Runs in containers whose seccomp profile, Docker's own, allows no namespaces."""
    config = Config()
    languages = load(BUILTIN)
    profiles = make_profiles(config, languages)
    python = profiles["python"]
    resources = to_resources(python.limits, python.language)
    shape = Shape(
        profile="python",
        language=python.language,
        image=image_tag(Wanted(python.language)),
        resources=resources,
        tmp=python.limits.tmp,
        tmp_inodes=1000,
        nofile=100,
        fsize=python.limits.tmp,
    )

    def spec(slot: int) -> ContainerSpec:
        serial = secrets.token_hex(4)
        made = container_spec(shape, Placement(INSTANCE, serial, slot, 60706 + slot))
        host_config = made.config["HostConfig"] | {"SecurityOpt": ["no-new-privileges"]}
        return msgspec.structs.replace(made, config=made.config | {"HostConfig": host_config})

    def plan(_: Variant) -> Plan:
        return Plan("python", "python", spec, resources, warmup=None, start_timeout=30.0, queue=10)

    async with (
        DockerEngine(host.address(None), config.engine) as engine,
        Fleet(engine, INSTANCE, starts=2) as fleet,
    ):
        settings = Settings(min=1, max=2, max_uses=100, max_age=1000.0, reuse="any")
        fleet.configure({"python": PoolSpec(plan, settings, Variant(), key=1)})
        runner = Runner(fleet, lambda _: None, there)
        runner.configure(config, languages, profiles)
        yield runner
    async with DockerEngine(host.address(None), config.engine) as engine:
        assert await engine.containers({LABEL_INSTANCE: INSTANCE}) == []


async def run(runner: Runner, code: str, timeout: float = 20.0) -> RunResult:
    limits = Limits(timeout=timeout)
    request = RunRequest(owner=0, language="python", code=code, limits=limits, stream=False)
    return await runner.run(request, Nobody(), ignore)


async def there(_: Profile) -> None: ...


def ignore(_: ActiveRun) -> None: ...


async def test_no_container_is_used_twice(runner: Runner) -> None:
    results = [await run(runner, "open('/tmp/x', 'x'); print('hello')") for _ in range(4)]
    assert [(each.stdout, each.stderr) for each in results] == [("hello\n", "")] * 4
    assert len({each.container.id for each in results}) == 4
    assert {each.container.uses for each in results} == {1}


async def test_a_timeout_and_what_hangs_on_are_ended_too(runner: Runner) -> None:
    code = "import os, time\nif os.fork() == 0: os.setsid()\nprint(1, flush=True)\ntime.sleep(100)"
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
