"""Python's tracebacks."""

from __future__ import annotations

import builtins
import re
import sys
from collections.abc import Iterator

from msgspec import Struct

from sandboxd.diagnose.dialect import Dialect, Failure
from sandboxd.diagnose.facts import Facts
from sandboxd.diagnose.meanings import python, python_world
from sandboxd.diagnose.program import Level, Program
from sandboxd_client.protocol import Category, Location

_START = re.compile(
    r"(?P<bar> *)(?P<group>\+ Exception Group )?Traceback \(most recent call last\):"
)
_FRAME = re.compile(r'  File "(?P<path>[^"]*)", line (?P<line>\d+)(?:, in (?P<function>.+))?')
_ERROR = re.compile(r"(?P<type>[A-Za-z_][\w.<>]*)(?:: (?P<message>.*))?")
_TRACELESS = re.compile(r"(?P<type>ValueError|MemoryError|SyntaxError)(?:: (?P<message>.*))?")
_CARETS = re.compile(r" {4} *[~^]+")
_OF_GROUP = re.compile(r"[ |+]*\| (?P<error>[A-Za-z_][\w.]*: .*)")
_MISSING = re.compile(r"No module named '(?P<name>[^']+)'$")
# Errors that end something else than the program, and are printed like one that does.
_ASIDE = re.compile(r"Exception in thread |Exception ignored in|.*exception was never retrieved")
_OTHER_END = re.compile(r"Exception ignored in|Exception in thread |Traceback \(most recent")

_SYNTAX = {"SyntaxError", "IndentationError", "TabError"}
_IMPORT = {"ImportError", "ModuleNotFoundError"}
_MESSAGE_LINES = 20


class _Level(Struct):
    path: str
    line: int
    function: str
    printed: str = ""
    column: int | None = None


class _Trace(Struct):
    aside: bool
    levels: list[_Level]
    error_type: str = ""
    message: str = ""


def read(facts: Facts, program: Program) -> Failure | None:
    """The last traceback; one that ended a thread only if there is no other."""
    traces = [trace for trace in _traces(facts.stderr.split("\n"), program) if trace.error_type]
    if not traces:
        return _without_trace(facts)
    last = next((trace for trace in reversed(traces) if not trace.aside), traces[-1])
    causes = "\n".join(f"{trace.error_type}: {trace.message}" for trace in traces)
    grouped = "\n".join(_OF_GROUP.findall(facts.stderr))
    missing = _MISSING.match(last.message) if last.error_type in _IMPORT else None
    is_syntax = last.error_type in _SYNTAX and not last.levels[-1].path.startswith("<")
    return Failure(
        category=_category(last, is_syntax=is_syntax),
        error_type=last.error_type,
        message=last.message,
        location=_location(last, program),
        # A syntax error's own place is no level: nothing ran there.
        frames=program.frames(
            [
                Level(level.path, level.line, level.function, level.printed.strip())
                for level in last.levels
                if level.function
            ]
        ),
        details=f"{causes}\n{grouped}",
        missing=missing["name"] if missing else "",
    )


def _category(trace: _Trace, *, is_syntax: bool) -> Category:
    if is_syntax:
        return Category.SYNTAX_ERROR
    return Category.IMPORT_ERROR if trace.error_type in _IMPORT else Category.EXCEPTION


def _without_trace(facts: Facts) -> Failure | None:
    """An error of the text itself has no traceback."""
    for line in reversed(facts.stderr.split("\n")):
        if error := _TRACELESS.fullmatch(line):
            message = error["message"] or ""
            of_the_text = "source code" in message
            return Failure(
                category=Category.SYNTAX_ERROR if of_the_text else Category.EXCEPTION,
                error_type=error["type"],
                message=message,
            )
    return None


def _traces(lines: list[str], program: Program) -> Iterator[_Trace]:
    """Each traceback with its error, in the order they were printed."""
    trace: _Trace | None = None
    bar = ""
    before = ""
    for number, printed in enumerate(lines):
        line = printed.removeprefix(bar)
        if start := _START.fullmatch(printed):
            bar = f"{start['bar']}| " if start["group"] else ""
            trace = _Trace(_ASIDE.match(before) is not None, [])
        elif frame := _FRAME.fullmatch(line):
            trace = trace or _Trace(aside=False, levels=[])
            trace.levels.append(
                _Level(frame["path"], int(frame["line"][:9]), frame["function"] or "")
            )
        elif trace and line.startswith("  "):
            if trace.levels:
                _source(trace.levels[-1], line, program)
        elif trace:
            error = _ERROR.fullmatch(line)
            if error and trace.levels:
                trace.error_type = error["type"]
                trace.message = "\n".join(_message(error["message"], lines, number, bar))
                yield trace
            trace, bar = None, ""
        before = line


def _source(level: _Level, line: str, program: Program) -> None:
    """Takes the source line that is printed under a level, or the carets under that."""
    if not _CARETS.fullmatch(line):
        level.printed = line[4:]
        return
    text = level.printed.strip()
    start = program.line(level.line, level.path).find(text) if text else -1
    if start >= 0 and level.column is None:
        indent = len(level.printed) - len(level.printed.lstrip())
        level.column = start + line.index("^") - 4 - indent + 1 if "^" in line else None


def _message(first: str | None, lines: list[str], number: int, bar: str) -> Iterator[str]:
    """The message, which goes on to the end or to what follows another one."""
    if first is None:
        return
    yield first
    rest = [] if bar else lines[number + 1 : number + _MESSAGE_LINES]
    yield from _until_end(rest)


def _until_end(lines: list[str]) -> list[str]:
    kept: list[str] = []
    for line in lines:
        if _OTHER_END.match(line) or line.endswith(" exception:"):
            break
        kept.append(line)
    while kept and not kept[-1].strip():
        kept.pop()
    return kept


def _location(trace: _Trace, program: Program) -> Location | None:
    """The innermost level that is in the program itself."""
    for level in reversed(trace.levels):
        if place := program.place(level.path, level.line, level.column):
            return place
    return None


DIALECT = Dialect(
    title="Python",
    languages=("python",),
    file="main.py",
    read=read,
    rules=python_world.RULES + python.RULES,
    known=frozenset(dir(builtins)),
    standard=frozenset(name for name in sys.stdlib_module_names if not name.startswith("_")),
    packages={
        "PIL": "pillow",
        "bs4": "beautifulsoup4",
        "cv2": "opencv-python",
        "dateutil": "python-dateutil",
        "dotenv": "python-dotenv",
        "sklearn": "scikit-learn",
        "skimage": "scikit-image",
        "yaml": "pyyaml",
        "Crypto": "pycryptodome",
    },
    ends=re.compile(r"\b(?:sys\.exit|os\._exit|exit|quit)\s*\(|\bSystemExit\b"),
    exit_codes=python_world.EXIT_CODES,
)
