"""Known holes of engines and runtimes, and which of them a version has. Pure.

The versions are those of the advisories, as the Go vulnerability database, the CVE
list and the changelogs of runc and crun have them.
"""

from __future__ import annotations

from msgspec import Struct

from sandboxd.engine.facts import Component
from sandboxd.engine.versions import Version, parse_version

AS_OF = "October 2026"
"""Until when the tables were kept."""

_IMAGE = "a hostile image or volume"
_ROOT = "root in a container"
_EXEC = "docker exec"
_COPY = "docker cp"
_BUILD = "a hostile build"
_USER = "another user of the host"
_NETWORK = "a container with a network"
_HOST_NETWORK = "a container on the host's network"
_REMAP = "userns-remap"
_PLUGIN = "an authorization plugin"
_KUBERNETES = "Kubernetes"
_KRUN = "virtual machines by krun"


class Hole(Struct, frozen=True):
    cve: str
    needs: str
    """What an attack takes beside a program in a container."""
    affected: tuple[tuple[str, str], ...]
    """From a version on, until before the one that fixes it."""


_RUNC_2025 = (("0", "1.2.8"), ("1.3.0-rc.1", "1.3.3"), ("1.4.0-rc.1", "1.4.0-rc.3"))
_CONTAINERD_2025 = (
    ("0", "1.7.29"),
    ("2.0.0-beta.0", "2.0.7"),
    ("2.1.0-beta.0", "2.1.5"),
    ("2.2.0-beta.0", "2.2.0"),
)

HOLES: dict[str, tuple[Hole, ...]] = {
    "runc": (
        Hole("CVE-2019-5736", _ROOT, (("0", "1.0.0-rc7"),)),
        Hole("CVE-2019-16884", _IMAGE, (("0", "1.0.0-rc9"),)),
        Hole("CVE-2021-30465", _IMAGE, (("0", "1.0.0-rc95"),)),
        Hole("CVE-2023-27561", _IMAGE, (("1.0.0-rc95", "1.1.5"),)),
        Hole("CVE-2023-28642", _IMAGE, (("0", "1.1.5"),)),
        Hole("CVE-2024-21626", _IMAGE, (("1.0.0-rc93", "1.1.12"),)),
        Hole("CVE-2024-45310", _IMAGE, (("0", "1.1.14"), ("1.2.0-rc.1", "1.2.0-rc.3"))),
        Hole("CVE-2025-31133", _IMAGE, _RUNC_2025),
        Hole("CVE-2025-52565", _IMAGE, (("1.0.0-rc3", "1.2.8"), *_RUNC_2025[1:])),
        Hole("CVE-2025-52881", _IMAGE, _RUNC_2025),
        Hole(
            "CVE-2026-41579",
            _IMAGE,
            (("0", "1.3.6"), ("1.4.0-rc.1", "1.4.3"), ("1.5.0-rc.1", "1.5.0-rc.3")),
        ),
    ),
    "crun": (
        Hole("CVE-2019-16884", _IMAGE, (("0", "0.10"),)),
        Hole("CVE-2019-18837", _IMAGE, (("0", "0.10.5"),)),
        Hole("CVE-2022-27650", _EXEC, (("0", "1.4.4"),)),
        Hole("CVE-2025-24965", _KRUN, (("0", "1.20"),)),
        Hole("CVE-2026-30892", _EXEC, (("0", "1.27"),)),
        Hole("CVE-2026-47766", _IMAGE, (("0", "1.28"),)),
        Hole("CVE-2026-84042", _KRUN, (("0", "1.30"),)),
        Hole("CVE-2026-88264", _IMAGE, (("0", "1.30"),)),
        Hole("CVE-2026-88265", _IMAGE, (("0", "1.30"),)),
    ),
    "docker": (
        Hole("CVE-2019-14271", _COPY, (("19.03.0", "19.03.1"),)),
        Hole("CVE-2021-21284", _REMAP, (("0", "19.03.15"), ("20.0.0", "20.10.3"))),
        Hole("CVE-2021-41089", _COPY, (("0", "20.10.9"),)),
        Hole("CVE-2021-41091", _USER, (("0", "20.10.9"),)),
        Hole("CVE-2022-24769", _IMAGE, (("0", "20.10.14"),)),
        Hole("CVE-2022-36109", _IMAGE, (("0", "20.10.18"),)),
        Hole("CVE-2024-24557", _BUILD, (("0", "24.0.9"), ("25.0.0", "25.0.2"))),
        Hole(
            "CVE-2024-29018",
            _NETWORK,
            (("0", "23.0.11"), ("25.0.0", "25.0.5"), ("26.0.0-rc1", "26.0.0-rc3")),
        ),
        Hole(
            "CVE-2024-41110",
            _PLUGIN,
            (("0", "25.0.6"), ("26.0.0", "26.1.5"), ("27.0.0", "27.1.1")),
        ),
        Hole("CVE-2025-54410", _NETWORK, (("0", "25.0.13"), ("26.0.0", "28.0.0"))),
        Hole("CVE-2026-34040", _PLUGIN, (("0", "29.3.1"),)),
        Hole("CVE-2026-41567", _COPY, (("0", "29.5.1"),)),
        Hole("CVE-2026-41568", _COPY, (("0", "29.5.1"),)),
        Hole("CVE-2026-42306", _COPY, (("0", "29.5.1"),)),
        Hole("CVE-2026-17106", _IMAGE, (("0", "29.7.0"),)),
    ),
    "containerd": (
        Hole("CVE-2020-15257", _HOST_NETWORK, (("0", "1.3.9"), ("1.4.0", "1.4.3"))),
        Hole("CVE-2021-41103", _USER, (("0", "1.4.11"), ("1.5.0", "1.5.7"))),
        Hole(
            "CVE-2022-23648",
            _KUBERNETES,
            (("0", "1.4.13"), ("1.5.0", "1.5.10"), ("1.6.0", "1.6.1")),
        ),
        Hole("CVE-2023-25173", _IMAGE, (("0", "1.5.18"), ("1.6.0", "1.6.18"))),
        Hole("CVE-2024-25621", _USER, _CONTAINERD_2025),
        Hole(
            "CVE-2024-40635",
            _IMAGE,
            (("0", "1.6.38"), ("1.7.0-beta.0", "1.7.27"), ("2.0.0-beta.0", "2.0.4")),
        ),
        Hole(
            "CVE-2026-46680",
            _IMAGE,
            (
                ("1.7.27", "1.7.32"),
                ("2.0.4", "2.0.9"),
                ("2.1.0-beta.0", "2.2.4"),
                ("2.3.0-beta.0", "2.3.1"),
            ),
        ),
        Hole(
            "CVE-2026-53488",
            _KUBERNETES,
            (
                ("1.7.0", "1.7.33"),
                ("2.0.0", "2.0.10"),
                ("2.1.0", "2.1.9"),
                ("2.2.0", "2.2.5"),
                ("2.3.0", "2.3.2"),
            ),
        ),
    ),
    "podman": (
        Hole("CVE-2022-27649", _IMAGE, (("0", "4.0.3"),)),
        Hole("CVE-2026-55686", _IMAGE, (("0", "5.7.1"),)),
    ),
}


def open_holes(component: Component) -> list[Hole]:
    """The holes that a version has, going by the version alone."""
    version = parse_version(component.version)
    if version is None:
        return []
    return [hole for hole in HOLES.get(component.name, ()) if _fix(hole, version) is not None]


def fixed_in(component: Component, holes: list[Hole]) -> str:
    """The version from which on none of these is left."""
    version = parse_version(component.version)
    fixes = [fix for hole in holes if version and (fix := _fix(hole, version))]
    return max(fixes, key=lambda fix: parse_version(fix) or (), default="")


def _fix(hole: Hole, version: Version) -> str | None:
    """The version that fixes it for who has this one; None for who is not affected."""
    for first, fix in hole.affected:
        if (parse_version(first) or ()) <= version < (parse_version(fix) or ()):
            return fix
    return None
