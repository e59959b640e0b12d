"""A container in Docker's words. Pure."""

from __future__ import annotations

from typing import Any

from sandboxd.engine.port import ContainerSpec, Resources, Security, Tmpfs

_CPU_UNIT = 10**9


def container_config(wanted: ContainerSpec) -> dict[str, Any]:
    """What `/containers/create` is given."""
    program, *arguments = wanted.argv
    return {
        "Image": wanted.image,
        "User": f"{wanted.uid}:{wanted.uid}",
        "Hostname": "sandbox",
        "WorkingDir": "/",
        "Entrypoint": [program],
        "Cmd": arguments,
        "Env": [f"{name}={value}" for name, value in wanted.env.items()],
        "Labels": wanted.labels,
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
        "NetworkDisabled": wanted.network is None,
        "HostConfig": _host_config(wanted),
    }


def resource_config(resources: Resources) -> dict[str, Any]:
    """The part of a configuration that can be changed while the container runs."""
    return {
        "Memory": resources.memory,
        "MemorySwap": resources.memory,
        "PidsLimit": resources.pids,
        "NanoCpus": round(resources.cpus * _CPU_UNIT),
        "CpuShares": resources.cpu_shares,
    }


def security_options(security: Security, seccomp: str) -> list[str]:
    """`seccomp` is the profile, or the path of a file that it is in."""
    options = ["no-new-privileges", f"seccomp={seccomp}"]
    if security.apparmor is not None:
        options.append(f"apparmor={security.apparmor}")
    return options


def tmpfs_options(tmpfs: Tmpfs) -> str:
    return f"rw,exec,nosuid,nodev,mode=1777,size={tmpfs.size}"


def ulimit(name: str, most: int) -> dict[str, Any]:
    return {"Name": name, "Soft": most, "Hard": most}


def _host_config(wanted: ContainerSpec) -> dict[str, Any]:
    return resource_config(wanted.resources) | {
        "AutoRemove": True,
        "Runtime": wanted.security.runtime or "",
        "NetworkMode": wanted.network or "none",
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": security_options(wanted.security, wanted.security.seccomp),
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
            ulimit("nofile", wanted.nofile),
            ulimit("core", 0),
            ulimit("fsize", wanted.fsize),
        ],
        "Tmpfs": {
            each.path: f"{tmpfs_options(each)},nr_inodes={each.inodes}" for each in wanted.tmpfs
        },
        "ShmSize": wanted.shm,
    }
