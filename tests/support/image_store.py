"""Images of an engine in this process, which builds what it is told to and asks no registry."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator
from typing import BinaryIO

from sandboxd.engine.recipe import debian_tag
from sandboxd.errors import StartFailedError
from tests.support.step import Step


class FakeImages:
    """See `sandboxd.engine.port.ImageStore`."""

    def __init__(self, *tags: str) -> None:
        self.on: defaultdict[str, Step] = defaultdict(Step)
        """By the name of the call."""
        self.known: dict[str, dict[str, str]] = {tag: {} for tag in (debian_tag(), *tags)}
        """The labels of those that it has."""
        self.builds = True
        """Whether it can."""

    async def labels(self, tag: str) -> dict[str, str] | None:
        await self.on["labels"].play()
        return self.known.get(tag)

    async def tags(self, label: str) -> list[str]:
        await self.on["tags"].play()
        return [tag for tag, labels in self.known.items() if label in labels]

    async def pull(self, tag: str) -> AsyncIterator[str]:
        await self.on["pull"].play()
        raise StartFailedError(f"the registry of {tag} does not answer")
        yield ""

    async def build(
        self, tag: str, context: bytes, *, network: bool, cache: bool = True
    ) -> AsyncIterator[str]:
        await self.on["build"].play()
        if not self.builds:
            raise StartFailedError(f"{tag} cannot be built")
        self.known[tag] = {}
        yield "version: 1"

    async def load(self, tag: str, archive: BinaryIO) -> None:
        await self.on["load"].play()
        self.known[tag] = {}

    async def remove(self, tag: str) -> None:
        await self.on["remove"].play()
        self.known.pop(tag, None)
