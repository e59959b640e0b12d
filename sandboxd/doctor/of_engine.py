"""Rows on the engine and its kernel: what they are, and what they can. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sandboxd.doctor.changelog import fixed_by
from sandboxd.doctor.findings import Findings, HostFacts, Row, State
from sandboxd.doctor.holes import AS_OF, HOLES, Hole, fixed_in, open_holes
from sandboxd.engine.facts import Component, EngineFacts
from sandboxd.engine.versions import parse_version

_SUBSET_PID = (5, 8)
"""Since when a proc can be mounted with no more than processes in it."""
_OVERLAYS = (5, 11)
"""Since when a user namespace may mount overlays: a writable root is made of them."""
_PACKAGES = {"docker": "docker.io", "podman": "podman"}
"""Debian's names, where they are other ones."""
_PODMAN = (
    "the number of files in a container's own /tmp is bounded by its memory alone; programs "
    "see TERM and container in their environment"
)
_MAKES = "nothing itself: it makes the containers"


def absent(findings: Findings) -> Row:
    problem = f"{findings.address}: {findings.engine_problem or 'nobody answers'}"
    remedy = "`sandboxd setup --install-engine` starts one, or installs it before"
    if "ermission denied" in problem:
        remedy = "ask as root, or as a user of the group that the engine's socket belongs to"
    return Row("engine", State.BROKEN, problem, _MAKES, remedy)


def engine_rows(findings: Findings, engine: EngineFacts) -> Iterator[Row]:
    host = findings.host
    yield _engine(findings, engine)
    if engine.engine.name == "podman":
        yield Row("podman", State.OK, _PODMAN, "nothing: it says what is otherwise than in Docker")
    yield _version("engine fixes", engine.engine, host, "holes in the engine")
    yield _version("runtime fixes", engine.runtime, host, "holes in what starts a container")
    if engine.containerd is not None:
        yield _version(
            "containerd fixes", engine.containerd, host, "holes in what holds containers"
        )
    yield _kernel(findings, engine)
    yield _cgroups(engine)


def _engine(findings: Findings, engine: EngineFacts) -> Row:
    told = f"{engine.engine.name} {engine.engine.version}, API {engine.api or '?'}"
    if engine.system != "linux":
        remedy = "an engine for Linux containers"
        told = f"{told}; its containers are of {engine.system}"
        return Row("engine", State.BROKEN, told, _MAKES, remedy)
    return Row("engine", State.OK, f"{told}, at {findings.address}", _MAKES)


# --- versions ---


def _version(name: str, component: Component, host: HostFacts | None, stops: str) -> Row:
    """A distribution fixes holes and keeps the version, so that its package decides."""
    label = f"{component.name} {component.version}".strip()
    if component.name not in HOLES:
        return Row(name, State.OK, f"{label}; no list of its holes is kept here", stops)
    if parse_version(component.version) is None:
        told = f"{label}: no version that could be looked up"
        return Row(name, State.MISSING, told, stops, f"look after {component.name} yourself")
    by_version = open_holes(component)
    fixed = _backported(component, host)
    left = [hole for hole in by_version if hole.cve not in fixed]
    if not left:
        told = f"{label}: no hole known in {AS_OF}"
        if by_version:
            told = f"{label}: its changelog names all holes known in {AS_OF} as fixed"
        return Row(name, State.OK, told, stops)
    if component.distribution:
        told = f"{label}; may be fixed by the distribution: {_list(left)}"
        remedy = f"update its package, and see what it fixes: {_tracker(component)}"
    else:
        told = f"{label} has known holes: {_list(left)}"
        remedy = f"update {component.name} to {fixed_in(component, left)} or later"
    return Row(name, State.MISSING, told, stops, remedy)


def _backported(component: Component, host: HostFacts | None) -> frozenset[str]:
    if host is None or not component.distribution:
        return frozenset()
    return fixed_by(component.version, host.changelogs.get(component.name, []))


def _list(holes: list[Hole]) -> str:
    """By what an attack would need, the latest first."""
    needs = dict.fromkeys(hole.needs for hole in reversed(holes))
    return "; ".join(
        f"{', '.join(hole.cve for hole in reversed(holes) if hole.needs == need)} (needs {need})"
        for need in needs
    )


def _tracker(component: Component) -> str:
    package = _PACKAGES.get(component.name, component.name)
    if "ubuntu" in component.version:
        return f"https://ubuntu.com/security/cves?package={package}"
    if re.search(r"deb\d|\+ds|~ds|\+dfsg", component.version):
        return f"https://security-tracker.debian.org/tracker/source-package/{package}"
    return "the distribution's security tracker"


# --- the kernel ---


def _kernel(findings: Findings, engine: EngineFacts) -> Row:
    release = engine.kernel or (findings.host.kernel if findings.host else "")
    name, stops = "recent kernel", "what all else rests on; a hole in it is not stopped"
    numbers = re.match(r"(\d+)\.(\d+)", release)
    version = (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)
    if version >= _OVERLAYS:
        return Row(name, State.OK, release, stops)
    remedy = "Linux 5.11 or later"
    if findings.probe is not None and findings.probe.namespaces:
        detail = f"{release}: too old for a run with a writable root"
    elif version < _SUBSET_PID:
        detail = f"{release or 'not known'}: too old to use a container again"
    else:
        detail = f"{release}: too old for a run with a writable root"
    return Row(name, State.MISSING, detail, stops, remedy)


def _cgroups(engine: EngineFacts) -> Row:
    version, driver = engine.cgroup_version, engine.cgroup_driver
    stops = "a program that takes the host's memory, cores or process table"
    if driver == "none":
        remedy = "boot with cgroup v2 and let systemd run the rootless engine"
        if version == "2":
            remedy = "let systemd run the rootless engine: dockerd-rootless-setuptool.sh install"
        return Row("cgroups", State.BROKEN, "the engine has none to use", stops, remedy)
    if version not in ("1", "2"):
        detail = f"the engine does not say which it uses (driver {driver or 'unknown'})"
        return Row("cgroups", State.MISSING, detail, stops, "Docker 20.10 or later")
    return Row("cgroups", State.OK, f"v{version}, by {driver}", stops)


# --- what the kernel refuses to everybody ---

_FORBIDDING = {"kernel.unprivileged_userns_clone": "1", "user.max_user_namespaces": "15000"}
"""Settings that forbid with a 0, and what would do instead."""
_RESTRICTING = "kernel.apparmor_restrict_unprivileged_userns"


def user_namespace_row(findings: Findings, host: HostFacts) -> Row:
    """What the host's settings say; where a container got some, they do not matter."""
    name, stops = "user namespaces", "a run that could see or signal another in its container"
    granted = findings.probe is not None and findings.probe.namespaces
    for setting, better in () if granted else _FORBIDDING.items():
        if host.sysctls.get(setting) == "0":
            remedy = f"`sysctl --write {setting}={better}`, and the same line in /etc/sysctl.d"
            return Row(name, State.MISSING, f"{setting} is 0", stops, remedy)
    if not granted and host.sysctls.get(_RESTRICTING) == "1":
        told = f"{_RESTRICTING} is 1: AppArmor's profile decides"
        return Row(name, State.MISSING, told, stops, "a profile that allows them; see AppArmor")
    told = "allowed without privileges"
    if most := host.sysctls.get("user.max_user_namespaces"):
        told += f", at most {most} for a user"
    return Row(name, State.OK, told, stops)
