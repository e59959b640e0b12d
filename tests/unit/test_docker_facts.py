"""What Docker and Podman answer of themselves and of a container, in words of our own."""

from __future__ import annotations

from sandboxd.engine.docker.facts import parse_container, parse_info
from sandboxd.engine.facts import ContainerFacts
from tests.unit.test_doctor_engines import DOCKER_20


def test_a_container_is_described_by_what_isolates_it() -> None:
    shown = {
        "AppArmorProfile": "docker-default",
        "ProcessLabel": "system_u:system_r:container_t:s0:c1,c2",
        "HostConfig": {
            "NetworkMode": "none",
            "LogConfig": {"Type": "none", "Config": {}},
            "ReadonlyRootfs": True,
            "CapAdd": None,
            "CapDrop": ["ALL"],
            "Runtime": "runc",
            "SecurityOpt": ["seccomp={}"],
        },
    }
    assert parse_container(shown) == ContainerFacts(
        apparmor="docker-default",
        selinux="system_u:system_r:container_t:s0:c1,c2",
        network="none",
        log="none",
        read_only_root=True,
        capabilities_dropped=["ALL"],
        runtime="runc",
    )


def test_a_container_of_which_nothing_is_said_is_not_taken_for_an_isolated_one() -> None:
    assert parse_container({}) == ContainerFacts()
    assert parse_container({"HostConfig": {"LogConfig": None}}).log == ""


def test_clients_are_told_of_an_engine_what_isolates_programs() -> None:
    told = parse_info(DOCKER_20[0], podman=False)
    assert (told.name, told.version) == ("docker", "20.10.24+dfsg1")
    assert told.isolation == ["seccomp,profile=default", "cgroup v1", "runtime runc"]
    assert parse_info(DOCKER_20[0], podman=True).name == "podman"
