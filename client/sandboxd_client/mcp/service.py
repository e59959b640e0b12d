"""Tools that look at the daemon."""

from __future__ import annotations

from msgspec import Struct

from sandboxd_client.aio import AsyncClient
from sandboxd_client.mcp.tool import Arguments, Report, Tool
from sandboxd_client.protocol import HealthResult, LanguageInfo


class Nothing(Arguments, frozen=True):
    pass


class LanguageList(Struct, frozen=True):
    languages: list[LanguageInfo]


async def list_languages(client: AsyncClient, _: Nothing, __: Report) -> LanguageList:
    return LanguageList(await client.languages())


async def health(client: AsyncClient, _: Nothing, __: Report) -> HealthResult:
    return await client.health()


TOOLS = (
    Tool(
        name="list_languages",
        title="List languages",
        description="List what run_code can run: names, aliases, versions, installed packages.",
        arguments=Nothing,
        result=LanguageList,
        call=list_languages,
    ),
    Tool(
        name="health",
        title="Check the sandbox",
        description=(
            "Check whether programs can be run (ok, degraded or down), and why if not. "
            "Ask when run_code answers with an error that is not about your arguments."
        ),
        arguments=Nothing,
        result=HealthResult,
        call=health,
    ),
)
