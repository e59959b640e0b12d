"""Ends that say little by themselves: of the sandbox's making, or without an error."""

from __future__ import annotations

import re

from sandboxd.diagnose.dialect import Dialect, Failure
from sandboxd.diagnose.facts import Facts
from sandboxd.diagnose.meaning import Meaning
from sandboxd.diagnose.program import Program
from sandboxd.diagnose.words import clip, last_line, listing, seconds, size
from sandboxd_client.protocol import Category, Status

_LINE = 120
_CLUES = (
    (re.compile(r"(?i)\bsleep\b"), "Sleep less: line {lines} sleeps."),
    (
        re.compile(r"while\s*\(?\s*(?:True|true|1|:)\b|while :|for\s*\(\s*;\s*;|\bloop\b|for \{"),
        "See that the loop of line {lines} ends.",
    ),
    (
        re.compile(r"serve_forever|\.listen\(|ListenAndServe|app\.run\(|\baccept\(|http\.server"),
        "A server never ends by itself: end the one of line {lines} once it has done its work.",
    ),
    (
        re.compile(r"\binput\(|sys\.stdin|process\.stdin|\bgets\b|\bread -|os\.Stdin|fmt\.Scan"),
        "Give it stdin to its end: line {lines} reads it.",
    ),
)


def success(facts: Facts) -> tuple[Failure, Meaning]:
    told = "The program ended with exit code 0: nothing failed."
    if said := last_line(facts.stderr):
        told += f' It wrote to stderr, though; the last line is "{clip(said, _LINE)}".'
    return Failure(category=Category.SUCCESS), Meaning(told)


def of_the_sandbox(facts: Facts, program: Program) -> tuple[Failure, Meaning]:
    """The sandbox ended it, for a reason that it knows."""
    match facts.status:
        case Status.TIMEOUT:
            return _timeout(facts, program)
        case Status.OOM:
            return _out_of_memory(facts)
        case Status.OUTPUT_LIMIT:
            return _output_limit(facts)
        case _:
            return _killed(facts)


def _timeout(facts: Facts, program: Program) -> tuple[Failure, Meaning]:
    limit = f" of {seconds(facts.timeout)}" if facts.timeout is not None else ""
    if facts.phase == "compile":
        told = f"The time limit{limit} was over before the program was compiled."
        return _failure(Category.TIMEOUT, told), Meaning(told, (_MORE_TIME,))
    message = f"killed at the time limit{limit}"
    told = f"The program was still running at the time limit{limit} and was killed."
    where, clues = _whereabouts(facts, program)
    clues += tuple(
        text.format(lines=listing(map(str, found), 3))
        for pattern, text in _CLUES
        if (found := program.lines_with(pattern))
    )
    return _failure(Category.TIMEOUT, message), Meaning(
        f"{told} {where}", (*clues, "Do less at a time, or print progress to see it.", _MORE_TIME)
    )


_MORE_TIME = "Give it more time with limits.timeout, as far as the operator allows."


def _whereabouts(facts: Facts, program: Program) -> tuple[str, tuple[str, ...]]:
    """Where it was, as far as its output tells."""
    stream, last = "printed", last_line(facts.stdout)
    if not last:
        stream, last = "wrote to stderr", last_line(facts.stderr)
    if not last:
        return "It had printed nothing.", ()
    found = program.lines_with(re.compile(re.escape(last)))
    clues: tuple[str, ...] = ()
    if len(found) == 1:
        clues = (f"Look at what comes after line {found[0]}, which prints the last of its output.",)
    return f'The last that it {stream} is "{clip(last, _LINE)}".', clues


def _out_of_memory(facts: Facts) -> tuple[Failure, Meaning]:
    limit = f" of {size(facts.memory_limit)}" if facts.memory_limit else ""
    told = f"The run needed more than its memory limit{limit}, and the kernel killed it."
    if facts.memory_peak:
        told += f" Its largest process had {size(facts.memory_peak)}."
    told += " Files in the work folder, /tmp and /dev/shm count as memory."
    return _failure(Category.OUT_OF_MEMORY, f"out of memory at the limit{limit}"), Meaning(
        told,
        (
            "Work on the data piece by piece, and keep no more of it than is needed.",
            "See that no list, string or recursion grows without end.",
            "Give it more with limits.memory, as far as the operator allows.",
        ),
    )


def _output_limit(facts: Facts) -> tuple[Failure, Meaning]:
    limit = f" of {size(facts.output_limit)} a stream" if facts.output_limit else ""
    told = (
        f"The program wrote far more than the output limit{limit}, and was killed. "
        "What it wrote up to the limit is kept."
    )
    return _failure(Category.OUTPUT_LIMIT, f"output past the limit{limit}"), Meaning(
        told,
        (
            "See that no loop prints without end.",
            "Print a summary, or write to a file and name it in `outputs`.",
            "Allow more with limits.output, as far as the operator allows.",
        ),
    )


def _killed(facts: Facts) -> tuple[Failure, Meaning]:
    after = f" after {seconds(facts.duration)}" if facts.duration is not None else ""
    told = (
        f"The run was killed from outside{after}: somebody ended it, or its container was lost. "
        "The program is not known to have failed."
    )
    failure = Failure(category=Category.SIGNAL, error_type="SIGKILL", message="killed from outside")
    return failure, Meaning(told, ("Run it again.",))


def _failure(category: Category, message: str) -> Failure:
    return Failure(category=category, message=message)


def without_error(facts: Facts) -> Failure:
    """It failed, and its stderr has no error that is known: the last line speaks for it."""
    lines = [line for line in facts.stderr.splitlines() if line.strip()]
    return Failure(
        category=Category.NONZERO_EXIT,
        message=last_line(facts.stderr),
        details="\n".join(lines[-10:]),
    )


def exit_meaning(facts: Facts, program: Program, dialect: Dialect, message: str) -> Meaning:
    """What an exit code means of which nothing else is known."""
    told = f"The program ended with exit code {facts.exit_code}, and no uncaught error."
    suggestions: tuple[str, ...] = ()
    if meaning := dialect.exit_codes.get(facts.exit_code):
        told += f" {meaning.explanation}"
        suggestions = meaning.suggestions
    elif message:
        told += " The last that it wrote to stderr should tell why."
    else:
        told += " It wrote nothing to stderr."
    if dialect.ends and (found := program.lines_with(dialect.ends)):
        lines = listing(map(str, found), 5)
        suggestions += (f"Look at where the program ends itself: line {lines}.",)
    if not message:
        suggestions += ("Let it say on stderr why it fails.",)
    return Meaning(told, suggestions)
