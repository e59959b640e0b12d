"""Each method, as it looks on the wire."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from structlog.typing import EventDict

from sandboxd.config import PoolConfig
from sandboxd.errors import EngineUnavailableError, StartFailedError
from tests.support.service import SMALL, Service, replace
from tests.support.wait import until
from tests.support.wire import Wire


async def run(wire: Wire, code: str = "", **params: Any) -> Any:
    return await wire.result(wire.run(code, **params))


async def test_initialize_tells_who_serves_and_within_what_limits(wire: Wire) -> None:
    result = await wire.call("initialize", {"client": "test", "protocol": 1})
    assert result["server"] == "sandboxd"
    assert result["protocol"] == 1
    assert re.fullmatch(r"\d+\.\d+\.\d+", result["version"])
    assert result["engine"] == {"name": "double", "version": "1.0", "isolation": ["none"]}
    assert {"python", "go", "bash"} <= set(result["languages"])
    assert result["limits"]["default"]["timeout"] == 30.0
    assert result["limits"]["default"]["output"] == 2**20
    assert result["limits"]["max"]["output"] == 2**40


async def test_initialize_works_while_the_engine_does_not(service: Service, wire: Wire) -> None:
    service.engine.on["info"].fail(EngineUnavailableError("down"))
    assert (await wire.call("initialize"))["engine"]["name"] == "unknown"


async def test_a_run_answers_with_all_that_is_known_of_its_end(wire: Wire) -> None:
    result = await run(wire, "out hello\nerr oops\nexit 3")
    assert re.fullmatch(r"[0-9a-f]{16}", result["run"])
    assert (result["language"], result["status"], result["exit_code"]) == ("python", "error", 3)
    assert (result["stdout"], result["stderr"], result["signal"]) == ("hello\n", "oops\n", None)
    assert result["truncated"] == {"stdout": False, "stderr": False}
    assert result["duration"] == result["timings"]["ran"] == pytest.approx(0.001)
    assert result["timings"]["queued"] == 0.0
    assert result["timings"]["handed_out"] >= 0.0
    assert result["usage"] == {"cpu": pytest.approx(0.002), "memory_peak": 4096}
    assert result["warm"] is True
    assert result["container"]["uses"] == 1
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT.*\+00:00", result["started_at"])
    assert result.get("error") is None


@pytest.mark.parametrize(
    ("code", "status", "exit_code", "signal"),
    [
        ("", "ok", 0, None),
        ("exit 124", "error", 124, None),
        ("exit 137", "error", 137, None),
        ("signal 11", "error", 139, 11),
        ("signal 9", "error", 137, 9),
        ("oom", "oom", 137, 9),
    ],
)
async def test_a_program_that_fails_is_a_result(
    wire: Wire, code: str, status: str, exit_code: int, signal: int | None
) -> None:
    result = await run(wire, code)
    assert (result["status"], result["exit_code"], result["signal"]) == (status, exit_code, signal)


async def test_a_timeout_keeps_what_was_printed_before_it(wire: Wire) -> None:
    result = await run(wire, "out before\nhang", limits={"timeout": 0.01})
    assert (result["status"], result["exit_code"]) == ("timeout", 124)
    assert result["stdout"] == "before\n"


async def test_output_past_its_limit_is_cut_and_marked_and_the_run_goes_on(wire: Wire) -> None:
    result = await run(wire, "out 123456789\nerr fine\nexit 5", limits={"output": 5})
    assert (result["stdout"], result["stderr"]) == ("12345", "fine\n")
    assert result["truncated"] == {"stdout": True, "stderr": False}
    assert (result["status"], result["exit_code"]) == ("error", 5)


async def test_output_cut_at_its_limit_in_the_middle_of_a_character_is_still_text(
    wire: Wire,
) -> None:
    identity = wire.run("out aaé", limits={"output": 3})
    result = await wire.result(identity)
    assert result["stdout"] == "aa"
    assert all(isinstance(event["data"], str) for event in wire.events(identity))


async def test_a_flood_ends_the_run(wire: Wire) -> None:
    result = await run(wire, "flood 10000000\nhang", limits={"output": 1000})
    assert result["status"] == "output_limit"
    assert result["stdout"] == "x" * 1000


async def test_output_that_is_no_text_comes_in_base64(service: Service, wire: Wire) -> None:
    async def binary(process: Any) -> int:
        await process.write(b"\xff\x00\xfe")
        return 0

    service.engine.programs["binary"] = binary
    identity = wire.run("binary")
    assert (await wire.result(identity))["stdout"] == {"base64": "/wD+"}
    assert wire.output(identity) == b"\xff\x00\xfe"


async def test_arguments_and_environment_reach_the_program(wire: Wire) -> None:
    args = ["a b", "", "é\n'\"", "--"]
    result = await run(wire, "args\nenv NAME", args=args, env={"NAME": "väl=ue"})
    assert result["stdout"] == "".join(f"{each}\n" for each in [*args, "väl=ue"])


async def test_without_capture_the_result_holds_no_output(wire: Wire) -> None:
    identity = wire.run("out hello", capture=False)
    result = await wire.result(identity)
    assert result["stdout"] is None
    assert result["stderr"] is None
    assert wire.output(identity) == b"hello\n"


async def test_without_streaming_output_comes_in_the_result_alone(wire: Wire) -> None:
    identity = wire.run("out hello", stream=False)
    assert (await wire.result(identity))["stdout"] == "hello\n"
    assert wire.events(identity) == []


async def test_an_owners_next_run_has_the_same_container_unless_it_asks_for_a_fresh_one(
    tmp_path: Path,
) -> None:
    async with (
        Service(tmp_path, replace(SMALL, pool=PoolConfig(min=1, max=1))) as service,
        Wire(service.socket) as wire,
    ):
        first = await run(wire)
        await service.all_idle()
        second = await run(wire)
        assert second["container"] == {"id": first["container"]["id"], "uses": 2}
        third = await run(wire, reuse="never")
        assert third["container"]["uses"] == 1
        fourth = await run(wire)
        assert fourth["container"]["uses"] == 1
        ids = {each["container"]["id"] for each in (first, third, fourth)}
        assert len(ids) == 3


async def test_languages_tells_what_can_be_run(wire: Wire) -> None:
    told = {each["name"]: each for each in await wire.call("languages")}
    python, go = told["python"], told["go"]
    assert ("py" in python["aliases"], python["ready"], go["ready"]) == (True, 1, 0)
    assert (python["file_extension"], go["file_extension"]) == (".py", ".go")
    assert (python["stateful"], go["stateful"]) == (True, False)


async def test_status_counts(service: Service, wire: Wire) -> None:
    await run(wire)
    await run(wire, "exit 1")
    await service.all_idle()
    async with Wire(service.socket) as other:
        status = await other.call("status")
    assert status["clients"] == 2
    assert status["queue"] == 0
    assert status["uptime"] >= 0.0
    assert status["totals"]["runs"] == 2
    assert status["totals"]["by_status"] == {"ok": 1, "error": 1}
    (pool,) = status["pools"]
    assert pool["idle"] == pool["size"] > 0
    assert (pool["busy"], pool["handed_out"], pool["recycled"]) == (0, 2, 2)


async def test_health_is_degraded_while_an_image_is_missing_and_says_how_far_it_is(
    wire: Wire, logs: list[EventDict]
) -> None:
    failed = {"event": "no image", "profile": "go"}
    await until(lambda: any(failed.items() <= entry.items() for entry in logs), "it is not made")
    health = await wire.call("health")
    assert health["status"] == "degraded"
    assert health["checks"]["engine"] == {"ok": True, "detail": "double 1.0"}
    assert health["checks"]["pool python"]["ok"] is True
    go = health["checks"]["image go"]
    assert (go["ok"], "golang" in go["detail"]) == (False, True)


async def test_health_is_down_while_the_engine_is(service: Service, wire: Wire) -> None:
    service.engine.on["info"].fail(EngineUnavailableError("the engine is down"))
    health = await wire.call("health")
    assert health["status"] == "down"
    assert health["checks"]["engine"] == {"ok": False, "detail": "the engine is down"}


async def test_health_is_down_while_no_container_can_be_started_and_says_why(
    service: Service, wire: Wire
) -> None:
    service.engine.on["create"].fail(StartFailedError("the disk is full"), times=100)
    identity = wire.run("hang")
    await until(lambda: service.pool().failures > 0, "a start failed")
    health = await wire.call("health")
    assert health["status"] == "down"
    assert health["checks"]["pool python"] == {"ok": False, "detail": "the disk is full"}
    wire.notify("$/cancelRequest", id=identity)
    await wire.error(identity)


async def test_health_is_only_degraded_while_a_container_is_made_ready_again(
    service: Service, wire: Wire
) -> None:
    service.engine.on["create"].fail(StartFailedError("the disk is full"), times=100)
    service.engine.temper.stuck = True  # it takes for ever
    assert (await run(wire))["status"] == "ok"
    await until(lambda: service.pool().failures > 0, "a start failed")
    assert (service.pool().idle, service.pool().recycling) == (0, 1)
    health = await wire.call("health")
    assert health["status"] == "degraded"
    assert health["checks"]["pool python"] == {"ok": False, "detail": "the disk is full"}


async def test_health_tells_of_a_profiles_problem_also_when_another_variant_has_none(
    service: Service, wire: Wire
) -> None:
    assert (await run(wire, read_only=False))["status"] == "ok"
    await until(lambda: service.pool().idle >= 1, "there is one")
    service.engine.on["create"].fail(StartFailedError("the disk is full"), times=100)
    for name in list(service.engine.guests):
        service.engine.lose(name)
    await until(lambda: service.pool().failures > 0, "a start failed")
    assert service.pool().problem is not None
    health = await wire.call("health")
    told = [check for check in health["checks"].values() if "disk is full" in check["detail"]]
    assert told
    assert not any(check["ok"] for check in told)
    service.engine.on["create"].mend()


async def test_an_engine_that_hangs_holds_up_nothing_but_who_asked(
    service: Service, wire: Wire
) -> None:
    gate = service.engine.on["info"].hold()
    health = wire.ask("health")
    assert (await run(wire, "out works"))["stdout"] == "works\n"
    assert wire.answers(health) == []
    gate.set()
    await wire.result(health)
