"""Files of the command: by name, by folder, of any size, and with their mode."""

from __future__ import annotations

import json
import os
import pty
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from sandboxd_client import Client
from sandboxd_client.cli._local import find_files
from tests.client.test_cli import PROGRAM, Ran, run, sandbox
from tests.support.service import ServiceThread
from tests.support.wait import DEADLINE

LARGE = os.urandom(20 * 1024 * 1024)
"""More than a line holds."""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, which has nothing else in it."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def large(here: Path) -> Path:
    (here / "large").write_bytes(LARGE)
    return here / "large"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- of any size ---


def test_a_file_of_any_size_goes_in_and_comes_out(
    served: ServiceThread, here: Path, large: Path
) -> None:
    ran = run(served, "python", "-f", str(large), "-o", "large", "--into", "out", "-c", "out x")
    assert (ran.stdout, ran.stderr, ran.returncode) == (b"x\n", b"", 0)
    assert (here / "out" / "large").read_bytes() == LARGE


def test_a_file_of_any_size_goes_into_a_run_that_is_detached(
    served: ServiceThread, here: Path, large: Path
) -> None:
    ran = run(served, "python", "-f", str(large), "-o", "large", "--detach", "-c", "out x")
    assert (ran.stderr, ran.returncode) == (b"", 0)
    joined = sandbox(served.socket, "attach", ran.stdout.decode().strip(), "--into", "out")
    assert (joined.stdout, joined.stderr, joined.returncode) == (b"x\n", b"", 0)
    assert (here / "out" / "large").read_bytes() == LARGE


def test_a_file_of_any_size_goes_into_a_session(
    served: ServiceThread, here: Path, large: Path
) -> None:
    with Client(served.socket) as client, client.session("python") as session:
        options = ["--session", session.id, "-f", str(large), "-o", "large", "--into", "out"]
        ran = run(served, "python", *options, "-c", "")
        assert (ran.stderr, ran.returncode) == (b"", 0)
    assert (here / "out" / "large").read_bytes() == LARGE


def at_a_terminal(served: ServiceThread, *arguments: str) -> Ran:
    """The command with a terminal for its stdin."""
    ours, theirs = pty.openpty()
    try:
        return subprocess.run(
            [sys.executable, "-c", PROGRAM, "run", "--socket", str(served.socket), *arguments],
            stdin=theirs,
            capture_output=True,
            timeout=DEADLINE,
            check=False,
        )
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_file_of_any_size_goes_in_from_a_terminal(
    served: ServiceThread, here: Path, large: Path
) -> None:
    ran = at_a_terminal(
        served, "python", "-f", str(large), "-o", "large", "--into", "out", "-c", ""
    )
    assert (ran.stderr, ran.returncode) == (b"", 0)
    assert (here / "out" / "large").read_bytes() == LARGE


@pytest.mark.parametrize("option", ["-n", "--detach", "--json"])
def test_a_program_may_be_longer_than_a_line(
    served: ServiceThread, here: Path, option: str
) -> None:
    (here / "program").write_text(f"mark {'x' * len(LARGE)}\nout done")
    for ran in (
        run(served, "python", option, "program"),
        at_a_terminal(served, "python", option, "program"),
    ):
        assert (ran.stderr, ran.returncode) == (b"", 0)
        if option != "--detach":
            assert b"done" in ran.stdout
            continue
        joined = sandbox(served.socket, "attach", ran.stdout.decode().strip())
        assert joined.stdout == b"done\n"


def test_a_program_that_is_too_long_is_named_with_the_limit(
    served: ServiceThread, here: Path
) -> None:
    with (here / "big").open("wb") as file:
        file.truncate(300 * 1024 * 1024)
    ran = run(served, "python", "big")
    assert ran.returncode == 125
    assert b"in the code; limits.files_total is" in ran.stderr


def test_a_file_that_may_not_go_in_is_named_with_the_limit(
    served: ServiceThread, here: Path
) -> None:
    with (here / "big").open("wb") as file:
        file.truncate(2**30)
    ran = run(served, "python", "-f", "big", "-c", "", "--detach")
    assert ran.returncode == 125
    assert b"in big; limits.files_total is" in ran.stderr


# --- which ---


def found(*named: str, program: str | None = None) -> dict[str, bytes]:
    files = find_files([*named], program)
    return {name: b"".join(file.pieces()) for name, file in files.items()}


def test_a_folder_keeps_its_name_and_what_is_in_it(here: Path) -> None:
    (here / "d" / "e").mkdir(parents=True)
    (here / "d" / "a").write_text("1")
    (here / "d" / "e" / ".b").write_text("2")
    (here / "d" / "link").symlink_to("a")
    (here / "d" / "sub").symlink_to(here / "d" / "e")
    inside = {"a": b"1", "e/.b": b"2", "link": b"1", "sub/.b": b"2"}

    def below(name: str) -> dict[str, bytes]:
        return {f"{name}/{path}": content for path, content in inside.items()}

    assert found("d") == found("d/") == found(str(here / "d")) == below("d")
    assert found("d:x/y") == below("x/y")
    assert found("d/.") == found("d:.") == inside
    assert found(".") == below("d")


def test_a_folder_with_nothing_in_it_is_one(here: Path) -> None:
    for name in ("d/e/f", "d/g", "alone"):
        (here / name).mkdir(parents=True)
    (here / "d" / "g" / "file").write_text("1")
    os.mkfifo(here / "d" / "g" / "pipe")
    assert found("d") == {"d/e/f/": b"", "d/g/file": b"1"}
    assert found("d/.") == {"e/f/": b"", "g/file": b"1"}
    assert found("alone", "d/e:x") == {"alone/": b"", "x/f/": b""}
    assert found("alone/.") == {}


def test_empty_folders_go_in_and_come_back(served: ServiceThread, here: Path) -> None:
    (here / "d" / "e" / "f").mkdir(parents=True)
    (here / "d" / "g").mkdir()
    (here / "d" / "g" / "file").write_text("1")
    for options in (["-o", "d"], ["-o", "**"], ["-o", "."], ["-o", "d/e/f", "-o", "d/*/file"]):
        into = "out" + "".join(options).replace("/", "")
        ran = run(served, "python", "-f", "d", *options, "--into", into, "-c", "")
        assert (ran.stderr, ran.returncode) == (b"", 0)
        assert sorted(str(path.relative_to(here / into)) for path in (here / into).rglob("*")) == [
            *("d", "d/e", "d/e/f", "d/g", "d/g/file")
        ]


def test_a_name_that_is_not_utf_8_is_refused_with_its_path_and_what_to_do(
    served: ServiceThread, here: Path
) -> None:
    odd = os.fsdecode(b"\xff.txt")
    (here / "odd" / "d").mkdir(parents=True)
    (here / "odd" / "d" / odd).write_text("1")
    ran = run(served, "python", "-f", "odd", "-c", "")
    assert ran.returncode == 125
    assert ran.stderr.startswith(b"sandbox: odd/d/\\xff.txt: ")
    assert b"rename the file, or name it by -f PATH:NAME" in ran.stderr
    assert run(served, "python", "-f", f"odd/d/{odd}:x", "-c", "show x").stdout == b"1"


def test_a_folder_without_end_is_refused(served: ServiceThread, here: Path) -> None:
    (here / "d").mkdir()
    (here / "d" / "up").symlink_to("..")
    ran = run(served, "python", "-f", "d", "-c", "")
    assert ran.returncode == 125
    assert b"it has no end" in ran.stderr


def test_what_is_no_regular_file_in_a_folder_is_named(served: ServiceThread, here: Path) -> None:
    (here / "d").mkdir()
    (here / "d" / "a").write_text("1")
    os.mkfifo(here / "d" / "pipe")
    ran = run(served, "python", "-f", "d", "-c", "show d/a")
    assert ran.stdout == b"1"
    assert b"d/pipe is not sent" in ran.stderr


@pytest.mark.parametrize(
    ("named", "name"),
    [
        ("a", "a"),
        ("a:x", "x"),
        ("a:x/y", "x/y"),
        ("a:x:y", "x:y"),
        ("./a", "a"),
        ("b:c", "b:c"),
        ("b:c:x", "x"),
        ("b:./c", "c"),
    ],
)
def test_the_longest_path_that_is_there_is_the_file(here: Path, named: str, name: str) -> None:
    for each in ("a", "b", "b:c"):
        (here / each).write_text(each)
    content = "b:c" if named.startswith("b:c") else named.lstrip("./")[0]
    assert found(named) == {name: content.encode()}


def test_a_pipe_is_read_whole() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"12")
    os.close(writer)
    assert found(f"/dev/fd/{reader}:x") == {"x": b"12"}
    os.close(reader)


@pytest.mark.usefixtures("here")
def test_a_file_that_is_not_there_is_an_error(served: ServiceThread) -> None:
    ran = run(served, "python", "-f", "none:x", "-c", "")
    assert (ran.returncode, ran.stdout) == (125, b"")
    assert b"cannot read none: " in ran.stderr


def test_the_program_is_not_sent_twice(here: Path) -> None:
    (here / "main.py").write_text("out x")
    (here / "other.py").write_text("1")
    assert found(".", program="main.py") == {"other.py": b"1"}
    assert set(found(".", program="other.py")) == {"main.py", "other.py"}


def test_a_file_that_becomes_shorter_is_an_error(here: Path) -> None:
    (here / "a").write_text("12")
    file = find_files(["a"], None)["a"]
    (here / "a").write_text("1")
    with pytest.raises(Exception, match="a became shorter"):
        list(file.pieces())


# --- modes, and where they go ---


def test_files_keep_their_mode_both_ways(served: ServiceThread, here: Path) -> None:
    for name, bits in {"run.sh": 0o755, "secret": 0o600, "frozen": 0o444}.items():
        (here / name).write_text("x")
        (here / name).chmod(bits)
    options = ["-f", ".", "-o", "**", "--into", "out", "-c", "write d/new x"]
    for _ in range(2):  # also over those that are there
        ran = run(served, "python", *options)
        assert (ran.stderr, ran.returncode) == (b"", 0)
    out = here / "out"
    modes = {path.name: mode(path) for path in out.rglob("*") if path.is_file()}
    umask = os.umask(0)
    os.umask(umask)
    assert modes == {
        "run.sh": 0o755 & ~umask,
        "secret": 0o600,
        "frozen": 0o444,
        "new": 0o644 & ~umask,
    }


def test_json_has_the_files_whole(served: ServiceThread, large: Path) -> None:
    ran = run(served, "python", "-f", "large", "-o", "large", "--into", "out", "--json", "-c", "")
    (file,) = json.loads(ran.stdout)["files"]
    assert (file["path"], file["size"], file["mode"]) == ("large", len(LARGE), mode(large))
    assert len(file["data"]["base64"]) > len(LARGE)


@pytest.mark.parametrize(
    ("code", "exit_code"), [("write other x", 123), ("write other x\nexit 7", 7), ("signal 9", 137)]
)
def test_a_file_that_was_not_written_is_named_and_not_passed_over(
    served: ServiceThread, here: Path, code: str, exit_code: int
) -> None:
    options = ["-o", "result.txt", "-o", "*.png", "--into", "out"]
    ran = run(served, "python", *options, "-c", code)
    assert ran.stderr == b"sandbox: result.txt did not come back: no such file\n"
    assert (ran.returncode, (here / "out").exists()) == (exit_code, False)
    detached = run(served, "python", *options, "--detach", "-c", code).stdout.decode().strip()
    joined = sandbox(served.socket, "attach", detached)
    assert (joined.stderr, joined.returncode) == (ran.stderr, exit_code)
    whole = run(served, "python", *options, "-c", f"write result.txt 1\n{code}")
    assert whole.stderr == b""
    assert (here / "out" / "result.txt").read_text() == "1"


def test_a_file_that_was_skipped_ends_no_command_in_success(
    served: ServiceThread, here: Path
) -> None:
    code = f"fill big {2**28}\nwrite small 1"
    ran = run(served, "python", "-o", "big", "-o", "small", "-c", code)
    assert ran.returncode == 123
    assert b"sandbox: big did not come back: 268435456 bytes; limits.files_total" in ran.stderr
    assert (here / "small").read_text() == "1"


def test_a_file_that_cannot_be_written_is_an_error(served: ServiceThread, here: Path) -> None:
    (here / "a").mkdir()
    ran = run(served, "python", "-o", "a", "-c", "write a x")
    assert ran.returncode == 125
    assert b"cannot write" in ran.stderr
