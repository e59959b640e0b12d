"""Tools that run a program, and that look at one that has run."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field
from opentelemetry.propagate import inject

from sandboxd_client._wire import Output
from sandboxd_client.aio import AsyncClient
from sandboxd_client.mcp.tool import Arguments, Report, Tool
from sandboxd_client.protocol import (
    Base64,
    DebugReport,
    Limits,
    RunRecord,
    RunResult,
    RunSummary,
    Status,
)

_Run = Annotated[str, Meta(description="The `run` of a result or of run_history.")]
_Language = Annotated[str, Meta(description="A name or an alias of list_languages.")]


class RunCode(Arguments, frozen=True):
    language: _Language
    code: Annotated[str, Meta(description="The whole program.")]
    stdin: Annotated[str, Meta(description="What the program reads on its stdin.")] = ""
    args: Annotated[list[str], Meta(description="Arguments after the program's name.")] = field(
        default_factory=list
    )
    files: Annotated[
        dict[str, str | Base64],
        Meta(
            description="Files to lay in the work folder, by relative path: "
            'text, or {"base64": "…"} for bytes.'
        ),
    ] = field(default_factory=dict)
    outputs: Annotated[
        list[str],
        Meta(description='Globs of files in the work folder to give back, such as "*.csv".'),
    ] = field(default_factory=list)
    session: Annotated[
        str | None,
        Meta(
            description="Run in this session of open_session, which has this language; "
            "limits but timeout, output and files_total, network and packages are its own."
        ),
    ] = None
    limits: Annotated[
        Limits,
        Meta(description='Other limits for this run; sizes are bytes, or such as "64MiB".'),
    ] = Limits()
    network: Annotated[
        bool, Meta(description="Whether to ask for the network; refused unless allowed.")
    ] = False
    packages: Annotated[
        list[str],
        Meta(description='To install first, where allowed, such as "numpy==1.26".'),
    ] = field(default_factory=list)


class DebugRun(Arguments, frozen=True):
    run: Annotated[
        str | None, Meta(description="A run that has ended; or else give its facts:")
    ] = None
    language: str | None = None
    code: str | None = None
    stdout: str | None = None
    stderr: str | None = None
    exit_code: int | None = None
    status: Status | None = None


class ListRuns(Arguments, frozen=True):
    limit: Annotated[int, Meta(ge=1, le=1000)] = 20
    before: Annotated[str | None, Meta(description="A run: only what is older than it.")] = None
    status: Status | None = None
    language: str | None = None


class ShowRun(Arguments, frozen=True):
    run: _Run


class Runs(Struct, frozen=True):
    runs: list[RunSummary]


async def run_code(client: AsyncClient, wanted: RunCode, report: Report) -> RunResult:
    """Cancelling this kills the program; in a session it interrupts it, and the state stays."""
    printed = 0
    async with client.stream(
        wanted.language,
        wanted.code,
        stdin=wanted.stdin,
        args=wanted.args,
        files=wanted.files,
        outputs=wanted.outputs,
        limits=wanted.limits,
        network=wanted.network,
        packages=wanted.packages,
        session=wanted.session,
        traceparent=_traceparent(),
    ) as run:
        async for event in run:
            if isinstance(event, Output):
                printed += len(event.data)
                await report(printed, event.text)
    return run.result


def _traceparent() -> str | None:
    """The span of the call, which the SDK knows from the request or has opened itself."""
    carrier: dict[str, str] = {}
    inject(carrier)
    return carrier.get("traceparent")


async def debug_report(client: AsyncClient, wanted: DebugRun, _: Report) -> DebugReport:
    given = {name: getattr(wanted, name) for name in wanted.__struct_fields__}
    return await client.debug_report(
        **{name: value for name, value in given.items() if value is not None}
    )


async def run_history(client: AsyncClient, wanted: ListRuns, _: Report) -> Runs:
    return Runs(
        await client.history(
            limit=wanted.limit,
            before=wanted.before,
            status=wanted.status,
            language=wanted.language,
        )
    )


async def show_run(client: AsyncClient, wanted: ShowRun, _: Report) -> RunRecord:
    return await client.history_get(wanted.run)


TOOLS = (
    Tool(
        name="run_code",
        title="Run code",
        description=(
            "Run a program in an isolated container of its own and get its output, exit "
            "code and files. Nothing of one run is there in the next, unless both are in the "
            "same `session`: give what it needs in `files`, name what you want back in "
            "`outputs`. In a session the `value` of a last expression comes too, and figures "
            "as files; `state` tells whether the session lives on. There is no network unless you "
            "ask for it and it is allowed. A program that fails is a result, not an error: "
            "read `status` (ok, error, timeout, oom, output_limit, killed), `exit_code` and "
            "`stderr`, or ask debug_report for its `run`. {languages} {limits}"
        ),
        arguments=RunCode,
        result=RunResult,
        call=run_code,
        changes=True,
    ),
    Tool(
        name="debug_report",
        title="Explain a failed run",
        description=(
            "Say what went wrong in a run, where, what it means and what to try. Give the "
            "`run` of a result, or, for a program that ran elsewhere, its language, code, "
            "stderr and exit_code."
        ),
        arguments=DebugRun,
        result=DebugReport,
        call=debug_report,
    ),
    Tool(
        name="run_history",
        title="List runs",
        description="List runs that have ended, the newest first, without code and output.",
        arguments=ListRuns,
        result=Runs,
        call=run_history,
    ),
    Tool(
        name="show_run",
        title="Show a run",
        description="Get a run that has ended: its code, limits, output and result.",
        arguments=ShowRun,
        result=RunRecord,
        call=show_run,
    ),
)
