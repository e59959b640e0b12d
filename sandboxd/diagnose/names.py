"""Names that somebody may have meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_WORD = re.compile(r"[^\W\d]\w{1,39}")
_CODE = 128 * 1024
_CANDIDATES = 2000
_CUTOFF = 0.77
_SHORT = 3


def words(code: str) -> list[str]:
    """The names in some code, each once, in the order they appear."""
    return list(dict.fromkeys(_WORD.findall(code[:_CODE])))[:_CANDIDATES]


def near(name: str, candidates: Iterable[str], most: int = 3) -> list[str]:
    """Those candidates that could be the name misspelt, the likeliest first.

    Letters in another order are likely whatever their share of a short word is;
    case does not count.
    """
    if len(name) < _SHORT:
        return []
    wanted = name.lower()
    others: dict[str, str] = {}
    for each in candidates:
        if each != name:
            others.setdefault(each.lower(), each)
    mixed = [each for each in others if each == wanted or sorted(each) == sorted(wanted)]
    close = difflib.get_close_matches(wanted, others, most, _CUTOFF)
    return [others[each] for each in dict.fromkeys(mixed + close)][:most]
