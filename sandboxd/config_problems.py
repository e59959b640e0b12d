"""What is wrong with a configuration, all of it, and what may have been meant."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from msgspec import Struct

from sandboxd.config_sources import Key

Decode = Callable[[type, Any], Any]
"""msgspec's `dec_hook`."""


class Problem(Struct, frozen=True):
    key: Key
    told: str

    @property
    def name(self) -> str:
        return ".".join(self.key)


def problems(values: Any, root: type[Struct], decode: Decode) -> Iterator[Problem]:
    """What keeps values from being converted to a struct; nothing where they can be."""
    homes: dict[str, list[str]] = {}
    for table, key in _known(root):
        homes.setdefault(key, []).append(table)
    return _in_table(values, root, (), decode, homes)


def _in_table(
    values: Any, kind: type[Struct], table: Key, decode: Decode, homes: dict[str, list[str]]
) -> Iterator[Problem]:
    if not isinstance(values, dict):
        yield Problem(table, f"this is a table, and cannot be {values!r}")
        return
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    for name, value in values.items():
        key = (*table, name)
        if name not in fields:
            yield Problem(key, f"there is no such key{_meant(name, list(fields), homes)}")
            continue
        wanted = fields[name].type
        several = table_type(wanted)
        if isinstance(wanted, type) and issubclass(wanted, Struct):
            yield from _in_table(value, wanted, key, decode, homes)
        elif several is not None and isinstance(value, dict):
            for each, below in value.items():
                yield from _in_table(below, several, (*key, each), decode, homes)
        else:
            try:
                msgspec.convert(value, wanted, dec_hook=decode)
            except msgspec.ValidationError as error:
                yield Problem(key, f"{value!r} will not do: {_lowered(str(error))}")
    for name, field in fields.items():
        if field.required and name not in values:
            yield Problem(table, f"the key `{name}` is missing")


def table_type(kind: Any) -> type[Struct] | None:
    """What each table is, where there may be any number of them under a key."""
    match typing.get_args(kind):
        case (_, type() as found) if issubclass(found, Struct):
            return found
    return None


def _known(kind: type[Struct], table: str = "") -> Iterator[tuple[str, str]]:
    """Every key that there may be, with its table."""
    for field in msgspec.structs.fields(kind):
        path = f"{table}.{field.name}".lstrip(".")
        several = table_type(field.type)
        if several is not None:
            yield from _known(several, f"{path}.NAME")
        elif isinstance(field.type, type) and issubclass(field.type, Struct):
            yield from _known(field.type, path)
        else:
            yield table, field.name


def _meant(name: str, beside: list[str], homes: dict[str, list[str]]) -> str:
    if close := difflib.get_close_matches(name, beside):
        return f"; did you mean {_either(close)}?"
    tables = [f"[{table}]" for table in homes.get(name, []) if table]
    if tables:
        return f" here; it is one of {_either(tables)}"
    return f"; there are {', '.join(beside)}"


def _either(words: list[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]
