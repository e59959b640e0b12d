"""What a session's driver says is taken for what it is: a stranger's words."""

from __future__ import annotations

import base64
import itertools
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxd.languages import BUILTIN, load
from sandboxd.run.driver import DriverError, Shown, WordReader, encode_piece, shown_files

GOOD: dict[str, Any] = {"run": 1, "exit_code": 0, "cpu": 0.5, "memory": 4096}
LANGUAGES = load(BUILTIN)


def line(**changed: Any) -> bytes:
    return json.dumps(GOOD | changed).encode() + b"\n"


@given(st.integers(1, 40))
def test_lines_come_together_however_they_were_cut(size: int) -> None:
    data = line(value="é") + line(run=2)
    reader = WordReader()
    ends = [end for at in range(0, len(data), size) for end in reader.feed(data[at : at + size])]
    assert [(end.run, end.value) for end in ends] == [(1, "é"), (2, None)]


@pytest.mark.parametrize(
    "said",
    [
        b"hello\n",
        b"\xff\n",
        b"[]\n",
        line(run=-1),
        line(exit_code=256),
        line(exit_code="0"),
        line(cpu=-1),
        line(cpu=1e300),
        b'{"run": 1, "exit_code": 0, "cpu": NaN, "memory": 1}\n',
        line(memory=2**60),
        line(value="x" * 100_001),
        line(files=[{"path": "../etc/passwd", "size": 1}]),
        line(files=[{"path": "value.html", "size": -1}]),
        b"[" * 100_000 + b"\n",
        b"x" * (16 * 1024 * 1024 + 1),
    ],
)
def test_what_cannot_be_meant_is_an_error(said: bytes) -> None:
    with pytest.raises(DriverError):
        list(WordReader().feed(said))


def end_with(*files: Shown) -> Any:
    (end,) = WordReader().feed(line())
    return msgspec.structs.replace(end, files=list(files))


def test_files_of_a_value_keep_within_the_limit_and_the_others_are_named() -> None:
    data = base64.b64encode(b"12345").decode()
    taken = shown_files(
        end_with(
            Shown("value.html", 5, data),
            Shown("value.png", 5, data),
            Shown("figure-1.png", 9, None),
            Shown("figure-2.png", 3, "no base64"),
        ),
        7,
    )
    assert [(file.path, file.content) for file in taken.files] == [("value.html", b"12345")]
    assert [file.path for file in taken.skipped] == ["value.png", "figure-1.png", "figure-2.png"]


@given(code=st.text(st.characters(blacklist_categories=["Cs"])))
def test_a_shell_gets_sizes_and_then_the_very_bytes(code: str) -> None:
    piece = encode_piece(
        LANGUAGES.find("bash"),
        7,
        code,
        args=["a b"],
        env={"X": "'y'"},
        streams="/nowhere",
        files_total=0,
        interrupts=0,
    )
    header, _, rest = piece.partition(b"\n")
    run, *sizes = map(int, header.split())
    ends = [sum(sizes[:count]) for count in range(len(sizes) + 1)]
    assert (run, ends[-1]) == (7, len(rest))
    assert [rest[start:end] for start, end in itertools.pairwise(ends)] == [
        b"/nowhere",
        b"1\0a b\0X='y'\0",
        code.replace("\0", "").encode(),
    ]


def test_other_languages_get_json_and_its_length() -> None:
    piece = encode_piece(
        LANGUAGES.find("python"),
        7,
        "é",
        args=["a"],
        env={},
        streams="/sandbox/.run",
        files_total=10,
        interrupts=3,
    )
    length, _, payload = piece.partition(b"\n")
    assert len(payload) == int(length)
    assert json.loads(payload) == {
        "run": 7,
        "code": "é",
        "args": ["a"],
        "env": {},
        "streams": "/sandbox/.run",
        "room": 10,
        "interrupts": 3,
    }
