"""From limits to the engine's configuration of a container. Pure."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from sandboxd.config import LimitsConfig
from sandboxd.engine import seccomp
from sandboxd.engine.port import LABEL_INSTANCE, LABEL_PROFILE, LABEL_SLOT, ContainerSpec
from sandboxd.languages import Language

GUEST_PATH = "/sandboxd/guest"
_GUEST_PROCESSES = 2
"""The guest and a child's init, beside the program's own; a template is one more."""
_CPU_UNIT = 10**9
_SECCOMP = seccomp.profile()
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/go/bin"


class Placement(Struct, frozen=True):
    """What sets one container of a pool apart from the next."""

    instance: str
    serial: str
    """Unlike any other of this instance, also of daemons before this one."""
    slot: int
    uid: int


def container_spec(
    language: Language, image: str, limits: LimitsConfig, placement: Placement
) -> ContainerSpec:
    """The hardened container of a pool's member, with the guest as first process."""
    return ContainerSpec(
        name=f"sandboxd-{placement.instance}-{placement.serial}-{language.name}",
        config={
            "Image": image,
            "User": f"{placement.uid}:{placement.uid}",
            "Hostname": "sandbox",
            "WorkingDir": "/",
            "Entrypoint": [GUEST_PATH],
            "Cmd": [
                "--code-name",
                language.code_name,
                "--tmp-bytes",
                str(limits.tmp),
                "--tmp-inodes",
                str(limits.tmp_inodes),
                *(["--template"] if language.template else []),
                "--",
                *language.start,
            ],
            "Env": [f"{name}={value}" for name, value in _environment(language).items()],
            "Labels": {
                LABEL_INSTANCE: placement.instance,
                LABEL_SLOT: str(placement.slot),
                LABEL_PROFILE: language.name,
            },
            # Closing the attached stdin ends the guest, and that the container:
            # nothing outlives the daemon.
            "OpenStdin": True,
            "StdinOnce": True,
            "AttachStdin": True,
            "AttachStdout": True,
            "AttachStderr": True,
            "Tty": False,
            "NetworkDisabled": True,
            "HostConfig": _host_config(limits, template=language.template),
        },
    )


def _environment(language: Language) -> dict[str, str]:
    common = {"PATH": _PATH, "HOME": "/sandbox", "LANG": "C.UTF-8", "TMPDIR": "/tmp"}
    return common | language.env


def _host_config(limits: LimitsConfig, *, template: bool) -> dict[str, Any]:
    processes = limits.pids + _GUEST_PROCESSES + template
    tmpfs = f"rw,exec,nosuid,nodev,mode=1777,size={limits.tmp},nr_inodes={limits.tmp_inodes}"
    return {
        "AutoRemove": True,
        "NetworkMode": "none",
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges", f"seccomp={_SECCOMP}"],
        # The guest mounts a proc of its own, which the kernel allows only where
        # this one is whole; the program never sees this one.
        "MaskedPaths": [],
        "ReadonlyPaths": [],
        "IpcMode": "private",
        "CgroupnsMode": "private",
        "PidMode": "",
        "LogConfig": {"Type": "none"},
        "OomScoreAdj": 500,
        "Memory": limits.memory,
        "MemorySwap": limits.memory,
        "PidsLimit": processes,
        "NanoCpus": round(limits.cpus * _CPU_UNIT),
        "CpuShares": limits.cpu_shares,
        "Ulimits": [
            {"Name": "nofile", "Soft": limits.nofile, "Hard": limits.nofile},
            {"Name": "core", "Soft": 0, "Hard": 0},
            {"Name": "fsize", "Soft": limits.tmp, "Hard": limits.tmp},
        ],
        # Where namespaces are refused the program writes to these.
        "Tmpfs": {"/sandbox": tmpfs, "/tmp": tmpfs},
        "ShmSize": limits.tmp,
    }
