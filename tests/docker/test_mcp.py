"""Tools for models, from the official SDK's client to a program in a container."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from sandboxd_client import AsyncClient
from tests.support.daemon import RunningDaemon
from tests.support.mcp import Progress, connect
from tests.support.wait import DEADLINE, until


async def test_a_program_takes_files_and_gives_files(daemon: RunningDaemon) -> None:
    code = (
        "import pathlib, sys\n"
        "data = pathlib.Path('in.bin').read_bytes()\n"
        "pathlib.Path('out.bin').write_bytes(data[::-1])\n"
        "print(sys.argv[1], sys.stdin.read())\n"
    )
    async with connect(daemon.socket) as model:
        result = await model.call_tool(
            "run_code",
            {
                "language": "py",
                "code": code,
                "args": ["first"],
                "stdin": "second",
                "files": {"in.bin": {"base64": base64.b64encode(b"\x00\xff").decode()}},
                "outputs": ["out.*"],
                "limits": {"memory": "128MiB", "tmp": "16MiB"},
            },
        )
    assert result.structured_content["stdout"] == "first second\n"
    (file,) = result.structured_content["files"]
    assert file["path"] == "out.bin"
    assert base64.b64decode(file["data"]["base64"]) == b"\xff\x00"


async def test_output_is_progress_as_it_is_printed_and_a_cancel_kills(
    daemon: RunningDaemon, aclient: AsyncClient
) -> None:
    progress = Progress()
    cancelled = (await aclient.status()).totals.by_status.get("cancelled", 0)

    async with connect(daemon.socket) as model:
        arguments = {"language": "bash", "code": "echo begun; sleep 1000"}
        calling = asyncio.create_task(
            model.call_tool("run_code", arguments, progress_callback=progress)
        )
        await until(lambda: progress.text == "begun\n", "the program's first line")
        calling.cancel()
        await asyncio.wait([calling])
        async with asyncio.timeout(DEADLINE):
            while (await aclient.status()).totals.by_status.get("cancelled", 0) == cancelled:
                pass


async def test_a_failure_is_explained_and_can_be_looked_up(daemon: RunningDaemon) -> None:
    async with connect(daemon.socket) as model:
        ran = await model.call_tool("run_code", {"language": "python", "code": "import nothing"})
        run = ran.structured_content["run"]
        report = await model.call_tool("debug_report", {"run": run})
        shown = await model.call_tool("show_run", {"run": run})
    assert ran.structured_content["status"] == "error"
    assert report.structured_content["category"] == "import_error"
    assert "nothing" in report.structured_content["explanation"]
    assert shown.structured_content["code"] == "import nothing"


async def test_a_session_keeps_variables_and_files_from_call_to_call(
    daemon: RunningDaemon,
) -> None:
    async with connect(daemon.socket) as model:
        opened = await model.call_tool("open_session", {"language": "py", "files": {"in.txt": "6"}})
        session = {"session": opened.structured_content["session"]}

        async def run(code: str) -> Any:
            arguments = {"language": "python", "code": code, **session}
            return (await model.call_tool("run_code", arguments)).structured_content

        assert (await run("n = int(open('in.txt').read())"))["state"] == "kept"
        await model.call_tool("write_files", {**session, "files": {"a/b.txt": "7"}})
        assert (await run("n * int(open('a/b.txt').read())"))["value"] == "42"
        assert (await run("1 / 0"))["state"] == "kept"
        await run("open('a/out.bin', 'wb').write(b'\\xff'); n = 1")

        listed = await model.call_tool("list_files", {**session, "path": "a"})
        found = {each["path"]: each["size"] for each in listed.structured_content["files"]}
        assert found == {"a/b.txt": 1, "a/out.bin": 1}
        paths = ["a/out.bin", "nothing"]
        read = (await model.call_tool("read_files", {**session, "paths": paths})).structured_content
        (file,), (skipped,) = read["files"], read["files_skipped"]
        assert base64.b64decode(file["data"]["base64"]) == b"\xff"
        assert skipped["path"] == "nothing"

        assert (await run("n"))["value"] == "1"
        closed = await model.call_tool("close_session", session)
        assert closed.structured_content == {}
        arguments = {"language": "python", "code": "n", **session}
        assert (await model.call_tool("run_code", arguments)).is_error


async def test_a_cancelled_call_interrupts_its_run_and_the_session_goes_on(
    daemon: RunningDaemon,
) -> None:
    progress = Progress()
    async with connect(daemon.socket) as model:
        opened = await model.call_tool("open_session", {"language": "python"})
        arguments = {"language": "python", "session": opened.structured_content["session"]}
        code = "import time\nn = 42\nprint('begun')\ntime.sleep(1000)"
        calling = asyncio.create_task(
            model.call_tool("run_code", {**arguments, "code": code}, progress_callback=progress)
        )
        await until(lambda: progress.text == "begun\n", "the program's first line")
        calling.cancel()
        await asyncio.wait([calling])
        after = await model.call_tool("run_code", {**arguments, "code": "n"})
    assert after.structured_content["value"] == "42"


async def test_sessions_end_with_the_connection_that_opened_them(
    daemon: RunningDaemon, aclient: AsyncClient
) -> None:
    async def there() -> set[str]:
        return {each.session for each in await aclient.sessions()}

    async with connect(daemon.socket) as model, connect(daemon.socket) as another:
        mine = (await model.call_tool("open_session", {"language": "python"})).structured_content
        async with connect(daemon.socket) as third:
            its = await third.call_tool("open_session", {"language": "bash"})
            listed = await another.call_tool("list_sessions")
            sessions = {each["session"] for each in listed.structured_content["sessions"]}
            assert sessions >= {mine["session"], its.structured_content["session"]}
        async with asyncio.timeout(DEADLINE):
            while its.structured_content["session"] in await there():
                pass
        assert mine["session"] in await there()
    async with asyncio.timeout(DEADLINE):
        while mine["session"] in await there():
            pass
