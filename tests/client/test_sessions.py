"""Sessions of both clients, and the terminal's, against a service without an engine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest

from sandboxd_client import (
    AsyncClient,
    Client,
    Output,
    Session,
    SessionBusyError,
    SessionNotFoundError,
    State,
    UsageError,
)
from tests.client.test_cli import run, sandbox
from tests.support.service import ServiceThread
from tests.support.wait import DEADLINE


def test_a_session_is_open_from_entering_until_leaving(served: ServiceThread) -> None:
    with Client(served.socket) as client:
        with client.session("python", files={"a": "1"}) as session:
            result = session.run("show a\nvalue 42")
            assert (result.stdout, result.value, result.state) == ("1", "42", State.KEPT)
            session.write_files({"b/c": "22"})
            assert [each.path for each in session.list_files("b")] == ["b/c"]
            assert [each.data for each in session.read_files(["b/c"]).files] == ["22"]
            assert [each.session for each in client.sessions()] == [session.id]
        assert client.sessions() == []
        with pytest.raises(SessionNotFoundError):
            session.run("")


def test_one_goes_on_when_its_interpreter_has_ended(served: ServiceThread) -> None:
    with Client(served.socket) as client, client.session("python") as session:
        ended = session.run("write a 1\nsignal 9")
        assert ended.state is State.LOST
        assert ended.lost is not None
        assert session.run("show a").stdout == "1"


def test_one_that_is_kept_is_found_by_its_id(served: ServiceThread) -> None:
    with Client(served.socket) as client, client.session("python", keep=True) as session:
        session.run("write a 1")
    with Client(served.socket) as another:
        assert another.run("python", "show a", session=session.id).stdout == "1"
        another.close_session(session.id)
        assert another.sessions() == []


USES: list[Callable[[Session], object]] = [
    lambda session: session.id,
    lambda session: session.run(""),
    lambda session: session.stream(""),
    lambda session: session.write_files({}),
    lambda session: session.read_files([]),
    lambda session: session.list_files(),
    lambda session: session.close(),
]


@pytest.mark.parametrize("use", USES)
def test_one_that_was_not_entered_says_how_to(
    served: ServiceThread, use: Callable[[Session], object]
) -> None:
    with Client(served.socket) as client, pytest.raises(UsageError) as told:
        use(client.session("python"))
    assert "enter it first, by `with client.session(…) as session:`" in str(told.value)


async def test_the_asynchronous_one_is_the_same(served: ServiceThread) -> None:
    async with AsyncClient(served.socket) as client:
        async with client.session("python") as session:
            await session.write_files({"a": "1"})
            async with session.stream("show a\nmark begun\nwait go") as running:
                while not isinstance(await anext(running), Output):
                    pass
                with pytest.raises(SessionBusyError):
                    await session.run("", if_busy="refuse")
                served.ask(lambda service: service.engine.events["go"].set())
                async for _ in running:
                    pass
            assert [each.path for each in await session.list_files()] == ["a"]
            assert [each.data for each in (await session.read_files(["a"])).files] == ["1"]
            assert len(await client.sessions()) == 1
        assert await client.sessions() == []
        with pytest.raises(UsageError, match=r"by `async with client\.session"):
            await client.session("python").run("")


def test_the_repl_shows_values_and_passes_the_exit_code_on(served: ServiceThread) -> None:
    program = "import sys; from sandboxd_client.cli import main; sys.exit(main())"
    ran = subprocess.run(
        [sys.executable, "-c", program, "repl", "--socket", str(served.socket), "py"],
        input="value 42\n\nout said\nerr oops\nexit 3\n",
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert (ran.stdout, ran.stderr, ran.returncode) == ("42\nsaid\n", "oops\n", 3)


def opened(served: ServiceThread, *options: str) -> str:
    ran = sandbox(served.socket, "session", "open", "py", *options)
    assert (ran.returncode, ran.stderr) == (0, b"")
    return ran.stdout.decode().strip()


def test_the_terminals_sessions_live_on_between_commands(served: ServiceThread) -> None:
    session = opened(served)
    within = ("python", "--session", session)
    ran = run(served, *within, "-c", "write a 1\nout said\nvalue 42")
    assert (ran.returncode, ran.stdout) == (0, b"said\n42\n")
    assert run(served, *within, "-c", "show a").stdout == b"1"
    listed = sandbox(served.socket, "session", "list").stdout.decode().splitlines()
    assert [line.split()[0] for line in listed] == ["SESSION", session]
    assert listed[1].split()[-1] == "2"
    assert sandbox(served.socket, "session", "close", session).returncode == 0
    assert json.loads(sandbox(served.socket, "session", "list", "--json").stdout) == []
    gone = run(served, *within, "-c", "")
    assert gone.returncode == 125
    assert f"no session '{session}'".encode() in gone.stderr


def test_the_terminal_tells_what_a_session_has_lost(served: ServiceThread) -> None:
    ran = run(served, "python", "--session", opened(served), "-c", "signal 9")
    assert ran.returncode == 137
    assert b"sandbox: the session lost its variables, and kept its files: " in ran.stderr


def test_a_session_of_the_terminal_has_the_limits_that_it_was_opened_with(
    served: ServiceThread,
) -> None:
    session = opened(served, "--timeout", "0.1", "--ttl", "60")
    assert run(served, "python", "--session", session, "-c", "hang").returncode == 124
    refused = sandbox(served.socket, "session", "open", "python", "--ttl", "0")
    assert (refused.returncode, b"ttl is 0 s" in refused.stderr) == (125, True)


@pytest.mark.parametrize("action", ["open", "close"])
def test_a_session_that_is_not_named_is_asked_for(served: ServiceThread, action: str) -> None:
    ran = sandbox(served.socket, "session", action)
    assert ran.returncode == 125
    assert f"sandbox session {action} ".encode() in ran.stderr
