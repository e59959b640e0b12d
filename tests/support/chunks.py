"""Cutting a byte stream anywhere: what a reader makes of it must not depend on that."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import strategies as st

cuts = st.lists(st.integers(0, 2**16), max_size=12)
"""Places to cut at, to be brought into range."""


def cut(data: bytes, places: list[int]) -> list[bytes]:
    bounds = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in pairwise(bounds)]
