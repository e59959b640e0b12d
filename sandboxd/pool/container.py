"""What a pool's containers are made by, and what it holds of each."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

from msgspec import Struct

from sandboxd.engine.port import ContainerSpec, Resources
from sandboxd.pool.guest import Guest


class Slots:
    """Numbers that tell the living containers of this daemon apart.

    A slot is a uid of its own: limits and keyrings are counted by uid, and no
    two containers are to share them.
    """

    def __init__(self) -> None:
        self._taken: set[int] = set()

    def take(self) -> int:
        slot = next(number for number in itertools.count() if number not in self._taken)
        self._taken.add(slot)
        return slot

    def free(self, slot: int) -> None:
        self._taken.discard(slot)


class Plan(Struct, frozen=True):
    """How a pool makes its containers."""

    language: str
    profile: str
    spec: Callable[[int], ContainerSpec]
    """The container for a slot."""
    resources: Resources
    """What its cgroup enforces, unless a run asks for something else."""
    warmup: bytes | None
    """Frames of a run that a container must have done before it is ready."""
    start_timeout: float
    queue: int
    """Runs that may wait."""


class Container(Struct, eq=False):
    """What the pool holds of a member, from before the engine is asked for it.

    It goes by its name, which is known before it exists, so that one whose
    creation was answered by nobody can still be removed.
    """

    slot: int
    spec: ContainerSpec
    id: str = ""
    guest: Guest | None = None
    start: asyncio.Task[None] | None = None
    restoring: asyncio.Task[None] | None = None
    """Gives it back the limits that its last run had changed."""
