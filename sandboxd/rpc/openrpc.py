"""The OpenRPC document of the protocol, made from the types, and a page made from that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from sandboxd import __version__
from sandboxd.rpc.methods import HANDLERS
from sandboxd_client.protocol import (
    ERROR_CODES,
    CancelParams,
    FilesInputParams,
    FilesOutput,
    FilesWanted,
    InputParams,
    InterruptParams,
    Method,
    RunOutput,
    RunQueued,
    RunStarted,
    RunStdin,
)

_REF = "#/components/schemas/{name}"
_NOTIFICATIONS: dict[Method, tuple[type, str]] = {
    Method.RUN_INPUT: (InputParams, "From the client: stdin for a run that streams it."),
    Method.RUN_INTERRUPT: (InterruptParams, "From the client: a signal, such as Ctrl-C sends it."),
    Method.CANCEL: (CancelParams, "From the client: kills a run; its request answers -32800."),
    Method.RUN_QUEUED: (RunQueued, "To the client: the run waits, and where it stands."),
    Method.RUN_STARTED: (RunStarted, "To the client: the program was handed to a container."),
    Method.RUN_OUTPUT: (RunOutput, "To the client: output, as it is printed."),
    Method.RUN_STDIN: (RunStdin, "To the client: the program's side took so much stdin."),
    Method.FILES_WANTED: (
        FilesWanted,
        "To the client: there is room for the files whose content follows a request.",
    ),
    Method.FILES_INPUT: (
        FilesInputParams,
        "From the client: more of such a file, once that was said; whole when it has its size.",
    ),
    Method.FILES_OUTPUT: (
        FilesOutput,
        "To the client, where it asked for pieces: more of a file, before the answer.",
    ),
}


def document() -> dict[str, Any]:
    """The OpenRPC 1.3 document (spec.open-rpc.org)."""
    kinds: list[Any] = [handler.params for handler in HANDLERS.values()]
    kinds += [handler.result for handler in HANDLERS.values()]
    kinds += [kind for kind, _ in _NOTIFICATIONS.values()]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    count = len(HANDLERS)
    methods = [
        {
            "name": name,
            "summary": handler.summary,
            "paramStructure": "by-name",
            "params": _params(handler.params, components),
            "result": {"name": "result", "schema": schemas[count + number]},
            "errors": [{"$ref": f"#/components/errors/{kind}"} for kind in ERROR_CODES],
        }
        for number, (name, handler) in enumerate(HANDLERS.items())
    ]
    methods += [
        {
            "name": name,
            "summary": summary,
            "paramStructure": "by-name",
            "params": _params(kind, components),
        }
        for name, (kind, summary) in _NOTIFICATIONS.items()
    ]
    return {
        "openrpc": "1.3.2",
        "info": {"title": "sandboxd", "version": __version__, "license": {"name": "Apache-2.0"}},
        "methods": methods,
        "components": {
            "schemas": components,
            "errors": {
                kind: {"code": code, "message": kind.replace("_", " "), "data": {"kind": kind}}
                for kind, code in ERROR_CODES.items()
            },
        },
    }


def _params(kind: type, components: dict[str, Any]) -> list[dict[str, Any]]:
    """Each field of a struct as a parameter; structs without fields have none."""
    schema = components[kind.__name__]
    required = set(schema.get("required", ()))
    return [
        {"name": name, "required": name in required, "schema": field}
        for name, field in schema.get("properties", {}).items()
    ]


def page(described: dict[str, Any]) -> str:
    """The document as Markdown."""
    return "\n".join(_page(described)) + "\n"


def _page(described: dict[str, Any]) -> Iterator[str]:
    yield "# The protocol of sandboxd"
    yield ""
    yield "Made from the types by `sandboxd openrpc --markdown`. JSON-RPC 2.0 on a Unix"
    yield "socket, one object a line."
    for method in described["methods"]:
        yield from _method(method)
    yield from ("", "## Types")
    for name, schema in described["components"]["schemas"].items():
        yield from _type(name, schema)
    yield from ("", "## Errors", "", "| kind | code |", "| --- | --- |")
    for kind, error in described["components"]["errors"].items():
        yield f"| `{kind}` | {error['code']} |"


def _method(method: dict[str, Any]) -> Iterator[str]:
    yield from ("", f"## `{method['name']}`", "", method["summary"])
    if method["params"]:
        yield from ("", "| param | type | required |", "| --- | --- | --- |")
    for param in method["params"]:
        needed = "yes" if param["required"] else ""
        yield f"| `{param['name']}` | {_words(param['schema'])} | {needed} |"
    if "result" in method:
        yield from ("", f"Answers {_words(method['result']['schema'])}.")


def _type(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield from ("", f"### `{name}`")
    if text := schema.get("description"):
        yield from ("", text.strip())
    if "enum" in schema:
        yield from ("", "One of " + ", ".join(f"`{value}`" for value in schema["enum"]) + ".")
    fields = schema.get("properties", {})
    if fields:
        yield from ("", "| field | type |", "| --- | --- |")
    for field, kind in fields.items():
        yield f"| `{field}` | {_words(kind)} |"


def _words(schema: dict[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[`{name}`](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_words(each) for each in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_words(schema.get('items', {}))}"
    if schema.get("type") == "object":
        values = schema.get("additionalProperties")
        return f"map to {_words(values)}" if isinstance(values, dict) else "object"
    kind = schema.get("type", "anything")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)
