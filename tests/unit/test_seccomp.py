"""The container's seccomp profile: an allow list without what escapes are made of."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sandboxd.engine import seccomp

PROFILE: dict[str, Any] = json.loads(seccomp.profile())
RULES: list[dict[str, Any]] = PROFILE["syscalls"]
ALLOWING = [rule for rule in RULES if rule["action"] == "SCMP_ACT_ALLOW"]
NAMED = [name for rule in ALLOWING for name in rule["names"]]
WITHOUT_CONDITIONS = {name for rule in RULES if "args" not in rule for name in rule["names"]}


def test_what_is_not_listed_fails_as_if_the_kernel_had_no_such_call() -> None:
    assert PROFILE["defaultAction"] == "SCMP_ACT_ERRNO"
    assert PROFILE["defaultErrnoRet"] == 38


def test_where_an_engine_knows_no_other_errno_threads_can_still_be_made() -> None:
    (other,) = (rule for rule in RULES if rule not in ALLOWING)
    assert other == {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}


def test_nothing_is_named_twice() -> None:
    plain = [name for rule in RULES if "args" not in rule for name in rule["names"]]
    assert len(plain) == len(set(plain))


@pytest.mark.parametrize(
    "name",
    """
    acct add_key bpf clock_adjtime clock_settime clone3 create_module delete_module
    fanotify_init fanotify_mark finit_module fsconfig fsmount fsopen fspick get_kernel_syms
    init_module io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load
    kexec_load keyctl lookup_dcookie mbind migrate_pages mount_setattr move_mount move_pages
    name_to_handle_at nfsservctl open_by_handle_at open_tree perf_event_open pidfd_getfd
    process_madvise process_vm_readv process_vm_writev ptrace query_module quotactl
    quotactl_fd reboot request_key settimeofday stime swapoff swapon sysfs syslog _sysctl
    userfaultfd uselib ustat vhangup vm86 vm86old chroot adjtimex sethostname setdomainname
    set_mempolicy
    """.split(),  # noqa: SIM905 - a list of quoted names shows less
)
def test_it_does_not_allow(name: str) -> None:
    assert name not in NAMED


@pytest.mark.parametrize(
    "name", ["clone", "unshare", "mount", "umount2", "execve", "read", "futex"]
)
def test_it_allows_what_the_guest_needs(name: str) -> None:
    assert name in WITHOUT_CONDITIONS


def test_sockets_are_those_of_the_four_harmless_families() -> None:
    assert "socket" not in WITHOUT_CONDITIONS
    families = [rule["args"] for rule in RULES if rule["names"] == ["socket"]]
    assert [argument["value"] for (argument,) in families] == [1, 2, 10, 16]
    assert {argument["index"] for (argument,) in families} == {0}
    assert {argument["op"] for (argument,) in families} == {"SCMP_CMP_EQ"}


def test_a_personality_is_the_default_one_or_asked_for() -> None:
    assert "personality" not in WITHOUT_CONDITIONS
    values = [rule["args"][0]["value"] for rule in RULES if rule["names"] == ["personality"]]
    assert values == [0, 0xFFFFFFFF]
