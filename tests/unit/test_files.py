"""Files of a run: which may be laid, and which come back."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxd.errors import InvalidParamsError, PayloadTooLargeError
from sandboxd.guest.frames import PAYLOAD_MAX, Command, FrameReader
from sandboxd.run.files import (
    Entry,
    matches,
    may_match_below,
    missing,
    parse_listing,
    tell_named,
    why_missing,
    with_folders,
)
from sandboxd.run.laid import check_files, encode_files, following, to_laid
from sandboxd_client.protocol import Base64, InputFile, SkippedFile, WrittenFile

_PUT = struct.Struct("<BHQ")


def laid(frames: bytes) -> dict[str, bytes]:
    """What a guest makes of the frames."""
    files: dict[str, bytes] = {}
    path = ""
    for kind, payload in FrameReader().feed(frames):
        if kind == Command.PUT:
            path = bytes(payload[_PUT.size :]).decode()
            files[path] = b""
        else:
            assert kind == Command.DATA
            files[path] += payload
    return files


def modes(frames: bytes) -> dict[str, tuple[int, int, int]]:
    """The flags, mode and offset that each file is laid with."""
    return {
        bytes(payload[_PUT.size :]).decode(): _PUT.unpack_from(payload)
        for kind, payload in FrameReader().feed(frames)
        if kind == Command.PUT
    }


def encode(files: dict[str, str | InputFile], most: int) -> bytes:
    laid = to_laid(files, {})
    check_files(laid, most, "main.py")
    return b"".join(encode_files(laid))


def test_what_is_missing_is_told_by_name_and_once() -> None:
    paths = ["a", "b-", "b/c", "d/e/f"]
    there = ["a", "b", "b/", "./b/c", "d", "d/e", "*", ".", "./"]
    assert missing(there, paths, []) == []
    absent = ["b/x", "c", "d/e/f/g", "e"]
    assert missing([*absent, "./c", "c/", "{c,d}", "c*"], paths, []) == ["b/x", "c", "d/e/f/g", "e"]


def test_a_name_is_of_the_same_file_with_a_slash_and_from_the_root() -> None:
    for name in ("x.txt", "x.txt/", "./x.txt", "/sandbox/x.txt", "/sandbox/x.txt/"):
        assert missing([name], ["x.txt"], []) == []
        assert missing([name], ["other"], []) == ["x.txt"]
        assert matches("x.txt", with_folders([name]))
        assert matches("x.txt/below", with_folders([name]))
    assert matches("a/x.txt", with_folders(["/sandbox/*/x.txt"]))
    for everything in (".", "./", "/sandbox", "/sandbox/", "/sandbox/."):
        assert missing([everything], [], []) == []
        assert matches("a/x.txt", with_folders([everything]))
    assert not matches("x.txt", with_folders(["/sandboxes/x.txt", "/tmp/x.txt"]))


@pytest.mark.parametrize("name", ["/tmp/x", "/etc", "../x", "..", "a/../../x", "/sandboxes/x"])
def test_a_name_that_leads_out_of_the_work_folder_is_told_where_that_is(name: str) -> None:
    assert missing([name], ["x"], []) == [name]
    assert why_missing(name) == "not in the work folder, /sandbox"


@pytest.mark.parametrize("name", ["x", "..x", "a/../x", "...", ""])
def test_another_name_is_of_no_file(name: str) -> None:
    assert why_missing(name) == "no such file"


def test_what_a_pattern_meets_was_not_asked_for_by_name() -> None:
    skipped = [SkippedFile(path, "why") for path in ("d", "d/e/link", "other", "")]

    def named(*patterns: str) -> list[str]:
        return [file.path for file in tell_named(skipped, [*patterns]) if file.named]

    assert named("**", "d/*", "{d,other}") == []
    assert named("d/e") == ["d", "d/e/link", ""]
    assert named("./other/", "**") == ["other", ""]
    assert named("d/e/link/below") == ["d", "d/e/link", ""]
    assert named("none") == [""]
    assert named(".") == named("/sandbox") == ["d", "d/e/link", "other", ""]


def test_what_was_skipped_with_its_reason_is_not_missing_besides() -> None:
    skips = [SkippedFile("big", "too large"), SkippedFile("locked", "not looked into")]
    assert missing(["big", "locked/a/b", "locked", "c"], [], skips) == ["c"]
    assert missing(["c"], [], [SkippedFile("", "the listing broke off")]) == []


def test_text_and_bytes_are_laid_as_they_are_and_empty_files_too() -> None:
    files: dict[str, str | InputFile] = {"a/b.txt": "é", "c": InputFile(base64="/wA="), "empty": ""}
    assert laid(encode(files, 100)) == {"a/b.txt": "é".encode(), "c": b"\xff\x00", "empty": b""}


def test_a_path_that_ends_in_a_slash_is_of_a_folder_with_nothing_in_it() -> None:
    files: dict[str, str | InputFile] = {"a/b/": "", "c": "x"}
    assert laid(encode(files, 100)) == {"a/b/": b"", "c": b"x"}


@pytest.mark.parametrize("file", ["x", InputFile(data="x"), InputFile(data="", mode=0o700)])
def test_a_folder_has_neither_content_nor_mode(file: str | InputFile) -> None:
    with pytest.raises(InvalidParamsError, match="a/ is a folder"):
        encode({"a/": file}, 100)


def test_content_may_stand_in_any_of_its_forms() -> None:
    files: dict[str, str | InputFile] = {
        "a": InputFile(data="x"),
        "b": InputFile(data=Base64("eA==")),
        "c": InputFile(size=1),
    }
    frames = b"".join(encode_files(to_laid(files, {"c": b"x"})))
    assert laid(frames) == {"a": b"x", "b": b"x", "c": b"x"}


@pytest.mark.parametrize(
    "file",
    [
        InputFile(),
        InputFile(mode=0o644),
        InputFile(base64="", data=""),
        InputFile(data="", mode=-1),
        InputFile(data="", mode=0o1000),
        InputFile(data="", mode=0o4755),
    ],
)
def test_what_is_no_file_is_refused_with_its_path(file: InputFile) -> None:
    with pytest.raises(InvalidParamsError, match="files: a/b: "):
        to_laid({"a/b": file}, {})


@pytest.mark.parametrize("file", [InputFile(size=1, data=""), InputFile(size=1, base64="")])
def test_a_size_stands_alone(file: InputFile) -> None:
    with pytest.raises(InvalidParamsError, match="files: a/b: "):
        following({"a/b": file}, 100)


def test_sizes_past_the_limit_are_refused_before_anything_is_sent() -> None:
    files: dict[str, str | InputFile] = {
        "small": InputFile(size=1),
        "big": InputFile(size=10),
        "here": "x" * 100,
    }
    assert following(files, 11) == {"small": 1, "big": 10}
    with pytest.raises(PayloadTooLargeError, match=r"11 bytes, 10 of them in big; .* is 10"):
        following(files, 10)


def test_what_begins_as_a_script_can_be_executed_unless_its_mode_says_otherwise() -> None:
    files: dict[str, str | InputFile] = {
        "plain": "x",
        "script": "#!/bin/sh\n",
        "given": InputFile(data="x", mode=0o400),
        "tame": InputFile(data="#!/bin/sh\n", mode=0o644),
        "patched": WrittenFile(data="#!", offset=7),
    }
    assert modes(encode(files, 100)) == {
        "plain": (0, 0, 0),
        "script": (1, 0o755, 0),
        "given": (1, 0o400, 0),
        "tame": (1, 0o644, 0),
        "patched": (2, 0, 7),
    }


def test_a_large_file_takes_as_many_frames_as_it_needs() -> None:
    text = "0123456789abcdef" * (PAYLOAD_MAX // 8)
    assert laid(encode({"big": text}, len(text))) == {"big": text.encode()}


@pytest.mark.parametrize(
    "path",
    [
        *("", ".", "..", "/", "/a", "a//", "a//b", "../a", "a/../b", "a/..", "./a", "a/./b"),
        *("a\0b", "x" * 5000, "é" * 2048),
    ],
)
def test_a_path_that_leaves_the_work_folder_is_refused(path: str) -> None:
    with pytest.raises(InvalidParamsError, match="files"):
        encode({path: ""}, 100)


@pytest.mark.parametrize(
    "path", ["a", ".hidden", "...", "a..b", "a b\n", "é/😀", "-", "~", "main.pyc"]
)
def test_any_other_path_is_taken(path: str) -> None:
    assert laid(encode({path: "x"}, 100)) == {path: b"x"}


def test_a_path_that_is_the_program_is_refused() -> None:
    with pytest.raises(InvalidParamsError, match="program itself"):
        encode({"main.py": ""}, 100)


def test_malformed_base64_is_refused_with_the_path() -> None:
    with pytest.raises(InvalidParamsError, match="a/b"):
        encode({"a/b": InputFile(base64="?")}, 100)


def test_files_past_their_limit_are_refused_with_it() -> None:
    encode({"a": "12", "b": "345"}, 5)
    with pytest.raises(PayloadTooLargeError) as caught:
        encode({"a": "12", "b": "3456"}, 5)
    assert caught.value.data == {"limit": "files_total", "max": 5}


paths = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
entries = st.builds(
    Entry,
    st.sampled_from("fdlpscb?"),
    st.integers(0, 2**62),
    st.integers(0, 0o777),
    st.integers(0, 133),
    paths,
    st.just(value=True),
)


@given(st.lists(entries))
def test_a_listing_is_read_whatever_the_paths_are(listed: list[Entry]) -> None:
    lines = [
        f"{entry.kind} {entry.size} {entry.mode:o} {entry.error} {entry.path}\0" for entry in listed
    ]
    assert list(parse_listing("".join(lines).encode())) == listed


def test_what_no_text_can_name_is_listed_with_escapes_and_does_not_come_back() -> None:
    (entry,) = parse_listing(b"f 1 644 0 a\xff\0")
    assert entry.path == "a\\xff"
    assert entry.obstacle == "its name is not UTF-8"


def test_a_listing_that_broke_off_ends_with_the_last_whole_entry() -> None:
    assert list(parse_listing(b"f 1 600 0 a\0f 2 644 0 b")) == [Entry("f", 1, 0o600, 0, "a", True)]
    assert list(parse_listing(b"")) == []


@pytest.mark.parametrize(
    ("pattern", "may"),
    [
        *(("**", True), ("a/b/c", True), ("a/b/*.txt", True), ("*/*/*", True), ("a/**/x", True)),
        *(("{a,x}/b/c", True), ("a/{b/c,d}", True), ("**/*.csv", True)),
        *(("*", False), ("a", False), ("a/b", False), ("a/x/c", False), ("x/**", False)),
    ],
)
def test_a_folder_that_is_closed_matters_where_a_pattern_may_name_what_is_in_it(
    pattern: str, *, may: bool
) -> None:
    assert may_match_below("a/b", [pattern]) is may


@pytest.mark.parametrize(
    ("pattern", "path", "named"),
    [
        *(("out", "out/a", True), ("out/", "out/a/b", True), ("a/b", "a/b/c", True)),
        *(("out", "out", True), ("out", "outer/a", False), ("*", "out/a", False)),
        *(("a/b", "a/c", False), ("{a,b}", "a/x", False), ("[a]", "a/x", False)),
    ],
)
def test_a_plain_name_stands_for_a_folder_with_all_that_is_in_it(
    pattern: str, path: str, *, named: bool
) -> None:
    assert matches(path, with_folders([pattern])) is named
