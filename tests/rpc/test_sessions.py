"""Sessions as a client sees them: whose they are, whose turn it is, and when they end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sandboxd.config import LimitsConfig, LimitValues, QuotaConfig, SessionConfig, Size
from sandboxd.errors import SessionBusyError, SessionNotFoundError
from sandboxd.guest.frames import STDIN_WINDOW, Cause, Event
from sandboxd.run import live_session
from sandboxd.run.conversation import Nowhere
from sandboxd.run.plan import RunRequest
from tests.support.program import Process
from tests.support.service import SMALL, Service, replace
from tests.support.wait import until
from tests.support.wire import Message, Wire

INVALID_PARAMS = -32602
OWNER, OTHER, ROOT = 1000, 1001, 0


async def open_session(wire: Wire, language: str = "python", **params: Any) -> str:
    opened = await wire.call("session.open", {"language": language, **params})
    session: str = opened["session"]
    return session


async def run(wire: Wire, session: str, code: str, **params: Any) -> Any:
    return await wire.result(wire.run(code, session=session, **params))


async def kind_of(wire: Wire, identity: Any) -> str:
    error = await wire.error(identity)
    kind: str = error["data"]["kind"]
    return kind


def lost(why: str) -> str:
    return f"the session lost its variables, and kept its files: {why}"


@pytest.fixture
async def session(wire: Wire) -> str:
    return await open_session(wire)


# --- runs ---


async def test_runs_of_a_session_share_a_container_and_its_files(wire: Wire, session: str) -> None:
    first = await run(wire, session, "write a.txt kept\nvalue 42")
    second = await run(wire, session, "show a.txt\nexit 3")
    assert (first["value"], first["state"], first["status"]) == ("42", "kept", "ok")
    assert (second["stdout"], second["exit_code"], second["state"]) == ("kept", 3, "kept")
    assert first["container"] == second["container"]
    assert "value" not in second or second["value"] is None


async def test_a_run_outside_of_a_session_has_no_state(wire: Wire) -> None:
    assert (await wire.result(wire.run("out x")))["state"] is None


async def test_output_streams_and_precedes_the_answer(wire: Wire, session: str) -> None:
    identity = wire.run("out one\nerr two", session=session)
    await wire.answer(identity)
    assert (wire.output(identity), wire.output(identity, "stderr")) == (b"one\n", b"two\n")


async def test_a_second_run_waits_for_its_turn(service: Service, wire: Wire, session: str) -> None:
    first = wire.run("mark begun\nwait go\nout first", session=session)
    await service.engine.events["begun"].wait()
    second = wire.run("out second", session=session)
    await wire.everything()
    service.engine.events["go"].set()
    assert (await wire.result(second))["stdout"] == "second\n"
    order = [each["id"] for each in wire.messages if "result" in each]
    assert order.index(first) < order.index(second)


async def test_or_is_refused_if_so_asked(service: Service, wire: Wire, session: str) -> None:
    first = wire.run("mark begun\nwait go", session=session)
    await service.engine.events["begun"].wait()
    assert await kind_of(wire, wire.run("", session=session, if_busy="refuse")) == "session_busy"
    service.engine.events["go"].set()
    assert (await wire.result(first))["status"] == "ok"
    assert (await run(wire, session, "", if_busy="refuse"))["status"] == "ok"


async def test_who_is_not_to_wait_is_refused_also_in_the_moment_between_two_turns(
    service: Service, session: str
) -> None:
    found = service.sessions.find(ROOT, session)
    waits = found._its_turn(refuse=False)
    async with found._its_turn(refuse=False):
        waiting = asyncio.create_task(waits.__aenter__())
        await asyncio.sleep(0)
    refused = asyncio.create_task(found._its_turn(refuse=True).__aenter__())
    await waiting
    assert isinstance(refused.exception(), SessionBusyError)
    await waits.__aexit__(None, None, None)


async def test_a_run_past_its_time_is_interrupted_and_the_state_stays(
    wire: Wire, session: str
) -> None:
    late = await run(wire, session, "out before\nhang", limits={"timeout": 0.05})
    assert (late["status"], late["exit_code"], late["state"]) == ("timeout", 124, "kept")
    assert late["stdout"] == "before\n"
    assert (await run(wire, session, "out on"))["stdout"] == "on\n"


async def test_one_that_does_not_obey_is_killed_and_another_begins_among_its_files(
    wire: Wire, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_session, "_OBEY", 0.05)
    late = await run(
        wire, session, "write a kept\nstubborn", limits={"timeout": 0.05}, outputs=["*"]
    )
    assert (late["status"], late["exit_code"], late["state"]) == ("timeout", 124, "lost")
    assert [file["path"] for file in late["files"]] == ["a"]
    assert late["lost"] == lost("its program did not end when it was interrupted")
    following = await run(wire, session, "show a")
    assert (following["stdout"], following["state"], following["lost"]) == ("kept", "kept", None)


async def test_a_cancelled_run_is_interrupted_and_the_state_stays(
    service: Service, wire: Wire, session: str
) -> None:
    identity = wire.run("mark begun\nhang", session=session)
    await service.engine.events["begun"].wait()
    wire.notify("$/cancelRequest", id=identity)
    assert (await wire.error(identity))["code"] == -32800
    assert (await run(wire, session, "out on"))["stdout"] == "on\n"


async def test_one_that_waits_for_its_turn_is_cancelled_without_a_trace(
    service: Service, wire: Wire, session: str
) -> None:
    first = wire.run("mark begun\nwait go", session=session)
    await service.engine.events["begun"].wait()
    second = wire.run("write never x", session=session)
    await wire.everything()
    wire.notify("$/cancelRequest", id=second)
    assert (await wire.error(second))["code"] == -32800
    service.engine.events["go"].set()
    await wire.result(first)
    assert await wire.call("files.list", {"session": session}) == []


async def test_output_is_cut_at_its_limit_for_each_run(wire: Wire, session: str) -> None:
    for _ in range(2):
        cut = await run(wire, session, "out 0123456789", limits={"output": 4})
        assert (cut["stdout"], cut["truncated"]["stdout"]) == ("0123", True)
        assert (cut["status"], cut["state"]) == ("ok", "kept")


async def test_a_flood_ends_the_run_and_not_the_session(wire: Wire, session: str) -> None:
    flood = await run(wire, session, "flood 1000000\nhang", limits={"output": 100})
    assert (flood["status"], flood["state"], len(flood["stdout"])) == ("output_limit", "kept", 100)
    assert (await run(wire, session, "out on"))["stdout"] == "on\n"


@pytest.mark.parametrize(
    ("code", "status", "exit_code", "why"),
    [
        ("signal 11", "error", 139, "its process was ended by signal 11"),
        ("oom", "oom", 137, "its memory ran out"),
    ],
)
async def test_the_end_of_its_process_is_the_runs_and_the_session_stays(
    wire: Wire, session: str, code: str, status: str, exit_code: int, why: str
) -> None:
    for _ in range(2):
        ended = await run(wire, session, f"write a kept\nout before\n{code}")
        assert (ended["status"], ended["exit_code"], ended["state"]) == (status, exit_code, "lost")
        assert ended["stdout"] == "before\n"
        assert ended["lost"] == lost(why)
    assert (await run(wire, session, "show a"))["stdout"] == "kept"
    (info,) = await wire.call("session.list")
    assert (info["session"], info["runs"]) == (session, 3)


async def test_files_go_in_and_out_before_another_process_has_begun(
    wire: Wire, session: str
) -> None:
    await run(wire, session, "write a kept\nsignal 9")
    await wire.call("files.write", {"session": session, "files": {"b": "given"}})
    read = await wire.call("files.read", {"session": session, "paths": ["a", "b"]})
    assert [each["data"] for each in read["files"]] == ["kept", "given"]
    assert (await run(wire, session, "show b"))["stdout"] == "given"


async def test_a_process_that_ends_between_two_runs_is_told_of_with_the_next(
    service: Service, wire: Wire, session: str
) -> None:
    await run(wire, session, "write a kept")
    guest = next(each for each in service.engine.guests.values() if each.process)
    guest.end(Cause.EXITED)
    await until(lambda: guest.process is None, "it has ended")
    following = await run(wire, session, "show a")
    assert (following["stdout"], following["state"]) == ("kept", "kept")
    assert following["lost"] == lost("its process was ended by signal 9")
    assert (await run(wire, session, ""))["lost"] is None


async def test_one_that_does_not_begin_again_is_an_error_and_the_session_stays(
    service: Service, wire: Wire, session: str
) -> None:
    async def fail(_: Process) -> int:
        return 1

    await run(wire, session, "write a kept\nsignal 9")
    programs = service.engine.programs
    ((code, driver),) = programs.items()
    programs[code] = fail
    for _ in range(2):
        assert await kind_of(wire, wire.run("", session=session)) == "start_failed"
    programs[code] = driver
    assert (await run(wire, session, "show a"))["stdout"] == "kept"


async def test_what_a_run_used_before_the_end_of_its_process_is_charged_to_it_alone(
    service: Service, wire: Wire, session: str
) -> None:
    found = service.sessions.find(ROOT, session)
    assert isinstance(found, live_session.LiveSession)
    others: list[float] = []
    found._charge = others.append
    assert (await run(wire, session, "signal 9"))["usage"]["cpu"] > 0
    await run(wire, session, "")
    assert others == [0.0]


async def test_a_lost_container_is_an_error_and_ends_the_session(wire: Wire, session: str) -> None:
    assert await kind_of(wire, wire.run("die", session=session)) == "engine_unavailable"
    assert await kind_of(wire, wire.run("", session=session)) == "session_not_found"


async def test_a_run_that_comes_as_the_process_ends_does_not_wait_for_an_end_of_its_own(
    service: Service, session: str
) -> None:
    found = service.sessions.find(ROOT, session)
    assert isinstance(found, live_session.LiveSession)
    found._talk.lost("the container has ended")
    request = RunRequest(owner=ROOT, language="python", code="")
    with pytest.raises(SessionNotFoundError, match="the container has ended"):
        await found.run(request, Nowhere(), lambda _: None, refuse=False)


@pytest.mark.parametrize("said", ["rubbish", '{"run": 7, "exit_code": 0, "cpu": 0, "memory": 0}'])
async def test_a_driver_that_talks_rubbish_is_replaced(wire: Wire, session: str, said: str) -> None:
    ended = await run(wire, session, f"note {said}\nhang")
    assert (ended["status"], ended["state"]) == ("killed", "lost")
    assert ended["lost"].startswith(lost("its driver "))
    assert (await run(wire, session, "out on"))["stdout"] == "on\n"


@pytest.mark.parametrize(
    "params",
    [
        {"network": True},
        {"read_only": False},
        {"reuse": "never"},
        {"packages": ["six"]},
        {"profile": "python"},
    ],
)
async def test_what_is_the_sessions_is_no_runs(
    wire: Wire, session: str, params: dict[str, Any]
) -> None:
    assert (await wire.error(wire.run("", session=session, **params)))["code"] == INVALID_PARAMS


async def test_streamed_stdin_goes_to_the_run_and_is_told_as_it_is_taken(
    wire: Wire, session: str
) -> None:
    for text in ("one", "two"):
        identity = wire.run("cat\nout end", session=session, stdin={"stream": True})
        wire.notify("run.input", id=identity, data=text)
        wire.notify("run.input", id=identity, eof=True)
        assert (await wire.result(identity))["stdout"] == f"{text}end\n"
        taken = [each["taken"] for each in wire.events(identity, "run.stdin")]
        assert sum(taken) == len(text)


async def test_stdin_that_a_run_did_not_read_is_not_the_nexts(wire: Wire, session: str) -> None:
    large = "x" * (3 * STDIN_WINDOW)
    assert (await run(wire, session, "read 1\nout one", stdin=large))["stdout"] == "one\n"
    assert (await run(wire, session, "cat\nout two", stdin="new "))["stdout"] == "new two\n"
    assert (await run(wire, session, "cat\nout three"))["stdout"] == "three\n"


async def test_limits_of_the_container_are_the_sessions_too(wire: Wire, session: str) -> None:
    limits = {"memory": "64MiB"}
    assert await kind_of(wire, wire.run("", session=session, limits=limits)) == "invalid_limits"


async def test_limits_of_the_session_hold_for_its_runs(wire: Wire) -> None:
    session = await open_session(wire, limits={"timeout": 0.05, "output": 2})
    ended = await run(wire, session, "out abc\nhang")
    assert (ended["status"], ended["stdout"]) == ("timeout", "ab")


async def test_runs_are_counted_and_charged(service: Service, wire: Wire, session: str) -> None:
    await run(wire, session, "")
    second = await run(wire, session, "")
    assert second["usage"] == {"cpu": 0.25, "memory_peak": 4096}
    (info,) = await wire.call("session.list")
    assert (info["runs"], info["language"], info["session"]) == (2, "python", session)
    assert service.runner.totals().by_status == {"ok": 2}


# --- files ---


async def test_files_go_in_and_out_between_runs(wire: Wire) -> None:
    session = await open_session(wire, files={"first": "1"})
    await wire.call("files.write", {"session": session, "files": {"a/b": "text é"}})
    assert (await run(wire, session, "show a/b"))["stdout"] == "text é"
    listed = await wire.call("files.list", {"session": session})
    assert listed == [
        {"path": "a/b", "kind": "file", "size": 7},
        {"path": "first", "kind": "file", "size": 1},
    ]
    assert await wire.call("files.list", {"session": session, "path": "a"}) == listed[:1]
    read = await wire.call("files.read", {"session": session, "paths": ["a/b", "none"]})
    assert read["files"] == [{"path": "a/b", "size": 7, "data": "text é", "mode": 0o644}]
    assert read["files_skipped"] == [{"path": "none", "why": "no such file"}]


async def test_files_can_be_had_while_a_run_is_under_way(
    service: Service, wire: Wire, session: str
) -> None:
    identity = wire.run("write a x\nmark begun\nwait go\nshow b", session=session)
    await service.engine.events["begun"].wait()
    assert len(await wire.call("files.list", {"session": session})) == 1
    await wire.call("files.write", {"session": session, "files": {"b": "given"}})
    service.engine.events["go"].set()
    assert (await wire.result(identity))["stdout"] == "given"


async def test_files_of_a_run_stay(wire: Wire, session: str) -> None:
    await run(wire, session, "show a", files={"a": "1"})
    assert (await run(wire, session, "show a"))["stdout"] == "1"


@pytest.mark.parametrize("path", ["../x", "/x", "main.py", ""])
async def test_no_path_leads_out_of_the_work_folder(wire: Wire, session: str, path: str) -> None:
    for method, params in (
        ("files.write", {"files": {path: ""}}),
        ("files.read", {"paths": [path]}),
    ):
        error = await wire.error(wire.ask(method, {"session": session, **params}))
        assert error["code"] == INVALID_PARAMS


async def test_files_that_do_not_fit_are_told(service: Service, wire: Wire, session: str) -> None:
    guest = next(each for each in service.engine.guests.values() if each.process)
    guest.work.room = 2
    write = {"session": session, "files": {"a": "123"}}
    assert await kind_of(wire, wire.ask("files.write", write)) == "payload_too_large"
    assert (await run(wire, session, "out on"))["stdout"] == "on\n"


# --- languages without a driver ---


PLAIN = """
name = "plain"
extension = "txt"
start = ["plain"]
message = "fields"
[image]
base = "plain"
version = ["plain"]
"""


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A folder for a service that has a language without a driver."""
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "plain.toml").write_text(PLAIN)
    return tmp_path


@pytest.fixture
async def without_driver(plain: Path) -> AsyncIterator[Service]:
    async with Service(plain, languages=("python", "plain")) as served:
        yield served


async def test_elsewhere_files_live_on(without_driver: Service) -> None:
    async with Wire(without_driver.socket) as wire:
        session = await open_session(wire, "plain", files={"a": "1"}, env={"E": "e"})
        params = {"language": "plain", "session": session}
        first = await wire.call(
            "run",
            {"code": "write b 22\nhang", "outputs": ["b"], "limits": {"timeout": 0.05}, **params},
        )
        assert (first["status"], first["state"]) == ("timeout", "kept")
        assert [file["path"] for file in first["files"]] == ["b"]
        await wire.call("files.write", {"session": session, "files": {"c/d": "3"}})
        second = await wire.call("run", {"code": "show a\nshow b\nshow c/d\nenv E", **params})
        assert (second["stdout"], second["files"]) == ("1223e\n", [])
        listed = await wire.call("files.list", {"session": session})
        assert [each["path"] for each in listed] == ["a", "b", "c/d"]


# --- whose it is, and its end ---


async def test_nobody_else_finds_it_but_root(service: Service, session: str) -> None:
    service.sessions.find(ROOT, session).owner = OWNER
    with pytest.raises(SessionNotFoundError):
        service.sessions.find(OTHER, session)
    assert service.sessions.list(OTHER) == []
    assert [each.session for each in service.sessions.list(ROOT)] == [session]
    assert service.sessions.find(OWNER, session).id == session


async def test_it_closes_with_its_connection_unless_it_is_kept(
    service: Service, wire: Wire
) -> None:
    async with Wire(service.socket) as other:
        await open_session(other)
        kept = await open_session(other, keep=True)
    await until(lambda: len(service.sessions.list(ROOT)) == 1, "one is closed")
    assert (await run(wire, kept, "out on"))["stdout"] == "on\n"


async def test_a_closed_one_is_gone_with_its_container(
    service: Service, wire: Wire, session: str
) -> None:
    name = next(each.name for each in service.engine.guests.values() if each.process)
    assert await wire.call("session.close", {"session": session}) == {}
    assert await kind_of(wire, wire.ask("session.close", {"session": session})) == (
        "session_not_found"
    )
    await until(lambda: name not in service.engine.guests, "its container is removed")


async def test_closing_ends_the_run_under_way(service: Service, wire: Wire, session: str) -> None:
    identity = wire.run("out before\nmark begun\nhang", session=session)
    await service.engine.events["begun"].wait()
    waiting = wire.run("", session=session)
    await wire.everything()
    await wire.call("session.close", {"session": session})
    ended = await wire.result(identity)
    assert (ended["status"], ended["state"], ended["stdout"]) == ("killed", "lost", "before\n")
    assert await kind_of(wire, waiting) == "session_not_found"


async def test_one_that_lies_unused_expires(service: Service, wire: Wire) -> None:
    session = await open_session(wire, ttl=0.05)
    await until(lambda: not service.sessions.list(ROOT), "it has expired")
    assert await kind_of(wire, wire.run("", session=session)) == "session_not_found"


async def test_a_run_is_not_cut_short_by_it(service: Service, wire: Wire) -> None:
    session = await open_session(wire, ttl=0.05)
    late = await run(wire, session, "hang", limits={"timeout": 0.3})
    assert (late["status"], late["state"]) == ("timeout", "kept")
    await until(lambda: not service.sessions.list(ROOT), "it has expired")


@pytest.mark.parametrize("ttl", [0, -1, 86_401])
async def test_a_ttl_past_the_operators_is_refused(wire: Wire, ttl: float) -> None:
    identity = wire.ask("session.open", {"language": "python", "ttl": ttl})
    assert await kind_of(wire, identity) == "invalid_limits"


async def test_a_quota_bounds_the_sessions_of_an_owner(tmp_path: Path) -> None:
    quotas = {"default": QuotaConfig(sessions=1)}
    async with (
        Service(tmp_path, replace(SMALL, quotas=quotas)) as service,
        Wire(service.socket) as wire,
    ):
        asked = [wire.ask("session.open", {"language": "python"}) for _ in range(3)]
        answers: list[Message] = [await wire.answer(each) for each in asked]
        refused = [each["error"] for each in answers if "error" in each]
        assert [each["data"]["kind"] for each in refused] == ["quota_exceeded"] * 2
        (session,) = [each["result"]["session"] for each in answers if "result" in each]
        await wire.call("session.close", {"session": session})
        await open_session(wire)


async def test_what_the_daemon_holds_for_sessions_is_bounded(plain: Path) -> None:
    config = replace(SMALL, sessions=SessionConfig(files=Size(10)))
    async with (
        Service(plain, config, languages=("python", "plain")) as service,
        Wire(service.socket) as wire,
    ):
        first = await open_session(wire, "plain", files={"a": "12345678"})
        write = {"session": first, "files": {"b": "123"}}
        assert await kind_of(wire, wire.ask("files.write", write)) == "payload_too_large"
        await wire.call("session.close", {"session": first})
        await open_session(wire, "plain", files={"a": "12345678"})


async def test_a_driver_that_does_not_start_is_told(service: Service, wire: Wire) -> None:
    async def broken(process: Process) -> int:
        await process.write(b"no such module", Event.STDERR)
        return 1

    driver = service.runner.languages.find("python").driver or ""
    service.engine.programs[driver] = broken
    error = await wire.error(wire.ask("session.open", {"language": "python"}))
    assert error["data"]["kind"] == "start_failed"
    assert "no such module" in error["message"]
    assert await wire.call("session.list") == []


async def test_files_before_the_first_run_may_not_fit(tmp_path: Path) -> None:
    limits = LimitsConfig(default=LimitValues(tmp=Size(65536)))
    async with (
        Service(tmp_path, replace(SMALL, limits=limits)) as service,
        Wire(service.socket) as wire,
    ):
        for guest in service.engine.guests.values():
            guest.work.room = 2
        identity = wire.ask("session.open", {"language": "python", "files": {"a": "123"}})
        assert await kind_of(wire, identity) == "payload_too_large"


async def test_a_stop_closes_them_and_takes_no_more_runs(service: Service, wire: Wire) -> None:
    session = await open_session(wire)
    identity = wire.run("mark begun\nwait go\nout done", session=session)
    await service.engine.events["begun"].wait()
    service.daemon.refuse()
    for refused in (
        wire.run("", session=session),
        wire.ask("session.open", {"language": "python"}),
    ):
        assert await kind_of(wire, refused) == "shutting_down"
    service.engine.events["go"].set()
    assert (await wire.result(identity))["stdout"] == "done\n"
    await service.sessions.close()
    assert service.sessions.list(ROOT) == []


async def test_a_reload_does_not_lose_them(service: Service, wire: Wire, session: str) -> None:
    await run(wire, session, "write a kept")
    await service.daemon.reload_soon(lambda: service.config)
    await wire.everything()
    assert (await run(wire, session, "show a"))["stdout"] == "kept"


async def test_its_container_is_never_used_again(service: Service, wire: Wire) -> None:
    session = await open_session(wire)
    used = (await run(wire, session, ""))["container"]["id"]
    await wire.call("session.close", {"session": session})
    assert service.pool().recycled == 0
    for _ in range(5):
        assert (await wire.result(wire.run("")))["container"]["id"] != used


async def test_opening_is_undone_when_its_client_leaves(service: Service) -> None:
    async def slow(process: Process) -> int:
        await process.guest.events["never"].wait()
        return 0

    service.engine.programs[service.runner.languages.find("python").driver or ""] = slow
    async with Wire(service.socket) as wire:
        wire.ask("session.open", {"language": "python"})
        await until(lambda: service.pool().busy == 1, "its container is handed out")
    await until(lambda: service.pool().busy == 0, "it is given back")
    await until(
        lambda: all(each.process is None for each in service.engine.guests.values()),
        "no driver runs",
    )
