"""Tools for models, by the official SDK's client over stdio; the engine is a double."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp import MCPError
from mcp.types import CallToolResult, TextContent

from sandboxd.config import HistoryConfig
from tests.support.mcp import Progress, connect
from tests.support.service import SMALL, Service, replace
from tests.support.wait import DEADLINE, until

NAMES = {
    "run_code",
    "open_session",
    "list_sessions",
    "close_session",
    "write_files",
    "read_files",
    "list_files",
    "list_languages",
    "debug_report",
    "run_history",
    "show_run",
    "health",
}


def text(result: CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


async def test_tools_are_described_with_what_the_daemon_has(service: Service) -> None:
    async with connect(service.socket) as model:
        tools = {each.name: each for each in (await model.list_tools()).tools}
    assert set(tools) == NAMES
    told = tools["run_code"].description or ""
    assert "memory 512MiB (at most 512MiB)" in told
    assert "timeout 30 (at most 30)" in told
    assert "python" in told
    assert all(each.output_schema for each in tools.values())


async def test_a_program_runs_and_its_result_is_structured(service: Service) -> None:
    async with connect(service.socket) as model:
        arguments = {"language": "python", "code": "cat\nargs\nexit 3", "stdin": "in"}
        result = await model.call_tool("run_code", {**arguments, "args": ["a", "b"]})
    assert not result.is_error
    assert result.structured_content["status"] == "error"
    assert result.structured_content["exit_code"] == 3
    assert result.structured_content["stdout"].startswith("in")
    assert '"exit_code":3' in text(result)


async def test_files_go_in_and_come_back(service: Service) -> None:
    async with connect(service.socket) as model:
        result = await model.call_tool(
            "run_code",
            {
                "language": "python",
                "code": "show in.txt\nwrite out.txt done",
                "files": {"in.txt": {"base64": "aGVsbG8="}},
                "outputs": ["*.txt"],
            },
        )
    assert "hello" in result.structured_content["stdout"]
    files = {each["path"]: each["data"] for each in result.structured_content["files"]}
    assert files["in.txt"] == "hello"
    assert files["out.txt"].startswith("done")


async def test_output_is_progress_while_the_program_runs(service: Service) -> None:
    progress = Progress()
    async with connect(service.socket) as model:
        code = "out first\nwait go\nout second"
        calling = asyncio.create_task(
            model.call_tool(
                "run_code",
                {"language": "python", "code": code},
                progress_callback=progress,
            )
        )
        await until(lambda: "first" in progress.text, "the first line is told of")
        service.engine.events["go"].set()
        await calling
    assert progress.text.split() == ["first", "second"]
    assert progress.steps == sorted(set(progress.steps))


async def test_a_cancelled_call_cancels_its_run(service: Service) -> None:
    async with connect(service.socket) as model:
        arguments = {"language": "python", "code": "mark begun\nhang"}
        calling = asyncio.create_task(model.call_tool("run_code", arguments))
        async with asyncio.timeout(DEADLINE):
            await service.engine.events["begun"].wait()
        calling.cancel()
        await asyncio.wait([calling])
        await until(lambda: service.runner.totals().by_status == {"cancelled": 1}, "it is killed")
        again = await model.call_tool("run_code", {"language": "python", "code": "out here"})
    assert again.structured_content["stdout"] == "here\n"


async def test_runs_go_on_beside_each_other(service: Service) -> None:
    async with connect(service.socket) as model:
        first, second = await asyncio.gather(
            model.call_tool("run_code", {"language": "python", "code": "wait go\nout 1"}),
            model.call_tool("run_code", {"language": "python", "code": "mark go\nout 2"}),
        )
    assert (first.structured_content["stdout"], second.structured_content["stdout"]) == (
        "1\n",
        "2\n",
    )


async def test_the_history_is_listed_shown_and_explained(tmp_path: Path) -> None:
    config = replace(SMALL, history=HistoryConfig())
    async with Service(tmp_path, config) as service, connect(service.socket) as model:
        ran = await model.call_tool("run_code", {"language": "python", "code": "err no\nexit 4"})
        run = ran.structured_content["run"]
        listed = await model.call_tool("run_history", {"limit": 5})
        shown = await model.call_tool("show_run", {"run": run})
        explained = await model.call_tool("debug_report", {"run": run})
    assert [each["run"] for each in listed.structured_content["runs"]] == [run]
    assert shown.structured_content["code"] == "err no\nexit 4"
    assert explained.structured_content["category"] == "nonzero_exit"


async def test_facts_of_a_program_that_ran_elsewhere_are_explained(service: Service) -> None:
    async with connect(service.socket) as model:
        facts = {"language": "python", "code": "1/0", "exit_code": 1}
        stderr = 'Traceback (most recent call last):\n  File "main.py", line 1, in <module>\n'
        report = await model.call_tool(
            "debug_report", {**facts, "stderr": stderr + "ZeroDivisionError: division by zero\n"}
        )
    assert report.structured_content["error_type"] == "ZeroDivisionError"


async def test_the_daemon_is_looked_at(service: Service) -> None:
    async with connect(service.socket) as model:
        languages = await model.call_tool("list_languages")
        health = await model.call_tool("health")
    names = [each["name"] for each in languages.structured_content["languages"]]
    assert "python" in names
    assert health.structured_content["checks"]["engine"]["ok"]


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        ("run_code", {"language": "cobol", "code": ""}, "there is no language 'cobol'"),
        (
            "run_code",
            {"language": "python", "code": "", "limits": {"timeout": 1e6}},
            "limits.timeout",
        ),
        ("run_code", {"language": "python"}, "missing required field `code`"),
        ("run_code", {"language": "python", "code": "", "cod": ""}, "unknown field `cod`"),
        ("run_code", {"language": "python", "code": "", "network": True}, "the network"),
        ("run_code", {"language": "python", "code": "", "packages": ["x"]}, "package x"),
        ("show_run", {"run": "none"}, "none"),
        ("open_session", {"language": "python", "ttl": 0}, "ttl is 0 s"),
        ("run_code", {"language": "python", "code": "", "session": "x"}, "no session 'x'"),
        ("write_files", {"session": "x", "files": {}}, "no session 'x'"),
        ("read_files", {"session": "x"}, "missing required field `paths`"),
        ("close_session", {"session": "x"}, "no session 'x'"),
    ],
)
async def test_what_the_daemon_refuses_is_an_error_of_the_tool_in_its_words(
    service: Service, tool: str, arguments: dict[str, Any], message: str
) -> None:
    async with connect(service.socket) as model:
        result = await model.call_tool(tool, arguments)
    assert result.is_error
    assert message in text(result)


async def test_a_tool_that_there_is_not_is_refused_with_those_there_are(service: Service) -> None:
    async with connect(service.socket) as model:
        with pytest.raises(MCPError, match="no tool 'nothing'; there are run_code"):
            await model.call_tool("nothing")


async def test_without_a_daemon_the_tools_are_there_and_say_what_is_missing(
    tmp_path: Path,
) -> None:
    async with connect(tmp_path / "none.sock") as model:
        assert {each.name for each in (await model.list_tools()).tools} == NAMES
        result = await model.call_tool("health")
    assert result.is_error
    assert "no sandboxd listens" in text(result)


async def test_a_daemon_that_comes_later_is_found(tmp_path: Path) -> None:
    async with connect(tmp_path / "sandboxd.sock") as model:
        assert (await model.call_tool("health")).is_error
        async with Service(tmp_path):
            assert not (await model.call_tool("health")).is_error


def test_without_the_sdk_the_command_says_how_to_get_it() -> None:
    without = "import sys; sys.modules['mcp'] = None; from sandboxd_client.cli import main; "
    ran = subprocess.run(
        [sys.executable, "-c", without + "sys.exit(main())", "mcp"],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert ran.returncode == 125
    assert "pip install 'sandboxd-client[mcp]'" in ran.stderr
