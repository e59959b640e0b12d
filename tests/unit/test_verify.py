"""What a container proves, in the words of both versions of cgroups."""

from __future__ import annotations

import pytest

from sandboxd.engine.port import Resources
from sandboxd.pool.verify import child_faults, container_faults, parse_status

RESOURCES = Resources(memory=536870912, cpus=1.0, cpu_shares=1024, pids=103)
V1 = {
    "memory": "536870912",
    "memsw": "536870912",
    "pids": "103",
    "cpu": "100000",
    "root": "ro",
    "uid": "60706",
}
V2 = {
    "memory": "536870912",
    "swap": "0",
    "pids": "103",
    "cpu": "100000 100000",
    "root": "ro",
    "uid": "60706",
}
STATUS = b"""Name:\tpython3
Uid:\t1000\t1000\t1000\t1000
Gid:\t1000\t1000\t1000\t1000
CapInh:\t0000000000000000
CapPrm:\t0000000000000000
CapEff:\t0000000000000000
CapBnd:\t0000000000000000
CapAmb:\t0000000000000000
NoNewPrivs:\t1
Seccomp:\t2
Seccomp_filters:\t2
"""


@pytest.mark.parametrize("hello", [V1, V2])
def test_what_was_asked_for_is_in_order(hello: dict[str, str]) -> None:
    assert list(container_faults(hello, RESOURCES, 60706)) == []
    assert list(child_faults(parse_status(STATUS), namespaces=True, uid=60706)) == []


@pytest.mark.parametrize(
    ("hello", "words"),
    [
        (V1 | {"memory": "9223372036854771712"}, "memory limit"),
        (V2 | {"memory": "max"}, "memory limit"),
        (V1 | {"memsw": "1073741824"}, "memory and swap together"),
        (V2 | {"swap": "max"}, "may swap: max"),
        ({k: v for k, v in V2.items() if k != "swap"}, "may swap: the limit is not known"),
        (V1 | {"pids": "max"}, "process limit is max"),
        (V1 | {"cpu": "-1"}, "CPU quota is -1"),
        (V2 | {"cpu": "max 100000"}, "CPU quota is max"),
        (V1 | {"root": "rw"}, "root can be written to"),
        (V1 | {"uid": "0"}, "runs as uid 0"),
        ({}, "memory limit is None"),
    ],
)
def test_each_limit_that_does_not_hold_is_named(hello: dict[str, str], words: str) -> None:
    assert any(words in fault for fault in container_faults(hello, RESOURCES, 60706))


@pytest.mark.parametrize(
    ("line", "changed", "words"),
    [
        ("Uid:\t1000\t1000", "Uid:\t0\t1000", "Uid would be"),
        ("CapEff:\t0000000000000000", "CapEff:\t0000000000200000", "CapEff"),
        ("CapBnd:\t0000000000000000", "CapBnd:\t00000000a80425fb", "CapBnd"),
        ("NoNewPrivs:\t1", "NoNewPrivs:\t0", "NoNewPrivs is off"),
        ("Seccomp:\t2", "Seccomp:\t0", "seccomp"),
        ("Seccomp_filters:\t2", "Seccomp_filters:\t1", "seccomp"),
        ("CapPrm:\t0000000000000000\n", "", "CapPrm"),
    ],
)
def test_each_privilege_that_is_left_is_named(line: str, changed: str, words: str) -> None:
    status = parse_status(STATUS.decode().replace(line, changed, 1).encode())
    assert any(words in fault for fault in child_faults(status, namespaces=True, uid=60706))
