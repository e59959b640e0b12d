"""Images, by Docker's API; see `sandboxd.engine.port.ImageStore`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import BinaryIO

from sandboxd.engine.docker.api import DockerApi, NotFoundError
from sandboxd.engine.docker.podman import plain_tag
from sandboxd.errors import ImageUnavailableError

_NOISE = ("--->", "-->", "Removing intermediate", "Successfully", "COMMIT ", "Step ", "STEP ")
"""The builder's words about itself."""


class DockerImages:
    def __init__(self, api: DockerApi) -> None:
        self._api = api

    async def labels(self, tag: str) -> dict[str, str] | None:
        inspection = self._api.docker.images.inspect(tag)
        try:
            image = await self._api.call(inspection, f"look for the image {tag}")
        except NotFoundError:
            return None
        return image["Config"].get("Labels") or {}

    async def tags(self, label: str) -> list[str]:
        listing = self._api.docker.images.list(filters={"label": [label]})
        found = await self._api.call(listing, "list images")
        return [plain_tag(tag) for image in found for tag in image.get("RepoTags") or []]

    async def pull(self, tag: str) -> AsyncIterator[str]:
        name, _, version = tag.partition(":")
        params = {"fromImage": name, "tag": version or "latest"}
        try:
            async for event in self._api.stream("images/create", params, f"pull {tag}"):
                if progress := event.get("progress"):
                    yield f"{event.get('status', '')} {progress}"
        except NotFoundError as error:
            raise ImageUnavailableError(f"the registry has no {tag}: {error}") from None

    async def build(
        self, tag: str, context: bytes, *, network: bool, cache: bool = True
    ) -> AsyncIterator[str]:
        params = {"t": tag, "networkmode": "host" if network else "none"}
        params |= {"rm": "true", "forcerm": "true"} | ({} if cache else {"nocache": "true"})
        async for event in self._api.stream("build", params, f"build {tag}", context):
            for line in event.get("stream", "").splitlines():
                if (text := line.strip()) and not text.startswith(_NOISE):
                    yield text

    async def load(self, tag: str, archive: BinaryIO) -> None:
        # The tag is in `repo`, since Podman does not look at one beside it.
        params = {"fromSrc": "-", "repo": tag}
        async for _ in self._api.stream("images/create", params, f"import {tag}", archive):
            pass

    async def remove(self, tag: str) -> None:
        deletion = self._api.docker.images.delete(tag)
        with contextlib.suppress(NotFoundError):
            await self._api.call(deletion, f"remove the image {tag}")
