"""What an engine answers about itself and its containers, as our facts. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sandboxd.engine.docker.podman import ENGINE as PODMAN
from sandboxd.engine.docker.podman import is_podman
from sandboxd.engine.facts import Component, ContainerFacts, EngineFacts
from sandboxd.engine.versions import from_distribution
from sandboxd_client.protocol import EngineInfo

LIMITS = ("MemoryLimit", "SwapLimit", "PidsLimit", "CpuCfsPeriod", "CpuCfsQuota", "CPUShares")


def parse_info(info: Mapping[str, Any], *, podman: bool) -> EngineInfo:
    """What clients are told of the engine."""
    isolation = [option.removeprefix("name=") for option in info.get("SecurityOptions") or []]
    isolation.append(f"cgroup v{info.get('CgroupVersion', '?')}")
    isolation.append(f"runtime {info.get('DefaultRuntime', '?')}")
    name = "podman" if podman else "docker"
    return EngineInfo(name=name, version=info["ServerVersion"], isolation=isolation)


def parse_container(shown: Mapping[str, Any]) -> ContainerFacts:
    """The facts in what `/containers/NAME/json` answers."""
    host = shown.get("HostConfig") or {}
    return ContainerFacts(
        apparmor=str(shown.get("AppArmorProfile") or ""),
        selinux=str(shown.get("ProcessLabel") or ""),
        network=str(host.get("NetworkMode") or ""),
        log=str((host.get("LogConfig") or {}).get("Type") or ""),
        read_only_root=host.get("ReadonlyRootfs"),
        capabilities_added=host.get("CapAdd") or [],
        capabilities_dropped=host.get("CapDrop") or [],
        runtime=str(host.get("Runtime") or ""),
    )


def parse_engine(info: Mapping[str, Any], version: Mapping[str, Any]) -> EngineFacts:
    """The facts in what `/info` and `/version` answer, of Docker or of Podman."""
    components = {each.get("Name", ""): each for each in version.get("Components") or []}
    podman = is_podman(version)
    distributed = podman or not (version.get("Platform") or {}).get("Name")

    def component(name: str, told: Mapping[str, Any]) -> Component:
        text = _full_version(told)
        return Component(name, text, distribution=distributed or from_distribution(text))

    runtime = str(info.get("DefaultRuntime") or "?")
    return EngineFacts(
        engine=component(
            "podman" if podman else "docker",
            components.get(PODMAN) or components.get("Engine") or version,
        ),
        runtime=component(_runtime_name(runtime), _runtime(components, runtime)),
        containerd=component("containerd", components["containerd"])
        if "containerd" in components
        else None,
        api=str(version.get("ApiVersion") or ""),
        system=str(info.get("OSType") or "linux"),
        kernel=str(info.get("KernelVersion") or ""),
        cgroup_version=str(info.get("CgroupVersion") or ""),
        cgroup_driver=str(info.get("CgroupDriver") or ""),
        limits={name: bool(info[name]) for name in LIMITS if name in info},
        security=_security(info),
        storage=_storage(info),
        live_restore=bool(info.get("LiveRestoreEnabled")),
    )


def _full_version(told: Mapping[str, Any]) -> str:
    """With what a distribution adds, which some builds have only where the commit belongs."""
    version = str(told.get("Version") or "").strip()
    first = version.splitlines()[0].rpartition(" ")[2] if version else ""
    commit = str((told.get("Details") or {}).get("GitCommit") or "")
    return commit if first and commit.startswith(first) else first


def _runtime(components: Mapping[str, Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    """Docker names the component after the runtime, Podman "OCI Runtime (crun)"."""
    plain = _runtime_name(name)
    return components.get(name) or components.get(f"OCI Runtime ({plain})") or {}


def _runtime_name(name: str) -> str:
    """Without its folder, or what containerd's shims have around it."""
    return re.sub(r"^io\.containerd\.|\.v\d+$", "", name.rpartition("/")[2])


def _security(info: Mapping[str, Any]) -> dict[str, str]:
    """Of "name=seccomp,profile=builtin", its name and profile."""
    options = {}
    for option in info.get("SecurityOptions") or []:
        fields = dict(part.partition("=")[::2] for part in option.split(","))
        options[fields.get("name") or option] = fields.get("profile", "")
    return options


def _storage(info: Mapping[str, Any]) -> str:
    status = dict(pair for pair in info.get("DriverStatus") or [] if len(pair) == 2)  # noqa: PLR2004 - a pair
    backing = status.get("Backing Filesystem")
    return f"{info.get('Driver', '?')}{f' on {backing}' if backing else ''}"
