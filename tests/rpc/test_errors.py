"""Every error that the contract names and that can be met: what it says, and what goes on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandboxd.config import PoolConfig, RpcConfig, Size
from sandboxd.errors import EngineUnavailableError, ImageUnavailableError, StartFailedError
from tests.support.service import SMALL, Service, replace
from tests.support.wait import until
from tests.support.wire import Message, Wire

PARSE_ERROR, INVALID_REQUEST, NO_METHOD, INVALID_PARAMS = -32700, -32600, -32601, -32602


async def raw(wire: Wire, line: bytes) -> Message:
    """The answer to a line that has no id of its own."""
    await wire.send_bytes(line + b"\n")
    answer = await wire.receive()
    await wire.everything()  # the connection goes on
    return answer


def lone(service: Service) -> None:
    """The next run takes the only container, and no other comes."""
    service.engine.on["create"].hold()


async def test_an_unknown_method_is_refused_with_those_that_exist(wire: Wire) -> None:
    error = await wire.error(wire.ask("runs"))
    assert error["code"] == NO_METHOD
    assert "'runs'" in error["message"]
    assert "run" in error["message"]


@pytest.mark.parametrize("method", ["run.input", "$/cancelRequest", "run.output"])
async def test_what_is_a_notification_is_no_method(wire: Wire, method: str) -> None:
    assert (await wire.error(wire.ask(method, {"id": 1})))["code"] == NO_METHOD


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"code": ""}, "language"),
        ({"language": "python"}, "code"),
        ({"language": "python", "code": 5}, "$.code"),
        ({"language": "python", "code": "", "args": "a"}, "$.args"),
        ({"language": "python", "code": "", "args": [1]}, "$.args[0]"),
        ({"language": "python", "code": "", "env": {"A": 1}}, "$.env"),
        ({"language": "python", "code": "", "misspelt": 1}, "misspelt"),
        ({"language": "python", "code": "", "limits": {"time": 1}}, "time"),
        ({"language": "python", "code": "", "reuse": "maybe"}, "$.reuse"),
        ({"language": "python", "code": "", "stdin": {}}, "stdin"),
        ({"language": "python", "code": "", "stdin": {"stream": True, "base64": ""}}, "stdin"),
        ({"language": "python", "code": "", "stdin": {"base64": "?"}}, "stdin"),
        ({"language": "python", "code": "", "env": {"A=B": ""}}, "A=B"),
        ({"language": "python", "code": "", "args": ["a\0b"]}, "NUL"),
    ],
)
async def test_bad_params_are_refused_with_the_fields_name(
    service: Service, wire: Wire, params: Message, field: str
) -> None:
    error = await wire.error(wire.ask("run", params))
    assert error["code"] == INVALID_PARAMS
    assert field in error["message"]
    assert service.pool().handed_out == 0


@pytest.mark.parametrize("method", ["initialize", "languages", "status", "health"])
async def test_params_that_a_method_does_not_take_are_refused(wire: Wire, method: str) -> None:
    error = await wire.error(wire.ask(method, {"misspelt": 1}))
    assert error["code"] == INVALID_PARAMS
    assert "misspelt" in error["message"]


async def test_an_unknown_language_is_refused_with_those_that_exist(wire: Wire) -> None:
    error = await wire.error(wire.run("", language="cobol"))
    assert error["code"] > 0
    assert error["data"]["kind"] == "unknown_language"
    assert "'cobol'" in error["message"]
    assert "python" in error["message"]


async def test_a_language_whose_image_is_not_here_says_when_to_come_again(tmp_path: Path) -> None:
    config = replace(SMALL, pool=replace(SMALL.pool, queue_timeout=0.05))
    service = Service(tmp_path, config)
    service.images.on["pull"].hold()
    async with service, Wire(service.socket) as wire:
        error = await wire.error(wire.run("", language="ruby"))
        assert error["data"]["kind"] == "image_unavailable"
        assert error["data"]["retry_after"] > 0


@pytest.mark.parametrize(
    ("limits", "limit", "most"),
    [
        ({"timeout": 31}, "timeout", 30.0),
        ({"timeout": 0}, "timeout", 30.0),
        ({"timeout": -1}, "timeout", 30.0),
        ({"timeout": 1e300}, "timeout", 30.0),
        ({"output": "2TiB"}, "output", 2**40),
        ({"output": "9MiB"}, "output", 8 * 2**20),
    ],
)
async def test_limits_over_the_maximum_are_refused_with_it(
    wire: Wire, limits: Message, limit: str, most: float
) -> None:
    error = await wire.error(wire.run("", limits=limits))
    assert error["data"] == {"kind": "invalid_limits", "limit": limit, "max": most}
    assert f"limits.{limit}" in error["message"]


@pytest.mark.parametrize("output", ["much", -1, "-1", "1e9", "", "9" * 400])
async def test_a_limit_that_is_no_size_is_refused(wire: Wire, output: Any) -> None:
    error = await wire.error(wire.run("", limits={"output": output}))
    assert error["data"]["kind"] == "invalid_limits"
    assert error["data"]["limit"] == "output"


async def test_more_output_than_a_result_can_hold_may_be_streamed(wire: Wire) -> None:
    identity = wire.run("out x", limits={"output": "9MiB"}, capture=False)
    assert (await wire.result(identity))["status"] == "ok"


async def test_arguments_over_what_a_program_can_be_given_are_refused(wire: Wire) -> None:
    error = await wire.error(wire.run("", args=["x" * 2**20]))
    assert error["data"]["kind"] == "payload_too_large"
    assert "stdin" in error["message"]


async def test_past_its_bound_the_queue_is_full_and_says_when_to_come_again(
    tmp_path: Path,
) -> None:
    pool = PoolConfig(min=1, max=1, queue=1)
    async with (
        Service(tmp_path, replace(SMALL, pool=pool)) as service,
        Wire(service.socket) as wire,
    ):
        first, second = wire.run("wait go"), wire.run("")
        await until(lambda: service.pool().waiting == 1, "one waits")
        error = await wire.error(wire.run(""))
        assert error["data"]["kind"] == "queue_full"
        assert error["data"]["retry_after"] >= 1.0
        service.engine.events["go"].set()
        for identity in (first, second):
            assert (await wire.result(identity))["status"] == "ok"


async def test_a_run_that_waits_too_long_is_told(tmp_path: Path) -> None:
    pool = PoolConfig(min=1, max=1, queue_timeout=0.01)
    async with (
        Service(tmp_path, replace(SMALL, pool=pool)) as service,
        Wire(service.socket) as wire,
    ):
        first = wire.run("wait go")
        await wire.receive_until("run.started")
        error = await wire.error(wire.run(""))
        assert error["data"]["kind"] == "queue_full"
        service.engine.events["go"].set()
        await wire.result(first)


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        (EngineUnavailableError("the engine is down"), "engine_unavailable"),
        (ImageUnavailableError("the image is gone"), "image_unavailable"),
        (StartFailedError("the disk is full"), "start_failed"),
    ],
)
async def test_a_run_without_a_container_is_told_why_there_is_none(
    tmp_path: Path, problem: Exception, kind: str
) -> None:
    async with Service(tmp_path, replace(SMALL, pool=PoolConfig(min=0, max=1))) as service:
        service.engine.on["create"].fail(problem)
        async with Wire(service.socket) as wire:
            error = await wire.error(wire.run(""))
    assert error["data"]["kind"] == kind
    assert error["message"] == str(problem)


@pytest.mark.parametrize("code", ["out kept\ndie\nhang", "out kept\ngarble\nhang"])
async def test_a_container_that_is_lost_under_a_run_is_an_error_and_never_a_made_up_status(
    service: Service, wire: Wire, code: str
) -> None:
    identity = wire.run(code)
    error = await wire.error(identity)
    assert error["data"]["kind"] == "engine_unavailable"
    assert error["data"]["run"] == wire.events(identity, "run.started")[0]["run"]
    assert wire.output(identity) == b"kept\n"
    assert (await wire.result(wire.run("out again")))["stdout"] == "again\n"
    assert service.engine.seen[0].gone.is_set()


async def test_a_guest_that_does_not_end_its_run_in_time_is_given_up(
    service: Service, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandboxd.run.runner._GRACE", 0.05)
    service.engine.temper.deaf = True

    async def deathless(_: Any) -> int:
        while True:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                if guest.gone.is_set():
                    raise

    guest = service.engine.seen[0]
    service.engine.programs["deathless"] = deathless
    error = await wire.error(wire.run("deathless", limits={"timeout": 0.01}))
    assert error["data"]["kind"] == "engine_unavailable"
    assert "in time" in error["message"]
    await until(guest.gone.is_set, "its container is removed")


async def test_a_guest_given_up_while_stdin_was_held_up_leaves_the_connection_usable(
    service: Service, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandboxd.run.runner._GRACE", 0.0)

    async def deathless(_: Any) -> int:
        while not guest.gone.is_set():
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                continue
        return 0

    guest = service.engine.seen[0]
    service.engine.programs["deathless"] = deathless
    identity = wire.run("deathless", stdin={"stream": True}, limits={"timeout": 0.2})
    await wire.receive_until("run.started")
    wire.notify("run.input", id=identity, data="x" * 2_000_000)
    await wire.error(identity)
    await wire.everything()


# --- lines ---


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"nonsense", PARSE_ERROR),
        (b'{"jsonrpc": "2.0", "id": 1, "method"', PARSE_ERROR),
        (b'{"jsonrpc": "2.0", "id": 1, "id": 1, "method": "run"}', PARSE_ERROR),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "run", "params": {"x": NaN}}', PARSE_ERROR),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "run", "params": "\xff"}', PARSE_ERROR),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "run", "params": "\\ud800"}', PARSE_ERROR),
        (b"[" * 100_000, INVALID_REQUEST),
        (b'{"a":' * 100_000, INVALID_REQUEST),
        (b'[{"jsonrpc": "2.0", "id": 1, "method": "status"}]', INVALID_REQUEST),
        (b"[]", INVALID_REQUEST),
        (b"{}", INVALID_REQUEST),
        (b"5", INVALID_REQUEST),
        (b'{"jsonrpc": "2.0", "id": null, "method": "status"}', INVALID_REQUEST),
        (b'{"jsonrpc": "2.0", "id": 1.5, "method": "status"}', INVALID_REQUEST),
    ],
)
async def test_a_line_that_is_no_request_is_answered_without_an_id_and_the_next_one_read(
    wire: Wire, line: bytes, code: int
) -> None:
    answer = await raw(wire, line)
    assert answer["id"] is None
    assert answer["error"]["code"] in (code, PARSE_ERROR)


@pytest.mark.parametrize(
    "line",
    [
        b'{"jsonrpc": "1.0", "id": "me", "method": "status"}',
        b'{"id": "me", "method": "status"}',
        b'{"jsonrpc": "2.0", "id": "me", "method": 5}',
        b'{"jsonrpc": "2.0", "id": "me", "method": "status", "extra": 1}',
        b'{"jsonrpc": "2.0", "id": "me", "result": 5}',
    ],
)
async def test_an_invalid_request_with_an_id_is_answered_under_it(wire: Wire, line: bytes) -> None:
    answer = await raw(wire, line)
    assert answer["id"] == "me"
    assert answer["error"]["code"] == INVALID_REQUEST


@pytest.mark.parametrize(
    "inside",
    [b'"code": "\xed\xa0\x80"', b'"code": "", "args": ["\xed\xb0\x80"]', b'"\xed\xa0\x80": 1'],
)
async def test_a_surrogate_in_bytes_is_refused_and_the_connection_goes_on(
    wire: Wire, inside: bytes
) -> None:
    line = b'{"jsonrpc": "2.0", "id": 1, "method": "run", "params": {"language": "x", %s}}'
    answer = await raw(wire, line % inside)
    assert answer["error"]["code"] in (PARSE_ERROR, INVALID_PARAMS)


async def test_a_line_over_the_limit_is_refused_and_the_next_one_read(tmp_path: Path) -> None:
    rpc = RpcConfig(max_line=Size(10_000))
    async with Service(tmp_path, replace(SMALL, rpc=rpc)) as service, Wire(service.socket) as wire:
        answer = await raw(wire, b"x" * 1_000_000)
        assert answer["id"] is None
        assert answer["error"]["data"]["kind"] == "payload_too_large"
        assert "10000" in answer["error"]["message"]
        assert len(wire.messages) == 2
        assert (await wire.result(wire.run("out works")))["stdout"] == "works\n"


@pytest.mark.parametrize(
    ("start", "identity"),
    [
        ('{"jsonrpc": "2.0", "id": 7, "method": "run", "params": {"code": "', 7),
        ('{"id":"seven","jsonrpc":"2.0","method":"run","params":{"code":"', "seven"),
        ('{"jsonrpc": "2.0", "method": "run.input", "params": {"id": 7, "data": "', None),
        ('{"jsonrpc": "2.0", "method": "x\\"id\\": 7", "params": {"data": "', None),
    ],
)
async def test_a_line_over_the_limit_is_answered_for_its_own_request_and_for_no_other(
    tmp_path: Path, start: str, identity: int | str | None
) -> None:
    rpc = RpcConfig(max_line=Size(10_000))
    async with Service(tmp_path, replace(SMALL, rpc=rpc)) as service, Wire(service.socket) as wire:
        answer = await raw(wire, start.encode() + b"x" * 20_000 + b'"}}')
        assert answer["id"] == identity
        assert answer["error"]["data"]["kind"] == "payload_too_large"


async def test_several_requests_in_one_write_are_each_answered(wire: Wire) -> None:
    lines = [
        json.dumps({"jsonrpc": "2.0", "id": number, "method": "languages"}) for number in range(50)
    ]
    await wire.send_bytes("\r\n".join(lines).encode() + b"\n\n\n")
    for number in range(50):
        await wire.result(number)


async def test_a_request_byte_by_byte_is_a_request(wire: Wire) -> None:
    for byte in b'{"jsonrpc": "2.0", "id": "slow", "method": "languages"}\n':
        await wire.send_bytes(bytes([byte]))
    await wire.result("slow")


async def test_half_a_line_and_the_end_of_the_connection_harm_nobody(service: Service) -> None:
    async with Wire(service.socket) as wire:
        await wire.send_bytes(b'{"jsonrpc": "2.0", "id": 1, "meth')
    async with Wire(service.socket) as wire:
        await wire.everything()
        await until(lambda: len(service.hub.connections) == 1, "the other one is gone")


@pytest.mark.parametrize("identity", [1, "1", "", 0, -1, 2**63, 2**70, "é" * 1000])
async def test_an_id_may_be_any_number_or_text(wire: Wire, identity: Any) -> None:
    answer = await wire.answer(wire.ask("languages", identity=identity))
    assert answer["id"] == identity
    assert type(answer["id"]) is type(identity)


async def test_an_id_that_is_in_flight_is_refused_and_free_once_it_was_answered(
    service: Service, wire: Wire
) -> None:
    identity = wire.run("wait go")
    await wire.receive_until("run.started")
    wire.ask("languages", identity=identity)
    refused = await wire.error(identity)
    assert refused["code"] == INVALID_REQUEST
    assert "in flight" in refused["message"]
    service.engine.events["go"].set()
    while len(wire.answers(identity)) < 2:
        await wire.receive()
    assert wire.answers(identity)[1]["result"]["status"] == "ok"
    wire.messages.clear()
    await wire.result(wire.ask("languages", identity=identity))


async def test_numbers_and_texts_are_different_ids(service: Service, wire: Wire) -> None:
    wire.run("wait go")
    await wire.receive_until("run.started")
    assert await wire.result(wire.ask("languages", identity="1"))
    service.engine.events["go"].set()
    await wire.result(1)


@pytest.mark.parametrize(
    "notify",
    [
        lambda wire: wire.notify("unknown"),
        lambda wire: wire.notify("run", language="python", code=""),
        lambda wire: wire.notify("$/cancelRequest"),
        lambda wire: wire.notify("$/cancelRequest", id=[]),
        lambda wire: wire.notify("$/cancelRequest", id=12345),
        lambda wire: wire.notify("run.input", id=12345, data="x"),
        lambda wire: wire.notify("run.input", id=12345, data={"base64": "?"}),
        lambda wire: wire.notify("run.input", id=12345, misspelt=1),
    ],
)
async def test_a_notification_is_never_answered(wire: Wire, notify: Callable[[Wire], None]) -> None:
    notify(wire)
    await wire.everything()
    assert len(wire.messages) == 1


async def test_no_traceback_and_no_path_of_the_host_crosses_the_wire(
    service: Service, wire: Wire, logs: list[Any]
) -> None:
    service.engine.on["info"].fail(RuntimeError("/etc/secret"))
    error = await wire.error(wire.ask("status"))
    assert error["code"] == -32603
    assert "secret" not in json.dumps(error)
    assert "Traceback" not in json.dumps(error)
    (grave,) = [entry for entry in logs if entry["log_level"] == "error"]
    logs.remove(grave)


# --- the end of the daemon ---


async def test_a_run_that_comes_while_the_daemon_drains_is_refused_and_those_under_way_end(
    service: Service, wire: Wire
) -> None:
    identity = wire.run("wait go\nout done")
    await wire.receive_until("run.started")
    service.daemon.refuse()
    error = await wire.error(wire.run(""))
    assert error["data"]["kind"] == "shutting_down"
    service.engine.events["go"].set()
    assert (await wire.result(identity))["stdout"] == "done\n"


async def test_when_the_daemon_stops_every_request_has_its_answer(tmp_path: Path) -> None:
    """Those whose program runs, those that wait, and no run twice."""
    pool = PoolConfig(min=1, max=2)
    async with (
        Service(tmp_path, replace(SMALL, pool=pool)) as service,
        Wire(service.socket) as wire,
    ):
        runs = [wire.run("out begun\nhang") for _ in range(6)]
        await until(lambda: service.pool().waiting == 4, "four wait")
        while sum(len(wire.events(each)) for each in runs) < 2:
            await wire.receive()
        stopping = asyncio.create_task(service.stop())
        await wire.until_closed()
        await stopping
    for identity in runs:
        (answer,) = wire.answers(identity)
        data = answer["error"]["data"]
        assert data["kind"] == "shutting_down"
        assert ("run" in data) == bool(wire.output(identity))  # it has run, or never will
    assert service.engine.guests == {}
