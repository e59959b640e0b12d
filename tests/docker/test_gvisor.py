"""gVisor as the runtime: programs have a kernel of its own, and each container is used once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from sandboxd.config import Config, EngineConfig
from sandboxd.doctor.findings import State
from sandboxd.doctor.gather import gather
from sandboxd.doctor.report import report
from sandboxd_client import Client, Limits, RemoteError, from_blob
from tests.docker.test_isolation import (  # noqa: F401 - the same, on this daemon
    test_the_hosts_loopback_is_out_of_reach,
)
from tests.support.private_engine import EngineDaemon, PrivateEngine

RUNSC = '[engine]\nruntime = "runsc"\n[pool]\nmin = 1\n'


class GvisorEngine(PrivateEngine):
    """An engine that knows runsc, told to set up no network: not every host lets it."""

    def start(self) -> None:
        folder = self.folder / "bin"
        folder.mkdir(exist_ok=True)
        _script(folder / "runsc-alone", f'{shutil.which("runsc")} --network=none "$@"')
        runtime = f"--add-runtime runsc={folder}/runsc-alone"
        _script(folder / "dockerd", f'{shutil.which("dockerd")} {runtime} "$@"')
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
            super().start()


def _script(path: os.PathLike[str], command: str) -> None:
    with open(path, "w", opener=lambda name, flags: os.open(name, flags, 0o755)) as file:
        file.write(f"#!/bin/sh\nexec {command}\n")


@pytest.fixture(scope="module")
def engine() -> Iterator[PrivateEngine]:
    if os.geteuid() != 0 or not all(map(shutil.which, ("dockerd", "runsc"))):
        pytest.skip("an engine with gVisor needs root, dockerd and runsc")
    with GvisorEngine(["bash", "python"]) as running:
        yield running


@pytest.fixture(scope="module")
def daemon(
    engine: PrivateEngine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EngineDaemon]:
    with EngineDaemon(tmp_path_factory.mktemp("daemon"), engine, config=RUNSC) as running:
        yield running


@pytest.mark.parametrize(
    ("language", "code"),
    [("python", "print(open('/proc/version').read())"), ("bash", "cat /proc/version")],
)
def test_programs_have_a_kernel_of_their_own_and_a_container_each(
    client: Client, language: str, code: str
) -> None:
    results = [client.run(language, code) for _ in range(3)]
    assert {each.status for each in results} == {"ok"}
    assert all(str(each.stdout).startswith("Linux version 4.4.0 ") for each in results)
    assert os.uname().release != "4.4.0"
    assert {each.container.uses for each in results} == {1}
    assert len({each.container.id for each in results}) == 3


def test_ends_are_told_as_they_are(client: Client) -> None:
    failed = client.run("bash", "echo no >&2; exit 3")
    assert (failed.status, failed.exit_code, failed.stderr) == ("error", 3, "no\n")
    slow = client.run("python", "while True: pass", limits=Limits(timeout=0.5))
    assert (slow.status, slow.exit_code) == ("timeout", 124)


def test_files_go_in_and_come_out_and_no_link_is_followed(client: Client) -> None:
    code = "mkdir d; cat in.txt > d/out.txt; ln -s /etc/passwd d/link; ln -s /etc up"
    result = client.run(
        "bash", code, files={"in.txt": "1"}, outputs=["d/*", "up/passwd"], stdin="ignored"
    )
    files = {each.path: from_blob(each.data) for each in result.files}
    assert (files, result.status) == ({"d/out.txt": b"1"}, "ok"), result.files_skipped


def test_the_program_has_no_privileges_and_the_guests_filter(client: Client) -> None:
    code = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
print([line for line in open("/proc/self/status") if line.startswith(("Cap", "Seccomp"))])
print(libc.unshare(0x10000000), errno.errorcode[ctypes.get_errno()])
print(libc.mount(b"none", b"/tmp", b"tmpfs", 0, None), errno.errorcode[ctypes.get_errno()])
"""
    status, unshared, mounted = str(client.run("python", code).stdout).splitlines()
    assert status.count("0000000000000000") == 4
    assert "'Seccomp:\\t2\\n'" in status
    assert (unshared, mounted) == ("-1 EPERM", "-1 EPERM")


def test_a_session_keeps_its_state(client: Client) -> None:
    with client.session("python") as session:
        session.run("n = 6")
        assert session.run("n * 7").value == "42"


def test_a_limit_that_the_runtime_cannot_change_is_an_error_and_no_run(client: Client) -> None:
    with pytest.raises(RemoteError, match="would not change the limits"):
        client.run("python", "print(1)", limits=Limits(memory="64MiB"))
    assert client.run("python", "print(1)").stdout == "1\n"


async def test_the_doctor_tells_what_rests_on_the_engines_word(
    engine: PrivateEngine, daemon: EngineDaemon
) -> None:
    config = Config(
        socket=str(daemon.socket), engine=EngineConfig(host=engine.host, runtime="runsc")
    )
    rows = {row.name: row for row in report(await gather(config)).rows}
    assert {name for name, row in rows.items() if row.state is State.BROKEN} == set()
    assert "gVisor" in rows["memory limit"].detail
    assert "each container is used once" in rows["own namespaces"].detail


def test_memory_over_the_limit_ends_the_container_and_is_told(client: Client) -> None:
    told: str
    try:
        told = client.run("python", "print(len(bytearray(1 << 30)))").status
    except RemoteError as error:  # the engine may have forgotten why
        told = str(error)
    assert told == "oom" or "lost while the program ran" in told
    assert client.run("python", "print(1)").stdout == "1\n"
