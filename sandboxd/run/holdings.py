"""What the daemon holds of files for each owner while they are on their way."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable


class Holdings:
    """Bytes, in one direction; `most` is asked each time. Whoever wants more waits in turn.

    Both directions have one of their own: a run holds what goes into it while it waits for
    room to come out, and that depends on nobody but its client.
    """

    def __init__(self, most: Callable[[], int]) -> None:
        self._most = most
        self._held: Counter[int] = Counter()
        self._waiting: dict[int, deque[tuple[int, asyncio.Future[None]]]] = {}

    def held(self, owner: int) -> int:
        return self._held[owner]

    async def take(self, owner: int, size: int) -> None:
        """Returns once the owner may hold so many more; one alone may be of any size."""
        queue = self._waiting.setdefault(owner, deque())
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append((size, turn))
        self._serve(owner)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                queue.remove((size, turn))
                self._serve(owner)
            else:
                self.give_back(owner, size)
            raise

    def give_back(self, owner: int, size: int) -> None:
        if not size:
            return
        self._held[owner] -= size
        self._serve(owner)

    def _serve(self, owner: int) -> None:
        queue = self._waiting.get(owner, deque())
        while queue and self._fits(owner, queue[0][0]):
            size, turn = queue.popleft()
            self._held[owner] += size
            turn.set_result(None)
        if not queue:
            self._waiting.pop(owner, None)
        if not self._held[owner]:
            del self._held[owner]

    def _fits(self, owner: int, size: int) -> bool:
        return not self._held[owner] or self._held[owner] + size <= self._most()
