"""Waiting runs, fair between owners: each owner in turn, each in its own order."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator

from msgspec import Struct


class Waiter(Struct, eq=False):
    """A run that wants a container."""

    owner: int
    """The uid it runs for."""
    fresh: bool
    """Only a container that nobody has used will do."""


class FairQueue:
    """Round robin over owners. A run costs one container, whoever asks, so every
    turn has the same quantum."""

    def __init__(self) -> None:
        self._by_owner: OrderedDict[int, deque[Waiter]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def push(self, waiter: Waiter) -> None:
        """Adds a waiter behind its owner's others."""
        self._by_owner.setdefault(waiter.owner, deque()).append(waiter)
        self._count += 1

    def remove(self, waiter: Waiter) -> bool:
        """Takes out a waiter that gave up; False if it was not waiting."""
        line = self._by_owner.get(waiter.owner)
        if line is None or waiter not in line:
            return False
        line.remove(waiter)
        self._dropped(waiter.owner, line)
        return True

    def heads(self) -> Iterator[Waiter]:
        """The first of each owner, in the order of their turns."""
        return (line[0] for line in self._by_owner.values())

    def take(self, suits: Callable[[Waiter], bool]) -> Waiter | None:
        """Takes the first head that suits; its owner's next turn comes last."""
        for owner, line in self._by_owner.items():
            if suits(line[0]):
                waiter = line.popleft()
                self._by_owner.move_to_end(owner)
                self._dropped(owner, line)
                return waiter
        return None

    def drain(self) -> list[Waiter]:
        """Takes out everybody."""
        waiters = [waiter for line in self._by_owner.values() for waiter in line]
        self._by_owner.clear()
        self._count = 0
        return waiters

    def _dropped(self, owner: int, line: deque[Waiter]) -> None:
        self._count -= 1
        if not line:
            del self._by_owner[owner]
