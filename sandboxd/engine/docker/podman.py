"""Podman behind Docker's API: the same containers, asked for in its words.

Found with Podman 4.3; what it cannot be asked for is told by the doctor.
"""

from __future__ import annotations

import fcntl
import os
import resource
from collections.abc import Mapping
from typing import Any

from sandboxd.engine.docker import config
from sandboxd.engine.port import ContainerSpec, Resources

ENGINE = "Podman Engine"
"""The name of its component in what `/version` answers."""

_PROCESSES = 32768
_PERIOD = 100_000
"""Microseconds, in which the quota is so many."""
_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


def is_podman(version: Mapping[str, Any]) -> bool:
    return any(each.get("Name") == ENGINE for each in version.get("Components") or [])


def resource_config(resources: Resources) -> dict[str, Any]:
    """For its own call that changes limits: it does not have Docker's."""
    return {
        "memory": {"limit": resources.memory, "swap": resources.memory},
        "pids": {"limit": resources.pids},
        "cpu": {
            "quota": round(resources.cpus * _PERIOD),
            "period": _PERIOD,
            "shares": resources.cpu_shares,
        },
    }


def plain_tag(tag: str) -> str:
    """A tag as it was given: Podman puts a registry before it."""
    return tag.removeprefix("docker.io/").removeprefix("localhost/")


class Podman:
    """Asks for containers in its words. To be closed when none is used any more."""

    def __init__(self) -> None:
        self._profiles: dict[str, int] = {}

    def close(self) -> None:
        while self._profiles:
            os.close(self._profiles.popitem()[1])

    def container_config(self, wanted: ContainerSpec) -> dict[str, Any]:
        told = config.container_config(wanted)
        host = told["HostConfig"]
        host["SecurityOpt"] = [
            # No mask on proc and sys: an empty list of them is not heard.
            "unmask=ALL",
            *config.security_options(wanted.security, self._path(wanted.security.seccomp)),
        ]
        # The number of inodes is refused; they count as memory all the same.
        host["Tmpfs"] = {each.path: config.tmpfs_options(each) for each in wanted.tmpfs}
        # It would mount one there that can be written to, and outlives a run.
        host["Tmpfs"]["/var/tmp"] = "ro,nosuid,nodev,noexec,size=4096,mode=0555"
        # Unless it is said, the kernel's most is asked for, which not everybody may have.
        # What bounds the processes of a container is its cgroup.
        host["Ulimits"].append(config.ulimit("nproc", _processes()))
        return told

    def _path(self, profile: str) -> str:
        """Of a file without a name, which the engine opens by way of this process, wherever
        either of them has mounted what; sealed, so that nobody changes it."""
        if profile not in self._profiles:
            file = os.memfd_create("seccomp", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            self._profiles[profile] = file
            with open(file, "w", closefd=False) as text:
                text.write(profile)
            fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
        return f"/proc/{os.getpid()}/fd/{self._profiles[profile]}"


def _processes() -> int:
    _, most = resource.getrlimit(resource.RLIMIT_NPROC)
    return _PROCESSES if most == resource.RLIM_INFINITY else min(_PROCESSES, most)
