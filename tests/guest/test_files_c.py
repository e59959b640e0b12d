"""The guest's hand in a folder that a program has made into what it likes, under sanitizers."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
from pathlib import Path

import pytest

from sandboxd.guest import SOURCES
from sandboxd.run.files import Entry, parse_listing
from tests.support.sanitizers import compile_c
from tests.support.wait import DEADLINE

NAME_MAX, PATH_MAX, DEPTH = 255, 4096, 256


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("harness") / "files_harness"
    own = Path(__file__).with_name("files_harness.c")
    return compile_c(program, SOURCES / "files.c", own)


@pytest.fixture(params=["openat2", "names alone"])
def harness(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, compiled: Path
) -> Path:
    """Also on a kernel that cannot be told to stay beneath a folder."""
    if request.param == "names alone":
        monkeypatch.setenv("WITHOUT_OPENAT2", "1")
    return compiled


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def ask(harness: Path, *order: str | Path, stdin: bytes = b"") -> tuple[bytes, int]:
    """What the guest would send, and the errno that it ends with."""
    ran = subprocess.run(
        [harness, *order], input=stdin, capture_output=True, timeout=DEADLINE, check=False
    )
    assert ran.stderr == b""
    assert ran.returncode < 200
    return ran.stdout, ran.returncode


def listed(harness: Path, work: Path) -> set[Entry]:
    listing, error = ask(harness, "list", work)
    assert error == 0
    entries = list(parse_listing(listing))
    assert len(entries) == len(set(entries))
    return set(entries)


def test_everything_is_listed_with_its_kind_but_the_program_itself(
    harness: Path, work: Path
) -> None:
    (work / "main.py").write_text("the program")
    (work / "a\nb c").write_text("123")
    (work / "sub").mkdir()
    (work / "sub" / "main.py").write_text("12")
    (work / "link").symlink_to("/etc/passwd")
    (work / "loop").symlink_to(work)
    os.mkfifo(work / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(work / "socket"))
    found = {(entry.kind, entry.path) for entry in listed(harness, work)}
    assert found == {
        *(("f", "a\nb c"), ("d", "sub"), ("f", "sub/main.py"), ("l", "link"), ("l", "loop")),
        *(("p", "pipe"), ("s", "socket")),
    }
    sizes = {entry.path: entry.size for entry in listed(harness, work) if entry.kind == "f"}
    assert sizes == {"a\nb c": 3, "sub/main.py": 2}


def test_an_empty_folder_has_an_empty_listing(harness: Path, work: Path) -> None:
    assert listed(harness, work) == set()


def make_deep(work: Path, names: list[str]) -> None:
    """Folders in each other, whose path no call would take as a whole."""
    at = os.open(work, os.O_RDONLY | os.O_DIRECTORY)
    for name in names:
        os.mkdir(name, dir_fd=at)
        below = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)


@pytest.mark.parametrize("length", range(PATH_MAX - 6, PATH_MAX + 3))
def test_paths_are_listed_also_where_they_are_longer_than_a_path_can_be(
    harness: Path, work: Path, length: int
) -> None:
    last = length - 15 * (NAME_MAX + 1)
    names = ["x" * NAME_MAX] * 15 + ["y" * min(last, NAME_MAX)]
    if last > NAME_MAX:
        names.append("z" * max(1, last - NAME_MAX - 1))
    make_deep(work, names)
    paths = {entry.path for entry in listed(harness, work)}
    assert paths == {"/".join(names[:depth]) for depth in range(1, len(names) + 1)}


def test_folders_deeper_than_anybody_needs_are_told_and_not_looked_into(
    harness: Path, work: Path
) -> None:
    make_deep(work, ["d"] * 500)
    deepest = max(listed(harness, work), key=lambda entry: len(entry.path))
    assert len(deepest.path.split("/")) == DEPTH + 1
    assert deepest.error == errno.E2BIG
    assert {entry.error for entry in listed(harness, work)} == {0, errno.E2BIG}


def test_names_that_are_no_text_and_modes_are_listed(harness: Path, work: Path) -> None:
    name = os.fsdecode(b"\xc3.txt")
    (work / name).touch()
    (work / name).chmod(0o640)
    (entry,) = listed(harness, work)
    assert (entry.path, entry.exact, entry.mode) == ("\\xc3.txt", False, 0o640)


def test_a_regular_file_is_sent_whole(harness: Path, work: Path) -> None:
    content = bytes(range(256)) * 1000
    (work / "sub").mkdir()
    (work / "sub" / "file").write_bytes(content)
    assert ask(harness, "read", work, "sub/file") == (content, 0)


@pytest.mark.parametrize(
    ("offset", "length"), [(0, 0), (0, 5), (5, 100_000), (255_990, 100), (256_000, 1), (10**9, 1)]
)
def test_a_part_of_a_file_is_sent_as_far_as_it_is_there(
    harness: Path, work: Path, offset: int, length: int
) -> None:
    content = bytes(range(256)) * 1000
    (work / "file").write_bytes(content)
    sent = ask(harness, "read", work, "file", str(offset), str(length))
    assert sent == (content[offset : offset + length], 0)


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("none", errno.ENOENT),
        ("link", errno.ELOOP),
        ("folder-link/secret", errno.ELOOP),
        ("folder", errno.EINVAL),
        ("pipe", errno.EINVAL),
        ("../secret", errno.EXDEV),
        ("/etc/passwd", errno.EXDEV),
        ("folder/../../secret", errno.EXDEV),
    ],
)
def test_nothing_but_a_regular_file_beneath_the_folder_is_sent(
    harness: Path, work: Path, path: str, error: int
) -> None:
    (work.parent / "secret").write_text("secret")
    (work / "link").symlink_to("../secret")
    (work / "folder-link").symlink_to("..")
    (work / "folder").mkdir()
    os.mkfifo(work / "pipe")
    sent, told = ask(harness, "read", work, path)
    assert sent == b""
    assert told == error or (told == errno.ENOTDIR and path == "folder-link/secret")


@pytest.mark.parametrize("path", ["file", "a/b/c/file", "x" * NAME_MAX])
def test_a_file_is_laid_with_the_folders_on_its_way(harness: Path, work: Path, path: str) -> None:
    assert ask(harness, "create", work, path, stdin=b"content") == (b"", 0)
    assert (work / path).read_bytes() == b"content"


def test_a_file_is_laid_over_another(harness: Path, work: Path) -> None:
    (work / "file").write_text("longer than what comes")
    ask(harness, "create", work, "file", stdin=b"short")
    assert (work / "file").read_bytes() == b"short"


@pytest.mark.parametrize("mode", ["644", "755", "600", "0", "777"])
def test_a_file_has_the_mode_that_was_asked_for_whatever_the_umask(
    harness: Path, work: Path, mode: str
) -> None:
    assert ask(harness, "create", work, "file", mode, stdin=b"x") == (b"", 0)
    assert (work / "file").stat().st_mode & 0o7777 == int(mode, 8)


@pytest.mark.parametrize("mode", ["1644", "2755", "4755", "177777"])
def test_neither_setuid_nor_setgid_nor_sticky_is_set(harness: Path, work: Path, mode: str) -> None:
    assert ask(harness, "create", work, "file", mode) == (b"", errno.EINVAL)
    assert list(work.iterdir()) == []


@pytest.mark.parametrize(
    ("offset", "whole"), [(0, b"XY234"), (3, b"012XY"), (4, b"0123XY"), (7, b"01234\0\0XY")]
)
def test_what_is_written_at_an_offset_leaves_the_rest_of_the_file(
    harness: Path, work: Path, offset: int, whole: bytes
) -> None:
    (work / "file").write_bytes(b"01234")
    ask(harness, "create", work, "file", "600", str(offset), stdin=b"XY")
    assert (work / "file").read_bytes() == whole


def test_an_offset_that_no_file_can_have_is_refused(harness: Path, work: Path) -> None:
    assert ask(harness, "create", work, "f", "600", str(2**63)) == (b"", errno.EINVAL)
    (work / "file").touch()
    assert ask(harness, "read", work, "file", str(2**63), "1") == (b"", errno.EINVAL)


@pytest.mark.parametrize(
    "path",
    [
        *("link", "folder-link/file", "../file", "/file", "pipe", "folder", "file/below"),
        *("", "a//b", "x" * (NAME_MAX + 1), "x" * (NAME_MAX + 1) + "/y"),
    ],
)
def test_nothing_is_laid_through_a_link_or_outside_of_the_folder(
    harness: Path, work: Path, path: str
) -> None:
    (work.parent / "secret").write_text("untouched")
    (work / "link").symlink_to("../secret")
    (work / "folder-link").symlink_to("..")
    (work / "folder").mkdir()
    (work / "file").write_text("untouched")
    os.mkfifo(work / "pipe")
    _, error = ask(harness, "create", work, path, stdin=b"content")
    assert error != 0
    assert (work.parent / "secret").read_text() == "untouched"
    assert {each.name for each in work.parent.iterdir()} == {"work", "secret"}
    assert (work / "file").read_text() == "untouched"


@pytest.mark.parametrize("path", ["a/", "a/b/", "a/there/"])
def test_a_path_that_ends_in_a_slash_makes_a_folder(harness: Path, work: Path, path: str) -> None:
    (work / "a" / "there").mkdir(parents=True)
    (work / "a" / "there" / "file").write_text("stays")
    assert ask(harness, "create", work, path) == (b"", 0)
    assert (work / path).is_dir()
    assert (work / "a" / "there" / "file").read_text() == "stays"


@pytest.mark.parametrize(
    ("path", "error"),
    [
        *(("/", errno.EINVAL), ("a//", errno.EINVAL), ("../x/", errno.EXDEV)),
        *(("file/", errno.ENOTDIR), ("link/", errno.ELOOP), ("link/x/", errno.ELOOP)),
    ],
)
def test_no_folder_is_made_through_a_link_or_outside(
    harness: Path, work: Path, path: str, error: int
) -> None:
    (work / "file").touch()
    (work / "link").symlink_to("..")
    assert ask(harness, "create", work, path) in {(b"", error), (b"", errno.ENOTDIR)}
    assert {each.name for each in work.parent.iterdir()} == {"work"}


def test_a_fifo_is_made_and_removed_again(harness: Path, work: Path) -> None:
    assert ask(harness, "fifo", work, ".run", stdin=b"content") == (b"content", 0)
    assert list(work.iterdir()) == []


def test_no_fifo_is_made_where_something_is(harness: Path, work: Path) -> None:
    (work / "file").write_text("untouched")
    (work / "link").symlink_to("../secret")
    (work / "folder").mkdir()
    for name in ("file", "link", "folder"):
        assert ask(harness, "fifo", work, name) == (b"", errno.EEXIST)
    assert (work / "file").read_text() == "untouched"
    assert {each.name for each in work.iterdir()} == {"file", "link", "folder"}
    assert ask(harness, "fifo", work, "x" * (NAME_MAX + 1)) == (b"", errno.ENAMETOOLONG)
