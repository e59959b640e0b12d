"""What the methods mean: typed params in, plain calls on, typed results out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Protocol

from msgspec import Struct

from sandboxd import __version__
from sandboxd.errors import SandboxdError
from sandboxd.pool.fleet import Variant
from sandboxd.rpc.given import read_code, read_stdin, with_code
from sandboxd.run.active import ActiveRun, Sink
from sandboxd.run.books import Books
from sandboxd.run.debug import explain_facts, explain_record
from sandboxd.run.history import History
from sandboxd.run.holdings import Holdings
from sandboxd.run.kept import KeptRuns, Run
from sandboxd.run.laid import LaidFile
from sandboxd.run.limits import to_limits
from sandboxd.run.plan import RunRequest
from sandboxd.run.runner import Runner
from sandboxd.run.session import SessionRequest
from sandboxd.run.sessions import Sessions
from sandboxd_client.protocol import (
    CODE_PATH,
    PROTOCOL,
    AttachParams,
    Check,
    DebugParams,
    DebugReport,
    EngineInfo,
    FileForm,
    FileInfo,
    FilePart,
    FilesListParams,
    FilesRead,
    FilesReadParams,
    FilesWriteParams,
    HealthResult,
    HistoryGetParams,
    HistoryListParams,
    IfBusy,
    InitializeParams,
    InitializeResult,
    InputFile,
    Killed,
    KillParams,
    LanguageInfo,
    LimitsInfo,
    Method,
    NoParams,
    Nothing,
    OutputForm,
    Params,
    PoolStatus,
    Reuse,
    RunParams,
    RunRecord,
    RunResult,
    RunSummary,
    SessionInfo,
    SessionOpened,
    SessionOpenParams,
    SessionParams,
    StatusResult,
)


class Sources(Struct, frozen=True):
    """Where the answers about the daemon itself come from."""

    engine: Callable[[], Awaitable[EngineInfo]]
    """Raises EngineUnavailableError."""
    pools: Callable[[], list[PoolStatus]]
    languages: Callable[[], list[LanguageInfo]]
    missing_images: Callable[[], dict[str, str]]
    """Languages that cannot be run yet, and how far their image is."""
    clients: Callable[[], int]
    discover: Callable[[], dict[str, Any]]
    """The OpenRPC document of these methods."""


class Context(Sink, Protocol):
    """Who asks, and where the events of what they ask for go."""

    owner: int
    """The uid of the peer."""
    client: int
    """Tells its connections apart."""

    @property
    def connected(self) -> bool:
        """Whether the client is still there."""

    def use_forms(self, *, raw: bool, pieces: bool) -> None:
        """The forms of output and of files on this connection, from here on."""

    async def receive(self, files: Mapping[str, str | InputFile], most: int) -> dict[str, LaidFile]:
        """The request's files, once all of their content is here; see Transfer."""

    def hand_over(self) -> Callable[[], None]:
        """Says that somebody who outlives the request holds its files, and calls this then."""

    def is_active(self, run: ActiveRun) -> None:
        """From here on stdin can be fed to the run."""


class Methods:
    """The methods, one for each name; they do not know the connection they are for."""

    def __init__(
        self,
        runner: Runner,
        sessions: Sessions,
        history: History,
        books: Books,
        sources: Sources,
    ) -> None:
        self._runner = runner
        self._sessions = sessions
        self._kept = KeptRuns(books)
        self._history = history
        self._books = books
        self._sources = sources
        self._began = time.monotonic()
        self.incoming = Holdings(self._files_held)
        """Content of files that follows its request."""
        self.outgoing = Holdings(self._files_held)
        """Files that are read to be in an answer."""

    def _files_held(self) -> int:
        return int(self._runner.config.limits.files_held)

    async def _receive(
        self, files: Mapping[str, str | InputFile], context: Context
    ) -> dict[str, LaidFile]:
        if not files:
            return {}
        return await context.receive(files, int(self._runner.config.limits.max.files_total))

    async def initialize(self, params: InitializeParams, context: Context) -> InitializeResult:
        context.use_forms(
            raw=params.output is OutputForm.RAW, pieces=params.files is FileForm.PIECES
        )
        limits = self._runner.config.limits
        return InitializeResult(
            server="sandboxd",
            version=__version__,
            protocol=PROTOCOL,
            engine=await self._engine_or_unknown(),
            languages=sorted(self._runner.languages.by_name),
            limits=LimitsInfo(default=to_limits(limits.default), max=to_limits(limits.max)),
        )

    async def run(self, params: RunParams, context: Context) -> RunResult:
        whole, streamed = read_stdin(params.stdin)
        files = await self._receive(with_code(params), context)
        code, source = params.code, None
        if not isinstance(code, str):
            code, source = read_code(files.pop(CODE_PATH).data)
        request = RunRequest(
            owner=context.owner,
            client=context.client,
            language=params.language,
            code=code,
            source=source,
            args=params.args,
            env=params.env,
            stdin=whole,
            stdin_streamed=streamed,
            limits=params.limits,
            files=files,
            outputs=params.outputs,
            variant=Variant(network=params.network, writable_root=not params.read_only),
            fresh=params.reuse is Reuse.NEVER,
            profile=params.profile,
            packages=params.packages,
            label=params.label,
            traceparent=params.traceparent,
            stream=params.stream,
            capture=params.capture,
            keep=params.keep,
        )
        if params.session is None:
            run: Run = self._runner.run
        else:
            refuse = params.if_busy is IfBusy.REFUSE
            run = partial(self._sessions.run, params.session, refuse=refuse)
        if params.keep:
            return await self._run_kept(run, request, context)
        return await run(request, context, context.is_active)

    async def _run_kept(self, run: Run, request: RunRequest, context: Context) -> RunResult:
        kept = self._kept.start(run, request, context, context.is_active)
        given_back = context.hand_over()
        kept.task.add_done_callback(lambda _: given_back())
        try:
            return await kept.follow(context, stream=request.stream)
        except asyncio.CancelledError:
            if context.connected:
                await kept.kill()
            else:
                kept.leave()
            raise

    async def attach(self, params: AttachParams, context: Context) -> RunResult:
        return await self._kept.attach(_reader(context), params, context)

    async def kill(self, params: KillParams, context: Context) -> Killed:
        return Killed(had_ended=not await self._kept.kill(_reader(context), params.run))

    async def session_open(self, params: SessionOpenParams, context: Context) -> SessionOpened:
        run = RunRequest(
            owner=context.owner,
            client=context.client,
            language=params.language,
            code="",
            env=params.env,
            limits=params.limits,
            files=await self._receive(params.files, context),
            variant=Variant(network=params.network, writable_root=not params.read_only),
            profile=params.profile or self._runner.languages.find(params.language).name,
            packages=params.packages,
            capture=False,
        )
        ttl = self._runner.config.sessions.ttl if params.ttl is None else params.ttl
        opened = await self._sessions.open(SessionRequest(run=run, ttl=ttl, keep=params.keep))
        return SessionOpened(opened.id, opened.language.name, opened.expires_at)

    async def session_close(self, params: SessionParams, context: Context) -> Nothing:
        session = self._sessions.find(context.owner, params.session)
        await session.close("its client closed it")
        return Nothing()

    async def session_list(self, _: NoParams, context: Context) -> list[SessionInfo]:
        return self._sessions.list(context.owner)

    async def files_write(self, params: FilesWriteParams, context: Context) -> Nothing:
        session = self._sessions.find(context.owner, params.session)
        await session.write_files(await self._receive(params.files, context))
        return Nothing()

    async def files_read(self, params: FilesReadParams, context: Context) -> FilesRead:
        session = self._sessions.find(context.owner, params.session)
        parts = [FilePart(path=each) if isinstance(each, str) else each for each in params.paths]
        return await session.read_files(parts, context)

    async def files_list(self, params: FilesListParams, context: Context) -> list[FileInfo]:
        return await self._sessions.list_files(context.owner, params.session, params.path)

    def client_left(self, client: int) -> None:
        """A connection has closed."""
        self._sessions.client_left(client)

    async def languages(self, _: NoParams, __: Context) -> list[LanguageInfo]:
        return self._sources.languages()

    async def status(self, _: NoParams, __: Context) -> StatusResult:
        pools = self._sources.pools()
        return StatusResult(
            uptime=time.monotonic() - self._began,
            engine=await self._engine_or_unknown(),
            pools=pools,
            queue=sum(pool.waiting for pool in pools),
            clients=self._sources.clients(),
            totals=self._runner.totals(),
        )

    async def history_list(self, params: HistoryListParams, context: Context) -> list[RunSummary]:
        return await self._books.list(_reader(context), params)

    async def history_get(self, params: HistoryGetParams, context: Context) -> RunRecord:
        return await self._books.get(_reader(context), params.run)

    async def debug_report(self, params: DebugParams, context: Context) -> DebugReport:
        runner = self._runner
        if params.run is None:
            return explain_facts(params, runner.languages, runner.profiles, runner.modules)
        record = await self._books.get(_reader(context), params.run)
        return explain_record(record, params.files, runner.profiles, runner.modules)

    async def discover(self, _: NoParams, __: Context) -> dict[str, Any]:
        return self._sources.discover()

    async def health(self, _: NoParams, __: Context) -> HealthResult:
        return await self.health_now()

    async def health_now(self) -> HealthResult:
        """Down when nothing can run, degraded when some of it cannot."""
        checks: dict[str, Check] = {}
        try:
            engine = await self._sources.engine()
            checks["engine"] = Check(ok=True, detail=f"{engine.name} {engine.version}")
        except SandboxdError as error:
            checks["engine"] = Check(ok=False, detail=str(error))
        pools = self._sources.pools()
        for pool in pools:
            detail = pool.problem or f"{pool.idle} idle, {pool.busy} busy, {pool.starting} starting"
            name = f"pool {pool.profile}"
            if name in checks and not checks[name].ok:
                continue  # of its variants the one that fails counts
            checks[name] = Check(ok=pool.problem is None, detail=detail)
        kept = self._history
        told = kept.problem or f"{kept.written} written, {kept.dropped} dropped"
        checks["history"] = Check(ok=kept.problem is None, detail=told)
        for language, progress in self._sources.missing_images().items():
            checks[f"image {language}"] = Check(ok=False, detail=progress)
        serving = any(pool.idle or pool.recycling or pool.problem is None for pool in pools)
        if not checks["engine"].ok or not serving:
            status = "down"
        else:
            status = "ok" if all(check.ok for check in checks.values()) else "degraded"
        return HealthResult(status=status, checks=checks)

    async def _engine_or_unknown(self) -> EngineInfo:
        try:
            return await self._sources.engine()
        except SandboxdError:
            return EngineInfo(name="unknown", version="unknown")


def _reader(context: Context) -> int | None:
    """Whose runs a caller sees: its own, and root everybody's."""
    return None if context.owner == 0 else context.owner


class Handler(Struct, frozen=True):
    """A method: its params, what is called with them, what it answers, and what for."""

    params: type[Params]
    call: Callable[[Methods, Any, Context], Awaitable[Any]]
    result: Any
    summary: str


HANDLERS: dict[str, Handler] = {
    Method.INITIALIZE: Handler(
        InitializeParams, Methods.initialize, InitializeResult, "Who serves, and what it has."
    ),
    Method.RUN: Handler(RunParams, Methods.run, RunResult, "Runs a program to its end."),
    Method.RUN_ATTACH: Handler(
        AttachParams,
        Methods.attach,
        RunResult,
        "Joins a kept run of the caller's: its output, then its result; also after its end.",
    ),
    Method.RUN_KILL: Handler(
        KillParams, Methods.kill, Killed, "Ends a kept run of the caller's, and waits for its end."
    ),
    Method.LANGUAGES: Handler(NoParams, Methods.languages, list[LanguageInfo], "What can be run."),
    Method.STATUS: Handler(NoParams, Methods.status, StatusResult, "Pools, queue and totals."),
    Method.HEALTH: Handler(
        NoParams, Methods.health, HealthResult, "What is in order and what is not."
    ),
    Method.HISTORY_LIST: Handler(
        HistoryListParams,
        Methods.history_list,
        list[RunSummary],
        "The caller's runs that have ended, newest first; root sees everybody's.",
    ),
    Method.HISTORY_GET: Handler(
        HistoryGetParams, Methods.history_get, RunRecord, "All that is kept of a run."
    ),
    Method.DEBUG_REPORT: Handler(
        DebugParams,
        Methods.debug_report,
        DebugReport,
        "What went wrong in a run, where, what it means, and what to try.",
    ),
    Method.SESSION_OPEN: Handler(
        SessionOpenParams,
        Methods.session_open,
        SessionOpened,
        "A place for runs that find what the ones before them left.",
    ),
    Method.SESSION_CLOSE: Handler(
        SessionParams, Methods.session_close, Nothing, "Ends a session, and what runs in it."
    ),
    Method.SESSION_LIST: Handler(
        NoParams,
        Methods.session_list,
        list[SessionInfo],
        "The caller's open sessions, oldest first; root sees everybody's.",
    ),
    Method.FILES_WRITE: Handler(
        FilesWriteParams, Methods.files_write, Nothing, "Lays files in a session's work folder."
    ),
    Method.FILES_READ: Handler(
        FilesReadParams, Methods.files_read, FilesRead, "Regular files of a session's work folder."
    ),
    Method.FILES_LIST: Handler(
        FilesListParams,
        Methods.files_list,
        list[FileInfo],
        "All that is in a session's work folder, by path.",
    ),
    Method.DISCOVER: Handler(
        NoParams, Methods.discover, dict[str, Any], "This description of all methods (OpenRPC)."
    ),
}
