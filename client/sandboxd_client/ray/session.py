"""A session on a node: all of its runs go there, for that is where its state is."""

from __future__ import annotations

import contextlib
from types import TracebackType
from typing import Self, TypeVar, Unpack

from sandboxd_client._wire import RunOptions, run_params
from sandboxd_client.errors import NodeLostError, SessionNotFoundError
from sandboxd_client.protocol import (
    Method,
    Nothing,
    Params,
    RunResult,
    SessionOpened,
    SessionOpenParams,
    SessionParams,
)
from sandboxd_client.ray.nodes import Node, Nodes
from sandboxd_client.ray.stream import ClusterStream
from sandboxd_client.session import SessionFiles

_T = TypeVar("_T")


class ClusterSession(SessionFiles):
    """Opened by entering, closed by leaving; see `SandboxCluster.session`.

    It ends with its node or its daemon: then a run raises NodeLostError, or
    SessionNotFoundError where the daemon is back without it.
    """

    def __init__(self, nodes: Nodes, params: SessionOpenParams) -> None:
        super().__init__(params)
        self._nodes = nodes

    def __enter__(self) -> Self:
        self._node: Node = self._nodes.one()
        self._opened = self._ask(Method.SESSION_OPEN, self._params, SessionOpened)
        self._node.hold(1)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._node.hold(-1)
        if not self._params.keep:
            self.close()

    def close(self) -> None:
        """Ends it, and what runs in it. One that is gone already is no error."""
        with contextlib.suppress(NodeLostError, SessionNotFoundError):
            self._ask(Method.SESSION_CLOSE, SessionParams(session=self.id), Nothing)

    @property
    def node(self) -> str:
        """The id that Ray has for where it is."""
        return self._node.id

    def run(self, code: str, **options: Unpack[RunOptions]) -> RunResult:
        """See `Client.run`. `state` tells whether the next run finds what this one left."""
        with self.stream(code, **options) as run:
            for _ in run:
                pass
            return run.result

    def stream(self, code: str, **options: Unpack[RunOptions]) -> ClusterStream:
        """See `Client.stream`."""
        params = run_params(self.language, code, self._its(options), stream=True)
        return ClusterStream(self._node, params)

    def _ask(self, method: Method, params: Params, kind: type[_T]) -> _T:
        return self._node.call(method, params, kind, None)
