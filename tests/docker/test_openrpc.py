"""The description of the protocol is true: in step with the code, and of every method."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from sandboxd.rpc.openrpc import document, page
from sandboxd_client import Client
from tests.support.daemon import RunningDaemon

CLIENT = Path(__file__).parents[2] / "client"

# What each method needs, made from its own description where that is enough.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "run": {"language": "python", "code": "print(1)", "stream": False},
    "session.open": {"language": "python"},
    "files.write": {"files": {"a": "1"}},
    "files.read": {"paths": ["a"]},
    "debug.report": {"language": "python", "exit_code": 1, "stderr": "", "code": ""},
}


def test_the_documents_in_the_repo_are_in_step_with_the_code() -> None:
    assert json.loads((CLIENT / "openrpc.json").read_text()) == document(), "run `make docs`"
    assert (CLIENT / "PROTOCOL.md").read_text() == page(document()), "run `make docs`"


def call(path: Path, method: str, params: dict[str, Any]) -> dict[str, Any]:
    """One request, by hand: no type of ours on either side."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        connection.sendall(json.dumps(request).encode() + b"\n")
        answers = map(json.loads, connection.makefile("rb"))
        answer: dict[str, Any] = next(each for each in answers if "id" in each)
        return answer


def methods() -> list[dict[str, Any]]:
    """Those that answer."""
    return [each for each in document()["methods"] if "result" in each]


@pytest.mark.parametrize("method", methods(), ids=lambda each: each["name"])
def test_each_method_answers_as_it_is_described(
    daemon: RunningDaemon, client: Client, method: dict[str, Any]
) -> None:
    arguments = dict(ARGUMENTS.get(method["name"], {}))
    if any(param["name"] == "run" and param["required"] for param in method["params"]):
        arguments["run"] = client.run("python", "pass").run
    if any(param["name"] == "session" and param["required"] for param in method["params"]):
        opened = {"language": "python", "keep": True, "ttl": 60}
        arguments["session"] = call(daemon.socket, "session.open", opened)["result"]["session"]
    needed = {param["name"] for param in method["params"] if param["required"]}
    assert needed <= set(arguments)
    result = call(daemon.socket, method["name"], arguments)["result"]
    check(result, method["result"]["schema"], document()["components"]["schemas"])


@pytest.mark.parametrize("method", methods(), ids=lambda each: each["name"])
def test_each_method_refuses_what_is_not_described(
    daemon: RunningDaemon, method: dict[str, Any]
) -> None:
    error = call(daemon.socket, method["name"], {"nonsense": 1})["error"]
    assert error["code"] == -32602
    assert "nonsense" in error["message"] or "missing required field" in error["message"]


def check(value: Any, schema: dict[str, Any], schemas: dict[str, Any]) -> None:
    """As much of JSON Schema as the document uses."""
    if "$ref" in schema:
        check(value, schemas[schema["$ref"].rpartition("/")[2]], schemas)
    elif "anyOf" in schema:
        assert any(fits(value, each, schemas) for each in schema["anyOf"]), (value, schema)
    elif "enum" in schema:
        assert value in schema["enum"]
    elif schema.get("type") == "array":
        assert isinstance(value, list)
        for item in value:
            check(item, schema.get("items", {}), schemas)
    elif schema.get("type") == "object":
        assert isinstance(value, dict)
        assert set(schema.get("required", ())) <= set(value)
        for name, field in schema.get("properties", {}).items():
            if name in value:
                check(value[name], field, schemas)
    elif "type" in schema:
        kinds = {
            "string": str,
            "integer": int,
            "number": (int, float),
            "boolean": bool,
            "null": type(None),
        }
        assert isinstance(value, kinds[schema["type"]]), (value, schema)  # type: ignore[arg-type]  # a tuple is fine


def fits(value: Any, schema: dict[str, Any], schemas: dict[str, Any]) -> bool:
    try:
        check(value, schema, schemas)
    except AssertionError:
        return False
    return True
