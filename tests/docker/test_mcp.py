"""Tools for models, from the official SDK's client to a program in a container."""

from __future__ import annotations

import asyncio
import base64

from sandboxd_client import AsyncClient
from tests.support.daemon import RunningDaemon
from tests.support.mcp import Progress, connect
from tests.support.wait import until


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
        async with asyncio.timeout(30):
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
