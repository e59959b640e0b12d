"""What a program imports, by reading it: it is parsed, and never run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping

from sandboxd.run.profiles import Profile, package_name

_MOST = 256 * 1024
"""Characters of code that are looked at; a longer program names its profile."""
_JS_IMPORT = re.compile(
    r"""(?:\brequire\s*\(|\bimport\s*\(|\bfrom\s|\bimport\s)\s*["']((?:@[\w.-]+/)?[\w.-]+)"""
)


def imported(language: str, code: str) -> set[str]:
    """The modules that a program names, by their first part; none where that is not known."""
    if len(code) > _MOST:
        return set()
    match language:
        case "python":
            return _python(code)
        case "javascript" | "typescript":
            return set(_JS_IMPORT.findall(code))
        case _:
            return set()


def _python(code: str) -> set[str]:
    if "import" not in code:
        return set()
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()  # it will fail by itself, and tell better
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def fitting(
    language: str, code: str, profiles: Iterable[Profile], modules: Mapping[str, frozenset[str]]
) -> Profile | None:
    """The profile whose packages cover what a program imports: the one with the fewest.

    None when it needs none of what profiles have, or more than any one has.
    """
    offers = [(has, profile) for profile in profiles if (has := _offered(profile, modules))]
    if not offers:
        return None
    needed = imported(language, code) & frozenset[str]().union(*(has for has, _ in offers))
    if not needed:
        return None
    covering = [(has, profile) for has, profile in offers if needed <= has]
    return min(covering, key=lambda offer: len(offer[0]), default=(None, None))[1]


def _offered(profile: Profile, modules: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """What its image has. While that is still being made, modules of its packages' names:
    a program that needs one waits for it then, and does not fail for want of it."""
    known = modules.get(profile.name)
    if known is not None:
        return known
    names = map(package_name, profile.packages)
    return frozenset(name.replace("-", "_") if name[0] != "@" else name for name in names)
