"""A run's events and its end: in order, whole, and answered exactly once."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from sandboxd.config import PoolConfig
from sandboxd.guest.frames import Command, Event
from tests.support.program import Process
from tests.support.service import SMALL, Service, replace
from tests.support.wait import turns, until
from tests.support.wire import Message, Wire, blob_bytes

CANCELLED = -32800

ONE = replace(SMALL, pool=PoolConfig(min=1, max=1))
"""With one container, so that a second run waits."""


async def answered_once(wire: Wire, *identities: Any) -> list[Message]:
    """The answers, when nothing more can come for them."""
    for identity in identities:
        await wire.answer(identity)
    await wire.everything()
    answers = [wire.answers(identity) for identity in identities]
    assert [len(each) for each in answers] == [1] * len(identities)
    return [each[0] for each in answers]


# --- interrupts ---


async def test_an_interrupt_is_the_programs(wire: Wire) -> None:
    identity = wire.run("out up\nhang")
    await wire.receive_until("run.output")
    wire.notify("run.interrupt", id=identity)
    result = await wire.result(identity)
    assert (result["status"], result["exit_code"], result["signal"]) == ("error", 130, 2)
    assert result["stdout"] == "up\n"


async def test_a_program_may_take_no_notice_of_an_interrupt(wire: Wire) -> None:
    identity = wire.run("out up\nstubborn", limits={"timeout": 0.2})
    await wire.receive_until("run.output")
    wire.notify("run.interrupt", id=identity)
    assert (await wire.result(identity))["status"] == "timeout"


async def test_an_interrupt_of_what_does_not_run_is_none(wire: Wire) -> None:
    wire.notify("run.interrupt", id=7)
    wire.notify("run.interrupt")
    identity = wire.run("out done")
    assert (await wire.result(identity))["stdout"] == "done\n"
    wire.notify("run.interrupt", id=identity)
    assert (await wire.result(wire.run("out again")))["stdout"] == "again\n"


# --- events ---


async def test_a_runs_events_are_its_start_its_output_in_order_and_then_its_answer(
    wire: Wire,
) -> None:
    identity = wire.run("out a\nerr b\nout c")
    await wire.answer(identity)
    kinds = [message.get("method", "answer") for message in wire.messages]
    assert kinds == ["run.started", "run.output", "run.output", "run.output", "answer"]
    (started,) = wire.events(identity, "run.started")
    result = wire.messages[-1]["result"]
    assert started == {"id": identity, "run": result["run"], "warm": True, "queued": 0.0}
    assert wire.events(identity) == [
        {"id": identity, "seq": 0, "stream": "stdout", "data": "a\n"},
        {"id": identity, "seq": 1, "stream": "stderr", "data": "b\n"},
        {"id": identity, "seq": 2, "stream": "stdout", "data": "c\n"},
    ]


async def test_output_comes_while_the_program_runs(service: Service, wire: Wire) -> None:
    identity = wire.run("out first\nwait go\nout second")
    assert (await wire.receive_until("run.output"))["data"] == "first\n"
    service.engine.events["go"].set()
    await wire.result(identity)
    assert wire.output(identity) == b"first\nsecond\n"


async def test_a_run_that_had_to_wait_says_so(tmp_path: Path) -> None:
    async with Service(tmp_path, ONE) as service, Wire(service.socket) as wire:
        first, second = wire.run("wait go"), wire.run("")
        await until(lambda: service.pool().waiting == 1, "one waits")
        service.engine.events["go"].set()
        result = await wire.result(second)
        (started,) = wire.events(second, "run.started")
        assert started["warm"] is result["warm"] is False
        assert started["queued"] == result["timings"]["queued"] > 0.0
        assert (await wire.result(first))["warm"] is True


TEXT = "aé€😀\n" * 20


async def bytewise(process: Process) -> int:
    """Prints to both streams, a byte a write, in turn."""
    for byte in TEXT.encode():
        await process.write(bytes([byte]))
        await process.write(bytes([byte]), Event.STDERR)
    return 0


@pytest.mark.parametrize("chunk", [1, 3, 7, 65536])
async def test_a_character_is_never_split_however_its_bytes_arrive(
    service: Service, wire: Wire, chunk: int
) -> None:
    service.engine.programs["bytewise"] = bytewise
    service.engine.temper.chunk = chunk
    identity = wire.run("bytewise")
    result = await wire.result(identity)
    assert result["stdout"] == result["stderr"] == TEXT
    assert all(isinstance(event["data"], str) for event in wire.events(identity))
    assert wire.output(identity, "stdout").decode() == TEXT
    assert wire.output(identity, "stderr").decode() == TEXT
    seqs = [event["seq"] for event in wire.events(identity)]
    assert seqs == list(range(len(seqs)))


async def test_output_may_follow_its_line_as_bytes_cut_anywhere(
    service: Service, wire: Wire
) -> None:
    service.engine.programs["bytewise"] = bytewise
    await wire.call("initialize", {"output": "raw"})
    identity = wire.run("bytewise")
    result = await wire.result(identity)
    assert result["stdout"] == result["stderr"] == TEXT
    for stream in ("stdout", "stderr"):
        assert wire.output(identity, stream) == TEXT.encode()
    events = wire.events(identity)
    assert [event["seq"] for event in events] == list(range(len(events)))
    assert [event["size"] for event in events] == [1] * 2 * len(TEXT.encode())
    assert not any(set(event) - {"id", "seq", "stream", "size", "raw"} for event in events)
    await wire.call("initialize", {})
    again = wire.run("out x")
    await wire.result(again)
    assert wire.events(again)[0]["data"] == "x\n"


async def test_the_first_byte_is_not_held_back(service: Service, wire: Wire) -> None:
    async def dot(process: Process) -> int:
        await process.write(b".")
        await process.guest.events["go"].wait()
        return 0

    service.engine.programs["dot"] = dot
    identity = wire.run("dot")
    assert (await wire.receive_until("run.output"))["data"] == "."
    service.engine.events["go"].set()
    await wire.result(identity)


async def test_200_runs_at_once_over_20_connections_each_have_their_own_output_and_one_answer(
    tmp_path: Path,
) -> None:
    config = replace(SMALL, pool=PoolConfig(min=4, max=12))

    async def client(service: Service, name: int) -> None:
        async with Wire(service.socket) as wire:
            own = {
                wire.run("args\ncat", args=[f"{name}"], stdin=f"{name}:{number}"): number
                for number in range(10)
            }
            await answered_once(wire, *own)
            for identity, number in own.items():
                result = await wire.result(identity)
                assert result["stdout"] == f"{name}\n{name}:{number}"
                assert wire.output(identity).decode() == result["stdout"]

    async with Service(tmp_path, config) as service:
        await asyncio.gather(*(client(service, name) for name in range(20)))
        pool = service.pool()
        assert pool.handed_out == 200
        assert pool.size <= 12
        assert pool.failures == 0
        assert pool.destroyed == 0
        assert service.runner.active == 0
    assert service.engine.faults == []


# --- cancelling ---


async def test_a_run_that_is_cancelled_is_killed_and_answered_once(
    service: Service, wire: Wire
) -> None:
    identity = wire.run("out begun\nhang")
    await wire.receive_until("run.output")
    wire.notify("$/cancelRequest", id=identity)
    (answer,) = await answered_once(wire, identity)
    assert answer["error"]["code"] == CANCELLED
    assert service.engine.seen[0].heard[Command.KILL] == 1
    await until(lambda: service.pool().recycled == 1, "its container is used again")


async def test_a_run_that_is_cancelled_while_it_waits_never_begins(tmp_path: Path) -> None:
    async with Service(tmp_path, ONE) as service, Wire(service.socket) as wire:
        first, second = wire.run("wait go"), wire.run("out never")
        await until(lambda: service.pool().waiting == 1, "one waits")
        wire.notify("$/cancelRequest", id=second)
        (answer,) = await answered_once(wire, second)
        assert answer["error"]["code"] == CANCELLED
        assert service.pool().waiting == 0
        service.engine.events["go"].set()
        await wire.result(first)
        assert wire.events(second, "run.started") == []
        assert service.pool().handed_out == 1


async def test_a_run_that_is_cancelled_in_the_line_after_it_never_begins(
    service: Service, wire: Wire
) -> None:
    """Both come in one read: its task has not turned yet."""
    identity = wire.run("out never")
    wire.notify("$/cancelRequest", id=identity)
    (answer,) = await answered_once(wire, identity)
    assert answer["error"]["code"] == CANCELLED
    assert service.pool().handed_out == 0


async def test_cancelling_twice_is_answered_once(service: Service, wire: Wire) -> None:
    identity = wire.run("hang")
    await wire.receive_until("run.started")
    for _ in range(3):
        wire.notify("$/cancelRequest", id=identity)
    (answer,) = await answered_once(wire, identity)
    assert answer["error"]["code"] == CANCELLED
    await until(lambda: service.pool().busy == 0, "its container is free")


async def test_cancelling_what_was_answered_is_no_error(wire: Wire) -> None:
    identity = wire.run("")
    await wire.result(identity)
    wire.notify("$/cancelRequest", id=identity)
    (answer,) = await answered_once(wire, identity)
    assert "result" in answer


async def test_a_cancellation_that_crosses_the_end_of_the_run_is_still_one_answer(
    service: Service, wire: Wire
) -> None:
    identities = []
    for delay in range(60):
        identity = wire.run("out x")
        identities.append(identity)
        await turns(delay)
        wire.notify("$/cancelRequest", id=identity)
    answers = await answered_once(wire, *identities)
    for answer in answers:
        assert "result" in answer or answer["error"]["code"] == CANCELLED
    await until(lambda: service.pool().busy == 0, "no container is lost")
    assert service.runner.active == 0


async def test_nothing_of_a_run_comes_after_its_answer(service: Service, wire: Wire) -> None:
    identity = wire.run("flood 10000000", limits={"output": "8MiB"})
    await wire.receive_until("run.output")
    wire.notify("$/cancelRequest", id=identity)
    await answered_once(wire, identity)
    await until(lambda: service.pool().busy == 0, "its container is free")
    await wire.everything()
    about = [
        message
        for message in wire.messages
        if identity in (message.get("id"), message.get("params", {}).get("id"))
    ]
    assert about[-1].get("error", {}).get("code") == CANCELLED


async def test_a_run_of_another_connection_cannot_be_cancelled(
    service: Service, wire: Wire
) -> None:
    identity = wire.run("wait go\nout done")
    await wire.receive_until("run.started")
    async with Wire(service.socket) as other:
        other.notify("$/cancelRequest", id=identity)
        other.notify("run.input", id=identity, data="x")
        await other.everything()
    service.engine.events["go"].set()
    assert (await wire.result(identity))["stdout"] == "done\n"


async def test_any_request_can_be_cancelled(service: Service, wire: Wire) -> None:
    service.engine.on["info"].hold()
    identity = wire.ask("status")
    await until(lambda: service.engine.on["info"].calls == 1, "the engine is asked")
    wire.notify("$/cancelRequest", id=identity)
    (answer,) = await answered_once(wire, identity)
    assert answer["error"]["code"] == CANCELLED


async def test_a_guest_that_does_not_obey_is_destroyed_and_the_run_answered(
    service: Service, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandboxd.run.runner._GRACE", 0.01)
    service.engine.temper.deaf = True
    identity = wire.run("hang")
    await wire.receive_until("run.started")
    wire.notify("$/cancelRequest", id=identity)
    (answer,) = await answered_once(wire, identity)
    assert answer["error"]["code"] == CANCELLED
    await until(service.engine.seen[0].gone.is_set, "its container is destroyed")


# --- the end of the connection ---


async def test_the_end_of_a_connection_cancels_its_runs_and_nobody_elses(service: Service) -> None:
    async with Wire(service.socket) as staying:
        survivor = staying.run("wait go\nout done")
        await staying.receive_until("run.started")
        async with Wire(service.socket) as leaving:
            leaving.run("hang")
            await leaving.receive_until("run.started")
        await until(lambda: service.runner.active == 1, "the run is cancelled")
        killed = [guest for guest in service.engine.seen if guest.heard[Command.KILL]]
        assert len(killed) == 1
        service.engine.events["go"].set()
        assert (await staying.result(survivor))["stdout"] == "done\n"
    await until(lambda: service.pool().busy == 0, "both containers are free")
    assert service.pool().destroyed == 0


async def test_the_end_of_a_connection_takes_its_runs_out_of_the_queue(tmp_path: Path) -> None:
    async with Service(tmp_path, ONE) as service:
        async with Wire(service.socket) as wire:
            for _ in range(5):
                wire.run("hang")
            await until(lambda: service.pool().waiting == 4, "four wait")
        await until(lambda: service.runner.active == 0, "all are cancelled")
        assert service.pool().waiting == 0
        await service.all_idle()
        assert service.pool().handed_out == 1


async def test_the_end_of_a_connection_is_seen_while_its_stdin_is_held_up(
    service: Service,
) -> None:
    """The daemon does not read from a client whose program does not."""
    async with Wire(service.socket) as wire:
        identity = wire.run("hang", stdin={"stream": True})
        await wire.receive_until("run.started")
        (connection,) = service.hub.connections
        for _ in range(40):
            wire.notify("run.input", id=identity, data="x" * 65536)
        await until(lambda: not connection._transport.is_reading(), "it is held up")
        wire._transport.abort()
    await until(lambda: service.runner.active == 0, "the run is cancelled")


# --- stdin ---


@pytest.mark.parametrize(
    ("stdin", "expected"),
    [
        ("", ""),
        ("text é\n", "text é\n"),
        ({"base64": "dGV4dA=="}, "text"),
        ({"base64": "/wA="}, {"base64": "/wA="}),
        (None, ""),
    ],
)
async def test_stdin_may_be_given_whole(wire: Wire, stdin: Any, expected: Any) -> None:
    assert (await wire.result(wire.run("cat", stdin=stdin)))["stdout"] == expected


async def test_stdin_far_over_the_window_comes_whole(wire: Wire) -> None:
    text = "0123456789abcde\n" * 200_000
    identity = wire.run("cat", stdin=text, limits={"output": "4MiB"}, stream=False)
    assert (await wire.result(identity))["stdout"] == text


async def test_stdin_may_come_in_pieces_and_what_was_taken_is_told(wire: Wire) -> None:
    identity = wire.run("cat", stdin={"stream": True})
    await wire.receive_until("run.started")
    wire.notify("run.input", id=identity, data="one ")
    assert (await wire.receive_until("run.output"))["data"] == "one "
    wire.notify("run.input", id=identity, data={"base64": "dHdvIA=="})
    wire.notify("run.input", id=identity, data="three")
    wire.notify("run.input", id=identity, eof=True)
    assert (await wire.result(identity))["stdout"] == "one two three"
    taken = sum(event["taken"] for event in wire.events(identity, "run.stdin"))
    assert taken == len("one two three")


async def test_stdin_that_is_given_whole_is_not_told_of(wire: Wire) -> None:
    identity = wire.run("cat", stdin="text")
    await wire.result(identity)
    assert wire.events(identity, "run.stdin") == []


async def test_stdin_may_come_before_the_run_has_begun(tmp_path: Path) -> None:
    """In the same write as the run, and while it waits for a container."""
    async with Service(tmp_path, ONE) as service, Wire(service.socket) as wire:
        first = wire.run("cat\nwait go", stdin={"stream": True})
        wire.notify("run.input", id=first, data="early", eof=True)
        second = wire.run("cat", stdin={"stream": True})
        wire.notify("run.input", id=second, data="earlier ")
        wire.notify("run.input", id=second, data="still", eof=True)
        await until(lambda: service.pool().waiting == 1, "one waits")
        service.engine.events["go"].set()
        assert (await wire.result(first))["stdout"] == "early"
        assert (await wire.result(second))["stdout"] == "earlier still"


async def test_stdin_for_a_run_that_waits_is_held_up_past_its_window(tmp_path: Path) -> None:
    async with Service(tmp_path, ONE) as service, Wire(service.socket) as wire:
        wire.run("wait go")
        await wire.receive_until("run.started")
        identity = wire.run("cat", stdin={"stream": True}, limits={"output": "8MiB"})
        (connection,) = service.hub.connections
        for _ in range(40):
            wire.notify("run.input", id=identity, data="x" * 100_000)
        wire.notify("run.input", id=identity, eof=True)
        await until(lambda: not connection._transport.is_reading(), "it is held up")
        service.engine.events["go"].set()
        assert (await wire.result(identity))["stdout"] == "x" * 4_000_000


async def test_stdin_after_its_end_is_passed_over(wire: Wire) -> None:
    identity = wire.run("cat\nwait go", stdin={"stream": True})
    wire.notify("run.input", id=identity, data="a", eof=True)
    wire.notify("run.input", id=identity, data="b")
    assert (await wire.receive_until("run.output"))["data"] == "a"
    await wire.everything()
    wire.notify("$/cancelRequest", id=identity)
    await answered_once(wire, identity)
    assert wire.output(identity) == b"a"


async def test_a_program_that_does_not_read_holds_up_its_client_and_no_other(
    service: Service, wire: Wire
) -> None:
    identity = wire.run("wait go", stdin={"stream": True})
    await wire.receive_until("run.started")
    (connection,) = service.hub.connections
    for _ in range(100):
        wire.notify("run.input", id=identity, data="x" * 65536)
    await until(lambda: not connection._transport.is_reading(), "it is held up")
    async with Wire(service.socket) as other:
        assert (await other.result(other.run("out works")))["stdout"] == "works\n"
    service.engine.events["go"].set()
    await wire.result(identity)
    await wire.everything()


async def test_a_program_that_reads_some_of_its_stdin_and_ends_is_a_result(wire: Wire) -> None:
    identity = wire.run("read 10\nexit 4", stdin="x" * 3_000_000)
    assert (await wire.result(identity))["exit_code"] == 4


async def test_stdin_that_is_no_blob_harms_nobody(wire: Wire) -> None:
    identity = wire.run("cat", stdin={"stream": True})
    await wire.receive_until("run.started")
    wire.notify("run.input", id=identity, data={"base64": "?"})
    wire.notify("run.input", id=identity, data=5)
    wire.notify("run.input", id=identity, data="fine", eof=True)
    assert (await wire.result(identity))["stdout"] == "fine"


async def test_the_end_of_stdin_is_told_to_the_guest_once(service: Service, wire: Wire) -> None:
    await wire.result(wire.run("cat", stdin="x" * 1_000_000, limits={"output": "4MiB"}))
    assert service.engine.seen[0].heard[Command.STDIN_EOF] == 1


# --- a moment that has a name ---


async def test_a_container_that_dies_in_the_moment_of_its_hand_out_leaves_no_run_hanging(
    tmp_path: Path,
) -> None:
    async with Service(tmp_path, ONE) as service, Wire(service.socket) as wire:
        first, second = wire.run("wait go"), wire.run("out done")
        await until(lambda: service.pool().waiting == 1, "one waits")
        service.engine.events["go"].set()
        await until(lambda: service.pool().handed_out == 2, "it is handed out")
        for name in list(service.engine.guests):
            service.engine.lose(name)
        answer = await wire.answer(second)
        if "error" in answer:
            assert answer["error"]["data"]["kind"] == "engine_unavailable"
        assert (await wire.result(first))["status"] == "ok"


async def test_every_line_of_the_daemon_is_json_rpc(service: Service, wire: Wire) -> None:
    identity = wire.run("out a\nerr b")
    await wire.result(identity)
    await wire.error(wire.ask("none"))
    for message in wire.messages:
        assert message["jsonrpc"] == "2.0"
        keys = set(message) - {"jsonrpc"}
        assert keys in ({"method", "params"}, {"id", "result"}, {"id", "error"})
        json.dumps(message)
    assert blob_bytes(wire.events(identity)[0]["data"]) == b"a\n"
    assert service.pool().failures == 0
