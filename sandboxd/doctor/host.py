"""What the host says in files. Everything is read below a folder that a test may choose."""

from __future__ import annotations

import contextlib
import grp
import gzip
import os
import pwd
import stat
import zlib
from pathlib import Path

from sandboxd.doctor.changelog import Entry, parse_changelog
from sandboxd.doctor.findings import SYSCTLS, HostFacts, SocketFacts

OUR_PROFILE = "sandboxd-guest"
_PACKAGES = {
    "runc": "runc",
    "crun": "crun",
    "containerd": "containerd",
    "docker": "docker.io",
    "podman": "podman",
}
_CHANGELOG_MOST = 8 * 1024 * 1024


def read_host(root: Path = Path("/")) -> HostFacts:
    """The facts of the host that this process is on."""
    names = {name: _line(root / "proc/sys" / name.replace(".", "/")) for name in SYSCTLS}
    return HostFacts(
        kernel=_line(root / "proc/sys/kernel/osrelease") or "",
        sysctls={name: value for name, value in names.items() if value is not None},
        seccomp="Seccomp:" in (_text(root / "proc/self/status") or ""),
        apparmor=_line(root / "sys/module/apparmor/parameters/enabled") == "Y",
        selinux=_line(root / "sys/fs/selinux/enforce") == "1",
        profile_loaded=_profile_loaded(root),
        changelogs=_read_changelogs(root),
    )


def read_socket(path: Path) -> SocketFacts | None:
    """None where there is no socket, or where it cannot be looked at."""
    try:
        found = path.stat()
    except OSError:
        return None
    if not stat.S_ISSOCK(found.st_mode):
        return None
    return SocketFacts(
        path=str(path),
        mode=stat.S_IMODE(found.st_mode),
        owner=_user(found.st_uid),
        group=_group(found.st_gid),
    )


def lock_holder(path: Path, root: Path = Path("/")) -> int | None:
    """The process that holds a file's flock (proc_locks(5)): who serves its socket."""
    try:
        found = path.stat()
    except OSError:
        return None
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    for line in (_text(root / "proc/locks") or "").splitlines():
        fields = line.split()
        if len(fields) > 5 and fields[1] == "FLOCK" and fields[5] == device:  # noqa: PLR2004 - proc_locks(5)
            return int(fields[4]) if int(fields[4]) > 0 else None
    return None


def read_process(pid: int, root: Path = Path("/")) -> tuple[int, int] | None:
    """The effective uid and capabilities of a process."""
    text = _text(root / "proc" / str(pid) / "status") or ""
    fields = dict(line.partition(":")[::2] for line in text.splitlines())
    try:
        return int(fields["Uid"].split()[1]), int(fields["CapEff"].strip(), 16)
    except (KeyError, ValueError, IndexError):
        return None


def _profile_loaded(root: Path) -> bool | None:
    text = _text(root / "sys/kernel/security/apparmor/profiles")
    return None if text is None else f"{OUR_PROFILE} (" in text


def _read_changelogs(root: Path) -> dict[str, list[Entry]]:
    """Those that are here; not every installation keeps them."""
    found = {}
    for name, package in _PACKAGES.items():
        path = root / "usr/share/doc" / package / "changelog.Debian.gz"
        with contextlib.suppress(OSError, EOFError, zlib.error), gzip.open(path) as file:
            found[name] = parse_changelog(file.read(_CHANGELOG_MOST).decode(errors="replace"))
    return found


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return None


def _line(path: Path) -> str | None:
    text = _text(path)
    return None if text is None else text.strip()


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
