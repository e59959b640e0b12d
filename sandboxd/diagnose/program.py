"""The program's text: the lines of its files, and places in them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sandboxd.diagnose.words import clip
from sandboxd_client.protocol import Frame, Location

_FOLDER = "/sandbox/"
_MAIN = re.compile(r"main\.\w+")
_ANY_MAIN = "main.x"
_RELATIVE = re.compile(r"[\w.+-][\w.+/-]*")
_SOURCE = 200
# Of more than that no place is told; a search looks at fewer lines still.
_CODE = 1024 * 1024
_SEARCHED = 10_000


def short(path: str) -> str:
    """A path as reports write it: without the work folder before the program's own files."""
    return path.removeprefix("file://").removeprefix(_FOLDER).removeprefix("./")


def whole(path: str) -> str:
    """A path as compilers and shells write it: from the work folder, where programs start."""
    return _FOLDER + path if _RELATIVE.fullmatch(path) else path


class Level(NamedTuple):
    """One level of a trace, as it is printed."""

    path: str
    line: int
    function: str = ""
    printed: str = ""
    """The source line that stands with it."""


class _Text:
    """A file by its lines."""

    def __init__(self, code: str) -> None:
        self.is_cut = len(code) > _CODE
        self.lines = [line.removesuffix("\r") for line in code[:_CODE].split("\n")]
        if self.is_cut or not self.lines[-1]:
            self.lines.pop()  # what follows the last newline is no line


class Program:
    """The code, and the files beside it that are known, by their lines, which count from 1."""

    def __init__(self, code: str, files: Mapping[str, str] | None = None) -> None:
        self._files = {short(path): text for path, text in (files or {}).items()}
        self._texts = {_ANY_MAIN: _Text(code)}
        """Those that were asked for."""
        self.lines = self._texts[_ANY_MAIN].lines

    def owns(self, path: str) -> bool:
        """Whether a path is that of this code, or of a file beside it."""
        name = short(path)
        return (
            _MAIN.fullmatch(name) is not None
            or path.removeprefix("file://").startswith(_FOLDER)
            or name in self._files
        )

    def lines_of(self, path: str) -> list[str]:
        """The lines of a file of the program's; none where its text is not known."""
        text = self._text(path)
        return text.lines if text else []

    def line(self, number: int, path: str = _ANY_MAIN) -> str:
        """The text of a line, empty where there is none."""
        lines = self.lines_of(path)
        return lines[number - 1] if 0 < number <= len(lines) else ""

    def place(self, path: str, line: int, column: int | None = None) -> Location | None:
        """A location in the program, or None for what does not lie in it.

        An error at the end of a file is said to be past the last line: it is
        placed on that.
        """
        if not self.owns(path) or line < 1:
            return None
        text = self._text(path)
        if text is None:
            return Location(file=short(path), line=line, column=column)
        if not text.lines or (line > len(text.lines) and text.is_cut):
            return None
        if line > len(text.lines):
            line, column = len(text.lines), None
        if column is not None and not 1 <= column <= len(text.lines[line - 1]) + 1:
            column = None
        return Location(file=short(path), line=line, column=column)

    def innermost(self, levels: Iterable[Level]) -> Location | None:
        """Where a trace, outermost level first, was last in the program."""
        for level in reversed(list(levels)):
            if place := self.place(level.path, level.line):
                return place
        return None

    def frames(self, levels: Sequence[Level], start: str = "") -> tuple[Frame, ...]:
        """The trace, with the lines of the program that are known. What comes before the
        program is left out if all of it lies in files whose names begin with `start`: that
        is how the interpreter begins every program."""
        own = next((n for n, level in enumerate(levels) if self.owns(level.path)), 0)
        if not start or not all(level.path.startswith(start) for level in levels[:own]):
            own = 0
        return tuple(self._frame(level) for level in levels[own:])

    def _frame(self, level: Level) -> Frame:
        source = ""
        if self.owns(level.path):
            source = self.line(level.line, level.path).strip() or level.printed
        return Frame(short(level.path), level.line, level.function, clip(source, _SOURCE))

    def lines_with(self, pattern: re.Pattern[str]) -> list[int]:
        """The lines of the code in which something is found."""
        return [
            number for number, line in enumerate(self.lines[:_SEARCHED], 1) if pattern.search(line)
        ]

    def _text(self, path: str) -> _Text | None:
        name = short(path)
        if name in self._files and name not in self._texts:
            self._texts[name] = _Text(self._files[name])
        if name not in self._texts and _MAIN.fullmatch(name):
            name = _ANY_MAIN
        return self._texts.get(name)
