"""What the pool asks of a container engine, and nothing more.

Every method raises EngineUnavailableError when the engine does not answer in
time, and otherwise what its text says.
"""

from __future__ import annotations

from typing import Any, Protocol

from msgspec import Struct

from sandboxd_client.protocol import EngineInfo

LABEL_INSTANCE = "sandboxd.instance"
LABEL_SLOT = "sandboxd.slot"
LABEL_PROFILE = "sandboxd.profile"


class ContainerSpec(Struct, frozen=True):
    """A container to create: the engine's own configuration, and a name for logs."""

    name: str
    uid: int
    """Who its first process is to be."""
    config: dict[str, Any]


class Resources(Struct, frozen=True):
    """What the container's cgroup enforces."""

    memory: int
    """Bytes, with no swap beside them."""
    cpus: float
    cpu_shares: int
    pids: int
    """Of the whole container: the guest's processes among them."""


class Ended(Struct, frozen=True):
    """How a container's first process ended, as the engine knows it."""

    exit_code: int
    oom_killed: bool


class Receiver(Protocol):
    """Takes what a container's first process writes. Called in the event loop."""

    def stdout(self, data: bytes) -> None: ...

    def stderr(self, data: bytes) -> None: ...

    def closed(self) -> None:
        """The stream has ended, once, and for whatever reason."""


class Attachment(Protocol):
    """A container's stdin, stdout and stderr, held open."""

    def write(self, data: bytes) -> None: ...

    def pause(self) -> None:
        """Takes no more output until `resume`; the container blocks on its pipe."""

    def resume(self) -> None: ...

    def close(self) -> None:
        """Lets go of the streams: the container's stdin ends."""


class Engine(Protocol):
    async def info(self) -> EngineInfo: ...

    async def has_image(self, tag: str) -> bool: ...

    async def create(self, wanted: ContainerSpec) -> str:
        """A new container's id. Raises ImageUnavailableError or StartFailedError."""

    async def attach(self, container: str, receiver: Receiver) -> Attachment:
        """Attaches to a container before it is started."""

    async def start(self, container: str) -> None:
        """Raises StartFailedError."""

    async def update(self, container: str, resources: Resources) -> None:
        """Changes a running container's limits. Raises StartFailedError where that is refused."""

    async def ended(self, container: str) -> Ended | None:
        """How a container ended; None when it is running or not known any more."""

    async def remove(self, container: str) -> None:
        """Kills and removes a container; one that is gone already is no error."""

    async def containers(self, labels: dict[str, str]) -> list[str]:
        """Names of the containers, running or not, that have all these labels."""
