"""What a container proves of itself, against what was asked for."""

from __future__ import annotations

import pytest

from sandboxd.engine.port import Resources
from sandboxd.pool.verify import child_faults, container_faults, parse_status
from tests.support.guest import hello, proof
from tests.support.pools import container

WANTED = Resources(memory=2**29, cpus=1.5, cpu_shares=1024, pids=102)
SPEC = container("name", 60001, resources=WANTED)
GOOD = hello(SPEC)


def faults(**facts: str | None) -> list[str]:
    told = {key: value for key, value in (GOOD | facts).items() if value is not None}
    return list(container_faults(told, WANTED, SPEC.uid))


def test_a_container_that_is_as_it_was_asked_for_has_no_fault() -> None:
    assert faults() == []


@pytest.mark.parametrize(
    "facts",
    [
        {"cpu": "150000"},
        {"cpu": "75000 50000"},
        {"cpu": "149000 100000"},
        {"memory": str(2**29 - 4095)},
        {"memsw": None, "swap": "0"},
    ],
)
def test_the_same_said_otherwise_is_no_fault(facts: dict[str, str | None]) -> None:
    assert faults(**facts) == []


@pytest.mark.parametrize("name", ["uid", "root", "memory", "pids", "cpu"])
@pytest.mark.parametrize("value", [None, "", "max", "-1", "0", "rw", "1e9", "99999999999999"])
def test_a_fact_that_is_wrong_or_missing_is_one_fault(name: str, value: str | None) -> None:
    assert len(faults(**{name: value})) == 1


@pytest.mark.parametrize(
    "facts",
    [
        {"memsw": "max"},
        {"memsw": str(2**30)},
        {"memsw": None},
        {"memsw": None, "swap": "max"},
        {"memsw": None, "swap": "4096"},
    ],
)
def test_swap_beside_the_memory_is_a_fault(facts: dict[str, str | None]) -> None:
    assert len(faults(**facts)) == 1


@pytest.mark.parametrize("cpu", ["150000 0", "0 100000", "max 100000", "a b", " "])
def test_a_quota_that_is_none_is_a_fault(cpu: str) -> None:
    assert len(faults(cpu=cpu)) == 1


def child(fields: dict[str, str | None], *, namespaces: bool = True) -> list[str]:
    status = proof(SPEC, namespaces=namespaces) | fields
    given = {key: value for key, value in status.items() if value is not None}
    return list(child_faults(given, namespaces=namespaces, uid=SPEC.uid))


@pytest.mark.parametrize("namespaces", [True, False])
def test_a_child_without_any_power_has_no_fault(namespaces: bool) -> None:
    assert child({}, namespaces=namespaces) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Uid", "0 0 0 0"),
        ("Uid", "1000 1000 0 1000"),
        ("Uid", None),
        ("Gid", "60001 60001 60001 60001"),
        *[(f"Cap{kind}", "0000000000000400") for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")],
        ("CapEff", None),
        ("NoNewPrivs", "0"),
        ("NoNewPrivs", None),
        ("Seccomp", "0"),
        ("Seccomp", "1"),
        ("Seccomp", None),
        ("Seccomp_filters", "1"),
        ("Seccomp_filters", "x"),
    ],
)
def test_a_child_with_some_power_is_a_fault(name: str, value: str | None) -> None:
    assert child({name: value})


def test_a_kernel_that_does_not_count_filters_is_believed() -> None:
    assert child({"Seccomp_filters": None}) == []


def test_a_child_of_a_container_without_namespaces_is_the_containers_own_user() -> None:
    assert child({"Uid": "1000 1000 1000 1000"}, namespaces=False)


def test_gvisor_is_believed_what_its_kernel_cannot_know_and_no_more() -> None:
    told = {"kernel": "gVisor", "namespaces": "0", "uid": str(SPEC.uid), "root": "rw"}
    assert list(container_faults(told, WANTED, SPEC.uid)) == []
    assert list(container_faults({**told, "uid": "0"}, WANTED, SPEC.uid))
    assert list(container_faults({**told, "namespaces": "1"}, WANTED, SPEC.uid))
    assert list(container_faults({**told, "kernel": ""}, WANTED, SPEC.uid))


def test_a_status_is_the_kernels_fields() -> None:
    text = b"Name:\tpython3\nUid:\t1000\t1000\t1000\t1000\nOdd: a: b\nnothing\n\xff\n"
    status = parse_status(text)
    assert status["Name"] == "python3"
    assert status["Uid"].split() == ["1000"] * 4
    assert status["Odd"] == "a: b"
