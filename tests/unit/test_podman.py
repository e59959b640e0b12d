"""A container's configuration in Podman's words."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from sandboxd.engine.docker.config import container_config
from sandboxd.engine.docker.podman import Podman, is_podman, plain_tag, resource_config
from sandboxd.engine.port import Resources, Security, Tmpfs
from tests.support.pools import container

WANTED = msgspec.structs.replace(
    container("name"), tmpfs=(Tmpfs("/tmp", 5, 7),), security=Security('{"defaultAction": "é"}')
)


@pytest.fixture
def podman() -> Iterator[Podman]:
    made = Podman()
    yield made
    made.close()


def test_the_seccomp_profile_is_a_file_that_nobody_can_change(podman: Podman) -> None:
    options = podman.container_config(WANTED)["HostConfig"]["SecurityOpt"]
    assert options[:2] == ["unmask=ALL", "no-new-privileges"]
    path = Path(options[2].removeprefix("seccomp="))
    assert path.read_text() == '{"defaultAction": "é"}'
    assert podman.container_config(WANTED)["HostConfig"]["SecurityOpt"] == options
    with pytest.raises(PermissionError):
        path.write_text("{}")
    with path.open() as file:
        assert fcntl.fcntl(file, fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE


def test_a_closed_one_leaves_no_file_open() -> None:
    before = os.listdir("/proc/self/fd")  # noqa: PTH208 - as many names as there are
    closed = Podman()
    closed.container_config(WANTED)
    closed.close()
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208 - the same


def test_what_it_does_not_understand_is_said_otherwise_and_the_rest_as_it_is(
    podman: Podman,
) -> None:
    told = podman.container_config(WANTED)
    docker = container_config(WANTED)
    assert docker["HostConfig"]["Tmpfs"] == {
        "/tmp": told["HostConfig"]["Tmpfs"]["/tmp"] + ",nr_inodes=7"
    }
    assert told["HostConfig"]["Tmpfs"]["/var/tmp"].startswith("ro,")
    assert told["HostConfig"]["Ulimits"][:-1] == docker["HostConfig"]["Ulimits"]
    assert told["HostConfig"]["Ulimits"][-1]["Name"] == "nproc"
    otherwise = ("SecurityOpt", "Tmpfs", "Ulimits")
    for name in docker["HostConfig"].keys() - {*otherwise}:
        assert told["HostConfig"][name] == docker["HostConfig"][name]
    assert told | {"HostConfig": None} == docker | {"HostConfig": None}


def test_limits_are_told_in_its_own_words() -> None:
    told = resource_config(Resources(memory=5, cpus=1.5, cpu_shares=7, pids=9))
    assert told["memory"] == {"limit": 5, "swap": 5}
    assert told["cpu"] == {"quota": 150_000, "period": 100_000, "shares": 7}
    assert told["pids"] == {"limit": 9}


@pytest.mark.parametrize("registry", ["", "docker.io/", "localhost/"])
def test_a_tag_is_known_whatever_registry_is_put_before_it(registry: str) -> None:
    assert plain_tag(f"{registry}sandboxd/python:1") == "sandboxd/python:1"


def test_it_is_known_by_what_it_is_made_of() -> None:
    assert is_podman({"Components": [{"Name": "Podman Engine"}]})
    assert not is_podman({"Components": [{"Name": "Engine"}]})
    assert not is_podman({})
