"""Files on their way over one connection, where a line has no room for them.

Their content follows a request once the daemon says that it has room (`files.wanted`),
and comes before an answer, piece by piece as the client reads. What is held meanwhile is
counted for the owner.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

import msgspec

from sandboxd.errors import InvalidParamsError
from sandboxd.run.holdings import Holdings
from sandboxd.run.laid import LaidFile, following, named, to_laid
from sandboxd_client.protocol import (
    FILES_INLINE,
    FilesInputParams,
    FilesOutput,
    FilesRead,
    FilesWanted,
    InputFile,
    Method,
    RequestId,
    RunResult,
    blob_pieces,
    from_blob,
)


class Link(Protocol):
    """What is needed of the connection."""

    owner: int
    contents: Contents

    def notify(self, method: Method, params: Any) -> None: ...

    def when_writable(self, callback: Callable[[], None]) -> bool: ...


class Incoming:
    """Content that follows a request; whole once every file has its size."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self._sizes = sizes
        self._content = {path: bytearray() for path in sizes}
        self._left = sum(sizes.values())
        self._news = asyncio.Event()
        self._wrong: InvalidParamsError | None = None

    def take(self, params: FilesInputParams) -> None:
        try:
            self._add(params.path, from_blob(params.data))
        except ValueError as error:
            self.refuse(InvalidParamsError(f"files.input: {named(params.path)}: {error}"))
        except InvalidParamsError as error:
            self.refuse(error)
        self._news.set()

    def refuse(self, error: InvalidParamsError) -> None:
        """What does not fit is an error of the request that it belongs to."""
        self._wrong = error

    def _add(self, path: str, data: bytes) -> None:
        content = self._content.get(path)
        if content is None:
            raise InvalidParamsError(f"files.input: no file {path[:80]!r} was to follow")
        if len(content) + len(data) > self._sizes[path]:
            raise InvalidParamsError(
                f"files.input: more of {named(path)} than its size, which is {self._sizes[path]}"
            )
        content += data
        self._left -= len(data)

    async def whole(self, patience: float) -> dict[str, bytes]:
        """Raises InvalidParamsError for what does not fit, or does not go on in time."""
        while self._left and self._wrong is None:
            self._news.clear()
            try:
                async with asyncio.timeout(patience):
                    await self._news.wait()
            except TimeoutError:
                raise InvalidParamsError(
                    f"files: {self._left} bytes are missing, and nothing came for {patience:g} s"
                ) from None
        if self._wrong is not None:
            raise self._wrong
        return {path: bytes(content) for path, content in self._content.items()}


class Contents:
    """Content that is on its way over one connection, by the request that it follows."""

    def __init__(self) -> None:
        self._incoming: dict[RequestId, Incoming] = {}
        self._hasty: set[RequestId] = set()

    @contextmanager
    def expected(self, request: RequestId, incoming: Incoming) -> Iterator[None]:
        """Within it, `files.input` for that request goes there."""
        if request in self._hasty:
            incoming.refuse(InvalidParamsError("files.input came before files.wanted"))
        self._incoming[request] = incoming
        try:
            yield
        finally:
            del self._incoming[request]

    def take(self, params: FilesInputParams, *, asked: bool) -> None:
        """`asked`: its request is under way; otherwise it is passed over."""
        incoming = self._incoming.get(params.id)
        if incoming is not None:
            incoming.take(params)
        elif asked:
            self._hasty.add(params.id)

    def answered(self, request: RequestId) -> None:
        self._hasty.discard(request)


class Transfer:
    """The files of one request and of its answer. `incoming` and `outgoing` count what is
    held for all owners."""

    def __init__(
        self, request: RequestId, link: Link, incoming: Holdings, outgoing: Holdings
    ) -> None:
        self._request = request
        self._link = link
        self._in, self._out = incoming, outgoing
        self._held_in = self._held_out = 0
        self._ended = False

    async def receive(
        self, files: Mapping[str, str | InputFile], most: int, patience: float
    ) -> dict[str, LaidFile]:
        """The files of the request, once all of their content is here; `patience` is how
        many seconds nothing of it may come. Raises InvalidParamsError, and
        PayloadTooLargeError past `most` bytes."""
        sizes = following(files, most)
        if not sizes:
            return to_laid(files, {})
        size = sum(sizes.values())
        await self._in.take(self._link.owner, size)
        self._held_in += size
        incoming = Incoming(sizes)
        with self._link.contents.expected(self._request, incoming):
            self._link.notify(Method.FILES_WANTED, FilesWanted(id=self._request))
            return to_laid(files, await incoming.whole(patience))

    def hand_over(self) -> Callable[[], None]:
        """What came in is held by somebody who outlives the request, and calls this then."""
        size, self._held_in = self._held_in, 0
        return partial(self._in.give_back, self._link.owner, size)

    async def hold(self, size: int) -> None:
        """Waits until the answer may hold so many bytes of files."""
        await self._out.take(self._link.owner, size)
        if self._ended:  # a session brings to its end what it has begun
            self._out.give_back(self._link.owner, size)
        else:
            self._held_out += size

    async def send(self, result: RunResult | FilesRead) -> RunResult | FilesRead:
        """Sends large files ahead of their answer, as they are read; gives the answer."""
        if sum(file.size for file in result.files) <= FILES_INLINE:
            return result
        for index, file in enumerate(result.files):
            for piece in blob_pieces(file.data):
                await self._writable()
                output = FilesOutput(id=self._request, index=index, data=piece)
                self._link.notify(Method.FILES_OUTPUT, output)
        named = [msgspec.structs.replace(file, data="") for file in result.files]
        return msgspec.structs.replace(result, files=named)

    async def _writable(self) -> None:
        room = asyncio.Event()
        if self._link.when_writable(room.set):
            await room.wait()

    def end(self) -> None:
        """Nothing of the request's files is held any more."""
        self._ended = True
        self._in.give_back(self._link.owner, self._held_in)
        self._out.give_back(self._link.owner, self._held_out)
