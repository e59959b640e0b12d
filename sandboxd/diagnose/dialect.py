"""What a language's module says of it, and what it reads from an error."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from sandboxd.diagnose.facts import Facts
from sandboxd.diagnose.meaning import Meaning, Rule
from sandboxd.diagnose.program import Program
from sandboxd_client.protocol import Category, Frame, Location


class Failure(Struct, frozen=True, kw_only=True):
    """An error as the interpreter reported it."""

    category: Category
    error_type: str = ""
    message: str = ""
    location: Location | None = None
    frames: tuple[Frame, ...] = ()
    details: str = ""
    """The errors that led to it, and whatever else it said."""
    missing: str = ""
    """The module that it could not find."""
    others: tuple[str, ...] = ()
    """Further errors that a compiler listed."""

    @property
    def headline(self) -> str:
        return ": ".join(part for part in (self.error_type, self.message) if part)

    @property
    def context(self) -> str:
        """What stands around the headline: causes, and the functions and lines of the trace."""
        trace = (f"{frame.file} {frame.function} {frame.source}" for frame in self.frames)
        return "\n".join((self.headline, self.details, *trace))

    def but(self, **changes: Any) -> Failure:
        """The same, but for some fields."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        return Failure(**fields | changes)


class Dialect(Struct, frozen=True, kw_only=True):
    """One way of reporting errors, and the languages that have it."""

    title: str
    languages: tuple[str, ...]
    file: str
    """What the program is called, for errors that do not say."""
    read: Callable[[Facts, Program], Failure | None]
    """The failure that stderr tells of; None where it tells of none."""
    rules: tuple[Rule, ...] = ()
    known: frozenset[str] = frozenset()
    """Names that need no definition."""
    standard: frozenset[str] = frozenset()
    """Modules that need no installation."""
    own_module: str = "If `{root}` is a file of your own, send it along in `files`."
    """What to do about a module of the program's that is not found."""
    packages: Mapping[str, str] = {}
    """Modules whose package has another name."""
    ends: re.Pattern[str] | None = None
    """Calls by which a program ends with a code of its own."""
    exit_codes: Mapping[int, Meaning] = {}
    """Codes that the interpreter itself ends with."""
