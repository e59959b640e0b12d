"""Ruby's backtraces and syntax errors."""

from __future__ import annotations

import re
from itertools import pairwise

from msgspec import Struct

from sandboxd.diagnose.dialect import Dialect, Failure
from sandboxd.diagnose.facts import Facts
from sandboxd.diagnose.meanings import ruby
from sandboxd.diagnose.program import Level, Program
from sandboxd_client.protocol import Category, Location

# Ruby quotes names `so' until 3.3, and 'so' since.
_LEVEL = r"(?P<path><internal:[^>]*>|[^:\s][^:]*):(?P<line>\d{1,9}):in [`'](?P<function>[^']*)'"
_HEAD = re.compile(_LEVEL + r": (?P<said>.*)")
_FROM = re.compile(r"\s+from " + _LEVEL)
_CLASS = re.compile(r"(?P<message>.*) \((?P<type>[A-Z]\w*(?:::\w+)*)\)")
_SYNTAX = re.compile(
    r"(?:.*: )?(?P<path>\S+\.rb):(?P<line>\d{1,9}): "
    r"(?P<said>.* \(SyntaxError\)|syntax error.*|unterminated .*|.* meets end of file.*)"
)
"""Of its main file Ruby tells them without their class."""
_PLACELESS = re.compile(r"\S+: (?P<said>.* \([A-Z]\w*Error\))")
_BUG = re.compile(r"(?P<path>\S+):(?P<line>\d{1,9}): \[BUG\] (?P<message>.*)")
_CARETS = re.compile(r"\s*\^[~^]*")
_MISSING = re.compile(r"cannot load such file -- (?P<name>\S+)")
_THREAD = "#<Thread:"
_UNHANDLED = "unhandled exception"


class _Block(Struct):
    """One exception as it is printed: the head, more of its message, the levels."""

    said: list[str]
    levels: list[Level]
    of_thread: bool


def read(facts: Facts, program: Program) -> Failure | None:
    lines = facts.stderr.split("\n")
    return (
        _bug(lines, program)
        or _syntax_error(lines, program)
        or _exception(lines, program)
        or _placeless(lines)
    )


def _bug(lines: list[str], program: Program) -> Failure | None:
    """The interpreter's own crash."""
    for line in lines:
        if bug := _BUG.fullmatch(line):
            return Failure(
                category=Category.SIGNAL,
                message=bug["message"],
                location=program.place(bug["path"], int(bug["line"])),
            )
    return None


def _syntax_error(lines: list[str], program: Program) -> Failure | None:
    for number, line in enumerate(lines):
        match = _SYNTAX.fullmatch(line)
        if match and (place := program.place(match["path"], int(match["line"]))):
            source = program.line(place.line, place.file)
            column = _column(lines[number + 1 : number + 3], source)
            return Failure(
                category=Category.SYNTAX_ERROR,
                error_type="SyntaxError",
                message=match["said"].removesuffix(" (SyntaxError)"),
                location=program.place(match["path"], place.line, column),
            )
    return None


def _exception(lines: list[str], program: Program) -> Failure | None:
    blocks = _blocks(lines)
    if not blocks:
        return None
    # The causes of an exception are printed after it, those of threads that died before.
    block = next((block for block in blocks if not block.of_thread), blocks[-1])
    error_type, message, said = _error(block.said)
    levels = block.levels[::-1]
    location = program.innermost(levels)
    if location:
        column = _column(said, program.line(location.line, location.file))
        location = Location(location.file, location.line, column)
    missing = _MISSING.match(message) if error_type == "LoadError" else None
    return Failure(
        category=Category.IMPORT_ERROR if error_type == "LoadError" else Category.EXCEPTION,
        error_type=error_type,
        message=message,
        location=location,
        frames=program.frames(levels),
        details="\n".join(" ".join(each.said) for each in blocks),
        missing=_module(missing["name"]) if missing else "",
    )


def _placeless(lines: list[str]) -> Failure | None:
    for line in lines:
        if match := _PLACELESS.fullmatch(line):
            error_type, message, _ = _error([match["said"]])
            return Failure(category=Category.EXCEPTION, error_type=error_type, message=message)
    return None


def _blocks(lines: list[str]) -> list[_Block]:
    blocks: list[_Block] = []
    before = ""
    for line in lines:
        if head := _HEAD.fullmatch(line):
            level = Level(head["path"], int(head["line"]), head["function"])
            blocks.append(_Block([head["said"]], [level], before.startswith(_THREAD)))
        elif blocks and (level_line := _FROM.fullmatch(line)):
            blocks[-1].levels.append(
                Level(level_line["path"], int(level_line["line"]), level_line["function"])
            )
        elif blocks and len(blocks[-1].levels) == 1:
            blocks[-1].said.append(line)
        before = line
    return blocks


def _error(said: list[str]) -> tuple[str, str, list[str]]:
    """The class, the message, and what Ruby adds to it: the source line and spellings."""
    match = _CLASS.fullmatch(said[0])
    if match is None:
        known = "RuntimeError" if said[0] == _UNHANDLED else ""
        return known, "" if known else said[0], said[1:]
    rest = said[1:]
    more = []
    while rest and rest[0].strip():
        more.append(rest.pop(0))
    return match["type"], "\n".join([match["message"], *more]), rest


def _column(said: list[str], source: str) -> int | None:
    """Where the carets point, if they are under this very line."""
    for above, below in pairwise(said):
        if above == source and _CARETS.fullmatch(below):
            return below.index("^") + 1
    return None


def _module(name: str) -> str:
    folder = "/sandbox/"
    return f"./{name.removeprefix(folder)}.rb" if name.startswith(folder) else name


DIALECT = Dialect(
    title="Ruby",
    languages=("ruby",),
    file="main.rb",
    read=read,
    rules=ruby.RULES,
    known=ruby.KERNEL,
    standard=ruby.STANDARD,
    ends=re.compile(r"\b(?:exit!?|abort)\b"),
)
