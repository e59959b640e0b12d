"""A run on a node, whose events are seen as they come."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import msgspec
import ray
from ray.exceptions import RayError, RayTaskError

from sandboxd_client._wire import Event
from sandboxd_client.errors import UsageError
from sandboxd_client.protocol import RunParams, RunResult
from sandboxd_client.ray.actor import Ended, Happened, encode
from sandboxd_client.ray.nodes import Node, Nodes, first_line

_happened = msgspec.msgpack.Decoder(Happened)


class ClusterStream:
    """A run under way: iterate over its events, then look at `result`.

    Leaving it before the end kills the program. Iterating raises NodeLostError when the
    node or its daemon is lost: what was printed before has been seen and cannot be taken
    back, so that it is never run again.
    """

    def __init__(self, place: Nodes | Node, params: RunParams) -> None:
        self._place = place
        self._params = params
        self._result: RunResult | None = None
        self._ended = False

    def __enter__(self) -> Self:
        self._node = self._place.one() if isinstance(self._place, Nodes) else self._place
        self._node.hold(1)
        stream = self._node.actor.stream.options(num_returns="streaming")
        self._events: Any = stream.remote(encode(self._params))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._node.hold(-1)
        if not self._ended:
            ray.cancel(self._events)

    @property
    def node(self) -> str:
        """The id that Ray has for where it runs."""
        return self._node.id

    @property
    def result(self) -> RunResult:
        """The result, known once the iteration has ended."""
        if self._result is None:
            raise UsageError("the run has not ended: iterate over its events first")
        return self._result

    def __iter__(self) -> Iterator[Event]:
        while not self._ended:
            happened = self._next()
            if happened.ended is not None:
                self._end(happened.ended)
            elif event := happened.output or happened.started:
                yield event

    def _next(self) -> Happened:
        try:
            return _happened.decode(ray.get(next(self._events)))
        except RayTaskError:
            raise
        except RayError as error:
            self._ended = True
            self._node.rest()
            raise self._node.lost(first_line(error)) from None

    def _end(self, ended: Ended) -> None:
        self._ended = True
        self._result = ended.result
        if ended.fault is None:
            return
        if ended.fault.lost is None:
            raise ended.fault.error()
        self._node.rest()
        raise self._node.lost(ended.fault.message)
