"""A container's configuration in Podman's words."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandboxd.engine.podman import Dialect, is_podman, plain_tag, resource_config
from sandboxd.engine.port import Resources

CONFIG: dict[str, Any] = {
    "Image": "sandboxd/python:1",
    "HostConfig": {
        "Memory": 1,
        "SecurityOpt": ["no-new-privileges", 'seccomp={"defaultAction": "é"}'],
        "Tmpfs": {"/tmp": "rw,size=5,nr_inodes=7"},
        "Ulimits": [{"Name": "core", "Soft": 0, "Hard": 0}],
    },
}


@pytest.fixture
def dialect() -> Iterator[Dialect]:
    made = Dialect()
    yield made
    made.close()


def test_the_seccomp_profile_is_a_file_that_nobody_can_change(dialect: Dialect) -> None:
    options = dialect.translated(CONFIG)["HostConfig"]["SecurityOpt"]
    assert options[:2] == ["unmask=ALL", "no-new-privileges"]
    path = Path(options[2].removeprefix("seccomp="))
    assert path.read_text() == '{"defaultAction": "é"}'
    assert dialect.translated(CONFIG)["HostConfig"]["SecurityOpt"] == options
    with pytest.raises(PermissionError):
        path.write_text("{}")
    with path.open() as file:
        assert fcntl.fcntl(file, fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE


def test_a_closed_one_leaves_no_file_open() -> None:
    before = os.listdir("/proc/self/fd")  # noqa: PTH208 - as many names as there are
    closed = Dialect()
    closed.translated(CONFIG)
    closed.close()
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208 - the same


def test_what_it_does_not_understand_is_said_otherwise_and_the_rest_as_it_is(
    dialect: Dialect,
) -> None:
    told = dialect.translated(CONFIG)
    assert (told["Image"], told["HostConfig"]["Memory"]) == ("sandboxd/python:1", 1)
    assert told["HostConfig"]["Tmpfs"]["/tmp"] == "rw,size=5"
    assert told["HostConfig"]["Tmpfs"]["/var/tmp"].startswith("ro,")
    assert [each["Name"] for each in told["HostConfig"]["Ulimits"]] == ["core", "nproc"]
    assert CONFIG["HostConfig"]["Tmpfs"] == {"/tmp": "rw,size=5,nr_inodes=7"}


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
