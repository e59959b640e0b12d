"""The examples of the client do what they are examples of."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sandboxd_client import Client
from tests.support.daemon import RunningDaemon

FOLDER = Path(__file__).parents[2] / "client" / "examples"
NEEDS = {"langchain_tool.py": "langchain_core", "smolagents_executor.py": "smolagents"}
EXAMPLES = [
    path
    for path in sorted(FOLDER.glob("*.py"))
    if path.name not in NEEDS or importlib.util.find_spec(NEEDS[path.name])
]


def load(name: str) -> ModuleType:
    specification = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # their annotations are resolved there
    specification.loader.exec_module(module)
    return module


function_calling, langchain_tool = load("function_calling"), load("langchain_tool")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_each_runs_as_it_stands(daemon: RunningDaemon, path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", path],
        env={**os.environ, "SANDBOXD_SOCKET": str(daemon.socket)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "42" in ran.stdout


def call(client: Client, name: str = "run_code", **arguments: Any) -> Any:
    return json.loads(function_calling.answer(client, name, json.dumps(arguments)))


def test_a_function_call_is_answered_with_what_the_program_did(client: Client) -> None:
    told = call(client, language="python", code="print(input())", stdin="hello")
    assert (told["status"], told["stdout"]) == ("ok", "hello\n")
    assert call(client, language="bash", code="sleep 9", timeout=0.1)["status"] == "timeout"


def test_a_wrong_function_call_is_told_to_the_model(client: Client) -> None:
    assert "there is no function" in call(client, "nothing")["error"]
    assert "missing required field `code`" in call(client, language="python")["error"]
    assert "cobol" in call(client, language="cobol", code="")["error"]


def test_the_schema_and_what_reads_it_name_the_same_parameters() -> None:
    parameters = function_calling.TOOLS[0]["function"]["parameters"]
    assert tuple(parameters["properties"]) == function_calling.RunCode.__struct_fields__


async def test_a_langchain_tool_runs_a_program(daemon: RunningDaemon) -> None:
    tool = langchain_tool.SandboxTool(socket=str(daemon.socket))
    assert set(tool.args) == {"language", "code", "stdin"}
    arguments = {"language": "python", "code": "print(input())", "stdin": "hello"}
    assert tool.invoke(arguments) == "hello\n"
    assert await tool.ainvoke(arguments) == "hello\n"


async def test_a_langchain_tool_tells_the_model_what_went_wrong(daemon: RunningDaemon) -> None:
    tool = langchain_tool.SandboxTool(socket=str(daemon.socket))
    failed = await tool.ainvoke({"language": "bash", "code": "echo no >&2; exit 3"})
    assert failed == "error, exit code 3\nno\n"
    assert "cobol" in await tool.ainvoke({"language": "cobol", "code": ""})
    assert "cobol" in tool.invoke({"language": "cobol", "code": ""})
