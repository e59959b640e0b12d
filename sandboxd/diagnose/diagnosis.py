"""From the facts of a run to its report. Pure."""

from __future__ import annotations

import re

import msgspec

from sandboxd.diagnose import endings, modules, sandbox, signals
from sandboxd.diagnose.dialect import Dialect, Failure
from sandboxd.diagnose.evidence import cut
from sandboxd.diagnose.facts import Facts
from sandboxd.diagnose.languages import find
from sandboxd.diagnose.meaning import Meaning, Scene, explain
from sandboxd.diagnose.program import Program
from sandboxd.diagnose.snippet import snippet
from sandboxd.diagnose.words import clip
from sandboxd_client.protocol import Category, DebugReport, Frame, Status

_MESSAGE = 2000
_SAID = 120
_OUTER, _INNER = 10, 40


def report(facts: Facts) -> DebugReport:
    """What became of a run: what failed, where, what that means, and what to try."""
    facts = msgspec.structs.replace(facts, stdout=cut(facts.stdout), stderr=cut(facts.stderr))
    program = Program(facts.code, facts.files)
    failure, meaning = _judge(facts, program, find(facts.language))
    place = failure.location
    return DebugReport(
        status=facts.status,
        category=failure.category,
        language=facts.language,
        error_type=failure.error_type,
        message=clip(failure.message, _MESSAGE),
        location=place,
        frames=_bounded(failure.frames),
        snippet=snippet(program, place) if place else "",
        explanation=meaning.explanation,
        suggestions=list(dict.fromkeys(meaning.suggestions)),
    )


def _judge(facts: Facts, program: Program, dialect: Dialect) -> tuple[Failure, Meaning]:
    if facts.status is Status.OK:
        return endings.success(facts)
    if facts.status is Status.ERROR:
        return _judge_error(facts, program, dialect)
    failure, meaning = endings.of_the_sandbox(facts, program)
    if facts.status is Status.TIMEOUT:
        meaning = _with_restriction(meaning, facts)
    return failure, meaning


def _judge_error(facts: Facts, program: Program, dialect: Dialect) -> tuple[Failure, Meaning]:
    failure = dialect.read(facts, program) or endings.without_error(facts)
    if failure.missing:
        failure = _placed(failure, program, dialect)
        return failure, modules.missing(failure.missing, failure.message, facts, dialect)
    restricted = sandbox.recognise(facts, failure)
    if restricted and (facts.signal is None or restricted.category is Category.OUT_OF_MEMORY):
        category = restricted.category or failure.category
        return failure.but(category=category), restricted.meaning
    if facts.signal is not None:
        return _signalled(facts, failure, signals.name(facts.signal))
    if failure.category is Category.SIGNAL:
        return failure, signals.meaning(failure.error_type, facts)
    return failure, _explained(facts, program, dialect, failure)


def _with_restriction(meaning: Meaning, facts: Facts) -> Meaning:
    """Time may have gone by while it kept running into a restriction."""
    met = sandbox.recognise(facts, endings.without_error(facts))
    if met is None:
        return meaning
    return Meaning(
        f"{meaning.explanation} {met.meaning.explanation}",
        met.meaning.suggestions + meaning.suggestions,
    )


def _placed(failure: Failure, program: Program, dialect: Dialect) -> Failure:
    """A module that is loaded before anything runs has no trace: its import is its place."""
    if failure.location is None and (
        found := program.lines_with(re.compile(re.escape(failure.missing)))
    ):
        return failure.but(location=program.place(dialect.file, found[0]))
    return failure


def _signalled(facts: Facts, failure: Failure, name: str) -> tuple[Failure, Meaning]:
    told, suggestions = signals.meaning(name, facts)
    if failure.category is Category.NONZERO_EXIT and failure.message:
        said = clip(failure.message, _SAID)
        told = f'{told} The last that it wrote to stderr is "{said}".'
        failure = failure.but(message="")
    return (
        failure.but(
            category=Category.SIGNAL,
            error_type=failure.error_type or name,
            message=failure.message or f"ended by {name}",
        ),
        Meaning(told, suggestions),
    )


def _explained(facts: Facts, program: Program, dialect: Dialect, failure: Failure) -> Meaning:
    scene = Scene(failure.headline, failure.context, facts.code, dialect.known)
    meaning = explain(dialect.rules, scene)
    if meaning is None and failure.category is Category.NONZERO_EXIT:
        return endings.exit_meaning(facts, program, dialect, failure.message)
    told, suggestions = meaning or _plain(dialect, failure)
    if failure.others:
        more = len(failure.others)
        listed = "; ".join(clip(each, 100) for each in failure.others[:3])
        told += f" The compiler found {more} more: {listed}{'; …' if more > 3 else '.'}"  # noqa: PLR2004 - some
    return Meaning(told, suggestions)


def _plain(dialect: Dialect, failure: Failure) -> Meaning:
    """For an error that no rule knows."""
    place = failure.location
    where = f"line {place.line}" if place else "the place that stderr names"
    if failure.category is Category.SYNTAX_ERROR:
        what = "The program" if place is None or place.file == dialect.file else place.file
        return Meaning(
            f"{what} is not valid {dialect.title}: nothing of what follows the error could be "
            "understood, and none of it ran.",
            (f"Look at {where} and the one before it for what is missing or too much.",),
        )
    if failure.category is Category.COMPILE_ERROR:
        return Meaning("The program did not compile, so none of it ran.", (f"Look at {where}.",))
    kind = failure.error_type or "a value that is no error"
    return Meaning(
        f"The program raised {kind} and did not catch it.",
        (
            f"Look at {where}, and at the values that it works with.",
            "If this can happen in a right program, catch it there.",
        ),
    )


def _bounded(frames: tuple[Frame, ...]) -> list[Frame]:
    """Of an endless recursion, the outermost and the innermost levels."""
    if len(frames) <= _OUTER + _INNER:
        return list(frames)
    return [*frames[:_OUTER], *frames[-_INNER:]]
