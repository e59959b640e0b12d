"""What an engine says of itself and of its containers, as plain facts."""

from __future__ import annotations

from msgspec import Struct


class Component(Struct, frozen=True):
    """A program of the engine's, as the engine names it."""

    name: str
    version: str
    distribution: bool = False
    """Whether a distribution built it: its fixes do not show in the version."""


class EngineFacts(Struct, frozen=True, kw_only=True):
    """The engine's own words on itself."""

    engine: Component
    runtime: Component
    containerd: Component | None = None
    api: str = ""
    system: str = "linux"
    kernel: str = ""
    cgroup_version: str = ""
    cgroup_driver: str = ""
    limits: dict[str, bool] = {}
    """What it can limit, by its own names; what it does not say is not here."""
    security: dict[str, str] = {}
    """Its security options by name, with the profile where there is one."""
    storage: str = ""
    live_restore: bool = False

    @property
    def rootless(self) -> bool:
        return "rootless" in self.security


class ContainerFacts(Struct, frozen=True, kw_only=True):
    """The engine's own words on how a container is isolated; empty where it has none."""

    apparmor: str = ""
    """Its AppArmor profile."""
    selinux: str = ""
    """Its SELinux label."""
    network: str = ""
    """The network that it is in; "none" for none."""
    log: str = ""
    """Who keeps what it prints; "none" for nobody."""
    read_only_root: bool | None = None
    capabilities_added: list[str] = []
    capabilities_dropped: list[str] = []
    runtime: str = ""
