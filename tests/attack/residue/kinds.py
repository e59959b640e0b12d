"""What a run could leave behind, kind by kind: how it is planted, and how it is found.

Each language's kinds are data. The same program plants and looks: what plants must
find what it has just planted, so a search that cannot find anything shows as that.
Nothing that is planted holds on to the run's own pipes, which would hold up its end.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sandboxd_client import Client, Limits, RunResult

PAIRS = int(os.environ.get("RESIDUE_PAIRS", "3"))
"""How often each kind is planted in a run and looked for in the next of the same container;
`make attack` has it 200 times."""

_LIMITS = Limits(timeout=20.0)


class Kind(NamedTuple):
    """Statements that plant under the name `marker`, and an expression that is true
    where something was planted; in the language's own words."""

    plant: str
    find: str


class Dialect(NamedTuple):
    """How a language's kinds become one program, whose arguments are "plant" or "look", and
    the marker. It prints the names of the kinds that it finds, a line each."""

    language: str
    program: str
    """With `{kinds}` for the kinds."""
    kind: str
    """With `{name}`, `{plant}` and `{find}`."""
    kinds: Mapping[str, Kind]
    """What would be left if namespaces were not taken down."""
    own: Mapping[str, Kind]
    """What ends with the process that has it, and so would not be left even then."""

    def source(self, names: Sequence[str]) -> str:
        every = {**self.kinds, **self.own}
        told = [
            self.kind.format(name=name, plant=every[name].plant, find=every[name].find)
            for name in names
        ]
        return self.program.replace("{kinds}", "".join(told))


def look_after(
    client: Client, dialect: Dialect, names: Sequence[str], end: str = "", status: str = "ok"
) -> list[str]:
    """The kinds that a run finds of what the one before it in its container has planted.

    `end` is how the planting program ends, and `status` what becomes of it.
    """
    source, marker = dialect.source(names), secrets.token_hex(8)
    planted = _run(client, dialect, source + end, "plant", marker)
    looked = _run(client, dialect, source, "look", marker)
    assert lines(planted)[: len(names)] == list(names), planted.stderr
    assert (planted.status, looked.status) == (status, "ok"), looked.stderr
    same_container(planted, looked)
    return lines(looked)


def _run(client: Client, dialect: Dialect, source: str, what: str, marker: str) -> RunResult:
    return client.run(dialect.language, source, args=[what, marker], limits=_LIMITS)


def same_container(*runs: RunResult) -> None:
    """These runs had the same container, one right after the other."""
    assert len({run.container.id for run in runs}) == 1
    first = runs[0].container.uses
    assert [run.container.uses for run in runs] == list(range(first, first + len(runs)))


def lines(result: RunResult) -> list[str]:
    assert isinstance(result.stdout, str)
    return result.stdout.splitlines()
