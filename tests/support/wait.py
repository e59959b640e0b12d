"""Waiting in a test: for something that will come about, with a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

DEADLINE = 10.0
"""Seconds; reached only by what hangs."""


async def until(check: Callable[[], bool], what: str) -> None:
    """Lets the loop turn until something has come about that nobody is told of."""
    try:
        async with asyncio.timeout(DEADLINE):
            while not check():  # noqa: ASYNC110 - no event tells of it
                await asyncio.sleep(0)
    except TimeoutError:
        raise AssertionError(f"not within {DEADLINE:g} s: {what}") from None


async def turns(count: int = 50) -> None:
    """Lets everything that is ready to run do so: for showing that something does not come."""
    for _ in range(count):
        await asyncio.sleep(0)
