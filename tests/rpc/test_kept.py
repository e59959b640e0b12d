"""Runs that outlive their connection: joined from anywhere, whole, and ended on demand."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sandboxd.config import HistoryConfig, PoolConfig
from sandboxd.guest.frames import Command, Event
from tests.support.program import Process
from tests.support.service import SMALL, Service, replace
from tests.support.wait import until
from tests.support.wire import Message, Wire

CANCELLED, INVALID_PARAMS = -32800, -32602
ONE = replace(SMALL, pool=PoolConfig(min=1, max=1))
REMEMBERING = replace(SMALL, history=HistoryConfig())


async def start(service: Service, code: str, **params: Any) -> str:
    """A kept run whose client has gone; its id."""
    async with Wire(service.socket) as wire:
        wire.run(code, keep=True, **params)
        run: str = (await wire.receive_until("run.started"))["run"]
    return run


@contextlib.asynccontextmanager
async def connected_as(service: Service, owner: int) -> AsyncIterator[Wire]:
    """The only connection, for a user who is not us."""
    async with Wire(service.socket) as wire:
        await wire.everything()
        (connection,) = service.hub.connections
        connection.owner = owner
        yield wire


def attach(wire: Wire, run: str, **params: Any) -> Any:
    return wire.ask("run.attach", {"run": run, **params})


async def kind(wire: Wire, identity: Any) -> Any:
    return (await wire.error(identity))["data"]["kind"]


def pieces(wire: Wire, identity: Any) -> list[tuple[int, str, str]]:
    return [(each["seq"], each["stream"], each["data"]) for each in wire.events(identity)]


# --- joining ---


async def test_a_kept_run_goes_on_without_its_connection_and_is_whole_for_who_joins(
    service: Service, wire: Wire
) -> None:
    run = await start(service, "out a\nwait go\nerr b\nout c")
    await until(lambda: len(service.hub.connections) == 1, "its client has gone")
    joined = attach(wire, run)
    assert (await wire.receive_until("run.output"))["data"] == "a\n"
    service.engine.events["go"].set()
    result = await wire.result(joined)
    assert pieces(wire, joined) == [
        (0, "stdout", "a\n"),
        (1, "stderr", "b\n"),
        (2, "stdout", "c\n"),
    ]
    assert (result["run"], result["status"], result["stdout"]) == (run, "ok", "a\nc\n")


async def test_who_starts_a_kept_run_sees_it_as_any_other(wire: Wire) -> None:
    identity = wire.run("out a\nerr b", keep=True)
    result = await wire.result(identity)
    kinds = [message.get("method", "answer") for message in wire.messages]
    assert kinds == ["run.started", "run.output", "run.output", "answer"]
    assert result["stdout"] == "a\n"


async def test_a_run_that_has_ended_can_be_joined_and_is_told_the_same(wire: Wire) -> None:
    first = wire.run("out a\nerr b\nexit 3", keep=True)
    result = await wire.result(first)
    for _ in range(2):
        again = attach(wire, result["run"])
        assert await wire.result(again) == result
        assert pieces(wire, again) == pieces(wire, first)


async def test_after_a_seq_only_what_follows_it_comes(service: Service, wire: Wire) -> None:
    run = await start(service, "out a\nout b\nout c\nwait go\nout d")
    first = attach(wire, run)
    while len(pieces(wire, first)) < 2:
        await wire.receive_until("run.output")
    wire.notify("$/cancelRequest", id=first)
    assert (await wire.error(first))["code"] == CANCELLED
    last = pieces(wire, first)[-1][0]
    second = attach(wire, run, after=last)
    service.engine.events["go"].set()
    await wire.result(second)
    seen = [*pieces(wire, first), *pieces(wire, second)]
    assert seen == [(seq, "stdout", f"{letter}\n") for seq, letter in enumerate("abcd")]
    third = attach(wire, run, after=3)
    await wire.result(third)
    assert pieces(wire, third) == []


@pytest.mark.parametrize("after", [-2, 1, 100])
async def test_output_that_has_not_come_cannot_be_what_the_caller_has(
    service: Service, wire: Wire, after: int
) -> None:
    run = await start(service, "out a\nwait go")
    await wire.call("run.kill", {"run": run})
    error = await wire.error(attach(wire, run, after=after))
    assert error["code"] == INVALID_PARAMS
    assert f"after is {after}" in error["message"]


async def test_several_may_be_joined_at_once_as_text_and_as_bytes(
    service: Service, wire: Wire
) -> None:
    async def euro(process: Process) -> int:
        for byte in "€".encode():
            await process.write(bytes([byte]))
        await process.guest.events["go"].wait()
        return 0

    service.engine.programs["euro"] = euro
    run = await start(service, "euro")
    async with Wire(service.socket) as raw:
        await raw.call("initialize", {"output": "raw"})
        joined = [(wire, attach(wire, run)), (wire, attach(wire, run)), (raw, attach(raw, run))]
        service.engine.events["go"].set()
        for each, identity in joined:
            assert (await each.result(identity))["stdout"] == "€"
            assert each.output(identity).decode() == "€"
            assert [event["seq"] for event in each.events(identity)] == [0]


async def test_one_that_does_not_read_holds_up_neither_the_run_nor_others(
    service: Service, wire: Wire
) -> None:
    size = 4 * 1024 * 1024
    code = f"wait go\nflood {size}\nout end"
    run = await start(service, code, limits={"output": "5MiB"}, capture=False)
    async with Wire(service.socket) as slow:
        late = attach(slow, run)
        await slow.everything()
        slow.stop_reading()
        service.engine.events["go"].set()
        joined = attach(wire, run)
        await wire.result(joined)
        assert len(wire.output(joined)) == size + len("end\n")
        assert slow.output(late) == b""
        slow.read_on()
        await slow.result(late)
        assert slow.output(late) == wire.output(joined)
        assert slow.events(late)[-1]["seq"] == wire.events(joined)[-1]["seq"]


async def test_a_client_that_never_reads_cannot_stop_the_run(service: Service) -> None:
    async with Wire(service.socket) as slow:
        slow.stop_reading()
        slow.run("flood 4000000\nmark done", keep=True, limits={"output": "5MiB"})
        async with asyncio.timeout(10):
            await service.engine.events["done"].wait()


async def test_output_is_kept_within_its_limits(service: Service, wire: Wire) -> None:
    run = await start(service, "out 123456789", limits={"output": 4})
    joined = attach(wire, run)
    result = await wire.result(joined)
    assert wire.output(joined) == b"1234"
    assert result["truncated"]["stdout"]
    error = await wire.error(wire.run("", keep=True, capture=False, limits={"output": "1GiB"}))
    assert error["data"]["kind"] == "invalid_limits"
    assert "kept" in error["message"]


async def test_a_run_that_wants_no_output_sent_can_be_joined_for_it(wire: Wire) -> None:
    first = wire.run("out a", keep=True, stream=False)
    result = await wire.result(first)
    joined = attach(wire, result["run"])
    await wire.result(joined)
    assert (pieces(wire, first), pieces(wire, joined)) == ([], [(0, "stdout", "a\n")])


# --- ending ---


async def test_a_run_that_is_killed_tells_who_joined_what_it_printed(
    service: Service, wire: Wire
) -> None:
    run = await start(service, "out a\nwrite file text\nhang", outputs=["*"])
    joined = attach(wire, run)
    await wire.receive_until("run.output")
    async with Wire(service.socket) as other:
        assert await other.call("run.kill", {"run": run}) == {}
        assert await other.call("run.kill", {"run": run}) == {"had_ended": True}
    result = await wire.result(joined)
    assert (result["status"], result["stdout"]) == ("killed", "a\n")
    assert [file["path"] for file in result["files"]] == ["file"]
    await until(lambda: service.pool().recycled == 1, "its container is used again")


async def test_a_guest_that_does_not_obey_a_kill_is_given_up(
    service: Service, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandboxd.run.kept._KILL_GRACE", 0.01)
    service.engine.temper.deaf = True
    run = await start(service, "hang")
    joined = attach(wire, run)
    assert await wire.call("run.kill", {"run": run}) == {}
    assert await kind(wire, joined) == "engine_unavailable"
    assert await kind(wire, attach(wire, run)) == "engine_unavailable"
    await until(service.engine.seen[0].gone.is_set, "its container is destroyed")


async def test_cancelling_the_request_of_a_kept_run_kills_it(service: Service, wire: Wire) -> None:
    identity = wire.run("out a\nhang", keep=True)
    run = (await wire.receive_until("run.started"))["run"]
    await wire.receive_until("run.output")
    async with Wire(service.socket) as other:
        joined = attach(other, run)
        await other.receive_until("run.output")
        wire.notify("$/cancelRequest", id=identity)
        assert (await wire.error(identity))["code"] == CANCELLED
        assert (await other.result(joined))["status"] == "killed"


async def test_cancelling_who_joined_leaves_the_run_alone(service: Service, wire: Wire) -> None:
    run = await start(service, "out a\nwait go\nout b")
    joined = attach(wire, run)
    await wire.receive_until("run.output")
    wire.notify("$/cancelRequest", id=joined)
    assert (await wire.error(joined))["code"] == CANCELLED
    service.engine.events["go"].set()
    assert (await wire.result(attach(wire, run)))["stdout"] == "a\nb\n"
    assert service.engine.seen[0].heard[Command.KILL] == 0


async def test_a_kept_run_that_waits_is_withdrawn_by_its_client_alone(tmp_path: Path) -> None:
    async with Service(tmp_path, ONE) as service, Wire(service.socket) as wire:
        first = wire.run("wait go")
        withdrawn = wire.run("mark withdrawn", keep=True)
        async with Wire(service.socket) as leaving:
            leaving.run("mark left", keep=True)
            await until(lambda: service.pool().waiting == 2, "two wait")
        wire.notify("$/cancelRequest", id=withdrawn)
        assert (await wire.error(withdrawn))["code"] == CANCELLED
        service.engine.events["go"].set()
        await wire.result(first)
        await service.engine.events["left"].wait()
        await until(lambda: service.runner.active == 0, "all have ended")
        assert not service.engine.events["withdrawn"].is_set()


# --- stdin ---


async def test_stdin_ends_with_the_connection_that_streams_it(service: Service, wire: Wire) -> None:
    async with Wire(service.socket) as leaving:
        identity = leaving.run("cat\nout end", keep=True, stdin={"stream": True})
        run = (await leaving.receive_until("run.started"))["run"]
        leaving.notify("run.input", id=identity, data="text ")
        await leaving.receive_until("run.output")
    assert (await wire.result(attach(wire, run)))["stdout"] == "text end\n"


async def test_stdin_that_came_while_a_kept_run_waited_is_not_lost(tmp_path: Path) -> None:
    config = replace(ONE, history=HistoryConfig())
    async with Service(tmp_path, config) as service, Wire(service.socket) as wire:
        first = wire.run("wait go")
        async with Wire(service.socket) as leaving:
            identity = leaving.run("cat", keep=True, stdin={"stream": True})
            leaving.notify("run.input", id=identity, data="early")
            await leaving.everything()
        await until(lambda: len(service.hub.connections) == 1, "its client has gone")
        service.engine.events["go"].set()
        await wire.result(first)
        await until(lambda: service.runner.active == 0, "both have ended")
        newest, _ = await wire.call("history.list")
        assert (await wire.result(attach(wire, newest["run"])))["stdout"] == "early"


# --- what is not there ---


@pytest.mark.parametrize("method", ["run.attach", "run.kill"])
async def test_a_run_that_is_not_there_or_not_kept_is_not_found(
    service: Service, wire: Wire, method: str
) -> None:
    plain = wire.run("wait go")
    run = (await wire.receive_until("run.started"))["run"]
    for missing in ("nonsense", "", run):
        assert await kind(wire, wire.ask(method, {"run": missing})) == "run_not_found"
    service.engine.events["go"].set()
    await wire.result(plain)


@pytest.mark.parametrize(("owner", "found"), [(0, True), (4321, True), (1234, False)])
async def test_anothers_run_is_not_found_but_by_root(
    service: Service, owner: int, *, found: bool
) -> None:
    async with connected_as(service, 4321) as wire:
        wire.run("hang", keep=True)
        run = (await wire.receive_until("run.started"))["run"]
    await until(lambda: not service.hub.connections, "its client has gone")
    async with connected_as(service, owner) as wire:
        for method in ("run.kill", "run.attach"):
            answer = await wire.answer(wire.ask(method, {"run": run}))
            assert ("result" in answer) is found
            assert found or answer["error"]["data"]["kind"] == "run_not_found"


async def test_what_is_forgotten_is_sent_as_the_history_kept_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandboxd.run.kept._REMEMBERED_RUNS", 0)
    monkeypatch.setattr("sandboxd.run.kept._PIECE", 3)
    async with Service(tmp_path, REMEMBERING) as service, Wire(service.socket) as wire:
        run = await start(service, "out €€\nerr b\nwrite file text", outputs=["*"])
        await until(lambda: service.runner.active == 0, "it has ended")
        joined = attach(wire, run)
        result = await wire.result(joined)
        assert wire.output(joined) == b"\xe2\x82\xac\xe2\x82\xac\n"
        assert wire.output(joined, "stderr") == b"b\n"
        assert [each["seq"] for each in wire.events(joined)] == [0, 1, 2, 3]
        assert result.get("files", []) == []
        assert result["files_skipped"] == [
            {"path": "file", "why": "the history keeps no files", "named": True}
        ]
        rest = attach(wire, run, after=0)
        assert (await wire.result(rest))["stdout"] == "€€\n"
        assert pieces(wire, rest) == []
        assert await wire.call("run.kill", {"run": run}) == {"had_ended": True}


async def test_what_is_remembered_of_ended_runs_is_bounded(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandboxd.run.kept._REMEMBERED_BYTES", 100)
    runs = [(await wire.result(wire.run(f"out {'x' * 19}", keep=True)))["run"] for _ in range(4)]
    answers: list[Message] = [await wire.answer(attach(wire, run)) for run in runs]
    assert ["result" in answer for answer in answers] == [False, False, True, True]


# --- the end of the daemon ---


async def test_kept_runs_end_with_the_daemon(tmp_path: Path) -> None:
    async with Service(tmp_path) as service, Wire(service.socket) as wire:
        run = await start(service, "out a\nhang")
        joined = attach(wire, run)
        await wire.receive_until("run.output")
        await service.stop()
        assert await kind(wire, joined) == "shutting_down"
        assert service.runner.active == 0
    assert service.engine.guests == {}


async def test_a_drain_waits_for_kept_runs(service: Service, wire: Wire) -> None:
    run = await start(service, "wait go\nout done")
    joined = attach(wire, run)
    await wire.everything()
    service.daemon.refuse()
    assert service.runner.active == 1
    service.engine.events["go"].set()
    await service.runner.idle()
    assert (await wire.result(joined))["stdout"] == "done\n"


async def test_a_run_that_fails_with_nobody_there_is_told_to_who_joins(
    service: Service, wire: Wire
) -> None:
    run = await start(service, "wait go\ndie")
    service.engine.events["go"].set()
    await until(lambda: service.runner.active == 0, "it has ended")
    assert await kind(wire, attach(wire, run)) == "engine_unavailable"


async def test_who_is_sent_much_that_was_kept_holds_up_nobody_else(
    service: Service, wire: Wire
) -> None:
    async def dots(process: Process) -> int:
        for number in range(1000):
            await process.write(b".", Event.STDOUT if number % 2 else Event.STDERR)
        return 0

    service.engine.programs["dots"] = dots
    run = (await wire.result(wire.run("dots", keep=True)))["run"]
    joined, asked = attach(wire, run), wire.ask("languages")
    await wire.result(joined)
    assert len(wire.events(joined)) == 1000
    last = max(at for at, message in enumerate(wire.messages) if "seq" in str(message))
    assert wire.messages.index(wire.answers(asked)[0]) < last
