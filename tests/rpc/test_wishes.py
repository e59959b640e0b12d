"""What a run may ask for besides its program: files, limits, a network, a profile."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from sandboxd.config import NetworkConfig, PoolConfig, ProfileConfig
from sandboxd.guest.frames import Command
from tests.support.program import Process
from tests.support.service import SMALL, Service, replace
from tests.support.wait import until
from tests.support.wire import Message, Wire

INVALID_PARAMS = -32602


async def run(wire: Wire, code: str = "", **params: Any) -> Any:
    return await wire.result(wire.run(code, **params))


async def error_of(wire: Wire, code: str = "", **params: Any) -> Message:
    return await wire.error(wire.run(code, **params))


# --- files ---


async def test_files_are_laid_before_the_program_begins(wire: Wire) -> None:
    files = {"a/b.txt": "text é", "c": {"base64": "/wA="}}
    result = await run(wire, "show a/b.txt", files=files)
    assert result["stdout"] == "text é"


async def test_files_that_were_asked_for_come_back_in_order(wire: Wire) -> None:
    result = await run(
        wire,
        "write b.txt two\nwrite a.txt one\nwrite sub/c.txt three\nwrite other.bin x",
        outputs=["*.txt", "sub/**"],
    )
    assert result["files"] == [
        {"path": "a.txt", "size": 3, "data": "one", "mode": 0o644},
        {"path": "b.txt", "size": 3, "data": "two", "mode": 0o644},
        {"path": "sub/c.txt", "size": 5, "data": "three", "mode": 0o644},
    ]
    assert result.get("files_skipped", []) == []


@pytest.mark.parametrize("code", ["exit 3", "signal 9", "hang"])
async def test_files_come_back_also_from_a_program_that_failed(wire: Wire, code: str) -> None:
    limits = {"timeout": 0.05}
    result = await run(wire, f"write a kept\n{code}", outputs=["*"], limits=limits)
    assert result["status"] != "ok"
    assert [file["data"] for file in result["files"]] == ["kept"]


async def test_a_large_file_that_is_no_text_comes_back_whole(service: Service, wire: Wire) -> None:
    data = bytes(range(256)) * 1000

    async def write(process: Process) -> int:
        process.guest.work.files["big"] = bytearray(data)
        process.guest.work.files["folder/"] = bytearray()
        return 0

    service.engine.programs["write"] = write
    (file,) = (await run(wire, "write", outputs=["**"]))["files"]
    assert file["size"] == len(data)
    assert set(file["data"]) == {"base64"}


async def test_what_does_not_come_back_is_listed_with_the_reason(wire: Wire) -> None:
    result = await run(
        wire, "write a 12345\nwrite b 123456", outputs=["*"], limits={"files_total": 9}
    )
    assert [file["path"] for file in result["files"]] == ["a"]
    (skipped,) = result["files_skipped"]
    assert skipped["path"] == "b"
    assert "files_total" in skipped["why"]


async def test_a_container_is_used_again_after_its_files_were_read(
    service: Service, wire: Wire
) -> None:
    await run(wire, "write a x", outputs=["a"])
    await until(lambda: service.pool().recycled == 1, "it is used again")
    assert service.engine.seen[0].heard[Command.RELEASE] == 1


async def test_files_past_their_limit_are_refused_with_it(service: Service, wire: Wire) -> None:
    error = await error_of(wire, files={"a": "123456"}, limits={"files_total": 5})
    assert error["data"] == {"kind": "payload_too_large", "limit": "files_total", "max": 5}
    assert service.pool().handed_out == 0


@pytest.mark.parametrize("path", ["../a", "/etc/passwd", "", "a//b", "main.py"])
async def test_a_path_that_cannot_be_is_refused(wire: Wire, path: str) -> None:
    error = await error_of(wire, files={path: ""})
    assert error["code"] == INVALID_PARAMS
    assert "files" in error["message"]


async def test_files_for_which_there_is_no_room_are_an_error_that_says_so(
    service: Service, wire: Wire
) -> None:
    service.engine.seen[0].work.room = 10
    error = await error_of(wire, "out never", files={"a": "x" * 100})
    assert error["data"]["kind"] == "payload_too_large"
    assert os.strerror(errno.ENOSPC) in error["message"]
    await until(service.engine.seen[0].gone.is_set, "its container is destroyed")
    assert (await run(wire, "out again"))["stdout"] == "again\n"


async def test_a_container_that_is_lost_before_its_files_are_read_is_an_error(
    service: Service, wire: Wire
) -> None:
    service.engine.temper.fleeting = True
    error = await error_of(wire, "write a x", outputs=["*"])
    assert error["data"]["kind"] == "engine_unavailable"


async def test_a_run_that_is_cancelled_with_files_to_read_gives_its_container_back(
    service: Service, wire: Wire
) -> None:
    identity = wire.run("out begun\nhang", outputs=["*"])
    await wire.receive_until("run.output")
    wire.notify("$/cancelRequest", id=identity)
    assert (await wire.error(identity))["code"] == -32800
    await until(lambda: service.pool().busy == 0, "it is given back")


# --- limits ---


async def test_limits_of_a_runs_own_are_set_and_taken_back(service: Service, wire: Wire) -> None:
    await run(wire, limits={"memory": "256MiB", "cpus": 0.5, "pids": 10})
    await until(lambda: service.pool().recycled == 1, "it is used again")
    own, usual = service.engine.seen[0].resources
    assert (own.memory, own.cpus) == (2**28, 0.5)
    assert usual.memory == 2**29
    assert usual.pids - own.pids == 90


async def test_a_size_of_its_own_for_files_is_told_to_the_guest(
    service: Service, wire: Wire
) -> None:
    await run(wire)
    assert service.engine.seen[0].heard[Command.SIZE] == 0
    await until(lambda: service.pool().recycled == 1, "it is used again")
    await run(wire, limits={"tmp": "1MiB"})
    assert sum(guest.heard[Command.SIZE] for guest in service.engine.seen) == 1


@pytest.mark.parametrize(
    ("limits", "limit"),
    [
        ({"memory": "100GiB"}, "memory"),
        ({"pids": 100_000}, "pids"),
        ({"cpus": 1000}, "cpus"),
        ({"tmp": "400MiB"}, "tmp"),
    ],
)
async def test_limits_past_the_maximum_are_refused_before_a_container_is_taken(
    service: Service, wire: Wire, limits: Message, limit: str
) -> None:
    error = await error_of(wire, limits=limits)
    assert error["data"]["kind"] == "invalid_limits"
    assert error["data"]["limit"] == limit
    assert error["data"]["max"] > 0
    assert service.pool().handed_out == 0


# --- network, root, profile, label ---


async def test_the_network_needs_the_operators_leave(wire: Wire) -> None:
    error = await error_of(wire, network=True)
    assert error["data"]["kind"] == "not_permitted"
    assert "[network] allow" in error["message"]


async def test_with_leave_a_run_has_the_network_in_a_container_of_its_own(tmp_path: Path) -> None:
    config = replace(SMALL, network=NetworkConfig(allow=True))
    async with Service(tmp_path, config) as service, Wire(service.socket) as wire:
        result = await run(wire, "out online", network=True)
        assert (result["stdout"], result["container"]["uses"]) == ("online\n", 1)
        plain = await run(wire)
        assert plain["container"]["id"] != result["container"]["id"]
        networks = [spec.network for spec in service.engine.specs]
        assert networks[0] is None
        assert "bridge" in networks


async def test_a_writable_root_is_a_container_of_its_own_that_is_used_once(
    service: Service, wire: Wire
) -> None:
    for _ in range(2):
        result = await run(wire, read_only=False)
        assert result["container"]["uses"] == 1
    commands = [spec.argv for spec in service.engine.specs]
    assert "--writable-root" not in commands[0]
    assert sum("--writable-root" in command for command in commands) >= 2


async def test_a_named_profile_is_used_and_an_unknown_one_refused_with_those_that_exist(
    tmp_path: Path,
) -> None:
    profiles = {
        "small": ProfileConfig(language="python", limits={"timeout": 0.05}),
        "web": ProfileConfig(language="ruby"),
    }
    config = replace(SMALL, pool=PoolConfig(min=1, max=2), profiles=profiles)
    async with (
        Service(tmp_path, config) as service,
        Wire(service.socket) as wire,
    ):
        assert (await run(wire, "hang", profile="small"))["status"] == "timeout"
        assert service.pool("small").handed_out == 1
        for wrong in ("none", "web"):
            error = await error_of(wire, profile=wrong)
            assert error["code"] == INVALID_PARAMS
            assert "python, small" in error["message"]


async def test_a_label_may_have_200_characters(wire: Wire) -> None:
    await run(wire, label="é" * 200)
    error = await error_of(wire, label="é" * 201)
    assert error["code"] == INVALID_PARAMS
    assert "label" in error["message"]
