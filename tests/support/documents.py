"""Fenced blocks of Markdown pages, and what the comment before each says to do with it.

`python` and `sh` blocks are run, `toml` ones configure the page's daemon. A comment on
the line before a block says otherwise:

    <!-- file: NAME -->        the block is a file that the page's programs see
    <!-- prints -->            it is what the block before printed
    <!-- elsewhere: PATH -->   it cannot be run here; that file tests the same
"""

from __future__ import annotations

import enum
import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]

_BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[a-z]+)(?:: (?P<value>\S+))? -->\n+)?"
    r"^(?P<fence>```+)(?P<language>\w*)\n(?P<text>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)
_FENCE = re.compile(r"^\s*```", re.MULTILINE)
_CALLS = re.compile(r"(^|\||&&|\$\()\s*sandbox\s")


class Kind(enum.Enum):
    PYTHON = "python"
    SHELL = "sh"
    CONFIG = "toml"
    FILE = "file"
    PRINTS = "prints"
    ELSEWHERE = "elsewhere"
    PICTURE = "text"


class Block(NamedTuple):
    kind: Kind
    text: str
    line: int
    value: str = ""
    """The file's name, or the path of the test that is elsewhere."""


def blocks(page: Path) -> list[Block]:
    """In their order. Raises ValueError for one that nobody could run and no mark explains."""
    source = page.read_text()
    found = []
    for match in _BLOCK.finditer(source):
        line = source.count("\n", 0, match.start("fence")) + 1
        try:
            kind = Kind(match["mark"] or match["language"])
        except ValueError:
            raise ValueError(
                f"{page.name}:{line}: a block that is neither run nor marked"
            ) from None
        found.append(Block(kind, match["text"], line, match["value"] or ""))
    if 2 * len(found) != len(_FENCE.findall(source)):
        raise ValueError(f"{page.name}: a fence that is indented, or has more than a language")
    return found


def commands(block: str) -> list[str]:
    """The commands of a shell block that call `sandbox`, each with all of its lines."""
    found = []
    lines = iter(block.replace("\\\n", " ").splitlines())
    for line in lines:
        if not _CALLS.search(line):
            continue
        command = line
        while not _is_whole(command):
            command += "\n" + next(lines)
        found.append(command)
    return found


def _is_whole(command: str) -> bool:
    """Whether quotes are closed and a here-document has come to its end."""
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return False
    here = re.search(r"<<-?\s*['\"]?(\w+)", command)
    return here is None or re.search(rf"^\s*{here[1]}$", command, re.MULTILINE) is not None
