"""From a profile and its limits to the container of a pool's member. Pure."""

from __future__ import annotations

from msgspec import Struct

from sandboxd.engine import seccomp
from sandboxd.engine.port import (
    LABEL_INSTANCE,
    LABEL_PROFILE,
    LABEL_SLOT,
    ContainerSpec,
    Resources,
    Security,
    Tmpfs,
)
from sandboxd.languages import Language, processors

GUEST_PATH = "/sandboxd/guest"
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
    # Where namespaces are refused the program writes to these.
    writable = (Tmpfs(path, shape.tmp, shape.tmp_inodes) for path in ("/sandbox", "/tmp"))
    return ContainerSpec(
        name=f"sandboxd-{placement.instance}-{placement.serial}-{shape.profile}",
        image=shape.image,
        argv=(GUEST_PATH, *_guest_arguments(shape)),
        uid=placement.uid,
        env=_environment(shape),
        labels={
            LABEL_INSTANCE: placement.instance,
            LABEL_SLOT: str(placement.slot),
            LABEL_PROFILE: shape.profile,
        },
        tmpfs=tuple(writable),
        shm=shape.tmp,
        resources=shape.resources,
        nofile=shape.nofile,
        fsize=shape.fsize,
        security=Security(_SECCOMP, shape.apparmor, shape.runtime),
        network=shape.network,
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
