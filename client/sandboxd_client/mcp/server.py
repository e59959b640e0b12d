"""The server: lists the tools, calls them, and turns what goes wrong into words."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from mcp import MCPError, stdio_server, types
from mcp.server import Server, ServerRequestContext

from sandboxd_client import __version__
from sandboxd_client.aio import AsyncClient
from sandboxd_client.errors import SandboxError
from sandboxd_client.mcp import runs, service, sessions
from sandboxd_client.mcp.tool import facts_of

TOOLS = {tool.name: tool for tool in (*runs.TOOLS, *sessions.TOOLS, *service.TOOLS)}

_Context = ServerRequestContext[AsyncClient]


def make_server(socket: str | None = None) -> Server[AsyncClient]:
    """A server for the daemon on `socket`; it connects when it is first asked."""

    @asynccontextmanager
    async def connected(_: Server[AsyncClient]) -> AsyncIterator[AsyncClient]:
        client = AsyncClient(socket)
        try:
            yield client
        finally:
            await client.close()

    return Server(
        "sandboxd",
        version=__version__,
        title="sandboxd",
        instructions="Run programs in isolated containers: start with run_code.",
        lifespan=connected,
        on_list_tools=_list_tools,
        on_call_tool=_call_tool,
    )


async def serve(socket: str | None = None) -> None:
    """Serves on stdin and stdout until stdin ends."""
    server = make_server(socket)
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


async def _list_tools(
    context: _Context, _: types.PaginatedRequestParams | None
) -> types.ListToolsResult:
    facts = await facts_of(context.lifespan_context)
    return types.ListToolsResult(tools=[tool.described(facts) for tool in TOOLS.values()])


async def _call_tool(
    context: _Context, params: types.CallToolRequestParams
) -> types.CallToolResult:
    """Errors that a model can do something about are results; see the protocol's own page."""
    tool = TOOLS.get(params.name)
    if tool is None:
        known = ", ".join(TOOLS)
        raise MCPError(types.INVALID_PARAMS, f"no tool {params.name!r}; there are {known}")

    async def report(printed: int, text: str) -> None:
        await context.session.report_progress(printed, message=text)

    try:
        arguments = msgspec.convert(params.arguments or {}, tool.arguments)
        result = await tool.call(context.lifespan_context, arguments, report)
    except msgspec.ValidationError as error:
        return _answer(f"arguments of {tool.name}: {error}", is_error=True)
    except SandboxError as error:
        return _answer(str(error), is_error=True)
    return _answer(msgspec.json.encode(result).decode(), msgspec.to_builtins(result))


def _answer(
    text: str, structured: dict[str, Any] | None = None, *, is_error: bool = False
) -> types.CallToolResult:
    """The text is for clients that know no structured results."""
    return types.CallToolResult(
        content=[types.TextContent(text=text)],
        structured_content=structured,
        is_error=is_error,
    )
