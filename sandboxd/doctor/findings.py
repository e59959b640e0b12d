"""What is looked at, as plain facts, and what is said of it. Pure.

Everything here can be written down by hand, so that the checks can be tested on
hosts that are not at hand.
"""

from __future__ import annotations

import enum

from msgspec import Struct

from sandboxd.doctor.changelog import Entry
from sandboxd.engine.facts import ContainerFacts, EngineFacts


class State(enum.StrEnum):
    OK = "ok"
    MISSING = "missing"
    """Not in force; the daemon serves without it, and safely."""
    BROKEN = "broken"
    """Nothing is run on such a host."""


class Row(Struct, frozen=True):
    """One layer of isolation."""

    name: str
    state: State
    detail: str
    """What was found."""
    stops: str
    """What gets no further where it is in force."""
    remedy: str = ""
    """How to get it, where it is not."""


class SocketFacts(Struct, frozen=True):
    path: str
    mode: int
    """The permissions alone."""
    owner: str
    group: str


class HostFacts(Struct, frozen=True, kw_only=True):
    """What the host's kernel says in files; of the engine's host, or not at all."""

    kernel: str
    sysctls: dict[str, str] = {}
    """Those of `SYSCTLS` that the kernel has."""
    seccomp: bool = True
    apparmor: bool = False
    """Whether the kernel enforces AppArmor."""
    selinux: bool = False
    profile_loaded: bool | None = None
    """Whether the AppArmor profile of ours is loaded; None where only root can see that."""
    changelogs: dict[str, list[Entry]] = {}
    """Of the distribution's packages, by the names that engines give what is in them."""


SYSCTLS = (
    "kernel.unprivileged_userns_clone",
    "user.max_user_namespaces",
    "kernel.apparmor_restrict_unprivileged_userns",
)
"""Whether processes without privileges may have user namespaces: Debian's, everybody's,
Ubuntu's."""


class Probe(Struct, frozen=True, kw_only=True):
    """One real container, made as the pool makes them, and what it said and proved."""

    language: str
    uid: int = 0
    took: float = 0.0
    problem: str = ""
    """Why it did not come up; what follows is then empty."""
    hello: dict[str, str] = {}
    proof: dict[str, str] = {}
    """The first child's proc_pid_status(5)."""
    faults: list[str] = []
    """What does not hold, in the words that the pool would refuse it with."""
    shown: ContainerFacts = ContainerFacts()
    """What the engine says of the container."""

    @property
    def up(self) -> bool:
        return not self.problem

    @property
    def namespaces(self) -> bool:
        return self.hello.get("namespaces") == "1"


class DaemonFacts(Struct, frozen=True, kw_only=True):
    """The daemon of the configured socket, or where there is none, who would be it."""

    socket: str
    listening: SocketFacts | None = None
    pid: int | None = None
    uid: int = 0
    """Its user, or where none runs the user who asks."""
    capabilities: int = 0
    health: str = ""
    """`ok`, `degraded` or `down`; empty when nobody answered."""
    problems: list[str] = []
    """What its health check found, or why nobody answered."""


class ImageFacts(Struct, frozen=True):
    subject: str
    present: bool


class Findings(Struct, frozen=True, kw_only=True):
    address: str
    """Of the engine."""
    engine: EngineFacts | None = None
    engine_problem: str = ""
    engine_socket: SocketFacts | None = None
    host: HostFacts | None = None
    images: list[ImageFacts] = []
    images_problem: str = ""
    probe: Probe | None = None
    """None where there is no image, or no engine, to start a container with."""
    daemon: DaemonFacts | None = None
    network: str | None = None
    """The engine's network that a run may ask for; None where it may not."""
