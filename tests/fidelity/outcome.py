"""How a program ended, and what two endings of the same program have apart. Pure."""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct, structs

from tests.fidelity.corpus import Meant, Program

_SHOWN = 600
"""Characters of a value that a difference shows."""


class Outcome(Struct, frozen=True):
    """What can be seen of a program once it has ended."""

    stdout: bytes
    stderr: bytes
    exit_code: int
    """128 + N after signal N, 124 at a timeout."""
    signal: str
    """Its name; empty where none ended it."""
    files: dict[str, bytes]
    """Those of the work folder that were not there before, or not the same."""


def unlike_its_name(program: Program, bare: Outcome) -> str:
    """What shows that the bare program did not do what it is there for; else empty."""
    if bare.exit_code != program.exit_code or bare.signal != (program.signal or ""):
        return (
            f"exits with {bare.exit_code} {bare.signal}, which is not "
            f"{program.exit_code} {program.signal or ''}: {_shown(bare.stderr)}"
        )
    printed = bare.stdout + bare.stderr
    if program.prints.encode() not in printed or (printed and not program.prints):
        return f"does not print {program.prints!r}, but {_shown(bare.stdout)} {_shown(bare.stderr)}"
    return ""


def with_meant(bare: Outcome, meant: Meant | None) -> Outcome:
    """What is right in the sandbox."""
    if meant is None:
        return bare
    values: dict[str, Any] = {
        "stdout": None if meant.stdout is None else meant.stdout.encode(),
        "stderr": None if meant.stderr is None else meant.stderr.encode(),
        "exit_code": meant.exit_code,
        "signal": meant.signal,
        "files": None
        if meant.files is None
        else {path: text.encode() for path, text in meant.files.items()},
    }
    given = {name: value for name, value in values.items() if value is not None}
    return structs.replace(bare, **given)


def named(outcome: Outcome, names: list[tuple[str, str]]) -> Outcome:
    """With the corpus's names for what is bound to differ."""
    stdout, stderr = outcome.stdout, outcome.stderr
    for pattern, name in names:
        expression = re.compile(pattern.encode(), re.MULTILINE)
        stdout, stderr = (expression.sub(name.encode(), each) for each in (stdout, stderr))
    return structs.replace(outcome, stdout=stdout, stderr=stderr)


def differences(right: Outcome, got: Outcome) -> list[str]:
    """A line for each value that is not as it should be."""
    found = []
    for name in Outcome.__struct_fields__:
        wanted, have = getattr(right, name), getattr(got, name)
        if wanted != have:
            found.append(f"{name} is {_shown(have)}, right is {_shown(wanted)}")
    return found


def _shown(value: object) -> str:
    """From its end, where errors stand."""
    text = repr(value.decode(errors="backslashreplace") if isinstance(value, bytes) else value)
    return text if len(text) <= _SHOWN else f"… {text[-_SHOWN:]}"
