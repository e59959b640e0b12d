"""What is said of containers, going by what one said and proved of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from sandboxd.doctor import Findings, Row, State, check, exit_code
from sandboxd.doctor.findings import DaemonFacts, HostFacts, ImageFacts, Probe, SocketFacts
from sandboxd.engine.facts import ContainerFacts
from sandboxd.engine.port import Resources
from sandboxd.pool.verify import child_faults, container_faults
from tests.unit.test_doctor_engines import (
    DOCKER_20,
    DOCKER_27,
    DOCKER_CURRENT,
    PODMAN,
    ROOTLESS,
    found,
)

UID = 61176
RESOURCES = Resources(memory=536870912, cpus=1.0, cpu_shares=1024, pids=102)
COMMON = {"version": "1", "namespaces": "1", "reason": "", "root": "ro", "uid": str(UID)}
V1 = {**COMMON, "memory": "536870912", "memsw": "536870912", "pids": "102", "cpu": "100000"}
V2 = {**COMMON, "memory": "536870912", "swap": "0", "pids": "102", "cpu": "100000 100000"}
PROOF = {
    "Uid": "1000\t1000\t1000\t1000",
    "Gid": "1000\t1000\t1000\t1000",
    **dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), "0000000000000000"),
    "NoNewPrivs": "1",
    "Seccomp": "2",
    "Seccomp_filters": "2",
}
SHOWN = ContainerFacts(network="none", log="none")
HOST = HostFacts(kernel="6.8.0-51-generic", sysctls={"user.max_user_namespaces": "96365"})


def probe(
    hello: Mapping[str, str] = V1,
    proof: Mapping[str, str] = PROOF,
    shown: ContainerFacts = SHOWN,
) -> Probe:
    """One that was judged as the pool would judge it."""
    namespaces = hello.get("namespaces") == "1"
    return Probe(
        language="bash",
        uid=UID,
        took=0.1,
        hello=dict(hello),
        proof=dict(proof),
        faults=[
            *container_faults(hello, RESOURCES, UID),
            *child_faults(proof, namespaces=namespaces, uid=UID),
        ],
        shown=shown,
    )


def rows(findings: Findings) -> dict[str, Row]:
    return {row.name: row for row in check(findings)}


def looked(found: Findings, **changes: Any) -> dict[str, Row]:
    return rows(msgspec.structs.replace(found, **changes))


def broken(table: Mapping[str, Row]) -> set[str]:
    return {name for name, row in table.items() if row.state is State.BROKEN}


@pytest.mark.parametrize(("answers", "hello"), [(DOCKER_20, V1), (DOCKER_27, V2), (PODMAN, V2)])
def test_a_container_that_proves_everything_breaks_nothing(
    answers: Any, hello: dict[str, str]
) -> None:
    table = looked(found(answers), probe=probe(hello), host=HOST)
    assert broken(table) == set()
    for name in ("memory limit", "swap limit", "process limit", "CPU limit", "seccomp"):
        assert table[name].state is State.OK
    assert table["memory limit"].detail == "512 MiB in the container"
    assert table["CPU limit"].detail == "1 in the container"
    assert table["no privileges"].detail.startswith("uid 61176 outside, 1000 inside")
    assert table["own namespaces"].state is State.OK
    assert table["real container"].state is State.OK


FAULTS: list[tuple[dict[str, str], str]] = [
    ({"memory": "9223372036854771712"}, "memory limit"),
    ({"memory": "max"}, "memory limit"),
    ({"swap": "max"}, "swap limit"),
    ({"memsw": "1073741824"}, "swap limit"),
    ({"pids": "max"}, "process limit"),
    ({"cpu": "max 100000"}, "CPU limit"),
    ({"root": "rw"}, "read-only root"),
    ({"uid": "0"}, "no privileges"),
]


@pytest.mark.parametrize(("hello", "name"), FAULTS)
def test_a_fault_of_a_container_breaks_its_row(hello: dict[str, str], name: str) -> None:
    table = looked(found(DOCKER_27), probe=probe({**V2, **hello}))
    assert broken(table) == {name, "real container"}


@pytest.mark.parametrize(
    ("proof", "name"),
    [
        ({"Uid": "0\t0\t0\t0"}, "no privileges"),
        ({"CapBnd": "00000000a80425fb"}, "no privileges"),
        ({"NoNewPrivs": "0"}, "no privileges"),
        ({"Seccomp_filters": "1"}, "seccomp"),
        ({"Seccomp": "0"}, "seccomp"),
    ],
)
def test_a_privilege_that_is_left_breaks_its_row(proof: dict[str, str], name: str) -> None:
    table = looked(found(DOCKER_27), probe=probe(V2, {**PROOF, **proof}))
    assert broken(table) == {name, "real container"}


def test_a_fault_that_no_row_has_a_place_for_is_not_lost() -> None:
    odd = msgspec.structs.replace(probe(V2), faults=["its clock runs backwards"])
    table = looked(found(DOCKER_27), probe=odd)
    assert broken(table) == {"real container"}
    assert table["real container"].detail == "its clock runs backwards"


def test_a_container_with_nothing_to_say_proves_nothing() -> None:
    table = looked(found(DOCKER_27), probe=probe({}, {}))
    assert {"memory limit", "process limit", "CPU limit", "no privileges"} <= broken(table)


def test_a_container_that_does_not_come_up_breaks_the_report() -> None:
    failed = Probe(language="bash", problem="the engine would not enforce every limit: swap")
    table = looked(found(DOCKER_27), probe=failed)
    assert broken(table) == {"real container"}
    assert "would not enforce" in table["real container"].detail
    assert table["no privileges"].state is State.MISSING


def test_without_a_container_the_engines_word_counts_and_the_rest_is_not_known() -> None:
    table = rows(found(DOCKER_27))
    assert table["memory limit"].state is State.OK
    for name in ("no privileges", "own namespaces", "read-only root", "real container"):
        assert table[name].state is State.MISSING
        assert "images build" in table[name].remedy


# --- namespaces, AppArmor, SELinux ---

REFUSED = {**V2, "namespaces": "0", "reason": "mount proc: Permission denied"}
OUTSIDE = {**PROOF, "Uid": f"{UID}\t" * 4, "Gid": f"{UID}\t" * 4}


def confined(profile: str) -> ContainerFacts:
    return msgspec.structs.replace(SHOWN, apparmor=profile)


def test_refused_namespaces_make_it_slower_and_not_unsafe() -> None:
    table = looked(found(DOCKER_20), probe=probe({**V1, **REFUSED}, OUTSIDE))
    assert broken(table) == set()
    assert table["own namespaces"].state is State.MISSING
    assert "mount proc: Permission denied" in table["own namespaces"].detail
    assert "used once" in table["own namespaces"].detail


def test_dockers_own_apparmor_profile_is_named_with_what_would_replace_it() -> None:
    refused = probe(REFUSED, OUTSIDE, confined("docker-default"))
    table = looked(found(DOCKER_27), probe=refused)
    for name in ("own namespaces", "AppArmor"):
        assert table[name].state is State.MISSING
        assert "apparmor_parser --replace /etc/apparmor.d/sandboxd-guest" in table[name].remedy
    assert "docker-default" in table["AppArmor"].detail


def test_a_profile_that_is_loaded_but_not_configured_is_pointed_out() -> None:
    refused = probe(REFUSED, OUTSIDE, confined("docker-default"))
    host = msgspec.structs.replace(HOST, apparmor=True, profile_loaded=True)
    table = looked(found(DOCKER_27), probe=refused, host=host)
    assert "sandboxd-guest is loaded, and not configured" in table["AppArmor"].detail


def test_our_apparmor_profile_is_in_force_where_the_container_has_it() -> None:
    table = looked(found(DOCKER_27), probe=probe(V2, PROOF, confined("sandboxd-guest")))
    assert table["AppArmor"] == Row(
        "AppArmor",
        State.OK,
        "the profile sandboxd-guest",
        "files and mounts, should a container's own walls fall",
    )


def test_a_container_that_apparmor_does_not_confine_is_told_of() -> None:
    table = looked(found(DOCKER_27), probe=probe(V2, PROOF, confined("unconfined")))
    assert table["AppArmor"].state is State.MISSING


def test_selinux_is_as_good() -> None:
    label = "system_u:system_r:container_t:s0:c1,c2"
    shown = msgspec.structs.replace(SHOWN, selinux=label)
    table = looked(found(PODMAN), probe=probe(V2, PROOF, shown))
    assert (table["SELinux"].state, table["SELinux"].detail) == (State.OK, label)
    assert "AppArmor" not in table


@pytest.mark.parametrize(
    ("host", "name", "words"),
    [
        ({}, "AppArmor", "neither AppArmor nor SELinux"),
        ({"apparmor": True}, "AppArmor", "the engine does not use it"),
        ({"selinux": True}, "SELinux", "the engine does not use it"),
    ],
)
def test_a_host_without_either_is_told_what_its_kernel_has(
    host: dict[str, Any], name: str, words: str
) -> None:
    table = looked(found(DOCKER_20), host=HostFacts(kernel="6.1", **host))
    assert table[name].state is State.MISSING
    assert words in table[name].detail


def test_a_rootless_engine_is_not_told_to_use_what_it_cannot() -> None:
    host = HostFacts(kernel="6.8", apparmor=True)
    row = looked(found(ROOTLESS), host=host)["AppArmor"]
    assert row.state is State.MISSING
    assert "apparmor_parser" not in row.remedy


# --- user namespaces of the host ---


@pytest.mark.parametrize(
    ("sysctls", "remedy"),
    [
        ({"kernel.unprivileged_userns_clone": "0"}, "kernel.unprivileged_userns_clone=1"),
        ({"user.max_user_namespaces": "0"}, "user.max_user_namespaces=15000"),
        ({"kernel.apparmor_restrict_unprivileged_userns": "1"}, "see AppArmor"),
    ],
)
def test_a_setting_that_forbids_user_namespaces_is_named(
    sysctls: dict[str, str], remedy: str
) -> None:
    host = HostFacts(kernel="6.8", sysctls=sysctls)
    refused = looked(found(DOCKER_27), host=host, probe=probe(REFUSED, OUTSIDE))["user namespaces"]
    assert refused.state is State.MISSING
    assert next(iter(sysctls)) in refused.detail
    assert remedy in refused.remedy
    # A container that got some knows better.
    granted = looked(found(DOCKER_27), host=host, probe=probe(V2))["user namespaces"]
    assert granted.state is State.OK


def test_usual_settings_allow_user_namespaces() -> None:
    sysctls = {
        "kernel.unprivileged_userns_clone": "1",
        "user.max_user_namespaces": "96365",
        "kernel.apparmor_restrict_unprivileged_userns": "0",
    }
    table = looked(found(DOCKER_27), host=HostFacts(kernel="6.8", sysctls=sysctls))
    assert table["user namespaces"].state is State.OK
    assert "96365" in table["user namespaces"].detail


def test_the_settings_of_another_machine_are_not_looked_at() -> None:
    assert "user namespaces" not in rows(found(DOCKER_27))


def test_a_kernel_without_seccomp_breaks_the_report() -> None:
    host = HostFacts(kernel="6.8", seccomp=False)
    assert broken(looked(found(DOCKER_27), host=host)) == {"seccomp"}


# --- network and logs ---


def test_a_container_with_a_network_breaks_the_report() -> None:
    shown = ContainerFacts(network="bridge", log="none")
    assert broken(looked(found(DOCKER_27), probe=probe(V2, PROOF, shown))) == {"no network"}


def test_a_network_that_runs_may_ask_for_is_told_of() -> None:
    table = looked(found(DOCKER_27), probe=probe(V2), network="bridge")
    assert table["no network"].state is State.OK
    assert "a run may ask for bridge" in table["no network"].detail


def test_an_engine_that_keeps_logs_all_the_same_is_told_of() -> None:
    shown = ContainerFacts(network="none", log="journald")
    table = looked(found(DOCKER_27), probe=probe(V2, PROOF, shown))
    assert table["no logs"].state is State.MISSING
    assert "journald" in table["no logs"].detail


# --- the daemon and the whole ---

ENGINE_SOCKET = SocketFacts("/run/docker.sock", 0o660, "root", "docker")
SOCKET = SocketFacts("/run/sandboxd/sandboxd.sock", 0o660, "sandboxd", "sandboxd")
DAEMON = DaemonFacts(socket=SOCKET.path, listening=SOCKET, pid=77, uid=998, health="ok")


def whole(**changes: Any) -> Findings:
    """A host where nothing is missing."""
    findings = msgspec.structs.replace(
        found(DOCKER_CURRENT),
        engine_socket=ENGINE_SOCKET,
        host=HOST,
        images=[ImageFacts("bash", True), ImageFacts("python", True)],
        probe=probe(V2, PROOF, confined("sandboxd-guest")),
        daemon=DAEMON,
    )
    return msgspec.structs.replace(findings, **changes)


def test_all_can_be_in_force() -> None:
    table = check(whole())
    assert [row.name for row in table if row.state is not State.OK] == []
    assert [row.name for row in table if row.remedy] == []
    assert exit_code(table) == 0


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("private engine", {"engine_socket": SocketFacts("/run/x", 0o666, "root", "root")}),
        ("private engine", {"engine_socket": None}),
        ("private engine", {"address": "tcp://10.0.0.1:2375"}),
        ("images", {"images": [ImageFacts("go", False), ImageFacts("bash", True)]}),
        ("images", {"images": [], "images_problem": "the guest was not built"}),
    ],
)
def test_what_is_missing_around_the_engine_is_told_with_a_remedy(
    name: str, changes: dict[str, Any]
) -> None:
    table = check(whole(**changes))
    assert [row.name for row in table if row.state is not State.OK] == [name]
    assert [row.name for row in table if row.remedy] == [name]
    assert exit_code(table) == 1


@pytest.mark.parametrize(
    ("name", "changes", "code"),
    [
        ("own user", {"uid": 0}, 1),
        ("own user", {"capabilities": 1 << 21}, 1),
        ("private socket", {"listening": SocketFacts("/run/x", 0o777, "a", "b")}, 1),
        ("daemon", {"health": "degraded", "problems": ["image go: pulling"]}, 1),
        ("daemon", {"health": "", "problems": ["nobody listens"]}, 1),
        ("daemon", {"health": "down", "problems": ["engine: away"]}, 2),
    ],
)
def test_what_is_wrong_with_the_daemon_is_told_with_a_remedy(
    name: str, changes: dict[str, Any], code: int
) -> None:
    table = check(whole(daemon=msgspec.structs.replace(DAEMON, **changes)))
    assert [row.name for row in table if row.state is not State.OK] == [name]
    assert [row.name for row in table if row.remedy] == [name]
    assert exit_code(table) == code


def test_what_a_health_check_found_is_told() -> None:
    ill = msgspec.structs.replace(DAEMON, health="degraded", problems=["image go: pulling", "x"])
    assert rows(whole(daemon=ill))["daemon"].detail == "degraded: image go: pulling; x"


def test_a_daemon_whose_process_is_hidden_is_not_taken_for_absent() -> None:
    hidden = msgspec.structs.replace(DAEMON, pid=None, uid=0)
    row = rows(whole(daemon=hidden))["own user"]
    assert (row.state, row.detail) == (State.MISSING, "it runs, and as whom cannot be seen")


def test_a_daemon_that_is_not_there_is_judged_by_who_would_be_it() -> None:
    nobody = DaemonFacts(socket=SOCKET.path, uid=0, problems=["nobody listens"])
    table = rows(whole(daemon=nobody))
    assert table["own user"].detail == "not running; here it would be root"
    assert table["private socket"].state is State.OK
