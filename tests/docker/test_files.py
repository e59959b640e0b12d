"""Files go in and come out, exactly, and only what is the program's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandboxd_client import (
    Client,
    InvalidParamsError,
    Limits,
    PayloadTooLargeError,
    RunResult,
)
from tests.support.daemon import RunningDaemon

MIB = 1024 * 1024


def data(result: RunResult) -> dict[str, bytes]:
    return {file.path: file.content for file in result.files}


def skipped(result: RunResult) -> dict[str, str]:
    return {file.path: file.why for file in result.files_skipped}


def test_files_are_there_before_the_program(client: Client) -> None:
    files: dict[str, str | bytes] = {
        "data.txt": "text é",
        "deep/er/x.bin": b"\xff\x00",
        "helper.py": "value = 41",
    }
    code = """
import helper
print(open("data.txt").read(), open("deep/er/x.bin", "rb").read(), helper.value + 1)
"""
    result = client.run("python", code, files=files)
    assert (result.stdout, result.stderr) == ("text é b'\\xff\\x00' 42\n", "")


@pytest.mark.parametrize("language", ["python", "bash", "javascript", "ruby"])
def test_outputs_come_back_by_glob(client: Client, language: str) -> None:
    programs = {
        "python": "import os; os.mkdir('a'); open('a/x.csv','w').write('1,2'); open('y','w')",
        "bash": "mkdir a; printf 1,2 > a/x.csv; touch y",
        "javascript": "const fs = require('fs'); fs.mkdirSync('a');"
        "fs.writeFileSync('a/x.csv', '1,2'); fs.writeFileSync('y', '')",
        "ruby": "Dir.mkdir 'a'; File.write('a/x.csv', '1,2');File.write('y', '')",
    }
    result = client.run(language, programs[language], outputs=["**/*.csv"])
    assert data(result) == {"a/x.csv": b"1,2"}
    assert result.files[0].size == 3
    assert client.run(language, programs[language], outputs=["*"]).files[0].path == "y"


def test_outputs_come_back_after_a_failure_and_after_a_timeout(client: Client) -> None:
    failed = client.run("bash", "echo kept > f; exit 3", outputs=["f"])
    assert (failed.exit_code, data(failed)) == (3, {"f": b"kept\n"})
    late = client.run("bash", "echo kept > f; sleep 60", outputs=["f"], limits=Limits(timeout=0.5))
    assert (late.status, data(late)) == ("timeout", {"f": b"kept\n"})


def test_the_container_is_used_again_after_outputs(client: Client) -> None:
    ids = {client.run("python", "pass", outputs=["*"]).container.id for _ in range(5)}
    assert len(ids) < 5


def test_the_program_itself_is_not_among_the_outputs(client: Client) -> None:
    assert client.run("python", "pass", outputs=["**"]).files == []


def test_only_regular_files_come_back_and_the_others_are_named(client: Client) -> None:
    code = """
import os, socket
os.symlink("/etc/passwd", "link")
os.symlink("/etc", "dirlink")
os.symlink("main.py", "self")
os.mkfifo("fifo")
socket.socket(socket.AF_UNIX).bind("sock")
os.mkdir("folder")
open("good", "w").write("x")
open("odd\\nname", "w").write("y")
os.link("good", "hard")
"""
    result = client.run("python", code, outputs=["**"])
    assert data(result) == {"good": b"x", "hard": b"x", "odd\nname": b"y"}
    assert skipped(result) == {
        "link": "a symbolic link, not a regular file",
        "dirlink": "a symbolic link, not a regular file",
        "self": "a symbolic link, not a regular file",
        "fifo": "a named pipe, not a regular file",
        "sock": "a socket, not a regular file",
    }


def test_no_glob_leads_out_of_the_work_folder(client: Client) -> None:
    code = "import os; os.symlink('/', 'root'); open('/tmp/out', 'w').write('x')"
    outputs = ["../tmp/out", "/tmp/out", "root/etc/passwd", "root/**", "**/passwd"]
    result = client.run("python", code, outputs=outputs)
    assert result.files == []


def test_a_file_that_is_too_large_is_skipped_with_the_reason(client: Client) -> None:
    code = "open('big', 'wb').truncate(100 << 20); open('small', 'w').write('x')"
    result = client.run("python", code, outputs=["*"])
    assert data(result) == {"small": b"x"}
    assert skipped(result) == {"big": f"{100 * MIB} bytes; limits.files_total leaves {64 * MIB}"}


def test_a_sparse_file_of_a_gigabyte_costs_nothing(client: Client) -> None:
    result = client.run("python", "open('big', 'wb').truncate(190 << 20)", outputs=["*"])
    assert result.files == []
    assert "files_total" in skipped(result)["big"]


def test_ten_thousand_files_are_capped_and_the_rest_listed(client: Client) -> None:
    code = "for i in range(10_000): open(f'{i:05}', 'w').close()"
    result = client.run("python", code, outputs=["*"])
    assert len(result.files) == 1000
    assert len(result.files_skipped) == 9000
    assert set(skipped(result).values()) == {"too many files"}


def test_files_swapped_by_processes_that_live_on_are_not_followed(client: Client) -> None:
    """A daemonised child swaps a file for a link as fast as it can; it is gone before
    anything is read."""
    code = """
import os, sys
open("file", "w").write("mine")
if os.fork() == 0:
    os.setsid()
    while True:
        os.symlink("/etc/passwd", "new"); os.rename("new", "file")
        open("new", "w").write("mine"); os.rename("new", "file")
import time; time.sleep(0.2)
"""
    for _ in range(5):
        result = client.run("python", code, outputs=["file"])
        assert data(result) in ({"file": b"mine"}, {"file": b""}, {})
        assert b"root:" not in b"".join(data(result).values())


@pytest.mark.parametrize(
    "path", ["../x", "/etc/x", "a/../../x", "a//b", "", "./x", "a/.", "x\0y", "main.py", "a" * 5000]
)
def test_a_path_that_leaves_the_work_folder_is_refused(client: Client, path: str) -> None:
    with pytest.raises(InvalidParamsError, match="files"):
        client.run("python", "pass", files={path: "x"})


def test_too_much_is_refused_with_the_limit(client: Client) -> None:
    with pytest.raises(PayloadTooLargeError, match=r"limits\.files_total is 10"):
        client.run("python", "pass", files={"f": "x" * 11}, limits=Limits(files_total=10))


def test_files_that_do_not_fit_are_an_error_and_no_run(client: Client) -> None:
    with pytest.raises(PayloadTooLargeError, match="big: No space left on device"):
        client.run(
            "python", "print('ran')", files={"big": "x" * 2 * MIB}, limits=Limits(tmp=1 * MIB)
        )
    assert client.run("python", "print(1)").stdout == "1\n"


@pytest.fixture
def roomy(tmp_path: Path) -> Iterator[Client]:
    daemon = RunningDaemon(tmp_path)
    daemon.config.write_text('[rpc]\nmax_line = "128MiB"\n[pool]\nmin = 0\n')
    with daemon, daemon.client() as client:
        yield client


def test_sixty_four_mebibytes_of_random_bytes_go_in_and_come_out(roomy: Client) -> None:
    content = os.urandom(64 * MIB)
    code = "open('out', 'wb').write(open('in', 'rb').read())"
    result = roomy.run("python", code, files={"in": content}, outputs=["out"])
    assert result.stderr == ""
    assert data(result)["out"] == content
