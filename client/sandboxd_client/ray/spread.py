"""Programs spread over nodes: sent together, taken back as they end, sent again when lost."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Generator, Iterator
from typing import Any, NamedTuple

import msgspec
import ray
from msgspec import structs
from ray.exceptions import RayError, RayTaskError

from sandboxd_client._wire import run_params
from sandboxd_client.batch import Outcome, Program, Programs
from sandboxd_client.errors import SandboxError
from sandboxd_client.protocol import RunParams
from sandboxd_client.ray.actor import Ended, Lost, encode
from sandboxd_client.ray.nodes import PATIENCE, Node, Nodes, first_line

_LOSSES = 3
"""How often a program may be lost: one that takes its node with it is not to have them all."""
_MOST_TOGETHER = 64
_SHORT, _LONG = 0.1, 0.4
"""When batches take less seconds they may grow; when they take more they shrink."""
_ends = msgspec.msgpack.Decoder(list[Ended])


class Job(NamedTuple):
    number: int
    params: RunParams
    losses: int = 0


class Batch(NamedTuple):
    node: Node
    jobs: list[Job]
    sent: float


def wire(program: Program) -> RunParams:
    """Its params, with all of its stdin: there is nobody at the node who could ask for more."""
    if program.pieces is None:
        return program.params
    stdin = run_params("", "", {"stdin": b"".join(program.pieces)}, stream=False).stdin
    return structs.replace(program.params, stdin=stdin)


class Spread:
    """The programs of one caller on their way."""

    def __init__(
        self, nodes: Nodes, programs: Programs, *, concurrency: int | None, repeat: bool
    ) -> None:
        self._nodes = nodes
        self._left = enumerate(programs)
        self._concurrency = concurrency
        self._repeat = repeat
        self._again: deque[Job] = deque()
        self._out: dict[Any, Batch] = {}
        self._ended: list[tuple[int, Outcome]] = []
        self._usable = time.monotonic()
        self._together = 1.0
        """Programs for each slot of a node that are sent together."""
        self.given = 0
        """Programs taken from the iterator."""
        self.ahead: int | None = None
        """How many may be taken; whoever gives back in order sets it."""

    def outcomes(self) -> Generator[tuple[int, Outcome], None, None]:
        """The number of each program and what became of it, as they end.

        Closing it kills what runs. Raises NodeLostError when there is no node for long.
        """
        try:
            while True:
                self._send()
                if not self._out and not self._ended and not self._again:
                    return
                if not self._ended:
                    for ref in self._nodes.wait(list(self._out)):
                        self._take_back(ref)
                ended, self._ended = self._ended, []
                yield from ended
        finally:
            for ref, batch in self._out.items():
                batch.node.hold(-len(batch.jobs))
                ray.cancel(ref)

    def may_take_one_more(self) -> None:
        if self.ahead is not None:
            self.ahead += 1

    @property
    def _is_far_ahead(self) -> bool:
        return self.ahead is not None and self.given >= self.ahead

    def _send(self) -> None:
        usable = self._nodes.usable()
        if usable or self._out:
            self._usable = time.monotonic()
        elif self._more() and time.monotonic() - self._usable > PATIENCE:
            raise self._nodes.none_left()
        while True:
            free = [node for node in usable if self._room(node) > 0]
            free.sort(key=lambda node: node.in_flight / node.slots)
            places = {node: min(self._size(node), self._room(node)) for node in free}
            jobs = self._take(sum(places.values()))
            if not jobs:
                return
            for node, part in _dealt(jobs, places):
                node.hold(len(part))
                ref = node.actor.run.remote(encode([job.params for job in part]))
                self._out[ref] = Batch(node, part, time.monotonic())

    def _size(self, node: Node) -> int:
        return max(1, min(_MOST_TOGETHER, round(node.slots * self._together)))

    def _room(self, node: Node) -> int:
        """Programs that may be sent now: enough under way that no slot waits for Ray."""
        return max(2 * node.slots, 3 * self._size(node)) - node.in_flight

    def _took(self, seconds: float) -> None:
        """Short programs are sent many at a time, long ones few."""
        if seconds < _SHORT:
            self._together = min(_MOST_TOGETHER, self._together * 2)
        elif seconds > _LONG:
            self._together = max(1 / _MOST_TOGETHER, self._together / 2)

    def _more(self) -> bool:
        """Whether something waits for a node: one is taken from the iterator to know."""
        if not self._again:
            self._again.extend(self._take(1))
        return bool(self._again)

    def _take(self, count: int) -> list[Job]:
        if self._concurrency is not None:
            count = min(count, self._concurrency - sum(len(b.jobs) for b in self._out.values()))
        jobs: list[Job] = []
        while len(jobs) < count:
            if self._again:
                jobs.append(self._again.popleft())
            elif self._is_far_ahead or (following := next(self._left, None)) is None:
                break
            else:
                self.given += 1
                number, program = following
                if isinstance(program, SandboxError):
                    self._ended.append((number, program))
                else:
                    jobs.append(Job(number, wire(program)))
        return jobs

    def _take_back(self, ref: Any) -> None:
        node, jobs, sent = self._out.pop(ref)
        node.hold(-len(jobs))
        try:
            ends = _ends.decode(ray.get(ref))
        except RayTaskError:
            raise
        except RayError as error:  # the actor, its node, or what it answered is gone
            node.rest()
            for job in jobs:
                self._lost(job, node, first_line(error), Lost.UNKNOWN)
            return
        self._took(time.monotonic() - sent)
        for job, ended in zip(jobs, ends, strict=True):
            if ended.fault is None:
                self._ended.append((job.number, _known(ended)))
            elif ended.fault.lost is None:
                self._ended.append((job.number, ended.fault.error()))
            else:
                node.rest()
                self._lost(job, node, ended.fault.message, ended.fault.lost)

    def _lost(self, job: Job, node: Node, why: str, how: Lost) -> None:
        """Elsewhere, or later, if that does no harm."""
        if how is Lost.NOT_STARTED:
            self._again.append(job)
        elif self._repeat and job.losses < _LOSSES:
            self._again.append(job._replace(losses=job.losses + 1))
        else:
            self._ended.append((job.number, node.lost(why)))


def _dealt(jobs: list[Job], places: dict[Node, int]) -> Iterator[tuple[Node, list[Job]]]:
    """Each node's part of them, by its places: a few are spread as well as many."""
    left = sum(places.values())
    for node, count in places.items():
        size = math.ceil(len(jobs) * count / left)
        part, jobs = jobs[:size], jobs[size:]
        left -= count
        if part:
            yield node, part


def _known(ended: Ended) -> Outcome:
    if ended.result is None:
        raise ValueError("a node answered with neither a result nor an error")
    return ended.result


def run_one(nodes: Nodes, program: Program, *, repeat: bool) -> Outcome:
    spread = Spread(nodes, [program], concurrency=None, repeat=repeat)
    return next(outcome for _, outcome in spread.outcomes())
