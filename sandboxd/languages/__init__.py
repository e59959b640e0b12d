"""The languages: one TOML file each, with its runner script beside it.

A file in the operator's folder adds a language, or replaces one of the same
name. The format is the struct `Language`.
"""

from __future__ import annotations

import fnmatch
import math
import shlex
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from sandboxd.errors import ConfigError, InvalidParamsError, UnknownLanguageError

BUILTIN = Path(__file__).parent
_AGAIN = "SANDBOXD_AGAIN"
"""Tells a runner that its interpreter cannot be the one that was started ahead."""


def processors(cpus: float) -> dict[str, str]:
    """The variable by which `nproc` and numerical libraries know how many processors to
    use: the kernel tells them of all that the host has."""
    return {"OMP_NUM_THREADS": str(max(1, math.ceil(cpus)))}


class Debian(Struct, frozen=True, forbid_unknown_fields=True):
    """How to make the base image from the distribution's packages."""

    packages: list[str] = []
    suite: str | None = None
    """A suite beside bookworm that the packages come from, such as its backports."""
    prepare: list[str] = []
    """Shell commands, run as root once the packages are there."""


class Image(Struct, frozen=True, forbid_unknown_fields=True):
    base: str
    """The official image, pulled where a registry answers; "scratch" where there is none."""
    version: list[str]
    """A command that prints what the image has."""
    prepare: list[str] = []
    """Shell commands for the derived image, run as root: caches are warmed here."""
    finish: list[str] = []
    """Shell commands once the language's own files were laid into /sandboxd."""
    packages: list[str] = []
    """Shell commands once packages were laid into an image."""
    debian: Debian = Debian()


class Language(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    extension: str
    """Of the program's file, which is `main.EXTENSION` in the work folder."""
    start: list[str]
    """The interpreter. It writes a line to descriptor 4 when it is up, reads its
    message from descriptor 3 to the end, and then runs the program."""
    message: Literal["fields", "shell"]
    """What it reads: fields that a NUL ends each (how many arguments there are, the
    arguments, and NAME=VALUE of the environment), or shell commands to that end."""
    image: Image
    aliases: list[str] = []
    runner: str | None = None
    """A script beside this file, laid into the image's /sandboxd."""
    session: str | None = None
    """A driver beside this file, which runs one piece of code after another; without
    one, a session of the language keeps its files only."""
    files: list[str] = []
    """More of what lies beside this file and in the image's /sandboxd, by the same path."""
    standard: bool = True
    """Whether its image is got ahead and a container kept warm; the image of another
    is got when somebody first asks for it."""
    template: bool = False
    """Whether `start` is forked for each run: it then speaks with the guest through
    /sandboxd/enter.so, and its arguments name what to import before."""
    at_start: list[str] = []
    """Variables that its interpreter reads when it starts, such as "PYTHON*". A run that
    sets one finds `SANDBOXD_AGAIN` in its message, and its runner starts another."""
    env: dict[str, str] = {}
    folder: Path = BUILTIN
    """Where the file stood; set when it is read."""

    @property
    def code_name(self) -> str:
        return f"main.{self.extension}"

    @property
    def driver(self) -> str | None:
        """The code of its driver of sessions."""
        return None if self.session is None else (self.folder / self.session).read_text()

    def laid(self) -> dict[str, bytes]:
        """What goes into the image's /sandboxd, by its path there."""
        names = [*([] if self.runner is None else [self.runner]), *self.files]
        return {name: (self.folder / name).read_bytes() for name in names}

    @property
    def guest_processes(self) -> int:
        """Processes in a container beside the program's own: the guest, a child's
        init, and the template if there is one."""
        return 2 + self.template

    def encode_message(self, args: list[str], env: Mapping[str, str]) -> bytes:
        """The message for one run. Raises InvalidParamsError for what no process can be given."""
        if any(fnmatch.fnmatchcase(name, each) for name in env for each in self.at_start):
            env = {**env, _AGAIN: "1"}
        fields = self.encode_fields(args, env)
        if self.message == "fields":
            return fields
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in env.items()]
        lines.append(f"set -- {shlex.join(args)}\n")
        return "".join(lines).encode()

    def encode_fields(self, args: list[str], env: Mapping[str, str]) -> bytes:
        """What a driver of sessions is given for a run: it has started already."""
        for name, value in env.items():
            if not name or "=" in name or "\0" in name or "\0" in value:
                raise InvalidParamsError(f"not an environment variable: {name!r}")
            if self.message == "shell" and not (name.isascii() and name.isidentifier()):
                raise InvalidParamsError(
                    f"{self.name} cannot take the environment variable {name!r}"
                )
        if any("\0" in argument for argument in args):
            raise InvalidParamsError("an argument cannot contain a NUL character")
        fields = [str(len(args)), *args, *(f"{name}={value}" for name, value in env.items())]
        return b"".join(field.encode() + b"\0" for field in fields)


class Languages:
    """All languages, found by name or alias."""

    def __init__(self, languages: Iterable[Language]) -> None:
        self.by_name = {language.name: language for language in languages}
        self._known = {name.lower(): each for name, each in self.by_name.items()}
        for language in self.by_name.values():
            for alias in language.aliases:
                self._known.setdefault(alias.lower(), language)

    def find(self, name: str) -> Language:
        """Raises UnknownLanguageError, with the names that exist."""
        language = self._known.get(name.lower())
        if language is None:
            names = ", ".join(sorted(self.by_name))
            raise UnknownLanguageError(f"there is no language {name!r}; there are {names}")
        return language


def load(operator: Path, disabled: Iterable[str] = ()) -> Languages:
    """The built-in languages and the operator's. Raises ConfigError."""
    found: dict[str, Language] = {}
    for folder in (BUILTIN, operator):
        for path in sorted(folder.glob("*.toml")):
            language = _read(path)
            found[language.name] = language
    for name in disabled:
        found.pop(name, None)
    return Languages(found.values())


def _read(path: Path) -> Language:
    try:
        values = tomllib.loads(path.read_text())
        language = msgspec.convert(
            values | {"folder": str(path.parent)}, Language, dec_hook=_decode
        )
    except (OSError, ValueError, msgspec.ValidationError) as error:
        raise ConfigError(f"language {path}: {error}") from None
    named = [("runner", language.runner), ("driver", language.session)]
    for what, name in [*named, *(("file", name) for name in language.files)]:
        if name and not (path.parent / name).is_file():
            raise ConfigError(f"language {path}: its {what} {name} is not beside it")
    return language


def _decode(kind: type, value: object) -> object:
    if kind is Path or issubclass(kind, Path):
        return Path(str(value))
    raise NotImplementedError(kind)
