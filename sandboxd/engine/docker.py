"""Docker, through aiodocker: the only place with its words and faults."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self, TypeVar

import aiodocker
import aiohttp
from aiodocker.exceptions import DockerError

from sandboxd.config import EngineConfig
from sandboxd.engine import podman, spec
from sandboxd.engine.port import Attachment, ContainerSpec, Ended, Receiver, Resources
from sandboxd.errors import (
    EngineUnavailableError,
    ImageUnavailableError,
    StartFailedError,
)
from sandboxd_client.protocol import EngineInfo

if TYPE_CHECKING:
    from types import TracebackType

    from aiodocker.containers import DockerContainer

_T = TypeVar("_T")

_STDERR = 2
_HEADER_BYTES = 8
_PATH = re.compile(r"(?<![\w/])/[\w.+-]+/[^\s:,;]*")
_NO_CONNECTION = 900
_CLOSING = 2.0
"""aiodocker's own status for an engine that cannot be reached."""
_UNENFORCED = ("not support", "discarded", "without swap", "No swap")
"""What the engine's warnings about a limit that it drops have in common."""


class DockerEngine:
    """An engine that speaks Docker's API. A context manager; opened once."""

    def __init__(self, host: str, config: EngineConfig) -> None:
        self._host = host
        self._timeout = config.timeout
        self._podman: podman.Dialect | None = None
        self._asked = False

    async def __aenter__(self) -> Self:
        # A held attach is a connection for as long as its container lives, so
        # the usual limit of 100 would hang the 101st call.
        connector: aiohttp.BaseConnector | None = None
        if self._host.startswith("unix://"):
            connector = aiohttp.UnixConnector(self._host.removeprefix("unix://"), limit=0)
        self._connector = connector
        self._docker = aiodocker.Docker(
            url="http://localhost" if connector else self._host, connector=connector
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # What is under way to an engine that hangs would be waited for without end.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSING):
                await self._docker.close()
                if self._connector is not None:
                    await self._connector.close()
        if self._podman is not None:
            self._podman.close()

    async def info(self) -> EngineInfo:
        info = await self._call(self._docker.system.info(), "ask for the engine's state")
        isolation = [option.removeprefix("name=") for option in info.get("SecurityOptions") or []]
        isolation.append(f"cgroup v{info.get('CgroupVersion', '?')}")
        isolation.append(f"runtime {info.get('DefaultRuntime', '?')}")
        name = "podman" if await self._dialect() else "docker"
        return EngineInfo(name=name, version=info["ServerVersion"], isolation=isolation)

    async def _dialect(self) -> podman.Dialect | None:
        """Asked for once; None where Docker's words are understood as they are."""
        if not self._asked:
            version = await self._call(self._docker.version(), "ask for the engine's version")
            if not self._asked and podman.is_podman(version):
                self._podman = podman.Dialect()
            self._asked = True
        return self._podman

    async def has_image(self, tag: str) -> bool:
        return await self.image_labels(tag) is not None

    async def create(self, wanted: ContainerSpec) -> str:
        dialect = await self._dialect()
        config = dialect.translated(wanted.config) if dialect else wanted.config
        # The library's own create drops the engine's warnings.
        creation = self._docker._query_json(  # noqa: SLF001 - aiodocker has no call for it
            "containers/create",
            method="POST",
            params={"name": wanted.name},
            data=json.dumps(config).encode(),
        )
        try:
            answer = await self._call(creation, f"create the container {wanted.name}")
        except _NotFoundError as error:
            raise ImageUnavailableError(
                f"the image {wanted.config['Image']} is not here ({error}); "
                "`sandboxd images build` makes what is missing"
            ) from None
        container: str = answer["Id"]
        dropped = [
            warning
            for warning in answer.get("Warnings") or []
            if any(sign in warning for sign in _UNENFORCED)
        ]
        if dropped:
            await self.remove(container)
            raise StartFailedError(
                f"the engine would not enforce every limit: {' '.join(dropped)} "
                "Without them no program is run"
            )
        return container

    async def attach(self, container: str, receiver: Receiver) -> Attachment:
        # The library's own attach asks for the container again, and hides the
        # upgraded connection; with a protocol of ours on it a chunk costs one
        # call, and pausing it stalls the container as it should.
        upgrade = self._docker._do_query(  # noqa: SLF001 - the library's one door for I/O
            f"containers/{container}/attach",
            method="POST",
            params={"stream": 1, "stdin": 1, "stdout": 1, "stderr": 1},
            headers={"Connection": "Upgrade", "Upgrade": "tcp"},
            timeout=None,
            read_until_eof=False,
        )
        try:
            response = await self._call(upgrade, f"attach to {container}")
        except _NotFoundError as error:
            raise StartFailedError(f"the container was gone before its start: {error}") from None
        transport = response.connection.transport if response.connection else None
        if transport is None:
            raise EngineUnavailableError(f"the engine did not keep the attach of {container} open")
        attachment = _DockerAttachment(response, transport, receiver)
        transport.set_protocol(attachment)
        return attachment

    async def start(self, container: str) -> None:
        try:
            await self._call(self._container(container).start(), f"start {container[:12]}")
        except _NotFoundError as error:
            raise StartFailedError(f"the container was gone before its start: {error}") from None

    async def update(self, container: str, resources: Resources) -> None:
        path, limits = f"containers/{container}/update", spec.resource_config(resources)
        if await self._dialect():
            path, limits = f"libpod/{path}", podman.resource_config(resources)
        change = self._docker._query_json(  # noqa: SLF001 - the library has no call for it
            path, method="POST", data=json.dumps(limits).encode()
        )
        try:
            await self._call(change, f"change the limits of {container}")
        except _NotFoundError as error:
            raise StartFailedError(f"the container is gone: {error}") from None

    async def ended(self, container: str) -> Ended | None:
        try:
            shown = await self._call(self._container(container).show(), f"inspect {container[:12]}")
        except _NotFoundError:
            return None
        state = shown["State"]
        if state.get("Running"):
            return None
        return Ended(exit_code=state.get("ExitCode", -1), oom_killed=bool(state.get("OOMKilled")))

    async def remove(self, container: str) -> None:
        try:
            await self._delete(container)
        except StartFailedError as error:
            # Podman's words on one that ended after it looked and before it killed.
            if "container state improper" not in str(error):
                raise
            await self._delete(container)

    async def _delete(self, container: str) -> None:
        deletion = self._container(container).delete(force=True, v=True)
        try:
            await self._call(deletion, f"remove {container[:12]}")
        except _NotFoundError:
            return
        except StartFailedError as error:
            if "already in progress" not in str(error):
                raise

    async def containers(self, labels: dict[str, str]) -> list[str]:
        wanted = [f"{name}={value}" if value else name for name, value in labels.items()]
        found = await self._call(
            self._docker.containers.list(all=True, filters={"label": wanted}), "list containers"
        )
        # One that the engine failed to remove has no name any more.
        return [each["Names"][0].removeprefix("/") for each in found if each["Names"]]

    async def ask(self, path: str) -> dict[str, Any]:
        """The engine's own answer to a GET, such as `info`. Raises StartFailedError."""
        try:
            answer: dict[str, Any] = await self._call(
                self._docker._query_json(path, method="GET"),  # noqa: SLF001 - aiodocker has no call for it
                f"answer {path}",
            )
        except _NotFoundError as error:
            raise StartFailedError(f"the engine knows no {path}: {error}") from None
        return answer

    async def image_labels(self, tag: str) -> dict[str, str] | None:
        """The labels of an image; None when it is not here."""
        try:
            image = await self._call(self._docker.images.inspect(tag), f"look for the image {tag}")
        except _NotFoundError:
            return None
        return image["Config"].get("Labels") or {}

    async def images(self, label: str) -> list[dict[str, Any]]:
        """The engine's words on all images that carry a label."""
        listing = self._docker.images.list(filters={"label": [label]})
        return await self._call(listing, "list images")

    async def remove_image(self, tag: str) -> None:
        await self._call(self._docker.images.delete(tag), f"remove the image {tag}")

    async def post(
        self, path: str, params: dict[str, str], data: Any = None
    ) -> AsyncIterator[dict[str, Any]]:
        """A long call, such as a pull or a build, as the objects of its answer.

        Raises StartFailedError with the engine's words when the call fails.
        """
        headers = {"Content-Type": "application/x-tar"}
        what = f"do {path}"
        try:
            async with self._docker._query(  # noqa: SLF001 - the library's own door for I/O
                path, method="POST", params=params, data=data, headers=headers, timeout=None
            ) as response:
                async for line in response.content:
                    if line.strip():
                        event: dict[str, Any] = json.loads(line)
                        if "error" in event:
                            raise StartFailedError(event["error"])
                        yield event
        except DockerError as error:
            if error.status == _NO_CONNECTION:
                raise self._unreachable(what, error) from None
            raise StartFailedError(f"the engine would not {what}: {error.message}") from None
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(what, error) from None

    def _container(self, container: str) -> DockerContainer:
        return self._docker.containers.container(container)

    async def _call(self, call: Awaitable[_T], what: str) -> _T:
        """Every call goes through here, and every fault becomes one of ours."""
        try:
            async with asyncio.timeout(self._timeout):
                return await call
        except TimeoutError:
            raise EngineUnavailableError(
                f"the engine did not {what} within {self._timeout:g} s; is it overloaded or hung?"
            ) from None
        except DockerError as error:
            if error.status == _NO_CONNECTION:
                raise self._unreachable(what, error) from None
            raise _translate(error, what) from None
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(what, error) from None

    def _unreachable(self, what: str, error: Exception) -> EngineUnavailableError:
        """Clients are told, so it does not name the engine's address."""
        cause = error.__cause__ or error.__context__ or error
        cause = getattr(cause, "os_error", cause)
        why = getattr(cause, "strerror", None) or type(cause).__name__
        return EngineUnavailableError(
            f"the engine cannot be reached to {what}: {why}; `sandboxd setup` finds out why "
            "and starts it"
        )


class _NotFoundError(Exception):
    pass


def _translate(error: DockerError, what: str) -> Exception:
    # Clients are told, so where the engine keeps things is left out.
    # What a runtime prints of how it is used helps nobody.
    said = error.message.partition("\n")[0]
    text = f"the engine would not {what}: {_PATH.sub('…', said)}"
    if error.status == HTTPStatus.NOT_FOUND:
        return _NotFoundError(error.message)
    return StartFailedError(text)


class _DockerAttachment(asyncio.Protocol):
    """The upgraded connection: Docker's own frames in, the container's bytes out.

    Each is an 8-byte header (stream, three zeros, a big-endian length) and its
    payload (docs.docker.com/reference/api/engine, ContainerAttach).
    """

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        transport: asyncio.Transport,
        receiver: Receiver,
    ) -> None:
        self._response = response
        self._transport = transport
        self._receiver = receiver
        self._header = b""
        """The header of the present frame, as far as it has come."""
        self._is_stderr = False
        self._left = 0
        """Bytes of its payload that are still to come."""
        self._open = True

    def data_received(self, data: bytes) -> None:
        """Every byte is copied once: a payload goes on before it is whole."""
        view, at, end = memoryview(data), 0, len(data)
        pieces: list[memoryview] = []
        while at < end:
            if self._left == 0:
                start = at
                at += min(_HEADER_BYTES - len(self._header), end - at)
                self._header += view[start:at]
                if len(self._header) < _HEADER_BYTES:
                    break
                self._left = int.from_bytes(self._header[4:], "big")
                self._is_stderr, self._header = self._header[0] == _STDERR, b""
            piece = view[at : at + self._left]
            at += len(piece)
            self._left -= len(piece)
            if self._is_stderr:
                self._receiver.stderr(bytes(piece))
            else:
                pieces.append(piece)
        if pieces:
            self._receiver.stdout(b"".join(pieces))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._open:
            self._open = False
            self._response.close()  # gives the connection back to aiohttp's books
            self._receiver.closed()

    def eof_received(self) -> None:
        return None

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def pause(self) -> None:
        if self._open:
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._open:
            self._transport.resume_reading()

    def close(self) -> None:
        self._transport.abort()
