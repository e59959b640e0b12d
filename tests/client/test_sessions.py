"""Sessions of both clients, and the terminal's, against a service without an engine."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sandboxd_client import (
    AsyncClient,
    Client,
    Output,
    SessionBusyError,
    SessionNotFoundError,
    State,
)
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


def test_one_that_is_lost_is_left_without_a_fuss(served: ServiceThread) -> None:
    with Client(served.socket) as client, client.session("python") as session:
        assert session.run("signal 9").state is State.LOST


def test_one_that_is_kept_is_found_by_its_id(served: ServiceThread) -> None:
    with Client(served.socket) as client, client.session("python", keep=True) as session:
        session.run("write a 1")
    with Client(served.socket) as another:
        assert another.run("python", "show a", session=session.id).stdout == "1"
        another.close_session(session.id)
        assert another.sessions() == []


def test_what_has_not_been_entered_has_no_id(served: ServiceThread) -> None:
    with Client(served.socket) as client, pytest.raises(RuntimeError, match="enter it first"):
        client.session("python").run("")


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
