"""Rows on what holds for a container, told by a real one where there is one. Pure.

Without one the engine's word counts. What a real one lacks breaks a row whatever the
engine says, and what belongs to no row breaks the last one: no fault is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct

from sandboxd.doctor.findings import Findings, Probe, Row, State
from sandboxd.doctor.of_engine import user_namespace_row
from sandboxd.engine.facts import EngineFacts
from sandboxd.pool.verify import is_gvisor

_MIB = 1024 * 1024
_CPU_PERIOD = 100_000
"""What cgroup v1 does not tell beside the quota."""
OUR_PROFILE = "sandboxd-guest"
_LOAD_PROFILE = (
    f"`apparmor_parser --replace /etc/apparmor.d/{OUR_PROFILE}` (from `sandboxd install-units`) "
    f'and apparmor = "{OUR_PROFILE}" under [engine]'
)
_DELEGATE = (
    "let systemd delegate the controllers to users: [Service] Delegate=cpu cpuset io memory pids "
    "in /etc/systemd/system/user@.service.d/delegate.conf"
)


class _Claims:
    """The faults of a container, each taken by the row that it belongs to."""

    def __init__(self, probe: Probe | None) -> None:
        self._left = list(probe.faults) if probe else []

    def take(self, *signs: str) -> list[str]:
        taken = [fault for fault in self._left if any(sign in fault for sign in signs)]
        self._left = [fault for fault in self._left if fault not in taken]
        return taken

    def rest(self) -> list[str]:
        return self._left


def container_rows(findings: Findings, engine: EngineFacts) -> Iterator[Row]:
    claims = _Claims(findings.probe)
    for limit in _LIMITS:
        yield _limit_row(findings.probe, engine, limit, claims)
    yield _seccomp(findings, engine, claims)
    yield _privileges(findings.probe, claims)
    if findings.host is not None:
        yield user_namespace_row(findings, findings.host)
    yield _namespaces(findings, engine)
    yield _root(findings.probe, claims)
    yield _network(findings)
    yield _mandatory(findings, engine)
    yield _remapped(engine)
    yield _storage(findings.probe, engine)
    yield _log(findings.probe)
    yield _live_restore(engine)
    yield _container(findings, claims)


# --- limits ---


class _Limit(Struct, frozen=True):
    name: str
    needs: tuple[str, ...]
    """The engine's names for what it must be able to limit."""
    signs: tuple[str, ...]
    """Words of the faults that it can have."""
    shown: Callable[[dict[str, str]], str]
    stops: str
    boot: str
    """How to get it where cgroups are of version 1."""


def _memory(hello: dict[str, str]) -> str:
    return f"{int(hello['memory']) // _MIB} MiB in the container"


def _swap(hello: dict[str, str]) -> str:
    return "none" if "memsw" not in hello else "none: memory and swap together have that limit"


def _cores(hello: dict[str, str]) -> str:
    quota, _, period = hello["cpu"].partition(" ")
    return f"{int(quota) / int(period or _CPU_PERIOD):g} in the container"


_LIMITS = (
    _Limit(
        "memory limit",
        ("MemoryLimit",),
        ("memory limit",),
        _memory,
        "a program that takes all memory",
        "boot with cgroup_enable=memory swapaccount=1",
    ),
    _Limit(
        "swap limit",
        ("SwapLimit",),
        ("memory and swap", "may swap"),
        _swap,
        "a program that takes all swap instead",
        "boot with swapaccount=1",
    ),
    _Limit(
        "process limit",
        ("PidsLimit",),
        ("process limit",),
        lambda hello: f"{hello['pids']} in the container, the guest's own among them",
        "fork bombs",
        "a kernel with CONFIG_CGROUP_PIDS",
    ),
    _Limit(
        "CPU limit",
        ("CpuCfsPeriod", "CpuCfsQuota", "CPUShares"),
        ("CPU quota",),
        _cores,
        "a program that takes all cores",
        "a kernel with CONFIG_CFS_BANDWIDTH and CONFIG_FAIR_GROUP_SCHED",
    ),
)


def _limit_row(probe: Probe | None, engine: EngineFacts, limit: _Limit, claims: _Claims) -> Row:
    """A limit that would not be enforced and that nobody would notice breaks the host."""
    refused = [name for name in limit.needs if engine.limits.get(name) is False]
    faults = claims.take(*limit.signs)
    remedy = limit.boot
    if engine.rootless:
        remedy = _DELEGATE
    elif engine.cgroup_version == "2":
        remedy = "enable the controllers for the engine's cgroup (cgroup.subtree_control)"
    if refused:
        detail = f"the engine cannot: {', '.join(refused)} is false"
        return Row(limit.name, State.BROKEN, detail, limit.stops, remedy)
    if faults:
        return Row(limit.name, State.BROKEN, "; ".join(faults), limit.stops, remedy)
    if probe is not None and probe.up:
        told = "by the engine's word: gVisor's kernel is outside of it"
        if not is_gvisor(probe.hello):
            told = limit.shown(probe.hello)
        return Row(limit.name, State.OK, told, limit.stops)
    if all(name in engine.limits for name in limit.needs):
        return Row(limit.name, State.OK, "the engine can; no container was asked", limit.stops)
    detail = "the engine does not say; each container is asked before it is used"
    return Row(limit.name, State.MISSING, detail, limit.stops, "`sandboxd images build`, and again")


# --- privileges ---


def _seccomp(findings: Findings, engine: EngineFacts, claims: _Claims) -> Row:
    name, stops = "seccomp", "system calls that no program needs, where kernels have holes"
    remedy = "a kernel with CONFIG_SECCOMP_FILTER, and an engine that was built with it"
    faults = claims.take("seccomp")
    probe = findings.probe
    if findings.host is not None and not findings.host.seccomp:
        return Row(name, State.BROKEN, "the kernel has none", stops, remedy)
    if "seccomp" not in engine.security:
        return Row(name, State.BROKEN, "the engine has none", stops, remedy)
    if faults:
        return Row(name, State.BROKEN, "; ".join(faults), stops, remedy)
    if probe is None or not probe.up:
        return Row(name, State.OK, "the engine can; no container was asked", stops)
    if is_gvisor(probe.hello):
        told = "the guest's own on a program, and gVisor's kernel before the host's"
        return Row(name, State.OK, told, stops)
    filters = probe.proof.get("Seccomp_filters", "2")
    told = f"{filters} filters on a program: the container's and the guest's own"
    return Row(name, State.OK, told, stops)


def _privileges(probe: Probe | None, claims: _Claims) -> Row:
    name, stops = "no privileges", "a program that is root or could become it"
    faults = claims.take("a program's", "capabilities", "NoNewPrivs", "runs as uid")
    remedy = "look for what changes the engine's containers: a plugin, a runtime, a hook"
    if faults:
        return Row(name, State.BROKEN, "; ".join(faults), stops, remedy)
    if probe is None or not probe.up:
        return _not_looked_at(name, stops)
    inner = probe.proof.get("Uid", "?").split()[:1]
    told = f"uid {probe.uid} outside, {''.join(inner)} inside; no capability, no new privileges"
    return Row(name, State.OK, told, stops)


def _namespaces(findings: Findings, engine: EngineFacts) -> Row:
    """Without them each container is used once: slower, and as safe."""
    name, stops = "own namespaces", "whatever a run would leave for the next, or see of another"
    probe = findings.probe
    if probe is None or not probe.up:
        return _not_looked_at(name, stops)
    if probe.namespaces:
        told = "user, pid, mount, ipc, uts, network and cgroup: each run's own"
        return Row(name, State.OK, told, stops)
    reason = probe.hello.get("reason") or "no reason given"
    remedy = "see user namespaces, and the engine's seccomp support"
    if "apparmor" in engine.security and _profile(probe) != OUR_PROFILE:
        remedy = _LOAD_PROFILE
    if is_gvisor(probe.hello):
        remedy = "gVisor does not let a container make them; another runtime may"
    detail = f"refused ({reason}): each container is used once, which is slower"
    return Row(name, State.MISSING, detail, stops, remedy)


def _profile(probe: Probe | None) -> str:
    return probe.shown.apparmor if probe else ""


def _mandatory(findings: Findings, engine: EngineFacts) -> Row:
    """AppArmor or SELinux: a second opinion on every access."""
    stops = "files and mounts, should a container's own walls fall"
    probe, host = findings.probe, findings.host
    profile = _profile(probe)
    if "apparmor" in engine.security:
        if profile == OUR_PROFILE:
            return Row("AppArmor", State.OK, f"the profile {profile}", stops)
        shown = profile or "docker-default"
        if probe is not None and probe.up and profile in ("", "unconfined"):
            told = "on, and the containers are not confined by it"
            return Row("AppArmor", State.MISSING, told, stops, _LOAD_PROFILE)
        if probe is not None and probe.namespaces:
            return Row("AppArmor", State.OK, f"the profile {shown}", stops)
        loaded = host.profile_loaded if host else None
        told = f"the profile {shown}, which denies mounts: containers are used once"
        if loaded:
            told += f"; {OUR_PROFILE} is loaded, and not configured"
        return Row("AppArmor", State.MISSING, told, stops, _LOAD_PROFILE)
    if "selinux" in engine.security:
        label = probe.shown.selinux if probe else ""
        return Row("SELinux", State.OK, label or "the engine labels its containers", stops)
    return _without_mandatory(findings, engine, stops)


def _without_mandatory(findings: Findings, engine: EngineFacts, stops: str) -> Row:
    host = findings.host
    if host is not None and host.apparmor and engine.rootless:
        told = "AppArmor is on, and a rootless engine cannot use it"
        remedy = "the system's engine, with userns-remap instead of rootless"
        return Row("AppArmor", State.MISSING, told, stops, remedy)
    if host is not None and host.apparmor:
        told = "AppArmor is on, and the engine does not use it"
        remedy = "install the package apparmor and restart the engine; then " + _LOAD_PROFILE
        return Row("AppArmor", State.MISSING, told, stops, remedy)
    if host is not None and host.selinux:
        told = "SELinux is on, and the engine does not use it"
        remedy = '"selinux-enabled": true in the engine\'s daemon.json'
        return Row("SELinux", State.MISSING, told, stops, remedy)
    remedy = "a kernel with one of them; for AppArmor boot with security=apparmor apparmor=1"
    return Row("AppArmor", State.MISSING, "neither AppArmor nor SELinux", stops, remedy)


def _remapped(engine: EngineFacts) -> Row:
    name, stops = "remapped root", "who breaks out as root: that is nobody on the host"
    if engine.rootless:
        return Row(name, State.OK, "rootless: the engine is a user's", stops)
    if "userns" in engine.security:
        return Row(name, State.OK, "userns-remap: root in a container is nobody", stops)
    remedy = '"userns-remap": "default" in the engine\'s daemon.json, or a rootless engine'
    told = "the host's root: neither rootless nor userns-remap"
    return Row(name, State.MISSING, told, stops, remedy)


# --- what a container is made of ---


def _root(probe: Probe | None, claims: _Claims) -> Row:
    name, stops = "read-only root", "changes to an interpreter that the next run would use"
    faults = claims.take("root can be written")
    if faults:
        remedy = "look for what changes the engine's containers: a plugin, a runtime, a hook"
        return Row(name, State.BROKEN, "; ".join(faults), stops, remedy)
    if probe is None or not probe.up:
        return _not_looked_at(name, stops)
    return Row(name, State.OK, "a run writes to file systems of its own in memory", stops)


def _network(findings: Findings) -> Row:
    name, stops = "no network", "programs that call home, or the host's services"
    probe = findings.probe
    if probe is None or not probe.up:
        return _not_looked_at(name, stops)
    network = probe.shown.network
    if network != "none":
        remedy = "look for what changes the engine's containers: a plugin, a runtime, a hook"
        return Row(name, State.BROKEN, f"the container has one: {network or '?'}", stops, remedy)
    told = "none but loopback"
    if findings.network is not None:
        told += f"; a run may ask for {findings.network} ([network] allow)"
    return Row(name, State.OK, told, stops)


def _storage(probe: Probe | None, engine: EngineFacts) -> Row:
    """Size limits of a driver do not matter: nothing that it stores can be written to."""
    name, stops = "storage", "a full disk, and an image that one container changes for all"
    if engine.storage.startswith("vfs"):
        told = f"{engine.storage}: each container is a copy of its whole image"
        return Row(name, State.MISSING, told, stops, "the driver overlay2 or fuse-overlayfs")
    if probe is not None and probe.up:
        told = f"{engine.storage}; needs no quota, containers have nothing to write to in it"
        return Row(name, State.OK, told, stops)
    return Row(name, State.OK, engine.storage, stops)


def _log(probe: Probe | None) -> Row:
    name, stops = "no logs", "output that fills the disk, or stays on it"
    if probe is None or not probe.up:
        return _not_looked_at(name, stops)
    keeper = probe.shown.log
    if keeper != "none":
        told = f"kept by {keeper or '?'}, although none was asked for"
        return Row(name, State.MISSING, told, stops, "an engine with the log driver none")
    return Row(name, State.OK, "none are kept", stops)


def _live_restore(engine: EngineFacts) -> Row:
    name, stops = "no live-restore", "programs that run on without the engine, and unseen"
    if engine.live_restore:
        told = "live-restore is on: containers outlive a stopped engine"
        remedy = '"live-restore": false in the engine\'s daemon.json'
        return Row(name, State.MISSING, told, stops, remedy)
    return Row(name, State.OK, "containers end with the engine", stops)


def _container(findings: Findings, claims: _Claims) -> Row:
    """The container itself, and what no other row had a place for."""
    name, stops = "real container", "surprises: each one is checked so before a program sees it"
    probe = findings.probe
    if probe is None:
        return _not_looked_at(name, stops)
    if not probe.up:
        remedy = "the reason is the engine's or the guest's own; the rows above may explain it"
        return Row(name, State.BROKEN, probe.problem, stops, remedy)
    if left := claims.rest():
        remedy = "look for what changes the engine's containers: a plugin, a runtime, a hook"
        return Row(name, State.BROKEN, "; ".join(left), stops, remedy)
    told = f"{probe.language}, up in {probe.took:.2f} s, proved what was asked for, removed"
    if probe.faults:
        told = f"{probe.language}, up in {probe.took:.2f} s; it would not be used, see above"
        return Row(name, State.BROKEN, told, stops, "see the rows above")
    return Row(name, State.OK, told, stops)


def _not_looked_at(name: str, stops: str) -> Row:
    told = "not known: no container was started"
    return Row(name, State.MISSING, told, stops, "`sandboxd images build`, and ask again")
