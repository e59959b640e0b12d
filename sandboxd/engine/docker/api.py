"""The connection to an engine: the one door for I/O, where its faults become ours."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, TypeVar

import aiodocker
import aiohttp
from aiodocker.exceptions import DockerError

from sandboxd.errors import EngineUnavailableError, StartFailedError

_T = TypeVar("_T")

_PATH = re.compile(r"(?<![\w/])/[\w.+-]+/[^\s:,;]*")
_NO_CONNECTION = 900
"""aiodocker's own status for an engine that cannot be reached."""
_CLOSING = 2.0
"""Seconds for calls under way to end."""
_TAR = {"Content-Type": "application/x-tar"}


class NotFoundError(StartFailedError):
    """The engine does not know what it was asked about; its own words alone."""


class DockerApi:
    """A context manager; opened once. Every call raises EngineUnavailableError where no
    answer comes, and StartFailedError or NotFoundError for one that says no."""

    def __init__(self, address: str, timeout: float) -> None:
        """`timeout` is how many seconds one call may take."""
        self._address = address
        self._timeout = timeout

    async def __aenter__(self) -> Self:
        # A held attach is a connection for as long as its container lives, so
        # the usual limit of 100 would hang the 101st call.
        connector: aiohttp.BaseConnector | None = None
        if self._address.startswith("unix://"):
            connector = aiohttp.UnixConnector(self._address.removeprefix("unix://"), limit=0)
        self._connector = connector
        self.docker = aiodocker.Docker(
            url="http://localhost" if connector else self._address, connector=connector
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
                await self.docker.close()
                if self._connector is not None:
                    await self._connector.close()

    # The library's calls drop some of what an engine says, and some are missing.

    async def get(self, path: str, what: str) -> Any:
        """The engine's answer to a GET."""
        return await self.call(self.docker._query_json(path, method="GET"), what)  # noqa: SLF001

    async def post(
        self, path: str, body: dict[str, Any], what: str, params: dict[str, str] | None = None
    ) -> Any:
        """The engine's answer to a POST."""
        data = json.dumps(body).encode()
        query = self.docker._query_json(path, method="POST", params=params, data=data)  # noqa: SLF001
        return await self.call(query, what)

    async def upgrade(self, path: str, params: dict[str, Any], what: str) -> aiohttp.ClientResponse:
        """The answer to a call whose connection is a stream of bytes from then on."""
        query = self.docker._do_query(  # noqa: SLF001 - the library's own hides the connection
            path,
            method="POST",
            params=params,
            headers={"Connection": "Upgrade", "Upgrade": "tcp"},
            timeout=None,
            read_until_eof=False,
        )
        return await self.call(query, what)

    async def stream(
        self, path: str, params: dict[str, str], what: str, data: Any = None
    ) -> AsyncIterator[dict[str, Any]]:
        """A long call, such as a pull or a build, as the objects of its answer."""
        try:
            async with self.docker._query(  # noqa: SLF001 - no call of the library's gives all
                path, method="POST", params=params, data=data, headers=_TAR, timeout=None
            ) as response:
                async for line in response.content:
                    if line.strip():
                        event: dict[str, Any] = json.loads(line)
                        if "error" in event:
                            raise StartFailedError(event["error"])
                        yield event
        except DockerError as error:
            raise _translate(error, what, said=error.message) from None
        except (aiohttp.ClientError, OSError) as error:
            raise _unreachable(what, error) from None

    async def call(self, call: Awaitable[_T], what: str) -> _T:
        """Awaits one of the library's calls, in time."""
        try:
            async with asyncio.timeout(self._timeout):
                return await call
        except TimeoutError:
            raise EngineUnavailableError(
                f"the engine did not {what} within {self._timeout:g} s; is it overloaded or hung?"
            ) from None
        except DockerError as error:
            # Clients are told, so where the engine keeps things is left out.
            # What a runtime prints of how it is used helps nobody.
            said = _PATH.sub("…", error.message.partition("\n")[0])
            raise _translate(error, what, said=said) from None
        except (aiohttp.ClientError, OSError) as error:
            raise _unreachable(what, error) from None


def _translate(error: DockerError, what: str, *, said: str) -> Exception:
    if error.status == _NO_CONNECTION:
        return _unreachable(what, error)
    if error.status == HTTPStatus.NOT_FOUND:
        return NotFoundError(error.message)
    return StartFailedError(f"the engine would not {what}: {said}")


def _unreachable(what: str, error: Exception) -> EngineUnavailableError:
    """Clients are told, so it does not name the engine's address."""
    cause = error.__cause__ or error.__context__ or error
    cause = getattr(cause, "os_error", cause)
    why = getattr(cause, "strerror", None) or type(cause).__name__
    return EngineUnavailableError(
        f"the engine cannot be reached to {what}: {why}; `sandboxd setup` finds out why "
        "and starts it"
    )
