"""The nodes of a cluster as a driver knows them: those that Ray lists, and an actor on each."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any, TypeVar

import ray
from msgspec import Struct
from ray.exceptions import GetTimeoutError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sandboxd_client.errors import NodeLostError
from sandboxd_client.protocol import Method, NoParams, Params, StatusResult, decoder
from sandboxd_client.ray.actor import DaemonMode, Fault, NodeActor, encode

RESOURCE = "sandboxd"
"""The custom resource by which a node says that it has a daemon, and how many slots."""
PATIENCE = 60.0
"""Seconds to wait for a node while there is none."""
_LOOK = 1.0
"""Seconds between one look at Ray's nodes and the next."""

_T = TypeVar("_T")


class NodeStatus(Struct, frozen=True):
    """A node, and what its daemon says of itself."""

    node: str
    address: str
    slots: int
    status: StatusResult | None
    problem: str | None
    """Why there is no status."""


class Node:
    """One node; `usable` once its daemon has answered."""

    def __init__(self, listed: dict[str, Any], daemon: DaemonMode) -> None:
        self.id = str(listed["NodeID"])
        self.address = str(listed["NodeManagerAddress"])
        self.slots = max(1, int(listed["Resources"][RESOURCE]))
        self.in_flight = 0
        """Programs, streams and sessions that are there."""
        self._count = threading.Lock()
        self.problem: str | None = None
        """Why it is not to be counted on any more."""
        actor: Any = ray.remote(NodeActor)
        self.actor = actor.options(
            num_cpus=0,
            max_restarts=-1,
            scheduling_strategy=NodeAffinitySchedulingStrategy(self.id, soft=False),
        ).remote(self.slots, daemon)
        self.waking: Any = None
        self.rest()

    @property
    def usable(self) -> bool:
        return self.waking is None and self.problem is None

    def hold(self, count: int) -> None:
        """So many more are there, or fewer."""
        with self._count:
            self.in_flight += count

    def rest(self) -> None:
        """Counts again when its daemon has answered; its actor may have to be restarted first."""
        if self.waking is None:
            self.waking = self.actor.ready.options(max_task_retries=-1).remote()

    def lost(self, why: str) -> NodeLostError:
        return NodeLostError(self.id, why)

    def call(self, method: Method, params: Params, kind: type[_T], timeout: float | None) -> _T:
        """A request to its daemon. Raises NodeLostError when nobody answers."""
        try:
            answer = ray.get(
                self.actor.call.remote(method, encode(params), type(params)), timeout=timeout
            )
        except GetTimeoutError:
            raise self.lost(f"did not answer within {timeout:g} s") from None
        except RayTaskError:
            raise
        except RayError as error:
            self.rest()
            raise self.lost(first_line(error)) from None
        if isinstance(answer, Fault):
            if answer.lost is None:
                raise answer.error()
            self.rest()
            raise self.lost(answer.message)
        return decoder(kind).decode(answer)


class Nodes:
    """Those that offer the resource, now; may be shared between threads."""

    def __init__(self, daemon: DaemonMode) -> None:
        self._daemon = daemon
        self._known: dict[str, Node] = {}
        self._lock = threading.Lock()
        self._looked = float("-inf")
        self.all()

    def all(self) -> list[Node]:
        """Those that have not been lost."""
        with self._lock:
            if time.monotonic() - self._looked > _LOOK:
                self._look()
            return [node for node in self._known.values() if node.problem is None]

    def _look(self) -> None:
        self._looked = time.monotonic()
        listed: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call] # as Ray has it
        alive = {str(each["NodeID"]): each for each in listed if each["Alive"]}
        for name, node in alive.items():
            if name not in self._known and node["Resources"].get(RESOURCE, 0) > 0:
                self._known[name] = Node(node, self._daemon)
        for name in self._known.keys() - alive.keys():
            del self._known[name]  # Ray never gives an id again

    def usable(self) -> list[Node]:
        nodes = self.all()
        if waking := [node.waking for node in nodes if node.waking is not None]:
            done, _ = ray.wait(waking, num_returns=len(waking), timeout=0)
            self._woken(nodes, done)
        return [node for node in nodes if node.usable]

    def wait(self, refs: Sequence[Any], seconds: float = _LOOK) -> list[Any]:
        """Waits for the first of some answers, or of the nodes that become usable."""
        nodes = self.all()
        waking = [node.waking for node in nodes if node.waking is not None]
        if not refs and not waking:
            time.sleep(seconds)  # nothing but a new node can come
            return []
        done, _ = ray.wait([*refs, *waking], num_returns=1, timeout=seconds)
        # All that has ended with it, so that a batch is not waited for one by one.
        done, _ = ray.wait([*refs, *waking], num_returns=len(refs) + len(waking), timeout=0)
        return [ref for ref in done if ref not in waking]

    def _woken(self, nodes: Sequence[Node], done: Sequence[Any]) -> None:
        for node in nodes:
            if node.waking in done:
                try:
                    ray.get(node.waking)
                except RayError as error:
                    node.problem = first_line(error)
                node.waking = None

    def one(self) -> Node:
        """The usable one with the least to do. Raises NodeLostError when none turns up."""
        until = time.monotonic() + PATIENCE
        while not (usable := self.usable()):
            if time.monotonic() > until:
                raise self.none_left()
            self.wait(())
        return min(usable, key=lambda node: node.in_flight / node.slots)

    def none_left(self) -> NodeLostError:
        problems = [node.problem for node in self._known.values() if node.problem]
        why = f"; {problems[0]}" if problems else ""
        return NodeLostError(
            None,
            f"no node with the resource {RESOURCE!r} and a daemon that answers, for "
            f"{PATIENCE:.0f} s{why}. `sandbox cluster status` shows the nodes.",
        )

    def status(self, timeout: float) -> list[NodeStatus]:
        return [self._status(node, timeout) for node in self.all()]

    def _status(self, node: Node, timeout: float) -> NodeStatus:
        status, problem = None, None
        try:
            status = node.call(Method.STATUS, NoParams(), StatusResult, timeout)
        except NodeLostError as error:
            problem = error.why
        return NodeStatus(node.id, node.address, node.slots, status, problem)

    def close(self) -> None:
        for node in self._known.values():
            ray.kill(node.actor)
        self._known.clear()


def first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[-1 if isinstance(error, RayTaskError) else 0] if lines else type(error).__name__
