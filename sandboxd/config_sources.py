"""Where the configuration's values come from: a line of the file, a variable, or nowhere."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

Key = tuple[str, ...]
"""A setting by its tables and its name: `("pool", "max")` is `max` under `[pool]`."""


class Setting(Struct, frozen=True, omit_defaults=True):
    """A value that is in effect; one with neither `file` nor `variable` is the default."""

    name: str
    value: Any
    file: str | None = None
    line: int | None = None
    variable: str | None = None

    @property
    def origin(self) -> str:
        if self.variable is not None:
            return f"${self.variable}"
        return "default" if self.file is None else f"{self.file}:{self.line}"


class Sources(Struct, frozen=True):
    """What a configuration was read from."""

    path: Path
    text: str
    """Of the file; nothing where there is none."""
    variables: dict[Key, str]
    """The environment's, by what they set."""

    def variable(self, key: Key) -> str | None:
        """The variable that sets a key, or a table that it is in."""
        tables = (key[:length] for length in range(len(key), 0, -1))
        return next((self.variables[each] for each in tables if each in self.variables), None)

    def place(self, key: Key) -> str:
        """For a message: where somebody wrote this key."""
        lines = locate(self.text)
        if (variable := self.variable(key)) is not None:
            return f"${variable}"
        return f"{self.path}:{lines[key]}" if key in lines else str(self.path)

    def settings(self, config: Struct) -> list[Setting]:
        """Every value of a configuration that was read from here."""
        lines, found = locate(self.text), []
        for key, value in _values(config):
            variable = self.variable(key)
            line = None if variable else lines.get(key)
            file = None if line is None else str(self.path)
            found.append(Setting(".".join(key), value, file, line, variable))
        return found


def locate(text: str) -> dict[Key, int]:
    """The line, from 1, of each key and each table in a TOML file that is right.

    A file is right after each line that ends a key with its value, so what is new
    since the last such line stands in between.
    """
    found: dict[Key, int] = {}
    lines = text.split("\n")
    begin = 0
    for end, line in enumerate(lines, start=1):
        if begin == end - 1 and line.strip()[:1] in ("", "#"):
            begin = end
            continue
        try:
            values = tomllib.loads("\n".join(lines[:end]))
        except tomllib.TOMLDecodeError:
            continue  # the value goes on in the next line
        for key in _keys(values):
            found.setdefault(key, begin + 1)
        begin = end
    return found


def _keys(values: dict[str, Any], tables: Key = ()) -> Iterator[Key]:
    for name, value in values.items():
        yield (*tables, name)
        if isinstance(value, dict):
            yield from _keys(value, (*tables, name))


def _values(value: Any, tables: Key = ()) -> Iterator[tuple[Key, Any]]:
    """All values below one: those of structs, and of tables that have any number of keys."""
    if isinstance(value, Struct):
        below = {each.name: getattr(value, each.name) for each in msgspec.structs.fields(value)}
    elif isinstance(value, dict):
        below = value
    else:
        yield tables, value
        return
    for name, each in below.items():
        yield from _values(each, (*tables, name))
