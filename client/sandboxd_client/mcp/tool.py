"""What a tool consists of, and how it is described to a model."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec
from mcp import types
from msgspec import Struct

from sandboxd_client.aio import AsyncClient
from sandboxd_client.errors import SandboxError
from sandboxd_client.protocol import InitializeResult

_MIB = 1024 * 1024


class Arguments(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a model passes: what is not known is refused, so that it learns of it."""


class Report(Protocol):
    """Takes what has been printed: the bytes so far, and the text that is new."""

    async def __call__(self, printed: int, text: str) -> None: ...


class Facts(Struct, frozen=True):
    """What descriptions tell of the daemon; nothing while none answers."""

    limits: str = ""
    languages: str = ""


class Tool(Struct, frozen=True, kw_only=True):
    """`call` takes the arguments, and its result is given as `result` says."""

    name: str
    title: str
    description: str
    """With `{limits}` and `{languages}` where the daemon's own belong."""
    arguments: type[Arguments]
    result: type[Struct]
    call: Callable[[AsyncClient, Any, Report], Awaitable[Struct]]
    changes: bool = False
    """Whether anything is different afterwards."""

    def __post_init__(self) -> None:
        msgspec.json.Decoder(self.arguments)  # so that msgspec knows the type; see `decoder`

    def described(self, facts: Facts) -> types.Tool:
        text = self.description.format(limits=facts.limits, languages=facts.languages)
        return types.Tool(
            name=self.name,
            title=self.title,
            description=text.strip(),
            input_schema=_schema(self.arguments),
            output_schema=_schema(self.result),
            annotations=types.ToolAnnotations(
                read_only_hint=not self.changes,
                destructive_hint=False,
                open_world_hint=False,
            ),
        )


async def facts_of(client: AsyncClient) -> Facts:
    """Tools are listed without a daemon too: the first call then tells what is wrong."""
    try:
        return _facts(await client.initialize())
    except SandboxError:
        return Facts()


def _facts(told: InitializeResult) -> Facts:
    limits = ", ".join(
        f"{name} {_amount(getattr(told.limits.default, name))} "
        f"(at most {_amount(getattr(told.limits.max, name))})"
        for name in told.limits.default.__struct_fields__
    )
    return Facts(
        limits=f"Limits, durations in seconds: {limits}.",
        languages=f"Languages: {', '.join(told.languages)}.",
    )


def _amount(value: float) -> str:
    whole, rest = divmod(value, _MIB)
    return f"{whole:g}MiB" if whole and not rest else f"{value:g}"


def _schema(kind: type[Struct]) -> dict[str, Any]:
    """A type's JSON Schema with an object at its root, where a tool must have one."""
    (root,), components = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    name = root["$ref"].rpartition("/")[2]
    schema: dict[str, Any] = components.pop(name)
    schema.pop("description", None)  # the tool has its own
    return {**schema, "$defs": components} if components else schema
