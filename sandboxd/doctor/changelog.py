"""What a distribution's changelog says was fixed in a version that stayed as it is. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

_ENTRY = re.compile(r"^\S+ \((?P<version>[^)]+)\) ", re.MULTILINE)
_CVE = re.compile(r"CVE-\d{4}-\d{4,7}")


class Entry(Struct, frozen=True):
    version: str
    cves: list[str]


def parse_changelog(text: str) -> list[Entry]:
    """The entries of a Debian changelog (deb-changelog(5)), the newest first."""
    heads = list(_ENTRY.finditer(text))
    ends = [*(head.start() for head in heads[1:]), len(text)]
    return [
        Entry(head["version"], sorted(set(_CVE.findall(text, head.end(), end))))
        for head, end in zip(heads, ends, strict=False)
    ]


def fixed_by(version: str, entries: Iterable[Entry]) -> frozenset[str]:
    """What was fixed up to a version, which may lack the distribution's last part.

    A newer package that the running engine is not of yet fixes nothing.
    """
    found: set[str] = set()
    reached = False
    for entry in entries:
        reached = reached or (bool(version) and entry.version.startswith(version))
        if reached:
            found.update(entry.cves)
    return frozenset(found)
