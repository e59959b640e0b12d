"""Containers, by Docker's API; see `sandboxd.engine.port.Engine`."""

from __future__ import annotations

from typing import Any

from sandboxd.engine.docker import podman
from sandboxd.engine.docker.api import DockerApi, NotFoundError
from sandboxd.engine.docker.attachment import DockerAttachment
from sandboxd.engine.docker.config import container_config, resource_config
from sandboxd.engine.docker.facts import parse_container, parse_engine, parse_info
from sandboxd.engine.facts import ContainerFacts, EngineFacts
from sandboxd.engine.port import Attachment, ContainerSpec, Receiver, Resources
from sandboxd.errors import EngineUnavailableError, ImageUnavailableError, StartFailedError
from sandboxd_client.protocol import EngineInfo

_UNENFORCED = ("not support", "discarded", "without swap", "No swap")
"""What the engine's warnings about a limit that it drops have in common."""


class DockerEngine:
    """To be closed before its connection is."""

    def __init__(self, api: DockerApi) -> None:
        self._api = api
        self._podman: podman.Podman | None = None
        self._asked = False

    def close(self) -> None:
        if self._podman is not None:
            self._podman.close()

    async def info(self) -> EngineInfo:
        info = await self._api.get("info", "ask for the engine's state")
        return parse_info(info, podman=await self._as_podman() is not None)

    async def facts(self) -> EngineFacts:
        info = await self._api.get("info", "ask for the engine's state")
        version = await self._api.get("version", "ask for the engine's version")
        return parse_engine(info, version)

    async def _as_podman(self) -> podman.Podman | None:
        """Asked for once; None where Docker's words are understood as they are."""
        if not self._asked:
            version = await self._api.get("version", "ask for the engine's version")
            if not self._asked and podman.is_podman(version):
                self._podman = podman.Podman()
            self._asked = True
        return self._podman

    async def rendered(self, wanted: ContainerSpec) -> dict[str, Any]:
        """A container as its engine is asked for it."""
        other = await self._as_podman()
        return other.container_config(wanted) if other else container_config(wanted)

    async def create(self, wanted: ContainerSpec) -> str:
        config, name = await self.rendered(wanted), {"name": wanted.name}
        what = f"create the container {wanted.name}"
        try:
            answer = await self._api.post("containers/create", config, what, name)
        except NotFoundError as error:
            raise ImageUnavailableError(
                f"the image {wanted.image} is not here ({error}); "
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
        path = f"containers/{container}/attach"
        streams = {"stream": 1, "stdin": 1, "stdout": 1, "stderr": 1}
        try:
            response = await self._api.upgrade(path, streams, f"attach to {container}")
        except NotFoundError as error:
            raise StartFailedError(f"the container was gone before its start: {error}") from None
        transport = response.connection.transport if response.connection else None
        if transport is None:
            raise EngineUnavailableError(f"the engine did not keep the attach of {container} open")
        attachment = DockerAttachment(response, transport, receiver)
        transport.set_protocol(attachment)
        return attachment

    async def start(self, container: str) -> None:
        start = self._api.docker.containers.container(container).start()
        try:
            await self._api.call(start, f"start {container[:12]}")
        except NotFoundError as error:
            raise StartFailedError(f"the container was gone before its start: {error}") from None

    async def update(self, container: str, resources: Resources) -> None:
        path, limits = f"containers/{container}/update", resource_config(resources)
        if await self._as_podman():
            path, limits = f"libpod/{path}", podman.resource_config(resources)
        try:
            await self._api.post(path, limits, f"change the limits of {container}")
        except NotFoundError as error:
            raise StartFailedError(f"the container is gone: {error}") from None

    async def describe(self, container: str) -> ContainerFacts:
        shown = await self._api.get(f"containers/{container}/json", f"inspect {container}")
        return parse_container(shown)

    async def remove(self, container: str) -> None:
        try:
            await self._delete(container)
        except StartFailedError as error:
            # Podman's words on one that ended after it looked and before it killed.
            if "container state improper" not in str(error):
                raise
            await self._delete(container)

    async def _delete(self, container: str) -> None:
        deletion = self._api.docker.containers.container(container).delete(force=True, v=True)
        try:
            await self._api.call(deletion, f"remove {container[:12]}")
        except NotFoundError:
            return
        except StartFailedError as error:
            if "already in progress" not in str(error):
                raise

    async def containers(self, labels: dict[str, str]) -> list[str]:
        wanted = [f"{name}={value}" if value else name for name, value in labels.items()]
        listing = self._api.docker.containers.list(all=True, filters={"label": wanted})
        found = await self._api.call(listing, "list containers")
        # One that the engine failed to remove has no name any more.
        return [each["Names"][0].removeprefix("/") for each in found if each["Names"]]
