"""System calls that a program is denied, with an errno and no kill.

The guest's filter says EPERM, or ENOSYS where a C library then takes another way. What
the container's profile does not list is refused by that: with ENOSYS, or by an older
engine, which does not know how, with EPERM.
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple

from sandboxd.engine import seccomp
from tests.attack.probe import C, Control, Expect, Probe, Where

_DENIED = "EPERM"
_UNLISTED = "(EPERM|ENOSYS)"
_BOGUS = "-1 -1 -1 -1"
"""Pointers to nowhere, descriptors that are none, flags that do not exist."""

_NEWER = {"statmount": 457, "listmount": 458, "clone3": 435, "cachestat": 451}
"""Numbers that this host's libseccomp may not know; the same on every architecture."""


class Call(NamedTuple):
    name: str
    arguments: tuple[str, ...]
    """A line for each way to make it."""
    outside: Where = Where.USER
    errno: str = _DENIED


_library = ctypes.CDLL("libseccomp.so.2")


def known(name: str) -> bool:
    """Whether this architecture has it, as far as this host's libseccomp knows."""
    return int(_library.seccomp_syscall_resolve_name(name.encode())) >= 0


def number(name: str) -> int:
    found = int(_library.seccomp_syscall_resolve_name(name.encode()))
    return found if found >= 0 else _NEWER[name]


_NAMESPACES = {
    "user": 0x10000000,
    "pid": 0x20000000,
    "mount": 0x00020000,
    "ipc": 0x08000000,
    "uts": 0x04000000,
    "net": 0x40000000,
    "cgroup": 0x02000000,
    "time": 0x00000080,
}

_CALLS = [
    # Mounts, by the old calls and the new.
    Call("mount", ("-1 -1 -1 0 -1", "s:none s:/tmp s:tmpfs 0 0"), Where.OWN),
    Call("umount2", ("-1 0", "s:/tmp 2"), Where.OWN),
    Call("pivot_root", ("-1 -1",), Where.OWN),
    Call("chroot", ("-1", "s:/"), Where.OWN),
    Call("open_tree", ("-1 -1 0", "-100 s:/ 0", "-100 s:/ 1"), Where.OWN),
    Call("move_mount", ("-1 -1 -1 -1 0",), Where.OWN),
    Call("fsopen", ("-1 0", "s:tmpfs 0"), Where.OWN),
    Call("fsconfig", ("-1 0 0 0 0",)),
    Call("fsmount", ("-1 0 0",), Where.OWN),
    Call("fspick", ("-1 -1 0", "-100 s:/ 0"), Where.OWN),
    Call("mount_setattr", ("-1 -1 0x10 0 0", "-100 s:/ 0 z:32 32"), Where.OWN),
    Call("statmount", ("0 0 0 0",), errno=_UNLISTED),
    Call("listmount", ("0 0 0 0",), errno=_UNLISTED),
    # Namespaces.
    Call("unshare", ("0x1", *(f"{flag | 0x10000000:#x}" for flag in _NAMESPACES.values()))),
    Call(
        "unshare of one kind alone", tuple(f"{flag:#x}" for flag in _NAMESPACES.values()), Where.OWN
    ),
    Call("setns", ("-1 0", "0 0", "-1 0x10000000")),
    Call(
        "clone",
        tuple(
            f"{flag | 0x10000011:#x} 0 0 0 0"
            for name, flag in _NAMESPACES.items()
            if name != "time"
        ),
    ),
    Call(
        "clone of one kind alone",
        tuple(f"{flag | 0x11:#x} 0 0 0 0" for name, flag in _NAMESPACES.items() if name != "time"),
        Where.OWN,
    ),
    Call("clone3", ("0 0", "z:88 8"), errno="ENOSYS"),
    # Other processes.
    Call("ptrace", ("0 0 0 0", "16 1 0 0", "0x4206 1 0 0")),
    Call("process_vm_readv", ("-1 0 0 0 0 0", "1 z:16 1 z:16 1 0")),
    Call("process_vm_writev", ("-1 0 0 0 0 0", "1 z:16 1 z:16 1 0")),
    Call("process_madvise", ("-1 0 0 0 0",)),
    Call("pidfd_getfd", ("-1 0 0",)),
    Call("kcmp", ("-1 -1 0 0 0", "1 1 0 0 0")),
    # Large surfaces of the kernel.
    Call("bpf", ("0 0 0x100000", "9999 0 0")),
    Call("perf_event_open", ("0 0 0 0 0", "z:256 0 -1 -1 0")),
    Call("userfaultfd", ("0", "1")),
    Call("io_uring_setup", ("1 z:256",)),
    Call("io_uring_enter", ("-1 0 0 0 0",)),
    Call("io_uring_register", ("-1 0 0 0",)),
    Call("fanotify_init", ("0x200 0",)),
    Call("fanotify_mark", ("-1 0 0 0 0",)),
    Call("vmsplice", ("-1 0 0 0", "1 0 0 0")),
    # Keys, which are found by user.
    Call("keyctl", ("0 -5 0", "1 s:joined", "0 -4 1")),
    Call("add_key", ("-1 -1 0 0 0", "s:user s:name s:value 5 -4")),
    Call("request_key", ("-1 -1 0 0", "s:user s:name 0 -4")),
    # Files by handle.
    Call("open_by_handle_at", ("-1 -1 0", "-100 z:16 0")),
    Call("name_to_handle_at", ("-1 -1 0 0 0", "-100 s:/ z:256 z:16 0")),
    Call("lookup_dcookie", ("0 0 0",)),
    # The machine.
    Call("init_module", ("0 0 0",), Where.ROOT),
    Call("finit_module", ("-1 0 0",), Where.ROOT),
    Call("delete_module", ("s: 0",), Where.ROOT),
    Call("create_module", ("0 0",), Where.ROOT),
    Call("kexec_load", ("0 0 0 -1",), Where.ROOT),
    Call("kexec_file_load", ("-1 -1 0 0 -1",), Where.ROOT),
    Call("reboot", ("0 0 0 0",), Where.ROOT),
    Call("swapon", ("s:/nonexistent 0",), Where.ROOT),
    Call("swapoff", ("s:/nonexistent",), Where.ROOT),
    Call("acct", ("s:/nonexistent",), Where.ROOT),
    Call("quotactl", ("-1 0 0 0",)),
    Call("quotactl_fd", ("-1 -1 0 0",)),
    Call("syslog", ("99 0 0",), Where.ROOT),
    Call("settimeofday", ("-1 0",)),
    Call("clock_settime", ("1 z:16",)),
    Call("clock_adjtime", ("9999 z:256",)),
    Call("adjtimex", ("-1", "z:256")),
    Call("sethostname", ("-1 -1", "s:other 5"), Where.OWN),
    Call("setdomainname", ("-1 -1", "s:other 5"), Where.OWN),
    Call("vhangup", ("",), Where.ROOT),
    Call("nfsservctl", ("0 0 0",)),
    Call("uselib", ("-1",)),
    Call("ustat", ("-1 0",)),
    Call("sysfs", ("3",)),
    Call("_sysctl", ("0",)),
    Call("iopl", ("4",)),
    Call("ioperm", ("-1 2 1",)),
    Call("modify_ldt", ("0 0 0",)),
    # Memory policy, and what the page cache holds of files that others read.
    Call("mbind", ("0 0 0 0 0 0",)),
    Call("set_mempolicy", ("0 0 0",)),
    Call("migrate_pages", ("0 0 0 0",)),
    Call("move_pages", ("0 0 0 0 0 0",)),
    # Others that are simply not listed.
    Call("io_setup", ("1 z:8",), errno=_UNLISTED),
    Call("personality", ("0x40000", "8", "0x8000000", "0x20000"), errno=_UNLISTED),
]


_LISTED = {*seccomp._PLAIN, *seccomp._FOR_THE_GUEST, "socket", "personality", "clone3"}
_UNSURE = range(451, 463)
"""Newer than many a libseccomp, which then knows no number for what the profile lists."""
_UNFILTERED = {335, 336}
"""uretprobe and uprobe: the kernel keeps them from every filter, and they do nothing but
where it has put them itself (seccomp_uprobe_exception in its kernel/seccomp.c)."""


def _everything_else() -> Probe:
    """All numbers that are not on the container's list; and one that is."""
    listed = {number(name) for name in _LISTED if name not in _NEWER and known(name)}
    numbers = sorted({*range(600)} - listed - {*_UNSURE} - _UNFILTERED)
    words = [word for each in numbers for word in (str(each), *_BOGUS.split(), "--")]
    return Probe(
        name="every number that is not listed",
        language=C,
        program="call",
        args=(*words, str(number("getpid"))),
        expect=Expect(says=f"({_UNLISTED}\n){{{len(numbers)}}}ok\n"),
        control=Control(Where.SHOWN, why="the last of them is listed, and gets through"),
    )


def _probe(call: Call) -> Probe:
    name = call.name.partition(" of ")[0]
    lines = [f"{number(name)} {arguments}".split() for arguments in call.arguments]
    args = [word for line in lines for word in [*line, "--"]]
    return Probe(
        name=call.name,
        language=C,
        program="call",
        args=tuple(args[:-1]),
        heavy=True,
        expect=Expect(says=f"({call.errno}\n){{{len(lines)}}}"),
        control=Control(call.outside),
    )


def _all_at_once() -> Probe:
    """Those above in one program, for who has no time for each and its control."""
    each = [_probe(call) for call in _CALLS]
    words = [word for probe in each for word in (*probe.args, "--")]
    return Probe(
        name="every call that is denied",
        language=C,
        program="call",
        args=(*words, str(number("getpid"))),
        expect=Expect(says="".join(str(probe.expect.says) for probe in each) + "ok\n"),
        control=Control(Where.SHOWN, why="the last of them is allowed, and gets through"),
    )


# By the container's filter, which knows one architecture, an engine has the kernel end
# whoever uses another; the guest's would say ENOSYS. Letting them past the first, for the
# errno alone, would leave them to the second.
_FOREIGN = [
    Probe(
        name="32-bit system calls",
        language=C,
        program="call",
        # getpid, set_thread_area, clone with a user namespace, mount, keyctl
        args=(
            *("int80", "20", "--", "int80", "243", "0", "--", "int80", "120", "0x10000011"),
            *("--", "int80", "21", "0", "0", "0", "--", "int80", "288", "0", "-5"),
        ),
        expect=Expect(says="(SIGSYS\n){5}|(ENOSYS\n){5}"),
        control=Control(Where.USER, "ok\n.*"),
    ),
    Probe(
        name="x32 system calls",
        language=C,
        program="call",
        args=("x32", "39", "--", "x32", "272", "0x10000000", "--", "x32", "520"),
        expect=Expect(says="(SIGSYS\n){3}|(ENOSYS\n){3}"),
        control=Control(Where.USER),
    ),
    Probe(
        name="system calls of no architecture",
        language=C,
        program="call",
        args=("1000", "--", "100000", "--", "0x3fffffff"),
        expect=Expect(says=f"({_UNLISTED}\n){{3}}"),
        control=Control(Where.SHOWN, why="the same program's other calls get through"),
    ),
]

PROBES = (*map(_probe, _CALLS), _all_at_once(), _everything_else(), *_FOREIGN)
