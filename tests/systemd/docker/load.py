"""Clients that go on asking while the daemon is restarted under them.

A request counts as accepted once the daemon has said `run.started` for it: then its
program has begun, and its result must come. Before that two things may become of it,
after either of which it can be sent again without anything being done twice:

- it is answered with `shutting_down`;
- the connection is lost before anything was said to it.

Nothing else may become of it, and none may get two answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

from msgspec import Struct, field

Message = dict[str, Any]
_RUN, _AFTER = 1, 2
_LINE_MOST = 1024 * 1024


class Attempt(Struct):
    """What became of one request."""

    started: bool = False
    answers: list[Message] = field(default_factory=list)

    @property
    def refused(self) -> bool:
        return any(
            answer.get("error", {}).get("data", {}).get("kind") == "shutting_down"
            for answer in self.answers
        )


class Client:
    """Sends one run after the other, each as often as it takes, under labels of its own."""

    def __init__(self, socket: Path, name: str) -> None:
        self._socket = socket
        self._name = name
        self.results: dict[str, str] = {}
        """What each run printed, by its label."""
        self.outcomes: Counter[str] = Counter()

    async def go_on(self, until: asyncio.Event, progress: asyncio.Condition) -> None:
        while not until.is_set():
            label = f"{self._name}-{len(self.results)}"
            while label not in self.results:
                self._judge(label, await self._attempt(label))
            async with progress:
                progress.notify_all()

    def _judge(self, label: str, attempt: Attempt) -> None:
        assert len(attempt.answers) <= 1, attempt
        if not attempt.answers:
            assert not attempt.started, f"{label} was accepted, and its answer lost"
            self.outcomes["lost"] += 1
        elif attempt.refused:
            assert not attempt.started, f"{label} was accepted, and then refused"
            self.outcomes["refused"] += 1
        else:
            (answer,) = attempt.answers
            assert attempt.started, answer
            self.results[label] = answer["result"]["stdout"]
            self.outcomes["answered"] += 1

    async def _attempt(self, label: str) -> Attempt:
        """A connection of its own. That it can be made is what holding the socket is for."""
        reader, writer = await asyncio.open_unix_connection(str(self._socket), limit=_LINE_MOST)
        attempt = Attempt()
        with contextlib.suppress(OSError):
            params = {"language": "python", "code": f"print({label!r})", "label": label}
            _ask(writer, _RUN, "run", params)
            while not attempt.answers and (line := await reader.readline()):
                _take(json.loads(line), attempt)
            # A second answer would be here before that to a second question.
            _ask(writer, _AFTER, "languages", {})
            while line := await reader.readline():
                message = json.loads(line)
                if message.get("id") == _AFTER:
                    break
                _take(message, attempt)
        writer.close()
        return attempt


def _ask(writer: asyncio.StreamWriter, identity: int, method: str, params: Message) -> None:
    message = {"jsonrpc": "2.0", "id": identity, "method": method, "params": params}
    writer.write(json.dumps(message).encode() + b"\n")


def _take(message: Message, attempt: Attempt) -> None:
    if message.get("method") == "run.started":
        attempt.started = True
    elif "method" not in message:
        attempt.answers.append(message)


async def more_results(clients: list[Client], count: int, progress: asyncio.Condition) -> None:
    """Waits until the clients have so many more results between them."""

    def total() -> int:
        return sum(len(client.results) for client in clients)

    wanted = total() + count
    async with progress:
        await progress.wait_for(lambda: total() >= wanted)
