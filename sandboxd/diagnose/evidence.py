"""What a program wrote, cut to what an error can need.

It may have written megabytes, and lines of any length; reading them must cost
no more than reading an honest error does.
"""

from __future__ import annotations

from sandboxd.diagnose.words import clip

_HEAD = 32 * 1024
_TAIL = 96 * 1024
_LINE = 1000


def cut(text: str) -> str:
    """The beginning and the end of it, with the middle of long lines left out."""
    if len(text) > _HEAD + _TAIL:
        text = f"{text[:_HEAD]}\n{text[-_TAIL:]}"
    return "\n".join(clip(line.removesuffix("\r"), _LINE) for line in text.split("\n"))
