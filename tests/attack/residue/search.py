"""A search, in Python, of everything that a program can read, for markers that it is not told.

It prints where it found some: in which kind of place. Told to plant, it first leaves a
marker in each of them, and must find it in each.
"""

from __future__ import annotations

import secrets

_PREFIX = "5eed5eed"

PLACES = ("contents", "memory", "names", "processes", "queues", "segments", "sockets")
"""Of these, memory alone is a process's own."""


def new_marker() -> str:
    """One that the search knows for a marker when it sees it, and 2**32 like it."""
    return _PREFIX + secrets.token_hex(4)


PROGRAM = r'''
import ctypes, json, os, re, socket, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
libc.mq_open.restype = ctypes.c_int
MARKER = re.compile(b"5eed5eed[0-9a-f]{8}")
BIG = 1 << 26
found = set()

def judge(place, data):
    if MARKER.search(data):
        found.add(place)

def read(path):
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return b""
    try:
        return os.read(fd, BIG)
    except OSError:
        return b""
    finally:
        os.close(fd)

def read_memory():
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", buffering=0) as memory:
        for line in maps:
            start, end = (int(part, 16) for part in line.split()[0].split("-"))
            try:
                memory.seek(start)
                judge("memory", memory.read(end - start))
            except (OSError, ValueError, OverflowError):
                pass  # not readable, or the kernel's

def walk(top, contents):
    for folder, folders, files in os.walk(top):
        for name in folders + files:
            judge("names", os.fsencode(name))
        for name in files:
            path = os.path.join(folder, name)
            if contents and os.path.isfile(path) and path != sys.argv[0]:
                judge("contents", read(path))

def mounts():
    lines = open("/proc/self/mountinfo").read().splitlines()
    return {line.split()[4] for line in lines} - {"/", "/proc", "/sys"}

def search():
    read_memory()
    for top in mounts():
        walk(top, contents=not top.startswith("/dev/mqueue"))
    for pid in (name for name in os.listdir("/proc") if name.isdigit()):
        for name in ("cmdline", "comm", "environ", "maps"):
            if int(pid) != os.getpid():
                judge("processes", read(f"/proc/{pid}/{name}"))
    judge("sockets", read("/proc/self/net/unix"))
    for name in os.listdir("/dev/mqueue"):
        queue = libc.mq_open(b"/" + os.fsencode(name), os.O_RDONLY | os.O_NONBLOCK)
        buffer = ctypes.create_string_buffer(8192)
        if queue >= 0 and libc.mq_receive(queue, buffer, 8192, None) > 0:
            judge("queues", buffer.raw)
    for index in range(100):
        info = ctypes.create_string_buffer(256)
        if (segment := libc.shmctl(index, 13, info)) >= 0:  # SHM_STAT
            at = libc.shmat(segment, None, 0o10000)  # read only
            judge("segments", ctypes.string_at(at, 4096))

def plant(marker):
    for folder in ("/tmp", "/sandbox", "/dev/shm"):
        with open(f"{folder}/{marker}", "w") as file:
            file.write(marker)
    code = f"""import socket, time
s = socket.socket(socket.AF_UNIX); s.bind(chr(0) + "{marker}"); print(flush=True)
time.sleep(1000)"""
    child = subprocess.Popen([sys.executable, "-c", code, marker], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
    child.stdout.readline()
    queue = libc.mq_open(b"/" + marker.encode(), os.O_RDWR | os.O_CREAT, 0o600, None)
    for _ in range(2):  # who searches takes one
        assert libc.mq_send(queue, marker.encode(), len(marker), 0) == 0
    segment = libc.shmget(int(marker, 16) & 0x3fffffff, 4096, 0o1600)
    ctypes.memmove(libc.shmat(segment, None, 0), marker.encode(), len(marker))

if len(sys.argv) > 1:
    plant(sys.argv[1])
search()
print(*sorted(found))
'''
