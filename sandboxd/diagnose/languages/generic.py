"""Errors of languages without a module of their own, by the forms that most of them use."""

from __future__ import annotations

import re
from typing import NamedTuple

from sandboxd.diagnose.dialect import Dialect, Failure
from sandboxd.diagnose.facts import Facts
from sandboxd.diagnose.meanings import generic
from sandboxd.diagnose.program import Level, Program, whole
from sandboxd_client.protocol import Category, Location

_UNNAMED = "main.sql"  # of those here, only SQL reads its program from stdin
_SOURCES = r"c|cc|cpp|cxx|h|hh|hpp|hxx|rs|java|[cm]?tsx?|php|lua|p[lm]|[rR]|sql"
_FILE = (
    rf"(?P<path>[^\s:(]*\bmain\.\w+|/sandbox/[^\s:()]+|(?!/)[\w.+/-]{{1,200}}\.(?:{_SOURCES})\b)"
)
_LINKING = "(?:undefined reference to|multiple definition of)"
_LINE = r"(?P<line>\d{1,9})"
_COLUMN = r"(?P<column>\d{1,9})"


class _Form(NamedTuple):
    """How an error is written. Groups: path, line, column, type, message."""

    pattern: re.Pattern[str]
    category: Category
    error_type: str = ""


def _form(pattern: str, category: Category, error_type: str = "") -> _Form:
    return _Form(re.compile(pattern, re.MULTILINE), category, error_type)


_FORMS = (
    # Rust's compiler, and its panics before and since 1.73
    _form(
        rf"^error(?:\[(?P<type>E\d+)\])?: (?P<message>.*)\n *--> {_FILE}:{_LINE}:{_COLUMN}",
        Category.COMPILE_ERROR,
        "compile error",
    ),
    _form(
        rf"^thread '.*' (?:\(\d+\) )?panicked at {_FILE}:{_LINE}:{_COLUMN}:\n(?P<message>.*)",
        Category.EXCEPTION,
        "panic",
    ),
    _form(
        rf"^thread '.*' panicked at '(?P<message>.*)', {_FILE}:{_LINE}:{_COLUMN}$",
        Category.EXCEPTION,
        "panic",
    ),
    # Linkers
    _form(
        rf"^{_FILE}:{_LINE}: (?:error: )?(?P<message>{_LINKING} .*)",
        Category.COMPILE_ERROR,
        "link error",
    ),
    _form(rf"(?P<message>{_LINKING} .*)", Category.COMPILE_ERROR, "link error"),
    # C compilers and javac
    _form(
        rf"^{_FILE}:{_LINE}:(?:{_COLUMN}:)? (?P<type>(?:fatal )?error): (?P<message>.*)",
        Category.COMPILE_ERROR,
        "compile error",
    ),
    # TypeScript
    _form(
        rf"^{_FILE}[(:]{_LINE}[,:]{_COLUMN}\)?(?::| -) error (?P<type>TS\d+): (?P<message>.*)",
        Category.COMPILE_ERROR,
    ),
    # PHP
    _form(
        rf"^(?:PHP )?Fatal error: +Uncaught (?P<type>[\w\\]+)(?:: (?P<message>.*))? in "
        rf"{_FILE}:{_LINE}$",
        Category.EXCEPTION,
    ),
    _form(
        rf"^(?:PHP )?(?P<type>Parse error): +(?P<message>.*) in {_FILE} on line {_LINE}$",
        Category.SYNTAX_ERROR,
    ),
    _form(
        rf"^(?:PHP )?(?P<type>Fatal error): +(?P<message>.*) in {_FILE} on line {_LINE}$",
        Category.EXCEPTION,
    ),
    # Lua
    _form(
        rf"^lua\S*: {_FILE}:{_LINE}: (?P<message>.* near .*)",
        Category.SYNTAX_ERROR,
        "syntax error",
    ),
    _form(rf"^lua\S*: {_FILE}:{_LINE}: (?P<message>.*)", Category.EXCEPTION, "error"),
    # Perl
    _form(
        rf"^(?P<message>syntax error|Global symbol .*) at {_FILE} line {_LINE}\b",
        Category.SYNTAX_ERROR,
        "syntax error",
    ),
    _form(rf"^(?P<message>.+) at {_FILE} line {_LINE}[.,]", Category.EXCEPTION, "error"),
    # The shell of SQLite
    _form(
        rf"^(?P<type>(?:Parse|Runtime) error|Error):? near line {_LINE}: (?P<message>.*)",
        Category.EXCEPTION,
    ),
    # JVM languages, whose place is in the trace
    _form(
        r'^Exception in thread ".*" (?P<type>[\w.$]+)(?:: (?P<message>.*))?',
        Category.EXCEPTION,
    ),
    # R
    _form(
        r"^Error: (?P<message>unexpected (?:[\w ]+|'.+?'))(?: in:?(?: \".*)?)?$",
        Category.SYNTAX_ERROR,
        "syntax error",
    ),
    _form(r"^Error(?: in .*?)? ?: *(?:\n *)?(?P<message>.*)", Category.EXCEPTION, "error"),
    # Whoever else says where it was
    _form(
        rf"^(?:\w+: )?{_FILE}:{_LINE}:(?:{_COLUMN}:)? (?P<message>.*)",
        Category.EXCEPTION,
        "error",
    ),
)

_TRACES = tuple(
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        r"^\s+at (?P<function>[\w.$<>/]+)\((?P<path>[\w.]+):(?P<line>\d{1,9})\)",
        r"^\s+(?P<path>\S+):(?P<line>\d{1,9}): in (?P<function>.*)",
        r"^#\d+ (?P<path>\S+)\((?P<line>\d{1,9})\): (?P<function>[^(\n]*)",
    )
)


def read(facts: Facts, program: Program) -> Failure | None:
    """By the first form that fits. PHP and others write their errors to stdout."""
    for text in (facts.stderr, facts.stdout):
        for form in _FORMS:
            if match := form.pattern.search(text):
                return _failure(form, match, text, facts, program)
    return None


def _failure(
    form: _Form, match: re.Match[str], text: str, facts: Facts, program: Program
) -> Failure:
    groups = match.groupdict()
    message = (groups.get("message") or "").strip()
    levels = _levels(text[match.start() :])
    compiling = facts.phase == "compile" and form.category is Category.EXCEPTION
    category = Category.COMPILE_ERROR if compiling else form.category
    missing = next(
        (found[1] for pattern in generic.MISSING if (found := pattern.search(message))), ""
    )
    others = (
        [each.groupdict() for each in form.pattern.finditer(text, match.end())]
        if category is Category.COMPILE_ERROR
        else []
    )
    return Failure(
        category=Category.IMPORT_ERROR if missing else category,
        error_type=groups.get("type") or form.error_type,
        message=message,
        location=_place(groups, program) or program.innermost(levels),
        frames=program.frames(levels),
        missing=missing,
        others=tuple(map(_listed, others)),
    )


def _listed(error: dict[str, str | None]) -> str:
    """One of further errors; a linker may know no line."""
    line = error.get("line")
    return f"line {line}: {error['message']}" if line else str(error["message"])


def _place(groups: dict[str, str | None], program: Program) -> Location | None:
    line, column = groups.get("line"), groups.get("column")
    if line is None:
        return None
    path = groups.get("path") or _UNNAMED
    return program.place(whole(path), int(line), int(column) if column else None)


def _levels(text: str) -> list[Level]:
    """Those of the trace that follows, the outermost first: all of these list that last."""
    for pattern in _TRACES:
        levels = [
            Level(level["path"], int(level["line"]), level["function"])
            for level in pattern.finditer(text)
        ]
        if levels:
            return levels[::-1]
    return []


DIALECT = Dialect(
    title="the language",
    languages=(),
    file=_UNNAMED,
    read=read,
    rules=generic.RULES,
    ends=re.compile(r"\bexit\b"),
)
