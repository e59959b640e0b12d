"""Versions of an engine's programs, as they write them. Pure."""

from __future__ import annotations

import re

Version = tuple[int, ...]

_PARTS = 3
_STAGES = {"alpha": 0, "beta": 1, "rc": 2}
_FINAL = 3
_VERSION = re.compile(
    r"v?(?P<numbers>\d+(?:\.\d+)*)(?:[-.~]?(?P<stage>alpha|beta|rc)[-.]?(?P<count>\d*))?(?P<rest>.*)",
    re.DOTALL,
)
_UPSTREAM = re.compile(r"(?:-\d+-g[0-9a-f]+)?(?:-(?:ce|ee|dev|dirty)|\+incompatible)*")
"""What a version of the project itself may end in: git's description, or an edition."""


def parse_version(text: str) -> Version | None:
    """Something that compares as versions do: release candidates come before their release."""
    match = _VERSION.match(text.strip())
    if match is None:
        return None
    numbers = [int(part) for part in match["numbers"].split(".")]
    numbers += [0] * (_PARTS - len(numbers))
    stage = _FINAL if match["stage"] is None else _STAGES[match["stage"]]
    return (*numbers[:_PARTS], stage, int(match["count"] or 0))


def from_distribution(text: str) -> bool:
    """Whether a version is a distribution's, such as 1.1.5+ds1-1+deb12u1."""
    match = _VERSION.match(text.strip())
    return match is not None and _UPSTREAM.fullmatch(match["rest"]) is None
