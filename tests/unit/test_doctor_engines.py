"""What is said of engines, going by their answers to `/info` and `/version`.

The first is what the engine of a Debian 12 with cgroup v1 said; the others have what
their kind has: the fields that matter, as their API names them.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sandboxd.doctor import Findings, Row, State, blockers, check
from sandboxd.doctor.changelog import Entry
from sandboxd.doctor.findings import HostFacts
from sandboxd.engine.docker.facts import LIMITS, parse_engine
from sandboxd.engine.facts import Component, EngineFacts

Answers = tuple[dict[str, Any], dict[str, Any]]
ABLE = dict.fromkeys(LIMITS, True)

DOCKER_20: Answers = (
    {
        **ABLE,
        "Driver": "overlay2",
        "DriverStatus": [
            ["Backing Filesystem", "extfs"],
            ["Supports d_type", "true"],
            ["Native Overlay Diff", "true"],
            ["userxattr", "false"],
        ],
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": "1",
        "KernelVersion": "6.1.0-28-amd64",
        "OperatingSystem": "Debian GNU/Linux 12 (bookworm)",
        "OSType": "linux",
        "ServerVersion": "20.10.24+dfsg1",
        "Runtimes": {"io.containerd.runc.v2": {"path": "runc"}, "runc": {"path": "runc"}},
        "DefaultRuntime": "runc",
        "LiveRestoreEnabled": False,
        "SecurityOptions": ["name=seccomp,profile=default"],
        "Warnings": None,
    },
    {
        "Platform": {"Name": ""},
        "Components": [
            {
                "Name": "Engine",
                "Version": "20.10.24+dfsg1",
                "Details": {"ApiVersion": "1.41", "GitCommit": "5d6db84", "Os": "linux"},
            },
            {
                "Name": "containerd",
                "Version": "1.6.20~ds1",
                "Details": {"GitCommit": "1.6.20~ds1-1+deb12u3"},
            },
            {
                "Name": "runc",
                "Version": "1.1.5+ds1",
                "Details": {"GitCommit": "1.1.5+ds1-1+deb12u1"},
            },
            {"Name": "docker-init", "Version": "0.19.0", "Details": {"GitCommit": ""}},
        ],
        "Version": "20.10.24+dfsg1",
        "ApiVersion": "1.41",
    },
)

DOCKER_27: Answers = (
    {
        **ABLE,
        "Driver": "overlay2",
        "DriverStatus": [["Backing Filesystem", "extfs"], ["userxattr", "false"]],
        "CgroupDriver": "systemd",
        "CgroupVersion": "2",
        "KernelVersion": "6.8.0-51-generic",
        "OperatingSystem": "Ubuntu 24.04.1 LTS",
        "OSType": "linux",
        "ServerVersion": "27.5.1",
        "DefaultRuntime": "runc",
        "LiveRestoreEnabled": False,
        "SecurityOptions": ["name=apparmor", "name=seccomp,profile=builtin", "name=cgroupns"],
    },
    {
        "Platform": {"Name": "Docker Engine - Community"},
        "Components": [
            {
                "Name": "Engine",
                "Version": "27.5.1",
                "Details": {"ApiVersion": "1.47", "GitCommit": "4c9b3b0", "Os": "linux"},
            },
            {
                "Name": "containerd",
                "Version": "1.7.25",
                "Details": {"GitCommit": "bcc810d6b9066471b0b6fa75f557a15a1cbf31bb"},
            },
            {
                "Name": "runc",
                "Version": "1.2.4",
                "Details": {"GitCommit": "v1.2.4-0-g6c52b3f"},
            },
        ],
        "Version": "27.5.1",
        "ApiVersion": "1.47",
    },
)

DOCKER_CURRENT: Answers = (
    {
        **DOCKER_27[0],
        "ServerVersion": "29.9.0",
        "SecurityOptions": [
            "name=apparmor",
            "name=seccomp,profile=builtin",
            "name=userns",
            "name=cgroupns",
        ],
    },
    {
        "Platform": {"Name": "Docker Engine - Community"},
        "Components": [
            {"Name": "Engine", "Version": "29.9.0", "Details": {"GitCommit": "a5b58c9"}},
            {"Name": "containerd", "Version": "v2.2.5", "Details": {"GitCommit": "1c4457e"}},
            {"Name": "runc", "Version": "1.4.3", "Details": {"GitCommit": "v1.4.3-0-g5fd4c4d"}},
        ],
        "Version": "29.9.0",
        "ApiVersion": "1.55",
    },
)
"""With userns-remap, and no hole that is known."""

ROOTLESS: Answers = (
    {
        **DOCKER_27[0],
        "MemoryLimit": True,
        "PidsLimit": True,
        "CpuCfsPeriod": False,
        "CpuCfsQuota": False,
        "CPUShares": False,
        "SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless", "name=cgroupns"],
        "Warnings": ["WARNING: No cpu cfs quota support", "WARNING: No cpu shares support"],
    },
    DOCKER_27[1],
)
"""Where systemd delegates memory and pids to users, and no cpu."""

ROOTLESS_BARE: Answers = (
    {
        **ROOTLESS[0],
        **dict.fromkeys(LIMITS, False),
        "CgroupDriver": "none",
        "Warnings": ["WARNING: Running in rootless-mode without cgroups."],
    },
    DOCKER_27[1],
)

PODMAN: Answers = (
    {
        **ABLE,
        "Driver": "overlay",
        "DriverStatus": [["Backing Filesystem", "btrfs"], ["Native Overlay Diff", "false"]],
        "CgroupDriver": "systemd",
        "CgroupVersion": "2",
        "KernelVersion": "6.11.10-300.fc41.x86_64",
        "OperatingSystem": "fedora",
        "OSType": "linux",
        "ServerVersion": "5.3.1",
        "DefaultRuntime": "crun",
        "LiveRestoreEnabled": False,
        "SecurityOptions": ["name=seccomp,profile=default", "name=rootless", "name=selinux"],
        "Rootless": True,
    },
    {
        "Platform": {"Name": "linux/amd64/fedora-41"},
        "Components": [
            {"Name": "Podman Engine", "Version": "5.3.1", "Details": {"APIVersion": "5.3.1"}},
            {"Name": "Conmon", "Version": "conmon version 2.1.12, commit: ", "Details": {}},
            {
                "Name": "OCI Runtime (crun)",
                "Version": "crun version 1.18.2\ncommit: 00ab38a\nspec: 1.0.0\n+SYSTEMD +SECCOMP",
                "Details": {"Package": "crun-1.18.2-1.fc41.x86_64"},
            },
        ],
        "Version": "5.3.1",
        "ApiVersion": "1.41",
    },
)

OLD: Answers = (
    {
        "MemoryLimit": True,
        "ServerVersion": "1.12.6",
        "DefaultRuntime": "runc",
        "KernelVersion": "4.4.0-210-generic",
        "SecurityOptions": ["apparmor", "seccomp"],
    },
    {"Version": "1.12.6", "ApiVersion": "1.24"},
)


def found(answers: Answers, **changes: Any) -> Findings:
    engine = msgspec.structs.replace(parse_engine(*answers), **changes)
    return Findings(address="unix:///run/docker.sock", engine=engine)


def row(findings: Findings, name: str) -> Row:
    rows = {each.name: each for each in check(findings)}
    return rows[name]


# --- what they are ---


def test_a_distributions_docker_is_known_by_what_it_adds_to_versions() -> None:
    engine = parse_engine(*DOCKER_20)
    assert engine.engine == Component("docker", "20.10.24+dfsg1", distribution=True)
    assert engine.runtime == Component("runc", "1.1.5+ds1-1+deb12u1", distribution=True)
    assert engine.containerd == Component("containerd", "1.6.20~ds1-1+deb12u3", distribution=True)


def test_dockers_own_builds_are_not_taken_for_a_distributions() -> None:
    engine = parse_engine(*DOCKER_27)
    assert engine.engine == Component("docker", "27.5.1", distribution=False)
    assert engine.runtime == Component("runc", "1.2.4", distribution=False)
    assert engine.containerd == Component("containerd", "1.7.25", distribution=False)


def test_podman_names_its_runtime_in_a_way_of_its_own() -> None:
    engine = parse_engine(*PODMAN)
    assert engine.engine == Component("podman", "5.3.1", distribution=True)
    assert engine.runtime == Component("crun", "1.18.2", distribution=True)
    assert engine.containerd is None


@pytest.mark.parametrize(
    ("told", "name"),
    [("/usr/bin/crun", "crun"), ("io.containerd.runc.v2", "runc"), ("runsc", "runsc")],
)
def test_a_runtime_is_known_by_its_name_alone(told: str, name: str) -> None:
    info, version = DOCKER_27
    assert parse_engine({**info, "DefaultRuntime": told}, version).runtime.name == name


def test_security_options_are_understood_with_and_without_names() -> None:
    assert parse_engine(*DOCKER_27[:1], DOCKER_27[1]).security == {
        "apparmor": "",
        "seccomp": "builtin",
        "cgroupns": "",
    }
    assert parse_engine(*OLD).security == {"apparmor": "", "seccomp": ""}


def test_an_engine_that_says_nothing_at_all_is_still_described() -> None:
    engine = parse_engine({}, {})
    assert (engine.limits, engine.security, engine.cgroup_version) == ({}, {}, "")
    assert [each.state for each in check(Findings(address="unix:///x", engine=engine))]


# --- what they can ---


@pytest.mark.parametrize("answers", [DOCKER_20, DOCKER_27, DOCKER_CURRENT, PODMAN])
def test_an_engine_that_can_limit_everything_blocks_nothing(answers: Answers) -> None:
    assert blockers(found(answers)) == []


@pytest.mark.parametrize(
    ("limit", "name"),
    [
        ("MemoryLimit", "memory limit"),
        ("SwapLimit", "swap limit"),
        ("PidsLimit", "process limit"),
        ("CpuCfsPeriod", "CPU limit"),
        ("CpuCfsQuota", "CPU limit"),
        ("CPUShares", "CPU limit"),
    ],
)
@pytest.mark.parametrize("answers", [DOCKER_20, DOCKER_27])
def test_a_limit_that_would_silently_be_dropped_blocks_and_is_named(
    answers: Answers, limit: str, name: str
) -> None:
    lacking = found(answers, limits={**ABLE, limit: False})
    (blocker,) = blockers(lacking)
    assert blocker.startswith(f"{name}: the engine cannot: {limit} is false")
    assert row(lacking, name).state is State.BROKEN


def test_a_limit_that_the_engine_says_nothing_of_is_left_to_each_container() -> None:
    silent = found(OLD)
    assert blockers(silent) == []
    assert row(silent, "process limit").state is State.MISSING


def test_an_engine_without_seccomp_blocks() -> None:
    (blocker,) = blockers(found(DOCKER_27, security={"apparmor": ""}))
    assert blocker.startswith("seccomp: the engine has none")


def test_an_engine_for_another_system_blocks() -> None:
    (blocker,) = blockers(found(DOCKER_27, system="windows"))
    assert "its containers are of windows" in blocker


def test_an_engine_that_is_away_blocks_nothing_and_breaks_the_report() -> None:
    away = Findings(address="unix:///run/docker.sock", engine_problem="it cannot be reached")
    assert blockers(away) == []
    assert row(away, "engine") == Row(
        "engine",
        State.BROKEN,
        "unix:///run/docker.sock: it cannot be reached",
        "nothing itself: it makes the containers",
        "`sandboxd setup --install-engine` starts one, or installs it before",
    )


def test_an_engine_that_lets_this_user_not_in_is_no_reason_to_install_one() -> None:
    refused = Findings(address="unix:///x", engine_problem="Cannot connect: [Permission denied]")
    assert "group" in row(refused, "engine").remedy


def test_a_rootless_engine_is_told_how_to_get_the_controllers() -> None:
    lacking = row(found(ROOTLESS), "CPU limit")
    assert lacking.state is State.BROKEN
    assert "Delegate=cpu" in lacking.remedy
    assert row(found(ROOTLESS), "memory limit").state is State.OK


def test_a_rootless_engine_without_cgroups_is_no_good_at_all() -> None:
    names = {blocker.partition(":")[0] for blocker in blockers(found(ROOTLESS_BARE))}
    assert names == {"cgroups", "memory limit", "swap limit", "process limit", "CPU limit"}


@pytest.mark.parametrize(
    ("answers", "detail"),
    [(DOCKER_20, "v1, by cgroupfs"), (DOCKER_27, "v2, by systemd"), (PODMAN, "v2, by systemd")],
)
def test_the_version_of_cgroups_is_told(answers: Answers, detail: str) -> None:
    assert row(found(answers), "cgroups").detail == detail
    assert row(found(answers), "cgroups").state is State.OK


@pytest.mark.parametrize(
    ("answers", "state"),
    [
        (DOCKER_20, State.MISSING),
        (DOCKER_27, State.MISSING),
        (DOCKER_CURRENT, State.OK),
        (ROOTLESS, State.OK),
        (PODMAN, State.OK),
    ],
)
def test_root_is_nobody_where_the_engine_is_rootless_or_remaps(
    answers: Answers, state: State
) -> None:
    assert row(found(answers), "remapped root").state is state


def test_containers_that_outlive_the_engine_are_told_of() -> None:
    assert row(found(DOCKER_27), "no live-restore").state is State.OK
    on = row(found(DOCKER_27, live_restore=True), "no live-restore")
    assert (on.state, "live-restore" in on.remedy) == (State.MISSING, True)


def test_a_driver_that_copies_whole_images_is_told_of() -> None:
    assert row(found(DOCKER_20), "storage").detail == "overlay2 on extfs"
    assert row(found(DOCKER_20, storage="vfs"), "storage").state is State.MISSING


@pytest.mark.parametrize(
    ("kernel", "state"),
    [
        ("6.8.0-51-generic", State.OK),
        ("5.11.0", State.OK),
        ("5.10.0-32-amd64", State.MISSING),
        ("4.18.0-553.el8_10.x86_64", State.MISSING),
        ("", State.MISSING),
    ],
)
def test_an_old_kernel_lacks_something(kernel: str, state: State) -> None:
    assert row(found(DOCKER_27, kernel=kernel), "recent kernel").state is state


# --- their holes ---


def test_dockers_own_build_with_a_hole_is_told_what_to_update_to() -> None:
    runtime = row(found(DOCKER_27), "runtime fixes")
    assert runtime.state is State.MISSING
    assert "runc 1.2.4 has known holes" in runtime.detail
    assert "CVE-2025-31133" in runtime.detail
    assert runtime.remedy == "update runc to 1.3.6 or later"


def test_a_distributions_build_is_not_called_vulnerable() -> None:
    runtime = row(found(DOCKER_20), "runtime fixes")
    assert runtime.state is State.MISSING
    assert "may be fixed by the distribution" in runtime.detail
    assert "has known holes" not in runtime.detail
    assert "security-tracker.debian.org/tracker/source-package/runc" in runtime.remedy


def test_what_the_installed_changelog_names_is_fixed() -> None:
    entries = [Entry("1.1.5+ds1-1+deb12u1", ["CVE-2024-21626"]), Entry("1.1.5+ds1-1", [])]
    host = HostFacts(kernel="6.1", changelogs={"runc": entries})
    detail = row(msgspec.structs.replace(found(DOCKER_20), host=host), "runtime fixes").detail
    assert "CVE-2025-31133" in detail
    assert "CVE-2024-21626" not in detail
    assert "CVE-2024-21626" in row(found(DOCKER_20), "runtime fixes").detail


def test_a_changelog_of_another_build_fixes_nothing() -> None:
    entries = [Entry("1.2.4-1", ["CVE-2025-31133"])]
    host = HostFacts(kernel="6.8", changelogs={"runc": entries})
    with_host = msgspec.structs.replace(found(DOCKER_27), host=host)
    assert "CVE-2025-31133" in row(with_host, "runtime fixes").detail


def test_what_needs_the_same_is_named_together() -> None:
    detail = row(found(DOCKER_27), "engine fixes").detail
    assert "CVE-2026-42306, CVE-2026-41568, CVE-2026-41567 (needs docker cp)" in detail


@pytest.mark.parametrize("name", ["engine fixes", "runtime fixes", "containerd fixes"])
def test_a_current_engine_has_no_known_hole(name: str) -> None:
    assert row(found(DOCKER_CURRENT), name).state is State.OK


def test_a_runtime_without_a_list_is_not_judged() -> None:
    gvisor = row(found(DOCKER_27, runtime=Component("runsc", "")), "runtime fixes")
    assert (gvisor.state, gvisor.detail) == (
        State.OK,
        "runsc; no list of its holes is kept here",
    )


def test_a_version_that_cannot_be_read_is_left_to_the_operator() -> None:
    unknown = row(found(DOCKER_27, runtime=Component("runc", "N/A")), "runtime fixes")
    assert unknown.state is State.MISSING


def test_an_ubuntu_is_sent_to_its_own_tracker() -> None:
    component = Component("runc", "1.1.12-0ubuntu2~22.04.1", distribution=True)
    remedy = row(found(DOCKER_27, runtime=component), "runtime fixes").remedy
    assert "ubuntu.com/security/cves?package=runc" in remedy


def test_facts_can_be_written_down_by_hand() -> None:
    engine = EngineFacts(engine=Component("docker", "29.9.0"), runtime=Component("runc", "1.4.3"))
    assert check(Findings(address="unix:///x", engine=engine))
