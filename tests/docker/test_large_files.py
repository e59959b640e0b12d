"""Files of any size that the limits allow, whatever a line may hold, on every way in and out."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandboxd_client import (
    AsyncClient,
    Client,
    File,
    FilePart,
    Limits,
    PayloadTooLargeError,
)
from tests.support.daemon import RunningDaemon

SANDBOX = Path(sys.executable).with_name("sandbox")
MIB = 1024 * 1024
CONTENT = os.urandom(60 * MIB)
COPY = "cp in out && sha256sum < in > sum"


def sandbox(daemon: RunningDaemon, *arguments: str | Path) -> str:
    """What the command prints."""
    name, *rest = arguments
    ran = subprocess.run(
        [SANDBOX, name, "--socket", daemon.socket, *rest],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ran.stderr, ran.returncode) == ("", 0)
    return ran.stdout


@pytest.fixture
def given(tmp_path: Path) -> Path:
    (tmp_path / "in").write_bytes(CONTENT)
    return tmp_path / "in"


def test_by_the_blocking_client(client: Client) -> None:
    result = client.run("bash", COPY, files={"in": CONTENT}, outputs=["out"])
    assert (result.stderr, result.files_skipped) == ("", [])
    assert result.files[0].content == CONTENT


async def test_by_the_asynchronous_client_several_at_once(aclient: AsyncClient) -> None:
    async def one(number: int) -> None:
        content = CONTENT[number:]
        result = await aclient.run("bash", COPY, files={"in": content}, outputs=["out"])
        assert result.files[0].content == content

    await asyncio.gather(*(one(number) for number in range(3)))


@pytest.mark.parametrize("language", ["python", "go"])
def test_in_a_session(client: Client, language: str) -> None:
    half = CONTENT[: 30 * MIB]
    with client.session(language, files={"a": half}) as session:
        session.write_files({"b": half})
        read = session.read_files(["a", FilePart(path="b", offset=MIB)])
        assert [file.content for file in read.files] == [half, half[MIB:]]
        session.write_files({"a": File("patched", offset=MIB)})
        part = session.read_files([FilePart(path="a", offset=MIB - 1, length=9)]).files[0]
        assert part.content == half[MIB - 1 : MIB] + b"patched" + half[MIB + 7 : MIB + 8]


def test_by_the_command(daemon: RunningDaemon, given: Path) -> None:
    options: list[str | Path] = ["-f", given, "-o", "out", "--into", given.parent]
    sandbox(daemon, "run", "bash", *options, "-c", COPY)
    assert (given.parent / "out").read_bytes() == CONTENT


def test_by_the_command_detached_and_joined(daemon: RunningDaemon, given: Path) -> None:
    run = sandbox(daemon, "run", "bash", "-f", given, "-o", "out", "--detach", "-c", COPY)
    sandbox(daemon, "attach", run.strip(), "--into", given.parent)
    assert (given.parent / "out").read_bytes() == CONTENT


def test_by_the_command_in_a_session(daemon: RunningDaemon, client: Client, given: Path) -> None:
    with client.session("bash") as session:
        options: list[str | Path] = ["--session", session.id, "-o", "out", "--into", given.parent]
        sandbox(daemon, "run", "bash", "-f", given, "--session", session.id, "-c", "true")
        sandbox(daemon, "run", "bash", *options, "-c", COPY)
    assert (given.parent / "out").read_bytes() == CONTENT


def test_a_folder_by_the_command(daemon: RunningDaemon, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "go").write_text("#!/bin/sh\ncat folder/data")
    (folder / "bin" / "go").chmod(0o700)
    (folder / "data").write_text("sent")
    ran = sandbox(
        daemon,
        "run",
        "bash",
        "-f",
        folder,
        "-o",
        "folder/**",
        "--into",
        tmp_path / "out",
        "-c",
        "folder/bin/go",
    )
    assert ran == "sent"
    assert (tmp_path / "out" / "folder" / "bin" / "go").stat().st_mode & 0o777 == 0o700


def test_what_the_limits_forbid_is_an_error_with_file_and_key(client: Client) -> None:
    with pytest.raises(PayloadTooLargeError, match=r"in big; limits\.files_total is 67108864"):
        client.run("bash", "true", files={"big": bytes(65 * MIB)})
    with pytest.raises(PayloadTooLargeError, match=r"files: big: .*limits\.tmp, which is 8388608"):
        client.run("bash", "true", files={"big": CONTENT}, limits=Limits(tmp=8 * MIB))
    with (
        client.session("bash", limits=Limits(tmp=8 * MIB)) as session,
        pytest.raises(PayloadTooLargeError, match=r"files: big: .*limits\.tmp, which is 8388608"),
    ):
        session.write_files({"big": CONTENT})
    assert client.run("bash", "echo still there").stdout == "still there\n"


def test_a_file_that_grows_while_it_is_read_is_read_as_it_was(client: Client) -> None:
    with client.session("python") as session:
        session.run("""
import threading
def grow():
    with open("log", "ab", buffering=0) as log:
        while log.tell() < 100 << 20: log.write(b"x" * 65536)
open("log", "wb").write(b"x" * 1000000)
threading.Thread(target=grow, daemon=True).start()""")
        read = session.read_files(["log"])
        assert sum(file.size for file in read.files) <= 64 * MIB
        assert [file.path for file in read.files] + [file.path for file in read.files_skipped] == [
            "log"
        ]
