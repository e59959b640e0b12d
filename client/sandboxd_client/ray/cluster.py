"""A cluster, as who uses it sees it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Generator
from types import TracebackType
from typing import Self, Unpack

import ray
from msgspec import structs

from sandboxd_client._wire import RunOptions
from sandboxd_client.batch import InOrder, Outcome, Program, Programs, Progress, _check, _Tally
from sandboxd_client.errors import SandboxError
from sandboxd_client.protocol import RunResult
from sandboxd_client.ray.actor import DaemonMode
from sandboxd_client.ray.nodes import Nodes, NodeStatus
from sandboxd_client.ray.session import ClusterSession
from sandboxd_client.ray.spread import Spread, run_one, wire
from sandboxd_client.ray.stream import ClusterStream
from sandboxd_client.session import SessionOptions, session_params

_AHEAD = 1024
"""Programs taken and not yet given back, when results are given in order."""
_STATUS_SECONDS = 10.0


class SandboxCluster:
    """Runs programs on all nodes that offer the resource `sandboxd`; see `connect`.

    May be shared between threads.
    """

    def __init__(self, nodes: Nodes, *, owns_ray: bool) -> None:
        self._nodes = nodes
        self._owns_ray = owns_ray

    @classmethod
    def connect(cls, address: str | None = None, *, daemon: DaemonMode = "never") -> Self:
        """Joins the cluster at `address` ("host:port"; by default the one of this machine).

        A process that has called `ray.init` keeps the cluster that it has. On each node an
        actor speaks to the daemon on that node's `$SANDBOXD_SOCKET`, or where one listens
        by default; with `daemon="auto"` it starts one where none does.

        Raises SandboxError when no cluster is there.
        """
        owns = not ray.is_initialized()
        if owns:
            try:
                ray.init(
                    address=address or "auto", logging_level=logging.ERROR, log_to_driver=False
                )
            except ConnectionError as error:
                raise SandboxError(
                    f"no Ray cluster at {address or 'this machine'}: {error}. "
                    "Start one with `ray start --head`, or name its address."
                ) from None
        return cls(Nodes(daemon), owns_ray=owns)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the actors, and with them what runs; leaves Ray if `connect` joined it."""
        self._nodes.close()
        if self._owns_ray:
            ray.shutdown()

    def run(
        self, language: str, code: str, *, repeat: bool = False, **options: Unpack[RunOptions]
    ) -> RunResult:
        """Runs a program to its end on some node; see `Client.run`.

        Raises NodeLostError when the node or its daemon is lost meanwhile; with `repeat`
        it is run again elsewhere, which is for programs that may run twice.
        """
        outcome = run_one(self._nodes, Program(language, code, **options), repeat=repeat)
        if isinstance(outcome, SandboxError):
            raise outcome
        return outcome

    def stream(self, language: str, code: str, **options: Unpack[RunOptions]) -> ClusterStream:
        """A run whose events are seen as they come. Stdin is given whole."""
        params = structs.replace(wire(Program(language, code, **options)), stream=True)
        return ClusterStream(self._nodes, params)

    def map(
        self,
        programs: Programs,
        concurrency: int | None = None,
        progress: Progress | None = None,
        *,
        repeat: bool = True,
    ) -> list[Outcome]:
        """Runs many programs; results in order, errors in their place. See `imap`."""
        return list(self.imap(programs, concurrency, progress, repeat=repeat))

    def imap(
        self,
        programs: Programs,
        concurrency: int | None = None,
        progress: Progress | None = None,
        *,
        repeat: bool = True,
    ) -> Generator[Outcome, None, None]:
        """Runs programs on all nodes; yields what became of each, in their order.

        `programs` is iterated over a bounded number ahead of the results, and `concurrency`
        bounds how many are at the nodes (None: what these have slots for). Programs of a
        node that is lost are run again elsewhere; without `repeat` those that may have run
        become a NodeLostError. Closing the iterator kills what runs.
        """
        _check(1 if concurrency is None else concurrency)
        spread = Spread(self._nodes, programs, concurrency=concurrency, repeat=repeat)
        spread.ahead = _AHEAD if concurrency is None else 4 * concurrency
        return _in_order(spread, _Tally(progress, programs))

    def imap_unordered(
        self,
        programs: Programs,
        concurrency: int | None = None,
        progress: Progress | None = None,
        *,
        repeat: bool = True,
    ) -> Generator[tuple[int, Outcome], None, None]:
        """As `imap`, but as they end, each with the number of its program, from 0."""
        _check(1 if concurrency is None else concurrency)
        spread = Spread(self._nodes, programs, concurrency=concurrency, repeat=repeat)
        return _told(spread, _Tally(progress, programs))

    def session(self, language: str, **options: Unpack[SessionOptions]) -> ClusterSession:
        """A session on some node, opened by entering it; all of its runs go there."""
        return ClusterSession(self._nodes, session_params(language, options))

    def status(self, timeout: float = _STATUS_SECONDS) -> list[NodeStatus]:
        """Each node with the resource, and what its daemon says within so many seconds."""
        return self._nodes.status(timeout)


def _in_order(spread: Spread, tally: _Tally) -> Generator[Outcome, None, None]:
    order = InOrder[Outcome](0)
    with contextlib.closing(_told(spread, tally)) as ends:
        for number, outcome in ends:
            order.end(number, outcome)
            for ready in order.ready():
                spread.may_take_one_more()
                yield ready


def _told(spread: Spread, tally: _Tally) -> Generator[tuple[int, Outcome], None, None]:
    with contextlib.closing(spread.outcomes()) as ends:
        for number, outcome in ends:
            tally.add(outcome)
            yield number, outcome
