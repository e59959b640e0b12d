"""The lines around a place, as a reader wants to see them."""

from __future__ import annotations

import re

from sandboxd.diagnose.program import Program
from sandboxd_client.protocol import Location

_CONTEXT = 2
_WIDTH = 160
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_MARK = "…"


def snippet(program: Program, place: Location) -> str:
    """Two lines before and after the place, numbered, its own line marked with `>`
    and where the column is known a caret under it. Nothing where its text is not known."""
    lines = program.lines_of(place.file)
    first = max(1, place.line - _CONTEXT)
    last = min(len(lines), place.line + _CONTEXT)
    width = len(str(last))
    shown: list[str] = []
    for number in range(first, last + 1):
        here = number == place.line
        text, caret = _window(lines[number - 1], place.column if here else None)
        shown.append(f"{'>' if here else ' '} {number:>{width}} | {text}".rstrip())
        if caret is not None:
            shown.append(f"  {'':>{width}} | {caret}")
    return "\n".join(shown)


def _window(line: str, column: int | None) -> tuple[str, str | None]:
    """The part of a line that is shown, and the line with the caret for it.

    Tabs are kept above and below, so that the two line up however wide a tab is.
    """
    line = _CONTROLS.sub("·", line)
    start = 0 if column is None else max(0, column - 1 - _WIDTH // 2)
    if len(line) - start <= _WIDTH:
        start = max(0, len(line) - _WIDTH) if start else 0
    before = _MARK if start else ""
    after = _MARK if start + _WIDTH < len(line) else ""
    text = f"{before}{line[start : start + _WIDTH]}{after}"
    if column is None:
        return text, None
    ahead = before + line[start : column - 1]
    return text, "".join("\t" if letter == "\t" else " " for letter in ahead) + "^"
