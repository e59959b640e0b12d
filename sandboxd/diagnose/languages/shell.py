"""What shells say: bash, dash and busybox, and the commands that they run."""

from __future__ import annotations

import re

from sandboxd.diagnose import signals
from sandboxd.diagnose.dialect import Dialect, Failure
from sandboxd.diagnose.facts import Facts
from sandboxd.diagnose.meanings import shell
from sandboxd.diagnose.program import Program, whole
from sandboxd_client.protocol import Category, Location

_SAID = re.compile(
    r"(?P<path>\S*main\.\w+|bash|sh|\S+/(?:ba|da)?sh|[\w./-]+(?=: line \d)): "
    r"(?P<eval>eval: )?(?:(?:line )?(?P<line>\d{1,9}): )?(?P<message>.*)"
)
_WARNING = re.compile(r"(?:\S+: )?warning: ")
_COMMAND = re.compile(r"(?P<command>[\w.+/-]{1,60}): ")
_JOB = re.compile(r" *\d* *(?:" + "|".join(shell.SIGNALLED) + r")\b")
_ECHO = re.compile(r"`.*'")
_HINT = re.compile(r"Try '.* --help'|\++ ")
_SHELLS = {"bash", "sh"}
_COMMENT = re.compile(r"\s*#")
_SYNTAX = "syntax error"
_OTHER = "error"


def read(facts: Facts, program: Program) -> Failure | None:
    """The last that the shell said, or the last that a command said.

    Nothing tells which command failed but what was written last.
    """
    lines = [line for line in facts.stderr.split("\n") if line.strip() and not _HINT.match(line)]
    said = [match for line in lines if (match := _SAID.fullmatch(line)) and _counts(match)]
    number = signals.of_exit_code(facts.exit_code) if facts.signal is None else None
    if number is not None and (not lines or _JOB.match(_last(said, lines))):
        name = signals.name(number)
        place = _place(said[-1], program) if said else None
        return Failure(
            category=Category.SIGNAL, error_type=name, message=f"ended by {name}", location=place
        )
    if not lines:
        return None
    if said and (facts.exit_code in shell.OF_THE_SHELL or said[-1].string == _ending(lines)):
        return _of_the_shell(said[-1], lines, program)
    return _of_a_command(lines, program)


def _counts(said: re.Match[str]) -> bool:
    """Whether it is an error: not a warning, and not the line that bash shows under one."""
    return not (_WARNING.match(said["message"]) or _ECHO.fullmatch(said["message"]))


def _last(said: list[re.Match[str]], lines: list[str]) -> str:
    return said[-1]["message"] if said else lines[-1]


def _ending(lines: list[str]) -> str:
    """The last line, but for one that only shows the source again."""
    shown = _SAID.fullmatch(lines[-1])
    if shown and _ECHO.fullmatch(shown["message"]) and len(lines) > 1:
        return lines[-2]
    return lines[-1]


def _of_the_shell(said: re.Match[str], lines: list[str], program: Program) -> Failure:
    message = said["message"]
    error_type = next((kind for pattern, kind in shell.KINDS if pattern.search(message)), _OTHER)
    return Failure(
        category=Category.SYNTAX_ERROR if error_type == _SYNTAX else Category.EXCEPTION,
        error_type=error_type,
        message=message,
        location=_place(said, program),
        details="\n".join(lines[-10:]),
    )


def _of_a_command(lines: list[str], program: Program) -> Failure:
    """A command names itself and no line: the only line that calls it is the place."""
    message = lines[-1].strip()
    command = _COMMAND.match(message)
    place = None
    if command:
        called = re.compile(rf"(?<![\w./-]){re.escape(command['command'])}(?![\w./-])")
        found = [n for n in program.lines_with(called) if not _COMMENT.match(program.line(n))]
        place = program.place("main.sh", found[0]) if len(found) == 1 else None
    return Failure(
        category=Category.NONZERO_EXIT,
        message=message,
        location=place,
        details="\n".join(lines[-10:]),
    )


def _place(said: re.Match[str], program: Program) -> Location | None:
    """Where it was: lines that eval counts are of its own text."""
    if not said["line"] or said["eval"]:
        return None
    if said["path"] in _SHELLS:
        return None
    return program.place(whole(said["path"]), int(said["line"]))


DIALECT = Dialect(
    title="shell",
    languages=("bash", "sh"),
    file="main.sh",
    read=read,
    rules=shell.RULES,
    known=shell.COMMANDS,
    ends=re.compile(r"\bexit\b"),
    exit_codes=shell.EXIT_CODES,
)
