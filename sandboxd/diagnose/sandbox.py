"""What the sandbox lets a program do and what not, recognised in any language's words."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from sandboxd.diagnose.dialect import Failure
from sandboxd.diagnose.facts import Facts
from sandboxd.diagnose.meaning import Meaning
from sandboxd.diagnose.meanings.sandbox import RESTRICTIONS, Only, Restriction
from sandboxd.diagnose.words import size
from sandboxd_client.protocol import Category

_PATH = re.compile(r"""(?:^|[\s'"(:])(?P<path>/[^\s'":,)]+)""")
_WRITABLE = re.compile(r"/(?:sandbox|tmp|dev/shm)(?:/|$)")


class Restricted(NamedTuple):
    category: Category | None
    """None leaves that of the error as it is."""
    meaning: Meaning


def recognise(facts: Facts, failure: Failure) -> Restricted | None:
    """The restriction that a failure comes from: looked for in the error first, then
    in those that led to it."""
    for text in (failure.headline, failure.details):
        for restriction in RESTRICTIONS:
            if _fits(restriction, text, facts, failure):
                values = _values(text, facts)
                explanation, suggestions = restriction.meaning
                meaning = Meaning(
                    explanation.format_map(values),
                    tuple(suggestion.format_map(values) for suggestion in suggestions),
                )
                return Restricted(restriction.category, meaning)
    return None


def _fits(restriction: Restriction, text: str, facts: Facts, failure: Failure) -> bool:
    return bool(
        restriction.pattern.search(text)
        and (restriction.context is None or restriction.context.search(failure.context))
        and all(_TESTS[only](text, facts) for only in restriction.only)
    )


def _is_outside(text: str) -> bool:
    """Whether it is about a path where a program has nothing to write."""
    found = _PATH.search(text)
    return found is not None and _WRITABLE.match(found["path"]) is None


_TESTS: dict[Only, Callable[[str, Facts], bool]] = {
    Only.NETWORK_OFF: lambda _, facts: not facts.network,
    Only.NETWORK_ON: lambda _, facts: facts.network,
    Only.READ_ONLY: lambda _, facts: facts.read_only,
    Only.OUTSIDE: lambda text, _: _is_outside(text),
}


def _values(text: str, facts: Facts) -> dict[str, str]:
    """What the texts may name; a limit that is not known is left out of them."""
    found = _PATH.search(text)
    return {
        "path": f" `{found['path']}`" if found else "",
        "pids": f", which is {facts.pids_limit}" if facts.pids_limit else "",
        "tmp": f" of {size(facts.tmp_limit)}" if facts.tmp_limit else "",
        "memory": f" within its limit of {size(facts.memory_limit)}" if facts.memory_limit else "",
    }
