"""Tools for sessions: where runs find what the ones before them left.

A session that is opened here belongs to the server's connection to the daemon, and so
ends when the model's client leaves.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from sandboxd_client._files import wire_files, written_files
from sandboxd_client.aio import AsyncClient
from sandboxd_client.mcp.tool import Arguments, Report, Tool
from sandboxd_client.protocol import (
    Base64,
    FileInfo,
    FilesListParams,
    FilesRead,
    FilesReadParams,
    FilesWriteParams,
    Limits,
    Method,
    Nothing,
    SessionInfo,
    SessionOpened,
    SessionOpenParams,
)

_Session = Annotated[str, Meta(description="The `session` of open_session.")]
_Files = Annotated[
    dict[str, str | Base64],
    Meta(description='By relative path: text, or {"base64": "…"} for bytes.'),
]


class OpenSession(Arguments, frozen=True):
    language: Annotated[str, Meta(description="A name or an alias of list_languages.")]
    files: _Files = field(default_factory=dict)
    limits: Annotated[
        Limits,
        Meta(
            description="Other limits; timeout, output and files_total are of each run, "
            "the others of all that is in the session."
        ),
    ] = Limits()
    network: Annotated[
        bool, Meta(description="Whether to ask for the network; refused unless allowed.")
    ] = False
    packages: Annotated[
        list[str],
        Meta(description='To install first, where allowed, such as "numpy==1.26".'),
    ] = field(default_factory=list)
    ttl: Annotated[float | None, Meta(description="Seconds that it may lie unused.")] = None


class ListSessions(Arguments, frozen=True):
    pass


class CloseSession(Arguments, frozen=True):
    session: _Session


class WriteFiles(Arguments, frozen=True):
    session: _Session
    files: _Files


class ReadFiles(Arguments, frozen=True):
    session: _Session
    paths: Annotated[list[str], Meta(description="Relative to the work folder.")]


class ListFiles(Arguments, frozen=True):
    session: _Session
    path: Annotated[str | None, Meta(description="Only what is in this folder.")] = None


class SessionList(Struct, frozen=True):
    sessions: list[SessionInfo]


class FileList(Struct, frozen=True):
    files: list[FileInfo]


async def open_session(client: AsyncClient, wanted: OpenSession, _: Report) -> SessionOpened:
    params = SessionOpenParams(
        language=wanted.language,
        files=wire_files(wanted.files),
        limits=wanted.limits,
        network=wanted.network,
        packages=wanted.packages,
        ttl=wanted.ttl,
    )
    return await client._call(  # noqa: SLF001 - an AsyncSession would end with the call
        Method.SESSION_OPEN, params, SessionOpened
    )


async def list_sessions(client: AsyncClient, _: ListSessions, __: Report) -> SessionList:
    return SessionList(await client.sessions())


async def close_session(client: AsyncClient, wanted: CloseSession, _: Report) -> Nothing:
    await client.close_session(wanted.session)
    return Nothing()


async def write_files(client: AsyncClient, wanted: WriteFiles, _: Report) -> Nothing:
    params = FilesWriteParams(session=wanted.session, files=written_files(wanted.files))
    return await client._call(Method.FILES_WRITE, params, Nothing)  # noqa: SLF001 - as above


async def read_files(client: AsyncClient, wanted: ReadFiles, _: Report) -> FilesRead:
    params = FilesReadParams(session=wanted.session, paths=[*wanted.paths])
    return await client._call(Method.FILES_READ, params, FilesRead)  # noqa: SLF001 - as above


async def list_files(client: AsyncClient, wanted: ListFiles, _: Report) -> FileList:
    params = FilesListParams(session=wanted.session, path=wanted.path)
    return FileList(
        await client._call(Method.FILES_LIST, params, list[FileInfo])  # noqa: SLF001 - as above
    )


TOOLS = (
    Tool(
        name="open_session",
        title="Open a session",
        description=(
            "Open a session, whose runs find the variables, imports, functions and files "
            "that the ones before them left; in languages that are not `stateful`, the files "
            "alone. Then call run_code with its `session`, one piece of code after another. "
            "It ends by close_session, when it lies unused for its ttl, and with this "
            "connection. {limits}"
        ),
        arguments=OpenSession,
        result=SessionOpened,
        call=open_session,
        changes=True,
    ),
    Tool(
        name="list_sessions",
        title="List sessions",
        description="List the open sessions of this user, oldest first.",
        arguments=ListSessions,
        result=SessionList,
        call=list_sessions,
    ),
    Tool(
        name="close_session",
        title="Close a session",
        description="End a session, with all that is in it and what runs there.",
        arguments=CloseSession,
        result=Nothing,
        call=close_session,
        changes=True,
    ),
    Tool(
        name="write_files",
        title="Write files",
        description="Lay files in a session's work folder; those that are there are replaced.",
        arguments=WriteFiles,
        result=Nothing,
        call=write_files,
        changes=True,
    ),
    Tool(
        name="read_files",
        title="Read files",
        description=(
            "Read regular files of a session's work folder. `files_skipped` has those that "
            "do not come, and why."
        ),
        arguments=ReadFiles,
        result=FilesRead,
        call=read_files,
    ),
    Tool(
        name="list_files",
        title="List files",
        description="List all that is in a session's work folder, or in a folder of it.",
        arguments=ListFiles,
        result=FileList,
        call=list_files,
    ),
)
