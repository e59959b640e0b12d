"""Programs that take all of what the kernel keeps for them, or for all: buffers, tables,
terminals, locks, processors."""

from __future__ import annotations

from pathlib import Path

from tests.attack.probe import Control, Expect, Probe, Where
from tests.attack.probes.exhaustion import OOM

_CGROUPS_V1 = Path("/sys/fs/cgroup/memory").is_dir()

_HOLDS = """
import os, sys, time
def hold():
    "Says so, and waits until it may go on."
    print("ready", flush=True)
    sys.stdin.readline()
"""

PROBES = (
    Probe(
        name="buffers of pipes",
        language="python",
        program=_HOLDS
        + """
import fcntl
def fill():
    kept = []
    try:
        while True:
            ends = os.pipe(); kept.append(ends)
            os.set_blocking(ends[1], False)
            try:
                fcntl.fcntl(ends[1], 1031, 1 << 20)
            except PermissionError:
                pass
            try:
                while True: os.write(ends[1], bytes(65536))
            except BlockingIOError:
                pass
    except OSError:
        time.sleep(100)
for _ in range(40):
    if os.fork() == 0: fill()
time.sleep(1)
hold()
""",
        timeout=20.0,
        waits=True,
        heavy=True,
        expect=Expect(status=("ok", "oom")),
        control=Control(Where.SHOWN, why="memory of the run's own is what it takes"),
    ),
    Probe(
        name="buffers of sockets",
        language="python",
        program="""
import os, socket, time
def fill():
    kept = []
    while True:
        a, b = socket.socketpair(); kept.append((a, b)); a.setblocking(False)
        a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 24)
        try:
            while True: a.send(bytes(65536))
        except BlockingIOError:
            pass
for _ in range(50):
    if os.fork() == 0: fill()
time.sleep(100)
""",
        timeout=20.0,
        expect=OOM,
        control=Control(Where.SHOWN, why="the kernel counts the memory as the run's"),
    ),
    Probe(
        name="buffers of TCP",
        language="python",
        program=_HOLDS
        + """
import socket
def fill():
    kept, server = [], socket.create_server(("127.0.0.1", 0))
    try:
        while True:
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 24)
            client.connect(server.getsockname())
            kept.append((client, server.accept()[0])); client.setblocking(False)
            try:
                while True: client.send(bytes(65536))
            except BlockingIOError:
                pass
    except OSError:
        time.sleep(100)
for _ in range(50):
    if os.fork() == 0: fill()
# The counter of the whole machine, in pages.
def pages():
    with open("/proc/self/net/sockstat") as file:
        return next(int(line.split()[-1]) for line in file if line.startswith("TCP:"))
for _ in range(30):
    time.sleep(0.1)
print(pages() > (1 << 30) >> 12, flush=True)
hold()
""",
        timeout=20.0,
        waits=True,
        heavy=True,
        expect=Expect(says="(False\nready\n)?", status=("ok", "oom")),
        control=Control(Where.SHOWN, why="the kernel's own count of it is printed"),
        # runc has let go of what would (memory.kmem.tcp.limit_in_bytes), since v2 does it.
        gap="cgroups v1 do not count TCP's memory: a run can have all that the host lets TCP have"
        if _CGROUPS_V1
        else "",
    ),
    Probe(
        name="page tables",
        language="python",
        program="""
import ctypes
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
size = 1 << 40
start = libc.mmap(None, size, 1, 0x4022, -1, 0)  # nothing of it is there; reading maps zeros
for at in range(start, start + size, 1 << 21):
    ctypes.c_char.from_address(at).value
""",
        timeout=20.0,
        expect=OOM,
        control=Control(Where.SHOWN, why="the kernel counts the memory as the run's"),
    ),
    Probe(
        name="SysV semaphores",
        language="python",
        program="""
import ctypes
libc = ctypes.CDLL(None)
while libc.semget(0, 32000, 0o1600) >= 0: pass
""",
        timeout=30.0,
        heavy=True,
        expect=Expect(status=("oom", "ok")),
        control=Control(Where.SHOWN, why="the kernel counts the memory as the run's"),
    ),
    Probe(
        name="timers, watches, queues and references in flight",
        language="python",
        program="""
import ctypes, errno, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def until_refused(what, take):
    count = 0
    try:
        while take(count) >= 0: count += 1
        number = ctypes.get_errno()
    except OSError as error:
        number = error.errno
    print(what, errno.errorcode[number])
timer = ctypes.c_int()
until_refused("timers", lambda _: libc.timer_create(1, None, ctypes.byref(timer)))
until_refused("watches", lambda _: libc.inotify_init())
for fd in range(3, 1024):
    try: os.close(fd)
    except OSError: pass
until_refused("queues", lambda n: libc.mq_open(f"/{n}".encode(), 66, 0o600, None))
pairs = []
def pass_on(_):
    a, b = socket.socketpair(); pairs.append((a, b)); a.setblocking(False)
    while True: socket.send_fds(a, [b"x"], [0] * 200)
def flight(n):
    try: pass_on(n)
    except BlockingIOError: return 0
until_refused("in flight", flight)
""",
        expect=Expect(
            says="timers EAGAIN\nwatches EMFILE\nqueues (EMFILE|ENOSPC|ENOMEM)\n"
            "in flight (ETOOMANYREFS|EMFILE)\n"
        ),
        control=Control(Where.SHOWN, why="it goes on until the kernel refuses"),
    ),
    Probe(
        name="names that do not exist",
        language="python",
        program="""
import os
for n in range(300_000):
    os.path.exists(f"/tmp/{n:0100d}")
print("end")
""",
        expect=Expect(says="end\n"),
        control=Control(Where.SHOWN, why="it says that it has looked for all"),
    ),
    Probe(
        name="terminals",
        language="python",
        program=_HOLDS
        + """
def take(out):
    kept = []
    try:
        while True: kept.append(os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        os.write(out, b"%d\\n" % len(kept))
    time.sleep(100)
reader, writer = os.pipe()
for _ in range(4):
    if os.fork() == 0: take(writer)
counts = []
with open(reader) as lines:
    while len(counts) < 4: counts.append(int(lines.readline()))
    print(0 < sum(counts) <= 64, flush=True)
    hold()
os._exit(0)
""",
        waits=True,
        expect=Expect(says="True\nready\n"),
        control=Control(Where.SHOWN, why="it counts how many it got"),
    ),
    Probe(
        name="locks on files that all can read",
        language="python",
        program=_HOLDS
        + """
import fcntl
kept = [open(path) for path in ("/etc/hostname", "/usr/bin/env", "/usr/bin/python3", "/etc/passwd")]
for file in kept:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
hold()
""",
        waits=True,
        expect=Expect(says="ready\n"),
        control=Control(Where.SHOWN, why="the locks were to be had"),
    ),
    Probe(
        name="all processors, all processes, nearly all memory",
        language="python",
        program=_HOLDS
        + """
reader, writer = os.pipe()
for _ in range(60):
    if os.fork() == 0:
        os.close(writer); os.read(reader, 1)
        while True: pass
kept = bytearray(os.urandom(1 << 20)) * 200
os.close(writer)
hold()
os._exit(7)
""",
        waits=True,
        timeout=20.0,
        expect=Expect(says="ready\n", status=("error",), exit_code=7),
        control=Control(Where.SHOWN, why="the run beside is asked while all that runs"),
    ),
    Probe(
        name="memory without end in many, offered last",
        language="python",
        program="""
import os
try:
    with open("/proc/self/oom_score_adj", "w") as file: file.write("0")
except OSError:
    pass
def grow():
    kept = []
    while True: kept.append(b"x" * (1 << 20))
children = [pid for _ in range(10) if (pid := os.fork()) or grow()]
for pid in children: os.waitpid(pid, 0)
raise SystemExit(1)
""",
        timeout=20.0,
        heavy=True,
        expect=OOM,
        control=Control(Where.SHOWN, why="the kernel counts the memory as the run's"),
    ),
    Probe(
        name="the disks of the host, by sync",
        language="python",
        program="""
import os
for _ in range(200): os.sync()
print("end")
""",
        expect=Expect(says="end\n"),
        control=Control(Where.SHOWN, why="it says that it has asked so often"),
    ),
)
