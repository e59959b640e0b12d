"""Modules that a program asked for and did not get."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from sandboxd.diagnose.dialect import Dialect
from sandboxd.diagnose.facts import Facts
from sandboxd.diagnose.meaning import Meaning
from sandboxd.diagnose.names import near
from sandboxd.diagnose.words import listing

_FETCHED = frozenset({"python", "javascript", "typescript"})
"""Languages whose packages a run may ask for."""
_FILE = re.compile(r"^(?:\.|/)")
_FROM_ES_MODULE = re.compile(r" imported from ")
_SUBMODULE = re.compile(r"[./]")


def missing(name: str, message: str, facts: Facts, dialect: Dialect) -> Meaning:
    """What a module that was not found means in this image, by its name and the error."""
    if _FILE.match(name):
        return _missing_file(name.removeprefix("/sandbox/"), message)
    root = _root(name)
    names = {root, dialect.packages.get(root, root)}
    told = f"{_described(root, names, facts, dialect)} {_contents(facts)}"
    suggestions: list[str] = []
    profiles = [facts.profiles_with[each] for each in sorted(names) if each in facts.profiles_with]
    suggestions += (f'Run it with profile="{each}", which has `{root}`.' for each in profiles)
    installed = sorted({*facts.modules, *facts.profiles_with})
    if meant := near(root, installed) or near(root, sorted(dialect.standard)):
        suggestions.append(f"Did you mean {' or '.join(f'`{each}`' for each in meant)}?")
    if not profiles and not names & {*facts.modules, *dialect.standard}:
        suggestions.append(
            "Do it with the standard library, or with what the image has: nothing can be "
            "installed while the program runs."
        )
        package = dialect.packages.get(root, root)
        if facts.language in _FETCHED:
            suggestions.append(
                f'Run it with packages=["{package}"], where the operator allows that.'
            )
        suggestions.append(f"Ask the operator for a profile with `{package}`.")
    suggestions.append(dialect.own_module.format(root=root, name=name))
    return Meaning(told, tuple(suggestions))


def _missing_file(path: str, message: str) -> Meaning:
    suggestions = [
        f"Send `{path}` along in `files`.",
        "Check the path: it is relative to the file that loads it.",
    ]
    if _FROM_ES_MODULE.search(message) and not PurePosixPath(path).suffix:
        told = f"Write the extension too, as in `{path}.js`: an ES module names whole files."
        suggestions.insert(0, told)
    return Meaning(
        f"The program loads the file `{path}`, and there is none of that name. "
        "A run has only the files that were sent with it, in the work folder /sandbox.",
        tuple(suggestions),
    )


def _root(name: str) -> str:
    """The part of a name that is installed: `a` of a.b, `@scope/a` of @scope/a/b."""
    if name.startswith("@"):
        return "/".join(name.split("/")[:2])
    if "/" in name and "." in name.partition("/")[0]:  # a Go module is a host and a path
        return name
    return _SUBMODULE.split(name, maxsplit=1)[0] or name


def _described(root: str, names: set[str], facts: Facts, dialect: Dialect) -> str:
    if root in dialect.standard:
        return (
            f"`{root}` belongs to {dialect.title} itself, but this image does not have the "
            "part that was asked for."
        )
    if names & set(facts.modules):
        return (
            f"The image has `{root}`, but the part of it that was asked for was not found, "
            "or what it needs itself was not."
        )
    return f"There is no module `{root}` in this image, nor beside the program."


def _contents(facts: Facts) -> str:
    if not facts.modules:
        return "Nothing beside the standard library is known to be installed in it."
    return f"Beside the standard library it has {listing(facts.modules, 15)}."
