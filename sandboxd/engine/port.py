"""What the daemon asks of a container engine, and nothing more: `Engine` for containers,
`ImageStore` for images.

Every method raises EngineUnavailableError when the engine does not answer in
time, and otherwise what its text says.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import BinaryIO, Protocol

from msgspec import Struct

from sandboxd.engine.facts import ContainerFacts, EngineFacts
from sandboxd_client.protocol import EngineInfo

LABEL_INSTANCE = "sandboxd.instance"
LABEL_SLOT = "sandboxd.slot"
LABEL_PROFILE = "sandboxd.profile"


class Resources(Struct, frozen=True):
    """What the container's cgroup enforces."""

    memory: int
    """Bytes, with no swap beside them."""
    cpus: float
    cpu_shares: int
    pids: int
    """Of the whole container: the guest's processes among them."""


class Tmpfs(Struct, frozen=True):
    """A file system in memory, which everybody in the container may write to."""

    path: str
    size: int
    """Bytes."""
    inodes: int
    """Files that it may have, where the engine can bound them."""


class Security(Struct, frozen=True):
    """The walls around a container that its operator may choose, and its system calls."""

    seccomp: str
    """The profile of system calls, as the JSON text that runtimes share."""
    apparmor: str | None = None
    """The AppArmor profile; the engine's own when None."""
    runtime: str | None = None
    """The engine's runtime, such as "runsc"; its default when None."""


class ContainerSpec(Struct, frozen=True, kw_only=True):
    """A container to create.

    Whatever is said here, its processes have no capability and cannot gain any, share no
    namespace with the host, can write to nothing but its tmpfs and shared memory, and dump
    no core. Nobody keeps what they print. The container has one stdin, that of its one
    attachment, and is removed when its first process ends.
    """

    name: str
    """Known before it exists, so that one whose creation nobody answered can be removed."""
    image: str
    argv: tuple[str, ...]
    """Its first process, whatever the image says."""
    uid: int
    """The user, and the group, that its first process is to be."""
    env: dict[str, str]
    labels: dict[str, str]
    tmpfs: tuple[Tmpfs, ...]
    shm: int
    """Bytes of POSIX shared memory."""
    resources: Resources
    nofile: int
    """Files that a process may have open."""
    fsize: int
    """Bytes of a file that a process may write."""
    security: Security
    network: str | None = None
    """The engine's network; None for none but loopback."""


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
    async def info(self) -> EngineInfo:
        """What clients are told of the engine."""

    async def facts(self) -> EngineFacts:
        """What isolation rests on. Raises StartFailedError."""

    async def create(self, wanted: ContainerSpec) -> str:
        """A new container's id. Raises ImageUnavailableError or StartFailedError."""

    async def attach(self, container: str, receiver: Receiver) -> Attachment:
        """Attaches to a container before it is started."""

    async def start(self, container: str) -> None:
        """Raises StartFailedError."""

    async def update(self, container: str, resources: Resources) -> None:
        """Changes a running container's limits. Raises StartFailedError where that is refused."""

    async def describe(self, container: str) -> ContainerFacts:
        """How a container is isolated, by the engine's word. Raises StartFailedError."""

    async def remove(self, container: str) -> None:
        """Kills and removes a container; one that is gone already is no error."""

    async def containers(self, labels: dict[str, str]) -> list[str]:
        """Names of the containers, running or not, that have all these labels."""


class ImageStore(Protocol):
    """The images that an engine has, by their tags, and the ways to get others. What takes
    long tells how far it is; all raise StartFailedError with the engine's reason."""

    async def labels(self, tag: str) -> dict[str, str] | None:
        """An image's labels; None when it is not here."""

    async def tags(self, label: str) -> list[str]:
        """Of all images that carry a label, whatever its value."""

    def pull(self, tag: str) -> AsyncIterator[str]:
        """Raises ImageUnavailableError where the registry answers that it has no such image."""

    def build(
        self, tag: str, context: bytes, *, network: bool, cache: bool = True
    ) -> AsyncIterator[str]:
        """Builds from a tar archive with a Dockerfile; gives the lines that its steps print."""

    async def load(self, tag: str, archive: BinaryIO) -> None:
        """Makes an image of a root file system, as a tar archive."""

    async def remove(self, tag: str) -> None:
        """Takes a tag away; one that is gone already is no error."""
