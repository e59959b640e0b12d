"""`sandboxd doctor` on the real engine: what it says of it is so, and nothing is left of it."""

from __future__ import annotations

import asyncio
import io
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from sandboxd.config import Config, PoolConfig
from sandboxd.doctor import Report, Row, State, blockers, report
from sandboxd.doctor.command import run
from sandboxd.doctor.gather import gather
from sandboxd.engine.docker.containers import DockerEngine
from sandboxd.engine.facts import ContainerFacts
from sandboxd.engine.port import ContainerSpec
from tests.support.daemon import RunningDaemon


def left_behind() -> list[str]:
    listed = subprocess.run(
        ["docker", "ps", "--all", "--filter", "name=sandboxd-doctor-", "--format", "{{.Names}}"],
        check=True,
        capture_output=True,
        text=True,
    )
    return listed.stdout.split()


@pytest.fixture
def config(daemon: RunningDaemon) -> Config:
    return Config(socket=str(daemon.socket))


def change(monkeypatch: pytest.MonkeyPatch, **host_config: Any) -> None:
    """The engine then makes another container than the probe's should be."""
    real = DockerEngine.rendered

    async def changed(engine: DockerEngine, wanted: ContainerSpec) -> dict[str, Any]:
        config = await real(engine, wanted)
        return {**config, "HostConfig": {**config["HostConfig"], **host_config}}

    monkeypatch.setattr(DockerEngine, "rendered", changed)


async def look(config: Config) -> tuple[Report, dict[str, Row]]:
    told = report(await gather(config))
    return told, {row.name: row for row in told.rows}


async def test_what_a_real_container_proves_is_in_the_rows(config: Config) -> None:
    told, rows = await look(config)
    proved = (
        "engine",
        "cgroups",
        "memory limit",
        "swap limit",
        "process limit",
        "CPU limit",
        "seccomp",
        "no privileges",
        "own namespaces",
        "read-only root",
        "no network",
        "no logs",
        "real container",
        "images",
    )
    assert {name: rows[name].state for name in proved} == dict.fromkeys(proved, State.OK)
    assert told.exit_code in (0, 1)
    assert told.probe is not None
    assert told.probe.hello["namespaces"] == "1"
    assert told.probe.proof["CapBnd"] == "0000000000000000"
    assert told.probe.faults == []
    assert rows["memory limit"].detail == "512 MiB in the container"


async def test_the_daemon_that_serves_is_found(config: Config, daemon: RunningDaemon) -> None:
    _, rows = await look(config)
    assert rows["daemon"].state is State.OK
    assert f"pid {daemon.process.pid} " in rows["own user"].detail
    assert rows["private socket"].detail.startswith(f"{daemon.socket} 0660 ")


async def test_an_engine_like_this_one_blocks_nothing(config: Config) -> None:
    assert blockers(await gather(config)) == []


async def test_nothing_is_left_behind(config: Config) -> None:
    assert (await look(config))[0].probe is not None
    assert left_behind() == []


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"Memory": 256 << 20}, "memory limit"),
        ({"MemorySwap": 1 << 30}, "swap limit"),
        ({"PidsLimit": 5000}, "process limit"),
        ({"NanoCpus": 2 * 10**9}, "CPU limit"),
        ({"ReadonlyRootfs": False}, "read-only root"),
        ({"SecurityOpt": ["no-new-privileges", "seccomp=unconfined"]}, "seccomp"),
    ],
)
async def test_a_limit_that_a_container_lacks_is_found_out(
    config: Config, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], name: str
) -> None:
    change(monkeypatch, **changes)
    told, rows = await look(config)
    assert told.exit_code == 2
    assert {row.name for row in told.rows if row.state is State.BROKEN} == {name, "real container"}
    assert rows[name].remedy
    assert left_behind() == []


async def test_refused_namespaces_are_named_and_break_nothing(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(monkeypatch, SecurityOpt=["no-new-privileges"])  # Docker's own profile
    told, rows = await look(config)
    assert told.exit_code == 1
    assert rows["own namespaces"].state is State.MISSING
    assert "Operation not permitted" in rows["own namespaces"].detail


async def test_a_container_that_the_engine_refuses_is_told_in_its_words(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(monkeypatch, Runtime="nonsense")
    told, rows = await look(config)
    assert told.exit_code == 2
    assert "nonsense" in rows["real container"].detail
    assert left_behind() == []


def test_the_command_prints_json_and_a_table(
    daemon: RunningDaemon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sandboxd.toml"
    path.write_text(f'socket = "{daemon.socket}"\n')
    out, err = Console(file=io.StringIO()), Console(file=io.StringIO())
    code = run(path, as_json=True, out=out, err=err)
    told = msgspec.json.decode(capsys.readouterr().out, type=Report)
    assert told.exit_code == code
    assert run(path, as_json=False, out=out, err=err) == code
    assert "real container" in out.file.getvalue()  # type: ignore[attr-defined] # a StringIO
    assert left_behind() == []


async def test_a_doctor_that_is_interrupted_leaves_nothing_behind(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def never_answer(_: DockerEngine, __: str) -> ContainerFacts:
        asked.set()
        never: asyncio.Future[ContainerFacts] = asyncio.get_running_loop().create_future()
        return await never

    monkeypatch.setattr(DockerEngine, "describe", never_answer)
    looking = asyncio.create_task(gather(config))
    async with asyncio.timeout(30):
        await asked.wait()
    assert len(left_behind()) == 1
    looking.cancel()
    await asyncio.wait([looking])
    assert looking.cancelled()
    assert left_behind() == []


async def test_a_container_that_takes_too_long_is_told_of_and_removed(
    daemon: RunningDaemon,
) -> None:
    config = Config(socket=str(daemon.socket), pool=PoolConfig(start_timeout=0.0))
    told, rows = await look(config)
    assert told.exit_code == 2
    assert rows["real container"].detail == "its guest was not ready within 0 s"
    assert left_behind() == []
