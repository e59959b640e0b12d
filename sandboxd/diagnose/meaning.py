"""Tables of what errors mean: a pattern, an explanation, and what to try."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from sandboxd.diagnose.names import near, words

# Python and Ruby guess themselves, and know more of what there is.
_TOLD = re.compile(r"Did you mean(?:: '|\?\s+)(\w+[?!]?)")


class Meaning(NamedTuple):
    explanation: str
    suggestions: tuple[str, ...] = ()


class Rule(NamedTuple):
    """One line of a table.

    The texts may name groups of the pattern as `{group}`. A group called `name`
    is a name that was not found: names near it are suggested first.
    """

    pattern: re.Pattern[str]
    """Of the error's headline, which is `type: message`."""
    meaning: Meaning
    context: re.Pattern[str] | None
    """What must be found around it too: in the trace, or in the source line."""


def rule(pattern: str, explanation: str, *suggestions: str, context: str = "") -> Rule:
    return Rule(
        re.compile(pattern),
        Meaning(explanation, suggestions),
        re.compile(context) if context else None,
    )


class Scene(NamedTuple):
    """An error and what stands around it."""

    headline: str
    context: str
    code: str = ""
    known: frozenset[str] = frozenset()
    """Names that need no definition: the language's own."""


def explain(rules: Iterable[Rule], scene: Scene) -> Meaning | None:
    """The meaning by the first rule that fits."""
    for each in rules:
        match = each.pattern.search(scene.headline)
        if match is None or (each.context and not each.context.search(scene.context)):
            continue
        groups = {name: text or "" for name, text in match.groupdict().items()}
        explanation, suggestions = each.meaning
        filled = tuple(suggestion.format_map(groups) for suggestion in suggestions)
        meant = _meant(groups.get("name", ""), scene)
        return Meaning(explanation.format_map(groups), meant + filled)
    return None


def _meant(name: str, scene: Scene) -> tuple[str, ...]:
    if not name:
        return ()
    told = _TOLD.search(scene.context)
    close = [told[1]] if told else near(name, [*words(scene.code), *sorted(scene.known)])
    return (f"Did you mean {' or '.join(f'`{each}`' for each in close)}?",) if close else ()
