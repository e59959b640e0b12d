"""From a profile and its limits to the engine's configuration of a container. Pure."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from sandboxd.engine import seccomp
from sandboxd.engine.port import (
    LABEL_INSTANCE,
    LABEL_PROFILE,
    LABEL_SLOT,
    ContainerSpec,
    Resources,
)
from sandboxd.languages import Language, processors

GUEST_PATH = "/sandboxd/guest"
_CPU_UNIT = 10**9
_SECCOMP = seccomp.profile()
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Shape(Struct, frozen=True):
    """What the containers of one pool have in common."""

    profile: str
    language: Language
    image: str
    resources: Resources
    tmp: int
    tmp_inodes: int
    nofile: int
    fsize: int
    preload: tuple[str, ...] = ()
    network: str | None = None
    """The engine's network; None for none."""
    writable_root: bool = False
    runtime: str | None = None
    apparmor: str | None = None


class Placement(Struct, frozen=True):
    """What sets one container of a pool apart from the next."""

    instance: str
    serial: str
    """Unlike any other of this instance, also of daemons before this one."""
    slot: int
    uid: int


def container_spec(shape: Shape, placement: Placement) -> ContainerSpec:
    """The hardened container of a pool's member, with the guest as first process."""
    return ContainerSpec(
        name=f"sandboxd-{placement.instance}-{placement.serial}-{shape.profile}",
        uid=placement.uid,
        config={
            "Image": shape.image,
            "User": f"{placement.uid}:{placement.uid}",
            "Hostname": "sandbox",
            "WorkingDir": "/",
            "Entrypoint": [GUEST_PATH],
            "Cmd": _guest_arguments(shape),
            "Env": [f"{name}={value}" for name, value in _environment(shape).items()],
            "Labels": {
                LABEL_INSTANCE: placement.instance,
                LABEL_SLOT: str(placement.slot),
                LABEL_PROFILE: shape.profile,
            },
            # Closing the attached stdin ends the guest, and that the container:
            # nothing outlives the daemon.
            "OpenStdin": True,
            "StdinOnce": True,
            "AttachStdin": True,
            "AttachStdout": True,
            "AttachStderr": True,
            "Tty": False,
            # The first process of a container passes over what would end another: an
            # engine that is restarted would wait 10 s for it, and then kill it all the same.
            "StopSignal": "SIGKILL",
            "NetworkDisabled": shape.network is None,
            "HostConfig": _host_config(shape),
        },
    )


def _guest_arguments(shape: Shape) -> list[str]:
    language = shape.language
    arguments = ["--code-name", language.code_name]
    arguments += ["--tmp-bytes", str(shape.tmp), "--tmp-inodes", str(shape.tmp_inodes)]
    if shape.network is not None:
        arguments.append("--share-net")
    if shape.writable_root:
        arguments.append("--writable-root")
    if language.template:
        arguments.append("--template")
    return [*arguments, "--", *language.start, *shape.preload]


def _environment(shape: Shape) -> dict[str, str]:
    common = {"PATH": _PATH, "HOME": "/sandbox", "LANG": "C.UTF-8", "TMPDIR": "/tmp"}
    return common | processors(shape.resources.cpus) | shape.language.env


def resource_config(resources: Resources) -> dict[str, Any]:
    """The part of a configuration that can be changed while the container runs."""
    return {
        "Memory": resources.memory,
        "MemorySwap": resources.memory,
        "PidsLimit": resources.pids,
        "NanoCpus": round(resources.cpus * _CPU_UNIT),
        "CpuShares": resources.cpu_shares,
    }


def _host_config(shape: Shape) -> dict[str, Any]:
    security = ["no-new-privileges", f"seccomp={_SECCOMP}"]
    if shape.apparmor is not None:
        security.append(f"apparmor={shape.apparmor}")
    tmpfs = f"rw,exec,nosuid,nodev,mode=1777,size={shape.tmp},nr_inodes={shape.tmp_inodes}"
    return resource_config(shape.resources) | {
        "AutoRemove": True,
        "Runtime": shape.runtime or "",
        "NetworkMode": shape.network or "none",
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": security,
        # The guest mounts a proc of its own, which the kernel allows only where
        # this one is whole; the program never sees this one.
        "MaskedPaths": [],
        "ReadonlyPaths": [],
        "IpcMode": "private",
        "CgroupnsMode": "private",
        "PidMode": "",
        "LogConfig": {"Type": "none"},
        "OomScoreAdj": 500,
        "Ulimits": [
            {"Name": "nofile", "Soft": shape.nofile, "Hard": shape.nofile},
            {"Name": "core", "Soft": 0, "Hard": 0},
            {"Name": "fsize", "Soft": shape.fsize, "Hard": shape.fsize},
        ],
        # Where namespaces are refused the program writes to these.
        "Tmpfs": {"/sandbox": tmpfs, "/tmp": tmpfs},
        "ShmSize": shape.tmp,
    }
