"""Files go in and come out, exactly, and only what is the program's own."""

from __future__ import annotations

import pytest

from sandboxd_client import (
    Client,
    File,
    InvalidParamsError,
    Limits,
    PayloadTooLargeError,
    RunResult,
)
from tests.support.daemon import RunningDaemon
from tests.support.programs import MORE, STANDARD

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


@pytest.mark.parametrize("language", ["bash", "sh"])  # sessions with a driver, and without
def test_a_name_of_which_there_is_nothing_is_told_and_a_glob_may_name_nothing(
    client: Client, language: str
) -> None:
    code = "mkdir -p d/e; echo 1 > d/e/f; chmod 0 d/e; mkdir -p g/h; echo 2 > g/h/i"
    outputs = ["none", "./none/too/", "*.png", "g", "g/h/i", "g/h/j"]
    nothing = dict.fromkeys(["none", "none/too", "g/h/j"], "no such file")
    result = client.run(language, code, outputs=outputs)
    assert (data(result), skipped(result)) == ({"g/h/i": b"2\n"}, nothing)
    with client.session(language) as session:
        result = session.run(code, outputs=outputs)
    assert data(result) == {"g/h/i": b"2\n"}
    assert nothing.items() <= skipped(result).items()


@pytest.mark.parametrize("language", ["bash", "sh"])  # sessions with a driver, and without
def test_folders_with_nothing_in_them_go_in_and_come_back(client: Client, language: str) -> None:
    files = {"in/a/": "", "in/b/c": "1"}
    code = "ls in/a && cat in/b/c && mkdir -p out/d/e out/f && touch out/f/g && rm -r in/b"
    result = client.run(language, code, files=files, outputs=["in", "**/d/**", "out/f"])
    assert (result.stdout, result.stderr, skipped(result)) == ("1", "", {})
    assert (result.folders, list(data(result))) == (["in/a", "out/d/e"], ["out/f/g"])
    with client.session(language, files=files) as session:
        result = session.run(code, outputs=["**"])
        assert (result.folders, list(data(result))) == (["in/a", "out/d/e"], ["out/f/g"])
        session.write_files({"late/": ""})
        assert session.run("ls -d in/a out/d/e late").stdout == "in/a\nlate\nout/d/e\n"
        kinds = {each.path: each.kind for each in session.list_files()}
        assert kinds.items() >= {"in/a": "folder", "late": "folder", "out/f/g": "file"}.items()


def test_all_of_the_work_folder_is_a_dot(client: Client) -> None:
    for outputs in (["."], ["./"], ["./a", "./d"]):
        result = client.run("bash", "echo 1 > a; mkdir d; echo 2 > d/b", outputs=outputs)
        assert (data(result), skipped(result)) == ({"a": b"1\n", "d/b": b"2\n"}, {})


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
    assert set(skipped(result).values()) == {"too many files: [limits] files is 1000"}


def test_every_file_is_told_or_skipped_whatever_its_name_or_depth(client: Client) -> None:
    code = r"""
import os
open(b"\xc3.txt", "w").close()
os.makedirs("closed/in"); open("closed/in/file", "w").close(); os.chmod("closed", 0)
open("unreadable", "w").close(); os.chmod("unreadable", 0)
os.makedirs("/".join("d" * 70)); os.chdir("/".join("d" * 70)); open("deep.txt", "w").close()
for _ in range(200): os.mkdir("e"); os.chdir("e")
open("lost", "w").close()
os.chdir("/sandbox")
for _ in range(20): os.mkdir("n" * 250); os.chdir("n" * 250)
open("long", "w").close()
"""
    result = client.run("python", code, outputs=["**"])
    assert (result.stderr, result.exit_code) == ("", 0)
    deep, long = "d/" * 70, ("n" * 250 + "/") * 20
    assert data(result) == {"unreadable": b"", "closed/in/file": b"", f"{deep}deep.txt": b""}
    assert skipped(result) == {
        r"\xc3.txt": "its name is not UTF-8",
        f"{deep}{'e/' * 187}".rstrip("/"): "a folder nested too deeply to be looked into",
        f"{long}long": "its path is longer than 4095 bytes",
    }
    # Who asked for none of these hears of none.
    other = client.run("python", code, outputs=["*.csv", "d/*.txt"])
    assert (other.files, other.files_skipped) == ([], [])


@pytest.mark.parametrize("language", ["bash", "go"])
def test_a_folder_comes_back_by_its_name(client: Client, language: str) -> None:
    """Also in a session, whichever of the two kinds it is of."""
    code = {
        "bash": "mkdir -p out/deep; echo 1 > out/a; echo 2 > out/deep/b; echo 3 > other",
        "go": """package main
import "os"
func main() {
    os.MkdirAll("out/deep", 0o755)
    os.WriteFile("out/a", []byte("1\\n"), 0o644)
    os.WriteFile("out/deep/b", []byte("2\\n"), 0o644)
    os.WriteFile("other", nil, 0o644)
}""",
    }[language]
    folder = {"out/a": b"1\n", "out/deep/b": b"2\n"}
    assert data(client.run(language, code, outputs=["out"])) == folder
    with client.session(language) as session:
        assert data(session.run(code, outputs=["out/"])) == folder


@pytest.mark.parametrize("language", STANDARD)
def test_nothing_of_ours_is_among_the_files(client: Client, language: str) -> None:
    result = client.run(language, STANDARD[language].hello, files={"given": ""}, outputs=["**"])
    assert result.stdout == "hello\n"
    assert (data(result), skipped(result)) == ({"given": b""}, {})


@pytest.mark.parametrize("language", MORE)
def test_nothing_of_ours_is_among_the_files_of_more_languages(
    more_languages: RunningDaemon, language: str
) -> None:
    with more_languages.client() as client:
        result = client.run(language, MORE[language].hello, files={"given": ""}, outputs=["**"])
    assert result.stdout == "hello\n"
    assert (data(result), skipped(result)) == ({"given": b""}, {})


@pytest.mark.parametrize("mode", [0o755, 0o700, 0o444, 0o644, 0o777])
def test_files_keep_their_mode_both_ways(client: Client, mode: int) -> None:
    code = "stat -c %a f; cp -p f g; chmod u+x g"
    result = client.run("bash", code, files={"f": File("x", mode=mode)}, outputs=["?"])
    assert result.stdout == f"{mode:o}\n"
    assert {file.path: file.mode for file in result.files} == {"f": mode, "g": mode | 0o100}


def test_a_script_can_be_executed_unless_its_mode_says_otherwise(client: Client) -> None:
    script = "#!/bin/sh\necho ran\n"
    assert client.run("bash", "./run.sh", files={"run.sh": script}).stdout == "ran\n"
    tame = client.run("bash", "./run.sh", files={"run.sh": File(script, mode=0o644)})
    assert tame.exit_code == 126
    text = client.run("bash", "./text", files={"text": "echo ran"})
    assert text.exit_code == 126


@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o1755, -1])
def test_a_mode_is_permissions_and_no_more(client: Client, mode: int) -> None:
    with pytest.raises(InvalidParamsError, match="files: f: mode"):
        client.run("bash", "true", files={"f": File("x", mode=mode)})


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
