"""Kinds of state in Python, whose programs are forks of one template."""

from __future__ import annotations

import os

from tests.attack.residue.kinds import Dialect, Kind

_PROGRAM = r"""
import builtins, ctypes, errno, fcntl, glob, json, os, random, resource, signal, socket, struct
import subprocess, sys, tempfile, time
libc = ctypes.CDLL(None, use_errno=True)
plants, marker = sys.argv[1] == "plant", sys.argv[2]
number = int(marker, 16) & 0x3fffffff
port = 1024 + number % 60000
me = os.getpid()

def files(start):
    return glob.glob(start + marker + "*")

def processes():
    "All that can be seen, this one left out."
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != me]

def others():
    "Command lines of all processes but this one, which has the marker too."
    return [open(f"/proc/{pid}/cmdline").read() for pid in processes()]

def all_of(call):
    "Calls with every process that can be seen, this one too; others may be out of reach."
    for pid in [*processes(), os.getpid()]:
        try:
            call(pid)
        except (PermissionError, ProcessLookupError):
            assert pid != os.getpid()

def set_io_priority(pid):
    if libc.syscall(251, 1, pid, 3 << 13):
        raise OSError(ctypes.get_errno(), "ioprio_set")

def keep(code):
    "A daemonised child that outlives the program, and says when it is there."
    code = f"import sys; marker, port = sys.argv[1], {port}\n{code}\nprint(flush=True)\n"
    child = subprocess.Popen([sys.executable, "-c", code + "import time; time.sleep(1000)", marker],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        start_new_session=True)
    child.stdout.readline()

def connects(family, address):
    with socket.socket(family) as probe:
        return probe.connect_ex(address) == 0

def binds(family, kind, address):
    with socket.socket(family, kind) as probe:
        try:
            probe.bind(address)
        except OSError as error:
            assert error.errno == errno.EADDRINUSE
            return False
    return True

def talk():
    "A connection that ended: its side that closed first lingers in the kernel."
    with socket.create_server(("127.0.0.1", port + 1)) as server:
        client = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
        ours.close()
        client.recv(1)
        client.close()

def locked():
    "Whether someone else has a lock on a file that all can read."
    with open("/etc/hostname") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        wanted = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        return struct.unpack("hhqqi", fcntl.fcntl(file, fcntl.F_GETLK, wanted))[0] != fcntl.F_UNLCK

def room():
    "Bytes and inodes in use where the program can write."
    state = os.statvfs("/tmp")
    return (state.f_blocks - state.f_bfree) * state.f_bsize, state.f_files - state.f_ffree

def next_pid():
    if (child := os.fork()) == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return child

def refuse(number):
    "Has the kernel refuse a system call to this process: load, compare, errno, allow."
    steps = [(32, 0, 0, 0), (21, 0, 1, number), (6, 0, 0, 0x50001), (6, 0, 0, 0x7fff0000)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code))
    assert libc.prctl(22, 2, program, 0, 0) == 0

first = next_pid()
{kinds}
"""

_KIND = """
def plant():
    {plant}
if plants: plant()
if {find}:
    print({name!r})
"""

_KINDS = {
    "process": Kind('keep("")', "any(marker in line for line in others())"),
    "file in /tmp": Kind('open("/tmp/" + marker, "w")', 'files("/tmp/")'),
    "file in the work folder": Kind('open("/sandbox/" + marker, "w")', 'files("/sandbox/")'),
    "file in /dev/shm": Kind('open("/dev/shm/" + marker, "w")', 'files("/dev/shm/")'),
    "hidden file": Kind(
        'os.makedirs("/tmp/.a/.b"); open("/tmp/.a/.b/x", "w").write(marker)',
        'os.path.exists("/tmp/.a") and open("/tmp/.a/.b/x").read() == marker',
    ),
    "attribute of a file": Kind(
        'open("/tmp/attribute", "w"); os.setxattr("/tmp/attribute", "user.x", marker.encode())',
        'os.path.exists("/tmp/attribute") and os.listxattr("/tmp/attribute")',
    ),
    "named pipe": Kind('os.mkfifo("/tmp/pipe-" + marker)', 'files("/tmp/pipe-")'),
    "used room": Kind(
        'open("/tmp/big", "wb").write(bytes(16 << 20))',
        "room()[0] > 8 << 20",
    ),
    "used inodes": Kind(
        '[open(f"/tmp/{i}", "w").close() for i in range(100)]',
        "room()[1] > 100",
    ),
    "posix shared memory": Kind(
        'libc.shm_open(("/" + marker).encode(), 66, 0o600)',
        'libc.shm_open(("/" + marker).encode(), 0, 0) >= 0',
    ),
    "posix semaphore": Kind(
        'libc.sem_open(("/" + marker).encode(), 64, 0o600, 1)', 'files("/dev/shm/sem.")'
    ),
    "posix queue": Kind(
        'libc.mq_open(("/" + marker).encode(), 66, 0o600, None)',
        'libc.mq_open(("/" + marker).encode(), 0) >= 0',
    ),
    "sysv shared memory": Kind(
        "libc.shmget(number, 4096, 0o1600)", "libc.shmget(number, 1, 0) >= 0"
    ),
    "sysv semaphore": Kind("libc.semget(number, 1, 0o1600)", "libc.semget(number, 1, 0) >= 0"),
    "sysv queue": Kind("libc.msgget(number, 0o1600)", "libc.msgget(number, 0) >= 0"),
    "tcp port": Kind(
        "keep(\"import socket; s = socket.create_server(('127.0.0.1', port))\")",
        'connects(socket.AF_INET, ("127.0.0.1", port))',
    ),
    "udp port": Kind(
        "keep(\"import socket; s = socket.socket(2, 2); s.bind(('127.0.0.1', port))\")",
        'not binds(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", port))',
    ),
    "connection that ended": Kind(
        "talk()", 'not binds(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", port + 1))'
    ),
    "abstract socket": Kind(
        'keep("import socket; s = socket.socket(1); s.bind(chr(0) + marker); s.listen()")',
        'connects(socket.AF_UNIX, "\\0" + marker)',
    ),
    "socket in a folder": Kind(
        "keep(\"import socket; s = socket.socket(1); s.bind('/tmp/s-' + marker); s.listen()\")",
        'files("/tmp/s-") and connects(socket.AF_UNIX, "/tmp/s-" + marker)',
    ),
    "terminal": Kind('keep("import os; os.openpty()")', 'os.listdir("/dev/pts") != ["ptmx"]'),
    "lock of a file": Kind(
        "keep(\"import fcntl; f = open('/etc/hostname'); fcntl.flock(f, fcntl.LOCK_EX)\")",
        "locked()",
    ),
    "lock of a part of a file": Kind(
        "keep(\"import fcntl; f = open('/etc/hostname'); fcntl.lockf(f, fcntl.LOCK_SH, 1)\")",
        "locked()",
    ),
    "niceness of all that can be seen": Kind(
        "all_of(lambda pid: os.setpriority(os.PRIO_PROCESS, pid, 7))",
        "os.getpriority(os.PRIO_PROCESS, 0) == 7",
    ),
    "i/o priority of all that can be seen": Kind(
        "all_of(set_io_priority)", "libc.syscall(252, 1, 0) >> 13 == 3"
    ),
    "affinity of all that can be seen": Kind(
        "all_of(lambda pid: os.sched_setaffinity(pid, {0}))", "os.sched_getaffinity(0) == {0}"
    ),
    "scheduling of all that can be seen": Kind(
        "all_of(lambda pid: os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0)))",
        "os.sched_getscheduler(0) == os.SCHED_BATCH",
    ),
    "pid numbers": Kind(
        "[next_pid() for _ in range(20)]; globals().update(first=next_pid())", "first > 20"
    ),
}

_OWN = {
    "process limit": Kind(
        "resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))",
        "resource.getrlimit(resource.RLIMIT_NOFILE) == (100, 100)",
    ),
    "its own niceness": Kind(
        "os.setpriority(os.PRIO_PROCESS, 0, 11)", "os.getpriority(os.PRIO_PROCESS, 0) == 11"
    ),
    "its own affinity": Kind("os.sched_setaffinity(0, {1})", "os.sched_getaffinity(0) == {1}"),
    "umask": Kind("os.umask(0o77)", "os.umask(0o22) == 0o77"),
    "folder it is in": Kind('os.chdir("/usr")', 'os.getcwd() != "/sandbox"'),
    "ignored signal": Kind(
        "signal.signal(signal.SIGUSR1, signal.SIG_IGN)",
        "signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN",
    ),
    "blocked signal": Kind(
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])",
        "signal.pthread_sigmask(signal.SIG_BLOCK, [])",
    ),
    "alarm": Kind("signal.alarm(1000)", "signal.alarm(0)"),
    "name of the process": Kind(
        "libc.prctl(15, marker[:15].encode(), 0, 0, 0)",
        'open("/proc/self/comm").read().strip() == marker[:15]',
    ),
    "environment": Kind("os.environ.update(X=marker)", 'os.environ.get("X") == marker'),
    "time zone": Kind('os.environ.update(TZ="XXX-5"); time.tzset()', "time.tzname[0] == 'XXX'"),
    "module": Kind("sys.modules.update(marked=sys)", '"marked" in sys.modules'),
    "changed module": Kind("json.marked = marker", 'hasattr(json, "marked")'),
    "changed function": Kind(
        "os.real = os.listdir; os.listdir = lambda *_: []", 'hasattr(os, "real")'
    ),
    "changed builtin": Kind("builtins.len = lambda _: 42", "len([]) == 42"),
    "path of modules": Kind("sys.path.insert(0, marker)", "marker in sys.path"),
    "seed": Kind(
        "random.seed(7)",
        "random.random() == random.Random(7).random()",
    ),
    "folder for temporary files": Kind(
        'tempfile.tempdir = "/tmp/" + marker',
        "marker in tempfile.gettempdir()",
    ),
    "open descriptors": Kind(
        "[os.dup2(0, n) for n in range(100, 200)]",
        'len(os.listdir("/proc/self/fd")) > 4',
    ),
    "standard stream": Kind("os.write(os.dup(2), b''); sys.stderr = None", "sys.stderr is None"),
    "stricter filter": Kind(
        "refuse(110)",  # getppid
        "libc.syscall(110) == -1",
    ),
    "limit of the interpreter": Kind(
        "sys.setrecursionlimit(4321)", "sys.getrecursionlimit() == 4321"
    ),
}

if os.cpu_count() == 1:  # there is no other to tell it from
    del _KINDS["affinity of all that can be seen"], _OWN["its own affinity"]

PYTHON = Dialect("python", _PROGRAM, _KIND, _KINDS, _OWN)
