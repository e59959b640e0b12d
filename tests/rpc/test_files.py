"""Files that a line has no room for: content after a request, and before an answer."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest

from sandboxd.config import (
    Config,
    LimitsConfig,
    LimitValues,
    MaximumValues,
    RpcConfig,
    Size,
)
from tests.support.service import SMALL, Service, replace
from tests.support.wait import until
from tests.support.wire import Wire, blob_bytes

MIB = 1024 * 1024
INVALID_PARAMS, CANCELLED = -32602, -32800


def held(service: Service) -> tuple[int, int]:
    """Bytes that the daemon holds of files that go in, and of those that come out."""
    methods = service.hub.methods
    return methods.incoming.held(os.getuid()), methods.outgoing.held(os.getuid())


def piece(wire: Wire, identity: Any, path: str, data: bytes) -> None:
    blob = {"base64": base64.b64encode(data).decode()}
    wire.notify("files.input", id=identity, path=path, data=blob)


async def wanted(wire: Wire, identity: Any) -> None:
    assert (await wire.receive_until("files.wanted")) == {"id": identity}


# --- in ---


async def test_content_follows_its_request_in_pieces_of_any_order(
    wire: Wire, service: Service
) -> None:
    files = {"a": {"size": 4}, "b": {"size": 2}, "here": "now", "empty": {"size": 0}}
    identity = wire.run("show a\nshow b\nshow here", files=files, outputs=["empty"])
    await wanted(wire, identity)
    assert held(service) == (6, 0)
    for path, data in (("a", b"12"), ("b", b"xy"), ("a", b""), ("a", b"34")):
        piece(wire, identity, path, data)
    result = await wire.result(identity)
    assert result["stdout"] == "1234xynow"
    assert result["files"][0]["size"] == 0
    assert held(service) == (0, 0)


async def test_more_than_a_line_holds_goes_in_and_comes_out(wire: Wire) -> None:
    content = os.urandom(MIB) * 20
    await wire.call("initialize", {"files": "pieces"})
    identity = wire.run("", files={"big": {"size": len(content)}}, outputs=["big"])
    await wanted(wire, identity)
    for at in range(0, len(content), MIB):
        piece(wire, identity, "big", content[at : at + MIB])
        await wire.send_bytes(b"")
    result = await wire.result(identity)
    assert result["files"] == [{"path": "big", "size": len(content), "data": "", "mode": 0o644}]
    came = wire.events(identity, "files.output")
    assert {each["index"] for each in came} == {0}
    assert b"".join(blob_bytes(each["data"]) for each in came) == content


async def test_code_follows_its_request_as_a_file_does(wire: Wire, service: Service) -> None:
    code = b"out one\nshow a\n"
    identity = wire.run({"size": len(code)}, files={"a": {"size": 1}})
    await wanted(wire, identity)
    piece(wire, identity, "", code[:7])
    piece(wire, identity, "a", b"1")
    piece(wire, identity, "", code[7:])
    assert (await wire.result(identity))["stdout"] == "one\n1"
    assert held(service) == (0, 0)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ({"base64": "?"}, "the code: "),
        ({}, "the code: "),
        ({"base64": "", "size": 1}, "the code: size is of content that follows"),
        ({"size": 2**40}, "1099511627776 of them in the code; limits.files_total"),
        ({"size": -1}, "size"),
    ],
)
async def test_code_that_is_none_says_why(wire: Wire, code: dict[str, Any], told: str) -> None:
    assert told in (await wire.error(wire.run(code)))["message"]
    assert (await wire.error(wire.run("", files={"": "out x"})))["code"] == INVALID_PARAMS


async def test_code_in_base64_is_run(wire: Wire) -> None:
    blob = {"base64": base64.b64encode(b"out \0\n").decode()}
    assert (await wire.result(wire.run(blob)))["stdout"] == "\0\n"


async def test_content_goes_into_sessions_too(wire: Wire) -> None:
    opening = wire.ask("session.open", {"language": "python", "files": {"a": {"size": 1}}})
    await wanted(wire, opening)
    piece(wire, opening, "a", b"1")
    session = (await wire.result(opening))["session"]
    files = {"b": {"size": 1, "mode": 0o600}}
    writing = wire.ask("files.write", {"session": session, "files": files})
    await wanted(wire, writing)
    piece(wire, writing, "b", b"2")
    await wire.result(writing)
    read = await wire.call("files.read", {"session": session, "paths": ["a", "b"]})
    assert [(each["data"], each["mode"]) for each in read["files"]] == [("1", 0o644), ("2", 0o600)]


@pytest.mark.parametrize(
    ("path", "data", "told"),
    [
        ("a", {"base64": "MTIz"}, "more of a than its size, which is 2"),
        ("b", "1", "no file 'b' was to follow"),
        ("a", {"base64": "?"}, "a: "),
    ],
)
async def test_content_that_does_not_fit_is_an_error_of_its_request(
    wire: Wire, service: Service, path: str, data: Any, told: str
) -> None:
    identity = wire.run("", files={"a": {"size": 2}})
    await wanted(wire, identity)
    wire.notify("files.input", id=identity, path=path, data=data)
    error = await wire.error(identity)
    assert error["code"] == INVALID_PARAMS
    assert told in error["message"]
    assert held(service) == (0, 0)


async def test_content_that_comes_before_it_is_wanted_is_an_error_and_not_lost(
    wire: Wire,
) -> None:
    identity = wire.run("", files={"a": {"size": 1}})
    piece(wire, identity, "a", b"1")
    assert "before files.wanted" in (await wire.error(identity))["message"]


async def test_content_for_nobody_is_passed_over(wire: Wire) -> None:
    piece(wire, 77, "a", b"1")
    assert await wire.call("languages")


async def test_content_that_does_not_go_on_ends_its_request(tmp_path: Path) -> None:
    config = replace(SMALL, rpc=RpcConfig(stall_timeout=0.05))
    async with Service(tmp_path, config) as service, Wire(service.socket) as wire:
        identity = wire.run("", files={"a": {"size": 3}})
        await wanted(wire, identity)
        piece(wire, identity, "a", b"1")
        assert "2 bytes are missing" in (await wire.error(identity))["message"]
        assert held(service) == (0, 0)


async def test_what_is_more_than_may_go_in_is_refused_before_it_is_sent(wire: Wire) -> None:
    identity = wire.run("", files={"big": {"size": 2**40}, "small": {"size": 1}})
    error = await wire.error(identity)
    assert error["data"]["kind"] == "payload_too_large"
    assert error["data"]["limit"] == "files_total"
    assert "big" in error["message"]
    assert wire.events(identity, "files.wanted") == []


async def test_a_request_that_is_cancelled_or_left_holds_nothing(
    wire: Wire, service: Service
) -> None:
    identity = wire.run("", files={"a": {"size": 5}})
    await wanted(wire, identity)
    wire.notify("$/cancelRequest", id=identity)
    assert (await wire.error(identity))["code"] == CANCELLED
    assert held(service) == (0, 0)
    async with Wire(service.socket) as other:
        await wanted(other, other.run("", files={"a": {"size": 5}}))
        assert held(service) == (5, 0)
    await until(lambda: held(service) == (0, 0), "nothing is held")


LITTLE: Config = replace(SMALL, limits=LimitsConfig(files_held=Size(10)))


async def test_an_owner_waits_in_turn_for_room_over_all_its_connections(tmp_path: Path) -> None:
    async with (
        Service(tmp_path, LITTLE) as service,
        Wire(service.socket) as wire,
        Wire(service.socket) as other,
    ):
        first = wire.run("", files={"a": {"size": 8}})
        await wanted(wire, first)
        second = other.run("show b", files={"b": {"size": 4}})
        # What needs no room does not wait for any.
        assert (await other.result(other.run("out x")))["stdout"] == "x\n"
        assert other.events(second, "files.wanted") == []
        piece(wire, first, "a", b"12345678")
        await wire.result(first)
        await wanted(other, second)
        piece(other, second, "b", b"1234")
        assert (await other.result(second))["stdout"] == "1234"


async def test_what_a_kept_run_holds_is_held_until_its_end(service: Service) -> None:
    async with Wire(service.socket) as wire:
        identity = wire.run("wait go", files={"a": {"size": 8}}, keep=True)
        await wanted(wire, identity)
        piece(wire, identity, "a", b"12345678")
        await wire.receive_until("run.started")
    await until(lambda: not service.hub.connections, "the connection is gone")
    assert held(service) == (8, 0)
    service.engine.events["go"].set()
    await until(lambda: held(service) == (0, 0), "nothing is held")


# --- out ---


async def test_small_files_stay_in_their_answer(wire: Wire) -> None:
    await wire.call("initialize", {"files": "pieces"})
    identity = wire.run("write a x", outputs=["*"])
    assert (await wire.result(identity))["files"][0]["data"] == "x"
    assert wire.events(identity, "files.output") == []


async def test_who_did_not_ask_for_pieces_gets_files_of_any_size_in_the_answer(
    wire: Wire,
) -> None:
    result = await wire.result(wire.run("fill a 3000000", outputs=["*"]))
    assert len(blob_bytes(result["files"][0]["data"])) == 3_000_000


async def test_files_of_a_session_and_of_a_kept_run_come_in_pieces_too(wire: Wire) -> None:
    await wire.call("initialize", {"files": "pieces"})
    session = (await wire.call("session.open", {"language": "python"}))["session"]
    await wire.result(wire.run("fill a 3000000", session=session))
    reading = wire.ask("files.read", {"session": session, "paths": ["none", "a"]})
    assert (await wire.result(reading))["files"][0]["data"] == ""
    assert len(wire.events(reading, "files.output")) > 1
    kept = wire.run("fill a 3000000\nfill b 10", outputs=["*"], keep=True)
    run = (await wire.result(kept))["run"]
    attached = wire.ask("run.attach", {"run": run})
    files = (await wire.result(attached))["files"]
    for identity in (kept, attached):
        came = wire.events(identity, "files.output")
        for index, file in enumerate(files):
            pieces = [blob_bytes(each["data"]) for each in came if each["index"] == index]
            assert len(b"".join(pieces)) == file["size"]


async def test_answers_that_nobody_reads_hold_up_their_owners_next_ones_and_no_more(
    tmp_path: Path,
) -> None:
    async with (
        Service(tmp_path, LITTLE) as service,
        Wire(service.socket) as wire,
        Wire(service.socket) as other,
    ):
        await wire.call("initialize", {"files": "pieces"})
        wire.stop_reading()
        first = wire.run("fill a 30000000", outputs=["*"])
        await until(lambda: held(service)[1] == 30_000_000, "its files are held")
        second = other.run("fill a 5", outputs=["*"])
        assert (await other.result(other.run("out x")))["stdout"] == "x\n"
        assert other.answers(second) == []
        wire.read_on()
        assert (await wire.result(first))["files"][0]["size"] == 30_000_000
        assert (await other.result(second))["files"][0]["size"] == 5
        assert held(service) == (0, 0)


# --- parts and modes ---


@pytest.mark.parametrize("language", ["python", "go"])
async def test_parts_of_files_are_read_and_written(wire: Wire, language: str) -> None:
    opened = await wire.call("session.open", {"language": language, "files": {"f": "0123456789"}})
    session = opened["session"]

    async def write(path: str, data: str, **rest: Any) -> None:
        files = {path: {"data": data, **rest}}
        await wire.call("files.write", {"session": session, "files": files})

    async def read(*parts: Any) -> list[str]:
        params = {"session": session, "paths": list(parts)}
        return [each["data"] for each in (await wire.call("files.read", params))["files"]]

    await write("f", "ab", offset=3)
    assert await read("f") == ["012ab56789"]
    parts = [{"path": "f", "offset": 8, "length": 9}, {"path": "f", "length": 1}, {"path": "f"}]
    assert await read(*parts) == ["89", "0", "012ab56789"]
    assert await read({"path": "f", "offset": 100}) == [""]
    await write("new", "x", offset=2)
    assert await read("new") == ["\0\0x"]
    far = {"session": session, "files": {"f": {"data": "x", "offset": 2**50}}}
    error = await wire.error(wire.ask("files.write", far))
    assert error["data"]["kind"] == "payload_too_large"
    backwards = {"session": session, "paths": [{"path": "f", "offset": -1}]}
    error = await wire.error(wire.ask("files.read", backwards))
    assert error["code"] == INVALID_PARAMS


@pytest.mark.parametrize("language", ["python", "go"])
async def test_what_is_read_of_a_session_at_once_is_bounded_however_often_it_is_asked_for(
    tmp_path: Path, language: str
) -> None:
    most = MaximumValues(files_total=Size(25))
    limits = LimitsConfig(default=LimitValues(files_total=Size(25)), max=most, files=3)
    async with (
        Service(tmp_path, replace(SMALL, limits=limits)) as service,
        Wire(service.socket) as wire,
    ):
        files = {"ten": "0123456789", "one": "1"}
        opened = await wire.call("session.open", {"language": language, "files": files})
        paths = ["ten", "ten", "ten", "one", "one"]
        read = await wire.call("files.read", {"session": opened["session"], "paths": paths})
        assert [each["path"] for each in read["files"]] == ["ten", "ten", "one"]
        assert [each["why"] for each in read["files_skipped"]] == [
            "10 bytes; limits.files_total leaves 5",
            "too many files: [limits] files is 3",
        ]


@pytest.mark.parametrize("language", ["python", "go"])
async def test_files_of_a_session_keep_their_mode(wire: Wire, language: str) -> None:
    files = {"a": {"data": "x", "mode": 0o700}, "script": "#!/bin/sh\n", "plain": "x"}
    session = (await wire.call("session.open", {"language": language, "files": files}))["session"]
    read = await wire.call("files.read", {"session": session, "paths": list(files)})
    assert [each["mode"] for each in read["files"]] == [0o700, 0o755, 0o644]


async def test_a_run_cannot_write_into_a_file_that_is_not_there_yet(wire: Wire) -> None:
    error = await wire.error(wire.run("", files={"a": {"data": "x", "offset": 1}}))
    assert error["code"] == INVALID_PARAMS
    assert "offset" in error["message"]
