"""Programs as people write them, a TOML file a language, and what is meant to differ."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
from msgspec import Struct

from sandboxd.languages import Language, load
from sandboxd_client import Limits

FOLDER = Path(__file__).with_name("corpus")

About = Literal[
    "output",
    "order",
    "files",
    "modules",
    "processes",
    "signals",
    "time",
    "text",
    "environment",
    "errors",
    "ends",
]


class Meant(Struct, frozen=True, forbid_unknown_fields=True):
    """A difference that is meant: what is right instead of the bare value, and why."""

    reason: str
    stdout: str | None = None
    stderr: str | None = None
    exit_code: int | None = None
    signal: str | None = None
    """Empty where there is to be none."""
    files: dict[str, str] | None = None
    """All that are left."""


class Program(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    """A sentence that says what the program shows."""
    about: About
    code: str
    prints: str
    """What is among its bare output. A program that fails in the same way on both sides
    shows nothing: this and the exit code say that it did what its name says."""
    exit_code: int = 0
    """Of the bare program; 128 + N after signal N, 124 at a timeout."""
    signal: str | None = None
    files: dict[str, str] = {}
    args: list[str] = []
    env: dict[str, str] = {}
    stdin: str = ""
    limits: Limits = Limits()
    session: bool = False
    """Whether it is also run in a session, where printing and ending mean the same."""
    meant: Meant | None = None
    meant_session: Meant | None = None


class Corpus(Struct, frozen=True, forbid_unknown_fields=True):
    """All programs of one language."""

    bare: str
    """Shell commands that run /sandbox/main.EXTENSION, with its arguments as "$@"."""
    program: list[Program]
    prepare: str = ""
    """Shell commands before all of them, such as what fills /cache, which they share."""
    names: list[tuple[str, str]] = []
    """What is named alike on both sides before they are compared, such as addresses:
    regular expressions, and what stands for each match."""


class Case(NamedTuple):
    """One comparison: a program, as a run or in a session."""

    language: str
    program: str
    session: bool

    def __str__(self) -> str:
        return f"{self.language}: {self.program}{' (session)' if self.session else ''}"


LANGUAGES: dict[str, Language] = load(Path("/nonexistent")).by_name


def read(languages: Iterable[str] | None = None) -> dict[str, Corpus]:
    """By language; all that there are, or these. Raises ValueError, which names the file."""
    names = sorted(file.stem for file in FOLDER.glob("*.toml")) if languages is None else languages
    return {name: _read(FOLDER / f"{name}.toml") for name in names}


def cases(corpora: dict[str, Corpus]) -> list[Case]:
    return [
        Case(language, program.name, session)
        for language, corpus in corpora.items()
        for program in corpus.program
        for session in ([False, True] if program.session else [False])
    ]


def _read(path: Path) -> Corpus:
    try:
        corpus = msgspec.toml.decode(path.read_bytes(), type=Corpus)
    except (OSError, msgspec.DecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path.name}: {error}") from None
    names = [program.name for program in corpus.program]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{path.name}: two programs are called {name!r}")
    return corpus
