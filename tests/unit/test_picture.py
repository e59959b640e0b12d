"""The picture of a terminal: every line at its time."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from tests.picture import FILE, Line, draw, record

LINES = [Line(1.0, "echo 'a"), Line(1.0, "<b>'"), Line(1.25, "a & <b>", 0.25)]


def texts(svg: str) -> list[str]:
    root = ET.fromstring(svg)
    found = root.iter("{http://www.w3.org/2000/svg}text")
    return ["".join(each.itertext()) for each in found]


def test_a_command_has_a_prompt_and_what_it_printed_its_time() -> None:
    assert texts(draw(LINES)) == ["$ echo 'a", "> <b>'", "a & <b>", "0.25 s"]


def test_a_line_appears_when_it_was_printed() -> None:
    svg = draw(LINES)
    (length,) = {float(each) for each in re.findall(r"animation: l\d ([\d.]+)s", svg)}
    shares = [float(each) for each in re.findall(r"0%, ([\d.]+)%", svg)]
    assert [round(share * length / 100, 2) for share in shares] == [1.0, 1.0, 1.25]


def test_what_is_recorded_is_what_a_terminal_shows() -> None:
    first, *printed = record(["echo one; [ -t 1 ] && echo two >&2"], {"PATH": "/usr/bin:/bin"})
    assert (first.text, first.after) == ("echo one; [ -t 1 ] && echo two >&2", None)
    assert [each.text for each in printed] == ["one", "two"]
    assert all(each.after is not None for each in printed)


def test_the_one_in_the_documents_is_whole() -> None:
    assert "exit code 124" in texts(FILE.read_text())
