"""The program's text: its lines, and places in it."""

from __future__ import annotations

import re

from sandboxd.diagnose.words import clip
from sandboxd_client.protocol import Frame, Location

_FOLDER = "/sandbox/"
_OWN = re.compile(r"main\.\w+")
_SOURCE = 200
# Of more than that no place is told; a search looks at fewer lines still.
_CODE = 1024 * 1024
_SEARCHED = 10_000


def short(path: str) -> str:
    """A path as reports write it: without the work folder before the program's own files."""
    return path.removeprefix("file://").removeprefix(_FOLDER).removeprefix("./")


class Program:
    """The code by its lines, which count from 1."""

    def __init__(self, code: str) -> None:
        self._is_cut = len(code) > _CODE
        self.lines = [line.removesuffix("\r") for line in code[:_CODE].split("\n")]
        if self._is_cut or not self.lines[-1]:
            self.lines.pop()  # what follows the last newline is no line

    def owns(self, path: str) -> bool:
        """Whether a path is that of this code, and not of a file beside it."""
        return _OWN.fullmatch(short(path)) is not None

    def line(self, number: int) -> str:
        """The text of a line, empty where there is none."""
        return self.lines[number - 1] if 0 < number <= len(self.lines) else ""

    def place(self, path: str, line: int, column: int | None = None) -> Location | None:
        """A location in this code, or None for what does not lie in it.

        An error at the end of the file is said to be past the last line: it is
        placed on that.
        """
        if not self.owns(path) or line < 1 or not self.lines:
            return None
        if line > len(self.lines):
            if self._is_cut:
                return None
            line, column = len(self.lines), None
        if column is not None and not 1 <= column <= len(self.line(line)) + 1:
            column = None
        return Location(file=short(path), line=line, column=column)

    def frame(self, path: str, line: int, function: str = "") -> Frame:
        """A level of a traceback, with its source where that is in this code."""
        source = self.line(line).strip() if self.owns(path) else ""
        return Frame(short(path), line, function, clip(source, _SOURCE))

    def innermost(self, frames: tuple[Frame, ...]) -> Location | None:
        """Where the trace was last in this code."""
        for frame in reversed(frames):
            if place := self.place(frame.file, frame.line):
                return place
        return None

    def without_start(self, frames: tuple[Frame, ...], start: str) -> tuple[Frame, ...]:
        """The trace without what comes before this code, if all of it lies in files that
        begin so: that is how the interpreter begins every program."""
        own = [number for number, frame in enumerate(frames) if self.owns(frame.file)]
        if own and all(frame.file.startswith(start) for frame in frames[: own[0]]):
            return frames[own[0] :]
        return frames

    def lines_with(self, pattern: re.Pattern[str]) -> list[int]:
        """The lines in which something is found."""
        return [
            number for number, line in enumerate(self.lines[:_SEARCHED], 1) if pattern.search(line)
        ]
