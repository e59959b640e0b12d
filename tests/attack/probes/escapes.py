"""Ways out: other processes, /proc, namespaces, devices, files of others, the code file."""

from __future__ import annotations

from tests.attack.probe import C, Control, Expect, Outcome, Probe, Where
from tests.attack.probes.calls import number

_TRY = """
import os
def attempt(call, *arguments):
    "Says how it ended: ok, or with which errno."
    try:
        call(*arguments)
    except OSError as error:
        import errno
        print(errno.errorcode[error.errno])
    else:
        print("ok")
"""

_PROCESSES = [
    Probe(
        name="the init's entries in /proc",
        language="python",
        program=_TRY
        + """
for name in ("environ", "maps", "auxv", "pagemap", "smaps", "numa_maps"):
    attempt(lambda: open(f"/proc/1/{name}", "rb").read(1))
for name in ("mem", "oom_score_adj", "clear_refs", "coredump_filter"):
    attempt(lambda: open(f"/proc/1/{name}", "wb"))
for name in ("root", "cwd", "exe", "ns/mnt", "ns/user"):
    attempt(os.readlink, f"/proc/1/{name}")
for name in ("fd", "map_files", "task/1/fd", "root/", "cwd/"):
    attempt(os.listdir, f"/proc/1/{name}")
""",
        expect=Expect(says="((EACCES|EPERM|EROFS)\n){20}"),
        control=Control(Where.CONTAINER, "((ok|EACCES|EPERM)\n)*ok\n.*"),
    ),
    Probe(
        name="the init's environment in JavaScript",
        language="javascript",
        program="""
const fs = require('fs');
for (const name of ['environ', 'maps', 'mem'])
  try { fs.openSync(`/proc/1/${name}`); console.log('ok'); } catch (e) { console.log(e.code); }
for (const change of [() => process.setuid(0), () => process.setgid(0),
    () => process.setgroups([0]), () => process.seteuid(0)])
  try { change(); console.log('ok'); } catch (e) { console.log(e.code); }
""",
        expect=Expect(says="(EACCES\n){3}((EPERM|EINVAL)\n){4}"),
        control=Control(Where.CONTAINER, "ok\nok\nok\n.*"),
    ),
    Probe(
        name="processes of others",
        language="python",
        program="""
import os
def there(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
print(*(pid for pid in range(1, 32768) if there(pid)))
""",
        expect=Expect(says="1 2\n"),
        control=Control(Where.USER),
    ),
    Probe(
        name="priorities, schedules and limits of the init",
        language="python",
        program=_TRY
        + """
attempt(os.setpriority, os.PRIO_PROCESS, 1, 5)
attempt(os.sched_setaffinity, 1, {0})
attempt(os.sched_setscheduler, 1, os.SCHED_IDLE, os.sched_param(0))
""",
        expect=Expect(says="(EPERM\n){3}"),
        control=Control(Where.CONTAINER, "ok\nok\nok\n"),
    ),
    Probe(
        name="limits of the init",
        language="python",
        program=_TRY
        + """
import resource
for limit in range(16):
    attempt(resource.prlimit, 1, limit, (0, 0))
""",
        expect=Expect(says="(EPERM\n){16}"),
        control=Control(Where.CONTAINER, "(ok\n)+((EPERM|EINVAL)\n)*"),
    ),
    Probe(
        name="namespaces through descriptors",
        language="python",
        program=_TRY
        + """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def setns(fd, kind):
    if libc.setns(fd, kind):
        raise OSError(ctypes.get_errno(), "setns")
for name in ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"):
    attempt(setns, os.open(f"/proc/self/ns/{name}", os.O_RDONLY), 0)
attempt(setns, os.pidfd_open(1), 0x7E020000)
attempt(setns, os.pidfd_open(os.getpid()), 0x10000000)
""",
        expect=Expect(says="(EPERM\n){10}"),
        control=Control(Where.OWN, "(\\w+\n)*ok\n.*"),
    ),
    Probe(
        name="credentials of others on a socket",
        language="python",
        program=_TRY
        + """
import socket, struct
a, b = socket.socketpair()
for credentials in ((1, os.getuid(), os.getgid()), (os.getpid(), 0, 0)):
    attempt(a.sendmsg, [b"x"], [(socket.SOL_SOCKET, 2, struct.pack("iii", *credentials))])
""",
        expect=Expect(says="EPERM\n(EPERM|EINVAL)\n"),
        control=Control(Where.ROOT, "ok\nok\n"),
    ),
    Probe(
        name="memory shared with the template",
        language="python",
        program="""
import mmap
def shared():
    lines = open("/proc/self/maps").read().splitlines()
    return sum(line.split()[1][1:] in ("w-s", "wxs") for line in lines)
before = shared()
kept = mmap.mmap(-1, 4096)
print(before, shared() - before)
""",
        expect=Expect(says="0 1\n"),
        control=Control(Where.SHOWN, why="what it shares itself is counted"),
    ),
    Probe(
        name="a lower score for the out-of-memory killer",
        language="python",
        program=_TRY
        + """
for score in (-1000, -1, 0, 499):
    attempt(lambda: open("/proc/self/oom_score_adj", "w", buffering=1).write(f"{score}\\n"))
""",
        expect=Expect(says="((EACCES|EROFS)\n){4}"),
        control=Control(Where.ROOT, "((ok|EACCES)\n){3}ok\n"),
    ),
    Probe(
        name="maps of its user namespace",
        language="python",
        program=_TRY
        + """
for name, text in (("uid_map", "0 0 1"), ("gid_map", "0 0 1"), ("setgroups", "allow")):
    attempt(lambda: open(f"/proc/self/{name}", "w", buffering=1).write(text + "\\n"))
for call in (os.setuid, os.setgid, os.seteuid, lambda _: os.setgroups([0])):
    attempt(call, 0)
""",
        expect=Expect(says="((EPERM|EINVAL|EACCES|EROFS)\n){7}"),
        control=Control(Where.CONTAINER_ROOT, ".*ok\n.*"),
    ),
    Probe(
        name="capabilities",
        language=C,
        program="call",
        # keepcaps, raising an ambient one, dumpable as root's, the securebits
        args=tuple(
            f"{number('prctl')} 47 2 21 0 0 -- {number('prctl')} 28 0 -- {number('prctl')} 35 1 0"
            f" 0 0 -- {number('capset')} z:8 0".split()
        ),
        expect=Expect(says="((EPERM|EINVAL|EFAULT)\n){4}"),
        control=Control(Where.OWN),
    ),
]

_RAW = {
    "ruby": """
[[272, 0x10000000], [165, 0, 0, 0, 0, 0], [101, 0], [321, 0, 0, 0]].each do |call|
  begin
    syscall(*call)
    puts "ok"
  rescue SystemCallError => error
    puts error.class.name
  end
end
""",
    "bash": """
for call in '272, 0x10000000' '165, 0, 0, 0, 0, 0' '101, 0' '321, 0, 0, 0'; do
    perl -e '$! = 0; print syscall('"$call"') < 0 ? "$!\\n" : "ok\\n"'
done
""",
}

_RAW_CALLS = [
    Probe(
        name=f"raw system calls in {language}",
        language=language,
        program=program,
        # unshare, mount, ptrace, bpf, by their numbers on x86-64
        expect=Expect(says="((Errno::EPERM|Operation not permitted)\n){4}"),
        control=Control(Where.CONTAINER if language == "ruby" else Where.USER),
    )
    for language, program in _RAW.items()
]

_MACHINE = [
    Probe(
        name="what /proc has of the machine",
        language="python",
        program="""
import os
shown = {"cpuinfo", "loadavg", "meminfo", "stat", "swaps", "sys", "uptime", "vmstat"} # the run's
kernel = {"cgroups", "config.gz", "consoles", "crypto", "devices", "dma", "driver", "execdomains",
    "filesystems", "iomem", "ioports", "key-users", "misc", "mtrr", "sysvipc", "tty", "version"}
settings = {"boot_id", "hostname", "osrelease", "ostype", "overcommit_memory", "somaxconn"}
for name in sorted(set(os.listdir("/proc")) - shown - kernel):
    path = "/proc/" + name
    if name.isdigit() or os.path.islink(path):
        continue
    try:
        told = os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(1)
    except OSError:
        continue
    if told:
        print(name)
for folder, _, files in os.walk("/proc/sys"):
    for name in files:
        if name not in settings:
            print(os.path.join(folder, name))
print(sum(line.startswith("processor") for line in open("/proc/cpuinfo")), end=" ")
print(open("/proc/meminfo").readline().split()[1], len(open("/proc/swaps").readlines()))
""",
        expect=Expect(says="/proc/sys/kernel/random/uuid\n1 524288 1\n"),
        control=Control(Where.USER, "(acpi|buddyinfo)\n(.*\n)*/proc/sys/.*\n(.*\n)*"),
    ),
    Probe(
        name="/sys and cgroup files",
        language="bash",
        program="""
find / -path /proc -prune -o \\( -name 'cgroup.*' -o -name release_agent -o -name 'memory.*' \\
    -o -path '/sys/*' -type f \\) -print 2>&- | grep -v -e ^/usr/ \\
    -e '^/sys/devices/system/cpu/\\(online\\|possible\\|present\\)$' | head -n 3
touch /sys/x 2>&- && echo made
echo end
""",
        expect=Expect(says="end\n"),
        control=Control(Where.CONTAINER, "/.*\nend\n"),
    ),
    Probe(
        name="devices of the machine",
        language="python",
        program="""
import os, stat
for top, folders, names in os.walk("/dev"):
    for path in (os.path.join(top, name) for name in names):
        mode = os.lstat(path).st_mode
        known = path in {"/dev/" + name for name in
            ("null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts/ptmx")}
        if stat.S_ISBLK(mode) or stat.S_ISCHR(mode) and not known:
            print(path)
print("end")
""",
        expect=Expect(says="end\n"),
        control=Control(Where.USER, "/dev/.*end\n"),
    ),
    Probe(
        name="devices of its own making",
        language="python",
        program=_TRY
        + """
import stat
for kind, major, minor in ((stat.S_IFCHR, 1, 1), (stat.S_IFCHR, 1, 3), (stat.S_IFBLK, 8, 0),
        (stat.S_IFBLK, 254, 0)):
    for folder in ("/tmp", "/dev/shm"):
        path, device = f"{folder}/{kind}-{major}-{minor}", os.makedev(major, minor)
        attempt(os.mknod, path, kind | 0o666, device)
attempt(os.mknod, "/tmp/pipe", stat.S_IFIFO | 0o666)
""",
        expect=Expect(says="(EPERM\n){8}ok\n"),
        control=Control(Where.CONTAINER_ROOT, ".*ok\n.*ok\n.*"),
    ),
    Probe(
        name="tools of a shell",
        language="bash",
        program="""
try() { "$@" > /dev/null 2>&1 && echo ok || echo no; }
try unshare --user true
try unshare --map-root-user --mount true
try unshare --map-root-user --net --pid --fork true
try setarch --addr-no-randomize true
try setarch linux32 true
try nsenter --target $$ --user true
""",
        expect=Expect(says="(no\n){6}"),
        control=Control(Where.USER, "(ok\n){5}no\n"),
    ),
    Probe(
        name="tools of a shell that is root",
        language="bash",
        program="""
try() { "$@" > /dev/null 2>&1 && echo ok || echo no; }
try chroot / true
try mknod /tmp/null c 1 3
try setpriv --reuid 33 true
try chown 33 /tmp
try dmesg
try hwclock --show
try renice -n -5 $$
""",
        expect=Expect(says="(no\n){7}"),
        control=Control(Where.CONTAINER_ROOT, "(ok\n){4}.*"),
    ),
]

_FILES = [
    Probe(
        name="files of others",
        language="python",
        program=_TRY
        + """
for path in ("/etc/shadow", "/root/.profile", "/etc/gshadow"):
    attempt(os.open, path, os.O_RDONLY)
for path in ("/etc/passwd", "/usr/bin/env", "/sandboxd/guest", "/sandboxd/enter.so",
        "/etc/hostname", "/proc/self/exe"):
    attempt(os.open, path, os.O_WRONLY)
for folder in ("/", "/etc", "/usr/bin", "/sandboxd", "/var/tmp", "/run", "/home", "/dev"):
    attempt(os.mkdir, folder + "/new")
""",
        expect=Expect(says="((EACCES|EROFS|ETXTBSY|ENOENT|EPERM)\n){17}"),
        control=Control(Where.CONTAINER_ROOT, ".*ok\n.*"),
    ),
    Probe(
        name="attributes that give privileges",
        language="python",
        program=_TRY
        + """
with open("/tmp/file", "w"): pass
for name, value in (("security.capability", bytes(20)), ("trusted.overlay.opaque", b"y"),
        ("security.evm", b"x"), ("security.ima", b"x")):
    attempt(os.setxattr, "/tmp/file", name, value)
attempt(os.chown, "/tmp/file", 0, 0)
attempt(os.chown, "/tmp/file", 33, 33)
""",
        expect=Expect(says="((EPERM|EOPNOTSUPP|EINVAL)\n){6}"),
        control=Control(Where.CONTAINER_ROOT, ".*ok\n.*"),
    ),
    Probe(
        name="the code file in a shell",
        language="bash",
        program="""
code=${1:-$0}
try() { "$@" > /dev/null 2>&1 && echo changed || echo no; }
over() { echo x > "$code"; }
onto() { echo x >> "$code"; }
echo x > /sandbox/other
ln -s /sandbox/other /sandbox/link
try over
try onto
try rm -f "$code"
try mv "$code" /sandbox/moved
try mv -f /sandbox/other "$code"
try mv -f /sandbox/link "$code"
try ln -sf /sandbox/other "$code"
try ln -f /sandbox/other "$code"
try ln "$code" /sandbox/hard
try truncate -s 0 "$code"
try chmod 777 "$code"
try touch "$code"
try rmdir /sandbox
try mv /sandbox /tmp/sandbox
""",
        expect=Expect(says="(no\n){14}"),
        control=Control(Where.SHOWN, why="of a file beside it, see the next"),
    ),
    Probe(
        name="a file beside the code",
        language="bash",
        program="""
try() { "$@" > /dev/null 2>&1 && echo changed || echo no; }
cd "$1"
echo x > file
try chmod 755 file
try mv file moved
try ln -sf moved file
try rm file
""",
        args=("/tmp",),
        expect=Expect(says="(changed\n){4}"),
        control=Control(Where.MILDER, "(changed\n){4}", args=("/sandbox",)),
    ),
    Probe(
        name="the code file, exchanged and mounted over",
        language=C,
        program="call",
        args=tuple(
            f"{number('renameat2')} -100 s:/sandbox/main.sh -100 s:/sandbox/probe 2"
            f" -- {number('renameat2')} -100 s:/sandbox/probe -100 s:/sandbox/main.sh 0"
            f" -- {number('mount')} s:/sandbox/probe s:/sandbox/main.sh 0 4096 0"
            f" -- {number('umount2')} s:/sandbox/main.sh 2"
            f" -- {number('linkat')} -100 s:/sandbox/main.sh -100 s:/sandbox/hard 0"
            f" -- {number('renameat2')} -100 s:/sandbox/probe -100 s:/sandbox/moved 0".split()
        ),
        expect=Expect(says="(EBUSY|EXDEV)\n(EBUSY|EXDEV)\nEPERM\nEPERM\nEXDEV\nok\n"),
        control=Control(Where.SHOWN, why="the last moves the file beside it"),
    ),
]


def _one_more(got: Outcome) -> None:
    shown, *_, files = got.stdout.split()
    assert int(shown) == int(files) + 1, f"{shown.decode()} shown, of {files.decode()} and one"


_PRIVILEGED = [
    Probe(
        name="what setuid files are good for",
        language="bash",
        # The dynamic linker shows how it was started, unless that was with privileges.
        program="""
for file in $(find / -xdev -type f -perm /6000 2>&-) /usr/bin/env; do
    perl -e '$ENV{LD_SHOW_AUXV} = 1; alarm 1; exec @ARGV' "$file" --version < /dev/null 2>&- |
        tr -s ' ' | grep -a -E '^AT_(SECURE|EUID): '
done | sort | uniq -c | tr -s ' '
find / -xdev -type f -perm /6000 2>&- | wc -l
""",
        timeout=20.0,
        heavy=True,
        expect=Expect(says=" ([0-9]+) AT_EUID: 1000\n \\1 AT_SECURE: 0\n[0-9]+\n", check=_one_more),
        # There they show nothing, but for the last, which is an ordinary file.
        control=Control(Where.CONTAINER, " 1 AT_EUID: 1000\n 1 AT_SECURE: 0\n[1-9][0-9]*\n"),
    ),
]

PROBES = (*_PROCESSES, *_RAW_CALLS, *_MACHINE, *_FILES, *_PRIVILEGED)
