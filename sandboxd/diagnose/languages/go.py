"""What Go's compiler, its linker and its runtime report."""

from __future__ import annotations

import re

from sandboxd.diagnose.dialect import Dialect, Failure
from sandboxd.diagnose.facts import Facts
from sandboxd.diagnose.meanings import go
from sandboxd.diagnose.program import Level, Program
from sandboxd_client.protocol import Category, Location

_COMPILED = re.compile(
    r"(?P<path>\S*\.go):(?P<line>\d{1,9}):(?:(?P<column>\d{1,9}):)? (?P<message>.*)"
)
_LINKED = re.compile(r"(?:\S*/link|runtime\.main_main.f): (?P<message>.*)")
_PANIC = re.compile(r"(?P<kind>panic|fatal error): (?P<message>.*)")
_AGAIN = re.compile(r"\tpanic: (?P<message>.*)")
_SIGNAL = re.compile(r"(?P<name>SIG[A-Z]+): (?P<message>.*)")
_GOROUTINE = re.compile(r"goroutine \d+ .*\[.*\]:|runtime stack:")
_CALL = re.compile(r"(?:created by )?(?P<function>\S.*?)(?:\([^()]*\))?(?: in goroutine \d+)?")
_AT = re.compile(r"\t(?:/usr/\w+/go(?:-[\d.]+)?/src/)?(?P<path>\S+):(?P<line>\d{1,9})(?: .*)?")
"""Of a file of the standard library, without the folder that Go lies in."""
_RECOVERED = re.compile(r" \[recovered\]$")
_MISSING = re.compile(
    r"could not import (?P<name>\S+) \(|package (?P<other>\S+) is not in (?:std|GOROOT)|"
    r"(?:no required module provides|cannot find module providing) package (?P<absent>[^\s;:]+)"
)
_BUILT = re.compile(
    r"\s*(?:go: )?(?P<message>(?:found packages |errors parsing |imports \S+: import cycle |"
    r"import cycle |no (?:non-test )?Go files |go\.mod|module \S+ requires go |pattern \S+: ).*)"
)
_START = "runtime/"
_RUNTIME_ERROR = "runtime error: "
_TOO_MANY = "too many errors"


def read(facts: Facts, program: Program) -> Failure | None:
    lines = facts.stderr.split("\n")
    return (
        _compiling(lines, program)
        or _linking(lines, program)
        or _building(lines)
        or _panic(lines, program)
    )


def _compiling(lines: list[str], program: Program) -> Failure | None:
    errors = [
        match
        for line in lines
        if (match := _COMPILED.fullmatch(line)) and match["message"] != _TOO_MANY
    ]
    if not errors:
        return None
    first, *others = errors
    message = first["message"]
    missing = _MISSING.match(message)
    is_syntax = message.startswith("syntax error: ")
    category = Category.SYNTAX_ERROR if is_syntax else Category.COMPILE_ERROR
    return Failure(
        category=Category.IMPORT_ERROR if missing else category,
        error_type="syntax error" if is_syntax else "compile error",
        message=message.removeprefix("syntax error: "),
        location=_place(first, program),
        missing=(missing["name"] or missing["other"] or missing["absent"]) if missing else "",
        others=tuple(f"line {each['line']}: {each['message']}" for each in others),
    )


def _place(error: re.Match[str], program: Program) -> Location | None:
    """The compiler counts columns in bytes."""
    line = int(error["line"])
    column = None
    if error["column"]:
        column = int(error["column"])
        if source := program.line(line, error["path"]):
            before = source.encode(errors="replace")[: column - 1]
            column = len(before.decode(errors="ignore")) + 1
    return program.place(error["path"], line, column)


def _linking(lines: list[str], program: Program) -> Failure | None:
    for line in lines:
        if match := _LINKED.fullmatch(line):
            package = program.lines_with(re.compile(r"^package\b"))
            return Failure(
                category=Category.COMPILE_ERROR,
                error_type="link error",
                message=match["message"],
                location=program.place("main.go", package[0]) if package else None,
            )
    return None


def _building(lines: list[str]) -> Failure | None:
    """Files and modules that do not fit together, which belongs to no line."""
    for line in lines:
        missing = _MISSING.search(line)
        built = _BUILT.fullmatch(line)
        if built or (missing and not missing["name"]):
            absent = (missing["other"] or missing["absent"]) if missing else ""
            return Failure(
                category=Category.IMPORT_ERROR if absent else Category.COMPILE_ERROR,
                error_type="build error",
                message=built["message"] if built else line,
                missing=absent,
            )
    return None


def _panic(lines: list[str], program: Program) -> Failure | None:
    found = next(
        ((n, match) for n, line in enumerate(lines) if (match := _PANIC.fullmatch(line))), None
    )
    if found is None:
        return _signal(lines, program)
    number, panic = found
    message, more = _message(panic["message"], lines[number + 1 :])
    kind = panic["kind"]
    if message.startswith(_RUNTIME_ERROR):
        kind, message = "runtime error", message.removeprefix(_RUNTIME_ERROR)
    levels = _levels(lines[number:])
    return Failure(
        category=Category.EXCEPTION,
        error_type=kind,
        message=message,
        location=program.innermost(levels),
        frames=program.frames(levels, _START),
        details="\n".join(
            [*more, *(line for line in lines[:number] if line.startswith("runtime"))]
        ),
    )


def _signal(lines: list[str], program: Program) -> Failure | None:
    """A signal that the runtime turned into a crash of its own."""
    for number, line in enumerate(lines):
        if match := _SIGNAL.fullmatch(line):
            levels = _levels(lines[number:])
            return Failure(
                category=Category.SIGNAL,
                error_type=match["name"],
                message=match["message"],
                location=program.innermost(levels),
                frames=program.frames(levels, _START),
            )
    return None


def _message(first: str, lines: list[str]) -> tuple[str, list[str]]:
    """The message of the panic that ended it, and those that it came from."""
    messages = [_RECOVERED.sub("", first)]
    for line in lines:
        if not line.strip() or line.startswith(("goroutine ", "[signal ")):
            break
        if again := _AGAIN.fullmatch(line):
            messages.append(_RECOVERED.sub("", again["message"]))
        else:
            messages[-1] += f"\n{line}"
    return messages[-1], messages[:-1]


def _levels(lines: list[str]) -> list[Level]:
    """Those of the first goroutine, which is the one that failed, the outermost first."""
    levels: list[Level] = []
    started = False
    call = ""
    for line in lines:
        if _GOROUTINE.fullmatch(line):
            if levels:
                break
            started = True
        elif started and (at := _AT.fullmatch(line)):
            levels.append(Level(at["path"], int(at["line"]), call))
        elif started and levels and not line.strip():
            break
        elif match := _CALL.fullmatch(line):
            call = match["function"]
    return levels[::-1]


DIALECT = Dialect(
    title="Go",
    languages=("go",),
    file="main.go",
    read=read,
    rules=go.RULES,
    known=go.PREDECLARED,
    standard=go.STANDARD,
    own_module="If `{name}` is a package of your own, send its folder along in `files`, with "
    "a go.mod whose module its path begins with.",
    ends=re.compile(r"\bos\.Exit\(|\blog\.Fatal"),
    exit_codes=go.EXIT_CODES,
)
