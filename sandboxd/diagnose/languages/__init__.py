"""One module for each way in which interpreters and compilers report errors.

Each has a `DIALECT` that names its languages: adding a module here is all that a
language needs. Those that nobody names are read by `generic`.
"""

from __future__ import annotations

import importlib
import pkgutil

from sandboxd.diagnose.dialect import Dialect
from sandboxd.diagnose.languages import generic


def _dialects() -> dict[str, Dialect]:
    found: dict[str, Dialect] = {}
    for module in pkgutil.iter_modules(__path__):
        dialect = importlib.import_module(f"{__name__}.{module.name}").DIALECT
        found |= dict.fromkeys(dialect.languages, dialect)
    return found


_BY_LANGUAGE = _dialects()


def find(language: str) -> Dialect:
    """The dialect of a language; the generic one for a language of the operator's."""
    return _BY_LANGUAGE.get(language, generic.DIALECT)
