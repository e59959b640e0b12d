"""What Node writes of an error that nobody caught."""

from __future__ import annotations

import re
from typing import NamedTuple

from sandboxd.diagnose.dialect import Dialect, Failure
from sandboxd.diagnose.facts import Facts
from sandboxd.diagnose.meanings import javascript
from sandboxd.diagnose.program import Level, Program
from sandboxd_client.protocol import Category, Frame, Location

_PLACE = re.compile(r"(?P<path>(?:file://)?\S+):(?P<line>\d{1,9})")
_CARETS = re.compile(r"\s*\^+")
_LEVEL = re.compile(
    r" {4,}at (?:async )?(?:(?P<function>[^()]+(?:\[as \w+\])?) \()?"
    r"(?:async )?(?P<path>(?:file://)?[^():]+|node:[^():]+|<anonymous>)"
    r"(?::(?P<line>\d{1,9}):(?P<column>\d{1,9}))?\)?"
)
_ERROR = re.compile(
    r"\[?(?:Uncaught )?(?P<type>[A-Za-z_$][\w$.]*)(?: \[(?P<code>\w+)\])?(?:: (?P<message>.*))?"
)
_REJECTED = re.compile(r'rejected with the reason "(?P<reason>.*)"\.\]')
_MISSING = re.compile(r"Cannot find (?:module|package) '(?P<name>[^']+)'")
_HEAP = re.compile(r"FATAL ERROR: (?P<message>.*heap out of memory)")
_COMPILING = re.compile(r" (?:wrapSafe|internalCompileFunction|compileSourceTextModule) ")
"""What Node calls to load a file."""
_FOOTER = re.compile(r"Node\.js v\d")
_OWN_MODULE = "/sandbox/"


class _Parts(NamedTuple):
    """An error as it is printed: where it was thrown, what was thrown, the trace."""

    header: re.Match[str] | None
    carets: str
    said: list[str]
    trace: list[str]
    rest: str

    @property
    def first(self) -> str:
        """The innermost level."""
        return self.trace[0] if self.trace else ""


def read(facts: Facts, program: Program) -> Failure | None:
    if heap := _HEAP.search(facts.stderr):
        return Failure(
            category=Category.OUT_OF_MEMORY, error_type="FATAL ERROR", message=heap["message"]
        )
    parts = _parts(facts.stderr.split("\n"), program)
    if parts is None:
        return None
    levels = [match for line in parts.trace if (match := _LEVEL.fullmatch(line.rstrip(" {")))]
    location = _location(parts, levels, program)
    error_type, message = _thrown(parts)
    if not error_type and not message:
        return None
    missing = _MISSING.match(message)
    category = _category(error_type, message, levels, parts, program)
    return Failure(
        category=category,
        error_type=error_type,
        message=message,
        location=location,
        frames=() if category is Category.SYNTAX_ERROR else _frames(levels, program),
        details=parts.rest,
        missing=_module(missing["name"]) if missing else "",
    )


def _parts(lines: list[str], program: Program) -> _Parts | None:
    """The last error, or the last trace where the program printed that itself."""
    end = max((n for n, line in enumerate(lines) if _FOOTER.match(line)), default=len(lines))
    lines = lines[:end]
    header, start = None, None
    for number in range(len(lines) - 2):
        place = _PLACE.fullmatch(lines[number])
        if place and _shows_source(lines[number + 1 : number + 3], place["path"], program):
            header, start = place, number + 3
    if start is None:
        start = _printed_trace(lines)
    if start is None:
        return None
    body = lines[start:]
    while body and not body[0].strip():
        body.pop(0)
    first = next((n for n, line in enumerate(body) if line.startswith("    at ")), None)
    if first is None:
        first = next((n for n, line in enumerate(body) if line.endswith("{")), len(body) - 1) + 1
    last = first
    while last < len(body) and body[last].startswith("    "):
        last += 1
    return _Parts(
        header,
        lines[start - 1] if header else "",
        body[:first],
        body[first:last],
        "\n".join(body[last:]),
    )


def _shows_source(lines: list[str], path: str, program: Program) -> bool:
    """Whether a source line and its carets follow; past the end both are empty."""
    source, carets = lines
    return bool(_CARETS.fullmatch(carets)) or (
        program.owns(path) and not source.strip() and not carets.strip()
    )


def _printed_trace(lines: list[str]) -> int | None:
    """The line before the last trace that begins like an error."""
    found = None
    for number, line in enumerate(lines[1:]):
        if line.startswith("    at ") and "Error" in lines[number][:80]:
            found = number
    return found


def _thrown(parts: _Parts) -> tuple[str, str]:
    """The type and the message of what was thrown; no type where it is no error."""
    said = [line for line in parts.said if not line.startswith(("Require stack:", "- /"))]
    while said and not said[-1].strip():
        said.pop()
    if not said or said[0].startswith("(Use `node"):
        return "", ""
    if rejected := _REJECTED.search(said[0]):
        return "UnhandledPromiseRejection", rejected["reason"]
    error = _ERROR.fullmatch(said[0].removesuffix(" {").removesuffix("]"))
    if error is None or (not parts.trace and not said[0].startswith("[") and not error["message"]):
        return "", "\n".join(line for line in said if not line.startswith("(Use `node"))
    message = "\n".join([error["message"] or "", *said[1:]]).strip()
    return error["type"], message


def _location(parts: _Parts, levels: list[re.Match[str]], program: Program) -> Location | None:
    """The line that threw, or the innermost level in the program."""
    if parts.header and _COMPILING.search(parts.first):
        levels = []  # which tell where the file was loaded
    for level in levels:
        if level["line"] and program.owns(level["path"]):
            return program.place(level["path"], int(level["line"]), int(level["column"]))
    if parts.header and program.owns(parts.header["path"]):
        column = parts.carets.find("^") + 1
        return program.place(parts.header["path"], int(parts.header["line"]), column or None)
    for line in parts.rest.split("\n"):  # of a cause, or of errors in an AggregateError
        found = _LEVEL.fullmatch(line.rstrip(" {"))
        if found and found["line"] and program.owns(found["path"]):
            return program.place(found["path"], int(found["line"]), int(found["column"]))
    return None


def _frames(levels: list[re.Match[str]], program: Program) -> tuple[Frame, ...]:
    """The trace, innermost last, without the loader that every program is started by."""
    printed = [
        Level(level["path"], int(level["line"]), (level["function"] or "").strip())
        for level in reversed(levels)
        if level["line"]
    ]
    return program.frames(printed, "node:internal/")


def _category(
    error_type: str,
    message: str,
    levels: list[re.Match[str]],
    parts: _Parts,
    program: Program,
) -> Category:
    if _MISSING.match(message) or "does not provide an export" in message:
        return Category.IMPORT_ERROR
    ran = any(program.owns(level["path"]) for level in levels)
    compiling = not ran or _COMPILING.search(parts.first)
    if error_type == "SyntaxError" and parts.header and compiling:
        return Category.SYNTAX_ERROR
    return Category.EXCEPTION


def _module(name: str) -> str:
    return f"./{name.removeprefix(_OWN_MODULE)}" if name.startswith(_OWN_MODULE) else name


DIALECT = Dialect(
    title="JavaScript",
    languages=("javascript",),
    file="main.js",
    read=read,
    rules=javascript.RULES,
    known=javascript.GLOBALS,
    standard=javascript.BUILTIN,
    ends=re.compile(r"\bprocess\.(?:exit\s*\(|exitCode\s*=)"),
    exit_codes=javascript.EXIT_CODES,
)
