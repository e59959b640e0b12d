"""How reports write sizes, durations and lists."""

from __future__ import annotations

from collections.abc import Iterable

_UNITS = ("KiB", "MiB", "GiB", "TiB")
_KIB = 1024


def size(count: int) -> str:
    """Bytes in the largest unit that leaves something before the point."""
    if count < _KIB:
        return f"{count} bytes"
    power = min((count.bit_length() - 1) // 10, len(_UNITS))
    return f"{round(count / _KIB**power, 1):g} {_UNITS[power - 1]}"


def seconds(duration: float) -> str:
    """Seconds, to the millisecond."""
    return f"{round(duration, 3):g} s"


def listing(items: Iterable[str], most: int = 12) -> str:
    """`a, b, c`, and how many more there are past the first `most`."""
    names = list(items)
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def clip(text: str, most: int) -> str:
    """The text, its middle left out where it is longer than `most` characters."""
    if len(text) <= most:
        return text
    tail = most // 4
    return f"{text[: most - tail - 3]}...{text[len(text) - tail :]}"


def last_line(text: str) -> str:
    """The last line that has anything in it."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
