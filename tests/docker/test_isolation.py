"""What a program finds around it, and what it cannot do."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator

import pytest

from sandboxd_client import Client

INSPECT = """
import json, os, resource
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines()
              if ":\\t" in line)
print(json.dumps({
    "uid": os.getuid(), "gid": os.getgid(), "groups": os.getgroups(),
    "status": {name: value.strip() for name, value in status.items()},
    "processes": sorted(name for name in os.listdir("/proc") if name.isdigit()),
    "sys": sorted(os.path.join(folder, name) for folder, _, names in os.walk("/sys")
                  for name in names),
    "fds": os.listdir("/proc/self/fd"), "cwd": os.getcwd(), "host": os.uname().nodename,
    "env": dict(os.environ),
    "core": resource.getrlimit(resource.RLIMIT_CORE),
    "nofile": resource.getrlimit(resource.RLIMIT_NOFILE),
}))
"""


@pytest.fixture(scope="module")
def inside(request: pytest.FixtureRequest) -> dict[str, object]:
    daemon = request.getfixturevalue("daemon")
    with daemon.client() as client:
        result: dict[str, object] = json.loads(client.run("python", INSPECT).stdout)
    return result


def test_the_program_is_an_ordinary_user_without_any_capability(inside: dict[str, object]) -> None:
    status = inside["status"]
    assert isinstance(status, dict)
    assert (inside["uid"], inside["gid"]) == (1000, 1000)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[name], 16) == 0, name
    assert status["NoNewPrivs"] == "1"
    assert (status["Seccomp"], status["Seccomp_filters"]) == ("2", "2")


def test_only_its_own_places_can_be_written(client: Client) -> None:
    """Every folder and file there is, by the kernel's own answer."""
    code = """
import os
found = set()
for folder, folders, files in os.walk("/"):
    if folder.startswith("/proc/"):
        folders.clear()
        continue
    paths = [folder, *(os.path.join(folder, name) for name in files)]
    found.update(path for path in paths if not os.path.islink(path) and os.access(path, os.W_OK))
print(*sorted(found), sep="\\n")
"""
    devices = ["full", "null", "random", "tty", "urandom", "zero", "mqueue", "pts/ptmx", "shm"]
    places = ["/sandbox", "/tmp", *(f"/dev/{name}" for name in devices)]
    assert text(client.run("python", code).stdout).split() == sorted(places)


def test_it_sees_no_process_but_its_own_and_nothing_of_the_machine(
    inside: dict[str, object],
) -> None:
    assert inside["processes"] == ["1", "2"]
    names = ("online", "possible", "present")
    assert inside["sys"] == [f"/sys/devices/system/cpu/{name}" for name in names]
    assert inside["host"] == "sandbox"


def test_it_inherits_only_the_standard_descriptors(inside: dict[str, object]) -> None:
    assert inside["fds"] == ["0", "1", "2", "3"]  # 3 reads this very list


def test_its_environment_is_minimal(inside: dict[str, object]) -> None:
    environment = inside["env"]
    assert isinstance(environment, dict)
    usual = {"PATH", "HOME", "LANG", "TMPDIR", "HOSTNAME", "OMP_NUM_THREADS"}
    assert set(environment) == usual
    assert inside["cwd"] == "/sandbox"


def test_limits_of_the_process_are_set(inside: dict[str, object]) -> None:
    assert inside["core"] == [0, 0]
    assert inside["nofile"] == [1024, 1024]


# Each raises nothing where it is allowed, and prints what it got otherwise.
ATTEMPTS = {
    "write to the root": 'open("/etc/x", "w")',
    "write to its own code": 'open(__file__, "w")',
    "replace its own code": 'import os; os.replace("/sandbox/other", __file__)',
    "remove its own code": "import os; os.unlink(__file__)",
    "make it writable": "import os; os.chmod(__file__, 0o777)",
    "remount": 'libc.mount(b"none", b"/", None, 32, None)',
    "mount": 'libc.mount(b"none", b"/tmp", b"tmpfs", 0, None)',
    "unmount": 'libc.umount2(b"/tmp", 0)',
    "unshare a user namespace": "libc.unshare(0x10000000)",
    "unshare a network": "libc.unshare(0x40000000)",
    "clone a user namespace": "libc.syscall(56, 0x10000000 | 17, 0, 0, 0, 0)",
    "join a namespace": 'import os; libc.setns(os.open("/proc/1/ns/mnt", os.O_RDONLY), 0)',
    "ptrace": "libc.ptrace(16, 1, 0, 0)",
    "read its init's memory": 'open("/proc/1/mem", "rb").read(1)',
    "kill its init": 'import os; os.kill(1, 9); print("alive"); raise OSError("still there")',
    "bpf": "libc.syscall(321, 0, 0, 0)",
    "perf": "libc.syscall(298, 0, 0, 0, 0, 0)",
    "userfaultfd": "libc.syscall(323, 0)",
    "io_uring": "libc.syscall(425, 1, 0)",
    "keyring": "libc.syscall(248, b'user', b'k', b'v', 1, -5)",
    "raw socket": "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "vsock": "import socket; socket.socket(40, socket.SOCK_STREAM)",
    "other netlink": "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9)",
    "personality": "libc.personality(0x0040000)",
    "hostname": "libc.sethostname(b'x', 1)",
    "become root": "import os; os.setuid(0)",
    "32-bit system call": "raise OSError('tested in C')",
    "reboot": "libc.reboot(0)",
    "swap": "libc.swapon(b'/tmp/x', 0)",
    "time": "libc.syscall(227, 0, 0)",
}

PRELUDE = """
import ctypes, os
raw = ctypes.CDLL(None, use_errno=True)
class Libc:
    def __getattr__(self, name):
        function = getattr(raw, name)
        def call(*arguments):
            if function(*arguments) == -1:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))
        return call
libc = Libc()
open("/sandbox/other", "w").close()
"""


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_an_attempt_fails_with_an_error_and_no_kill(client: Client, attempt: str) -> None:
    code = (
        f"{PRELUDE}\ntry:\n    {ATTEMPTS[attempt]}\nexcept OSError as e:\n    print('refused', e)"
    )
    result = client.run("python", code)
    assert result.exit_code == 0, result.stderr
    assert isinstance(result.stdout, str)
    assert "refused" in result.stdout


def test_what_ordinary_programs_need_is_allowed(client: Client) -> None:
    code = """
import os, socket, threading, subprocess, mmap, multiprocessing, tempfile
threading.Thread(target=int).start()
assert subprocess.run(["true"]).returncode == 0
a, b = socket.socketpair(); a.send(b"x"); assert b.recv(1) == b"x"
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
six = socket.create_server(("::1", 0), family=socket.AF_INET6)
os.write(os.memfd_create("m"), b"x")
mmap.mmap(-1, 4096)[0] = 1
os.setxattr("/sandbox/f", "user.x", b"1") if os.close(os.open("/sandbox/f", 64 | 1)) else None
assert multiprocessing.Semaphore(1).acquire()
with tempfile.NamedTemporaryFile() as file: file.write(b"x")
os.openpty()
socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
print("fine")
"""
    assert client.run("python", code).stdout == "fine\n"


@contextlib.contextmanager
def listener() -> Iterator[int]:
    """A server on the host's loopback: what a program must not reach."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_the_hosts_loopback_is_out_of_reach(client: Client) -> None:
    with listener() as port:
        probe = f"import socket; socket.create_connection(('127.0.0.1', {port}), 2); print('in')"
        # The control: the same line reaches the listener from here.
        socket.create_connection(("127.0.0.1", port), 2).close()
        result = client.run("python", probe)
    assert text(result.stderr).endswith("ConnectionRefusedError: [Errno 111] Connection refused\n")


def test_there_is_no_way_out_to_any_network(client: Client) -> None:
    code = "import socket; print([name for _, name in socket.if_nameindex()])"
    assert client.run("python", code).stdout == "['lo']\n"


def test_a_fresh_container_was_used_by_nobody(client: Client) -> None:
    first = client.run("python", "pass", reuse="never")
    second = client.run("python", "pass", reuse="never")
    assert first.container.uses == second.container.uses == 1
    assert first.container.id != second.container.id


def text(stream: object) -> str:
    assert isinstance(stream, str)
    return stream
