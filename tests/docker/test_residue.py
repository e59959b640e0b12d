"""Nothing of a run is left for the next one in the same container.

Each kind of state is planted under a random name, found by the same program
that planted it (so the search works), and must not be found by the next.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandboxd_client import Client
from tests.support.daemon import RunningDaemon

PRELUDE = """
import ctypes, glob, os, resource, socket, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
marker = sys.argv[2]
number = int(marker, 16) & 0x3fffffff
port = 1024 + number % 60000
def files(*folders):
    return [p for f in folders for p in glob.glob(f + "/**/*" + marker + "*", recursive=True)]
def others():
    "Command lines of all processes but this one, which has the marker too."
    paths = set(glob.glob("/proc/[0-9]*/cmdline")) - {f"/proc/{os.getpid()}/cmdline"}
    return [open(path).read() for path in paths]
def keep(code):
    "A daemonised child that outlives the program, and says when it is there."
    child = subprocess.Popen([sys.executable, "-c", code + "\\nprint(flush=True)\\n"
        "import time; time.sleep(1000)", marker], stdout=subprocess.PIPE, start_new_session=True)
    child.stdout.readline()
def connects(family, address):
    with socket.socket(family) as probe:
        return probe.connect_ex(address) == 0
"""

MAIN = """
if sys.argv[1] == "plant":
    plant()
    assert find(), "the search does not find what was just planted"
else:
    assert not find(), "left over"
"""

KINDS = {
    "process": ('keep("")', "any(marker in line for line in others())"),
    "file in /tmp": ('open("/tmp/" + marker, "w")', 'files("/tmp")'),
    "file in the work folder": ('open("/sandbox/" + marker, "w")', 'files("/sandbox")'),
    "file in /dev/shm": ('open("/dev/shm/" + marker, "w")', 'files("/dev/shm")'),
    "posix shared memory": (
        'libc.shm_open(("/" + marker).encode(), 66, 0o600)',
        'libc.shm_open(("/" + marker).encode(), 0, 0) >= 0',
    ),
    "posix semaphore": (
        'libc.sem_open(("/" + marker).encode(), 64, 0o600, 1)',
        'files("/dev/shm")',
    ),
    "posix queue": (
        'libc.mq_open(("/" + marker).encode(), 66, 0o600, None)',
        'libc.mq_open(("/" + marker).encode(), 0) >= 0',
    ),
    "sysv shared memory": ("libc.shmget(number, 4096, 0o1600)", "libc.shmget(number, 1, 0) >= 0"),
    "sysv semaphore": ("libc.semget(number, 1, 0o1600)", "libc.semget(number, 1, 0) >= 0"),
    "sysv queue": ("libc.msgget(number, 0o1600)", "libc.msgget(number, 0) >= 0"),
    "port": (
        """keep(f"import socket; s = socket.create_server(('127.0.0.1', {port}))")""",
        'connects(socket.AF_INET, ("127.0.0.1", port))',
    ),
    "abstract socket": (
        """keep("import socket as k, sys; s = k.socket(k.AF_UNIX); s.bind(chr(0) + sys.argv[1]);"
        "s.listen()")""",
        'connects(socket.AF_UNIX, "\\0" + marker)',
    ),
    "terminal": ("globals().update(pty=os.openpty())", 'os.listdir("/dev/pts") != ["ptmx"]'),
    "process limit": (
        "resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))",
        "resource.getrlimit(resource.RLIMIT_NOFILE) == (100, 100)",
    ),
    "niceness": ("os.nice(7)", "os.nice(0) == 7"),
    "affinity": ("os.sched_setaffinity(0, {0})", "os.sched_getaffinity(0) == {0}"),
    "environment": ("os.environ.update(X=marker)", 'os.environ.get("X") == marker'),
    "module": (
        "sys.modules.update(marked=sys); import json; json.marked = marker",
        '"marked" in sys.modules or hasattr(__import__("json"), "marked")',
    ),
    "umask": ("os.umask(0o77)", "os.umask(0o22) == 0o77"),
}
if os.cpu_count() == 1:
    del KINDS["affinity"]  # there is no other to tell it from


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A daemon with one Python container, so that the next run has the same one."""
    daemon = RunningDaemon(tmp_path_factory.mktemp("narrow"))
    Path(daemon.config).write_text("[pool]\nmin = 0\n[languages.python]\nmin = 1\nmax = 1\n")
    with daemon, daemon.client() as client:
        yield client


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_of(narrow: Client, kind: str) -> None:
    plant, find = KINDS[kind]
    code = f"{PRELUDE}\ndef plant(): {plant}\ndef find(): return {find}\n{MAIN}"
    marker = secrets.token_hex(8)
    planted = narrow.run("python", code, args=["plant", marker])
    looked = narrow.run("python", code, args=["look", marker])
    assert planted.status == "ok", planted.stderr
    assert looked.status == "ok", looked.stderr
    assert looked.container.id == planted.container.id
    assert looked.container.uses == planted.container.uses + 1
