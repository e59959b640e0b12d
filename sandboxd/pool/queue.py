"""Waiting runs, fair between owners, and for each owner between its clients.

Deficit round robin (Shreedhar and Varghese, SIGCOMM 1995) with the time that
containers are held as the cost: owners take turns, and one whose runs last longer
gets fewer of them. What a run costs is known only when it has ended, so an owner
pays afterwards. Within an owner its clients take turns, each in its own order.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator

from msgspec import Struct

_QUANTUM = 0.1
"""Seconds of a container that each waiting owner gets in a round."""


class Waiter(Struct, eq=False):
    """A run that wants a container."""

    owner: int
    """The uid it runs for."""
    fresh: bool
    """Only a container that nobody has used will do."""
    client: int = 0
    """Tells the clients of one owner apart."""


class _Line(Struct, eq=False):
    """The waiters of one owner."""

    clients: OrderedDict[int, deque[Waiter]]
    balance: float = _QUANTUM
    """Seconds that it may still use in this round; below zero it sits rounds out."""


class FairQueue:
    def __init__(self) -> None:
        self._lines: OrderedDict[int, _Line] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def push(self, waiter: Waiter) -> None:
        """Adds a waiter behind its client's others."""
        line = self._lines.setdefault(waiter.owner, _Line(OrderedDict()))
        line.clients.setdefault(waiter.client, deque()).append(waiter)
        self._count += 1

    def remove(self, waiter: Waiter) -> bool:
        """Takes out a waiter that gave up; False if it was not waiting."""
        line = self._lines.get(waiter.owner)
        own = line.clients.get(waiter.client) if line else None
        if line is None or own is None or waiter not in own:
            return False
        own.remove(waiter)
        self._drop_empty(waiter, line, own)
        return True

    def heads(self) -> Iterator[Waiter]:
        """The first of each client, in the order of their turns."""
        for line in self._lines.values():
            for own in line.clients.values():
                yield own[0]

    def take(self, suits: Callable[[Waiter], bool]) -> Waiter | None:
        """Takes the next waiter that suits; its owner's and its client's next turn
        come last."""
        indebted: list[tuple[int, Waiter]] = []
        for line in self._lines.values():
            waiter = next((own[0] for own in line.clients.values() if suits(own[0])), None)
            if waiter is None:
                continue
            if line.balance > 0:
                return self._take(waiter)
            indebted.append((_rounds(line.balance), waiter))
        if not indebted:
            return None
        # Nobody who could be served may be: as many rounds pass as the first needs.
        rounds, waiter = min(indebted, key=lambda pair: pair[0])
        for line in self._lines.values():
            line.balance = min(_QUANTUM, line.balance + rounds * _QUANTUM)
        return self._take(waiter)

    def __iter__(self) -> Iterator[Waiter]:
        """Everybody in the order of their turns, were each content with what comes."""
        groups: dict[int, list[Iterator[Waiter]]] = {}
        for line in self._lines.values():
            turns = _in_turn([iter(own) for own in line.clients.values()])
            groups.setdefault(_rounds(line.balance), []).append(turns)
        for _, turns_of_lines in sorted(groups.items()):
            yield from _in_turn(turns_of_lines)

    def position(self, waiter: Waiter) -> int:
        """The place of one that waits in that order, counted from 1.

        Quick for who came last of its client, however many wait.
        """
        line = self._lines[waiter.owner]
        own = line.clients[waiter.client]
        behind = next(at for at, other in enumerate(reversed(own)) if other is waiter)
        lengths = {client: len(each) for client, each in line.clients.items()}
        place = _place(len(own) - 1 - behind, waiter.client, lengths)
        rounds = _rounds(line.balance)
        first, beside = 0, {}
        for owner, each in self._lines.items():
            length = sum(map(len, each.clients.values()))
            if _rounds(each.balance) < rounds:
                first += length
            elif _rounds(each.balance) == rounds:
                beside[owner] = length
        return first + _place(place, waiter.owner, beside) + 1

    def charge(self, owner: int, seconds: float) -> None:
        """A run of this owner has held a container for so long."""
        line = self._lines.get(owner)
        if line is not None:
            line.balance -= seconds

    def drain(self) -> list[Waiter]:
        """Takes out everybody."""
        waiters = [
            waiter
            for line in self._lines.values()
            for own in line.clients.values()
            for waiter in own
        ]
        self._lines.clear()
        self._count = 0
        return waiters

    def _take(self, waiter: Waiter) -> Waiter:
        line = self._lines[waiter.owner]
        own = line.clients[waiter.client]
        own.popleft()
        line.clients.move_to_end(waiter.client)
        self._lines.move_to_end(waiter.owner)
        self._drop_empty(waiter, line, own)
        return waiter

    def _drop_empty(self, waiter: Waiter, line: _Line, own: deque[Waiter]) -> None:
        self._count -= 1
        if not own:
            del line.clients[waiter.client]
        if not line.clients:
            del self._lines[waiter.owner]


def _rounds(balance: float) -> int:
    """So many rounds pass until an owner may be served."""
    return 0 if balance > 0 else math.floor(-balance / _QUANTUM) + 1


def _in_turn(lines: Iterable[Iterator[Waiter]]) -> Iterator[Waiter]:
    """One of each line, again and again."""
    left = deque(lines)
    while left:
        line = left.popleft()
        for waiter in line:
            yield waiter
            left.append(line)
            break


def _place(depth: int, own: int, lengths: dict[int, int]) -> int:
    """Where the one at a depth of its own line comes when the lines take turns."""
    place, turns = depth, depth + 1
    for line, length in lengths.items():
        if line == own:
            turns = depth  # lines behind it have had one turn less
        else:
            place += min(length, turns)
    return place
