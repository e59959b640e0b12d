"""Pools on the engine double, and runs in their containers."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

from sandboxd.engine.port import (
    LABEL_INSTANCE,
    LABEL_SLOT,
    ContainerSpec,
    Resources,
    Security,
)
from sandboxd.guest import frames
from sandboxd.guest.frames import Command, Event, Verdict
from sandboxd.pool.container import Plan
from sandboxd.pool.core import Settings
from sandboxd.pool.pool import Lease
from tests.support.wait import DEADLINE

INSTANCE = "mine"
USUAL = Resources(memory=2**29, cpus=1.0, cpu_shares=1024, pids=100)
_serials = itertools.count()


class Clock:
    """Stands in for the module `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


def settings(least: int = 1, most: int = 4, **more: object) -> Settings:
    values: dict[str, object] = {"max_uses": 1000, "max_age": 3600.0, "reuse": "owner", **more}
    return Settings(min=least, max=most, **values)  # type: ignore[arg-type]


def container(
    name: str, uid: int = 60000, labels: dict[str, str] | None = None, resources: Resources = USUAL
) -> ContainerSpec:
    """What the double looks at of a container, and nothing in the rest."""
    return ContainerSpec(
        name=name,
        image="image",
        argv=("/sandboxd/guest",),
        uid=uid,
        env={},
        labels=labels or {},
        tmpfs=(),
        shm=0,
        resources=resources,
        nofile=0,
        fsize=0,
        security=Security(seccomp=""),
    )


def plan(
    profile: str = "python",
    *,
    queue: int = 100,
    start_timeout: float = DEADLINE,
    warmup: str | None = None,
    on_spec: Callable[[int], object] = lambda slot: slot,
) -> Plan:
    def spec(slot: int) -> ContainerSpec:
        on_spec(slot)
        labels = {LABEL_INSTANCE: INSTANCE, LABEL_SLOT: str(slot)}
        return container(f"{profile}-{next(_serials)}", 60000 + slot, labels)

    return Plan(
        language=profile,
        profile=profile,
        spec=spec,
        resources=USUAL,
        warmup=None if warmup is None else program(warmup, DEADLINE),
        start_timeout=start_timeout,
        queue=queue,
    )


def program(code: str, seconds: float) -> bytes:
    """The frames of a run."""
    return (
        frames.encode_data(Command.CODE, code.encode())
        + frames.encode(Command.MESSAGE, b"0\0")
        + frames.encode_go(seconds, 1000, stdin=False)
    )


class Running:
    """A program in a leased container."""

    def __init__(self, lease: Lease, code: str = "", *, seconds: float = DEADLINE) -> None:
        self.printed = b""
        self.end: asyncio.Future[Verdict | str] = asyncio.get_running_loop().create_future()
        """The verdict, or why the container was lost."""
        lease.guest.begin(self, program(code, seconds))

    def output(self, stream: Event, data: bytes) -> None:
        self.printed += data

    def credit(self, count: int) -> None: ...

    def note(self, data: bytes) -> None: ...

    def ended(self, verdict: Verdict) -> None:
        self.end.set_result(verdict)

    def lost(self, why: str) -> None:
        if not self.end.done():
            self.end.set_result(why)

    def file(self, data: bytes) -> None: ...

    def file_end(self, error: int) -> None: ...

    def put_failed(self, error: int, path: str) -> None: ...

    async def finished(self) -> Verdict | str:
        async with asyncio.timeout(DEADLINE):
            return await self.end


async def run(lease: Lease, code: str = "") -> Verdict | str:
    """Runs a program to its end in a lease that is left afterwards."""
    with lease:
        end = await Running(lease, code).finished()
        lease.ended(None if isinstance(end, Verdict) else end)
    return end
