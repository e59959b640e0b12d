"""Limits of each run: honoured by the kernel, refused past the operator's maximum."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandboxd_client import Client, InvalidLimitsError, Limits, NotPermittedError
from tests.docker.test_isolation import listener
from tests.support.daemon import RunningDaemon

MIB = 1024 * 1024
CONFIG = """
[limits.max]
memory = "1GiB"
cpus = 2.0
pids = 200
timeout = 60
tmp = "400MiB"
[pool]
min = 0
[network]
allow = true
name = "host"
[languages.python]
min = 1
max = 2
[profiles.small]
language = "python"
limits = {memory = "64MiB", timeout = 5, tmp = "8MiB"}
min = 0
[profiles.warm]
language = "python"
preload = ["json", "decimal"]
warmup = "import decimal; open('/tmp/x', 'w')"
min = 0
"""


@pytest.fixture(scope="module")
def generous(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    daemon = RunningDaemon(tmp_path_factory.mktemp("generous"))
    daemon.config.write_text(CONFIG)
    with daemon, daemon.client() as client:
        yield client


ALLOCATE = """
import sys
block = bytearray(int(sys.argv[1]) << 20)
for i in range(0, len(block), 4096): block[i] = 1
print("fits")
"""


@pytest.mark.parametrize(
    ("memory", "mebibytes", "status"),
    [
        ("64MiB", 30, "ok"),
        ("64MiB", 80, "oom"),
        ("1GiB", 800, "ok"),
        ("65MiB", 80, "oom"),
        (None, 400, "ok"),
        (None, 600, "oom"),
    ],
)
def test_memory_is_what_was_asked_for_one_run_after_the_other(
    generous: Client, memory: str | None, mebibytes: int, status: str
) -> None:
    result = generous.run("python", ALLOCATE, args=[str(mebibytes)], limits=Limits(memory=memory))
    assert result.status == status
    if status == "ok":
        assert result.usage.memory_peak > mebibytes * MIB


def test_processes_are_what_was_asked_for(generous: Client) -> None:
    code = """
import os, signal
n = 1
try:
    while True:
        if os.fork() == 0: signal.pause()
        n += 1
except BlockingIOError: print(n)
"""
    for pids in (5, 150, None):
        result = generous.run("python", code, limits=Limits(pids=pids))
        assert result.stdout == f"{pids or 100}\n"


def test_cpu_is_a_hard_quota(generous: Client) -> None:
    """By the program's own account of CPU and wall time, not by a clock here."""
    code = """
import time
wall, cpu = time.monotonic(), time.process_time()
while time.monotonic() - wall < 2: pass
print((time.process_time() - cpu) / 2)
"""
    result = generous.run("python", code, limits=Limits(cpus=0.2))
    assert isinstance(result.stdout, str)
    assert float(result.stdout) < 0.5


def test_everything_written_is_bounded_by_tmp(generous: Client) -> None:
    code = """
import os
total = 0
try:
    with open("f", "wb", buffering=0) as f:
        while True: total += f.write(bytes(65536))
except OSError: print(total >> 20)
"""
    for tmp, expected in (("2MiB", "1"), ("300MiB", "299"), (None, "191")):
        memory = "1GiB" if tmp == "300MiB" else None
        result = generous.run("python", code, limits=Limits(tmp=tmp, memory=memory))
        assert result.stdout == f"{expected}\n"


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(memory="2GiB"), "limits.memory is 2147483648|at most 1073741824"),
        (Limits(memory="many"), 'limits.memory: not a size: .many.; write bytes, or .* "256MiB"'),
        (Limits(memory=1000), "at least 16777216"),
        (Limits(cpus=3), "limits.cpus is 3.0; it must be at least 0.01 and at most 2.0"),
        (Limits(pids=0), "limits.pids"),
        (Limits(timeout=61), "limits.timeout is 61.0; .* at most 60.0"),
        (Limits(timeout=0), "limits.timeout"),
        (Limits(tmp="399MiB", memory="512MiB"), "less than half of the memory"),
        (Limits(output="2TiB"), "limits.output"),
    ],
)
def test_what_cannot_be_is_refused_with_the_maximum(
    generous: Client, limits: Limits, message: str
) -> None:
    with pytest.raises(InvalidLimitsError, match=message):
        generous.run("python", "pass", limits=limits)


def test_a_profile_has_limits_of_its_own(generous: Client) -> None:
    result = generous.run("python", ALLOCATE, args=["80"], profile="small")
    assert result.status == "oom"
    assert generous.run("python", ALLOCATE, args=["30"], profile="small").status == "ok"


def test_a_profile_has_its_modules_imported_and_was_warmed_up(generous: Client) -> None:
    code = "import sys, os; print('decimal' in sys.modules, os.listdir('/tmp'))"
    assert generous.run("python", code, profile="warm").stdout == "True []\n"
    assert generous.run("python", code).stdout == "False []\n"


def test_an_unknown_profile_is_refused_with_those_that_there_are(generous: Client) -> None:
    with pytest.raises(Exception, match="no profile 'x' of python; there are python, small, warm"):
        generous.run("python", "pass", profile="x")


def test_the_network_is_there_for_those_who_ask_and_for_nobody_else(generous: Client) -> None:
    with listener() as port:
        probe = f"import socket; socket.create_connection(('127.0.0.1', {port}), 2); print('in')"
        asked = generous.run("python", probe, network=True)
        again = generous.run("python", probe, network=True)
        not_asked = generous.run("python", probe)
    assert (asked.stdout, asked.stderr) == ("in\n", "")
    assert again.container.id != asked.container.id
    assert not_asked.stdout == ""


def test_the_network_needs_the_operators_leave(client: Client) -> None:
    with pytest.raises(NotPermittedError, match="network"):
        client.run("python", "pass", network=True)


@pytest.mark.parametrize("language", ["python", "bash", "ruby"])
def test_a_writable_root_is_the_runs_own(client: Client, language: str) -> None:
    write = {
        "python": "open('/etc/new', 'w').write('x'); open('/usr/lib/y', 'w')\n"
        "import os; os.remove('/etc/hostname'); os.mkdir('/opt/z'); print(open('/etc/new').read())",
        "bash": "echo x > /etc/new; touch /usr/lib/y; mkdir /opt/z; cat /etc/new",
        "ruby": "File.write('/etc/new', 'x'); Dir.mkdir('/opt/z'); puts File.read('/etc/new')",
    }
    result = client.run(language, write[language], read_only=False)
    assert (result.stdout, result.stderr) == ("x\n", "")
    look = client.run("bash", "ls /etc/new /opt/z 2>&1", read_only=False)
    assert look.exit_code == 2
    ordinary = client.run("bash", "touch /etc/new")
    assert ordinary.exit_code == 1


def test_a_writable_root_is_bounded_too(client: Client) -> None:
    code = "import shutil\ntry: open('/usr/big', 'wb').write(bytes(300 << 20))\n"
    code += "except OSError as e: print(e.strerror)"
    result = client.run("python", code, read_only=False, limits=Limits(tmp="50MiB"))
    assert result.stdout == "No space left on device\n"
