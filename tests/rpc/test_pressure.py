"""Clients that do not read: they hold up their own programs, and nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.typing import EventDict

from sandboxd.config import PoolConfig, RpcConfig
from sandboxd.guest.frames import Command
from sandboxd.rpc.connection import Connection
from tests.support.guest import FakeGuest
from tests.support.service import SMALL, Service, replace
from tests.support.wait import turns, until
from tests.support.wire import Wire

MUCH = 30_015_488
"""Bytes, far over all the buffers on the way; a multiple of what a flood writes at once."""
BUFFERS = 4_000_000
"""Bytes that may be on their way: two sockets, the daemon's buffer, the container's pipe."""
FLOOD = {"limits": {"output": "64MiB"}, "capture": False}


def paused(guest: FakeGuest) -> bool:
    return guest.streams is not None and guest.streams.paused


def written(guest: FakeGuest) -> int:
    return sum(guest.process.written.values()) if guest.process else 0


def buffered(connection: Connection) -> int:
    return connection._transport.get_write_buffer_size()


async def stalled(service: Service, wire: Wire, code: str) -> tuple[int, FakeGuest]:
    """A run whose client does not read, once that has stopped it."""
    known = len(service.engine.seen)
    identity = wire.run(code, **FLOOD)
    wire.stop_reading()
    await until(lambda: any(map(paused, service.engine.seen)), "it is held up")
    del known
    guest = next(guest for guest in service.engine.seen if paused(guest))
    return identity, guest


async def test_a_client_that_does_not_read_stops_its_program_and_memory_stays_bounded(
    service: Service, wire: Wire
) -> None:
    identity, guest = await stalled(service, wire, f"flood {MUCH}\nout end")
    await turns(200)
    before = written(guest)
    await turns(200)
    assert written(guest) == before < BUFFERS
    (connection,) = service.hub.connections
    assert buffered(connection) < BUFFERS
    wire.read_on()
    assert (await wire.result(identity))["status"] == "ok"
    output = wire.output(identity)
    assert len(output) == MUCH + len("end\n")
    assert output.endswith(b"xxend\n")


async def test_it_holds_up_nobody_else(service: Service, wire: Wire) -> None:
    identity, guest = await stalled(service, wire, f"flood {MUCH}")
    async with Wire(service.socket) as other:
        for _ in range(5):
            own = other.run("flood 1000000\nout fine", **FLOOD)
            assert (await other.result(own))["status"] == "ok"
            assert other.output(own).endswith(b"fine\n")
    assert paused(guest)
    wire.read_on()
    await wire.result(identity)


async def test_it_can_still_cancel_its_run(service: Service, wire: Wire) -> None:
    identity, guest = await stalled(service, wire, f"flood {MUCH}\nhang")
    wire.notify("$/cancelRequest", id=identity)
    await until(lambda: service.runner.active == 0, "the run is killed")
    assert guest.heard[Command.KILL] == 1
    wire.read_on()
    assert (await wire.error(identity))["code"] == -32800


async def test_the_end_of_its_connection_kills_its_program(service: Service) -> None:
    async with Wire(service.socket) as wire:
        _, guest = await stalled(service, wire, f"flood {MUCH}\nhang")
    await until(lambda: service.runner.active == 0, "the run is cancelled")
    assert guest.heard[Command.KILL] == 1
    await until(lambda: service.pool().busy == 0, "its container is free")
    assert service.pool().destroyed == 0


async def test_a_program_that_its_client_holds_up_may_run_out_of_time(
    service: Service, wire: Wire
) -> None:
    identity = wire.run(f"flood {MUCH}", limits={"output": "64MiB", "timeout": 0.1}, capture=False)
    wire.stop_reading()
    guest = service.engine.seen[0]
    await until(lambda: paused(guest), "it is held up")
    await until(lambda: guest.process is None, "its time is up")
    wire.read_on()
    assert (await wire.result(identity))["status"] == "timeout"


async def test_a_stalled_client_is_dropped_in_the_end_and_its_container_used_again(
    tmp_path: Path, logs: list[EventDict]
) -> None:
    config = replace(SMALL, rpc=RpcConfig(stall_timeout=0.05))
    async with Service(tmp_path, config) as service, Wire(service.socket) as wire:
        await stalled(service, wire, f"flood {MUCH}\nhang")
        await until(lambda: not service.hub.connections, "it is dropped")
        await until(lambda: service.pool().busy == 0, "its container is free")
        assert service.pool().recycled == 1
        async with Wire(service.socket) as other:
            assert (await other.result(other.run("out works")))["stdout"] == "works\n"
    assert any("output was not read" in entry["event"] for entry in logs)


async def test_the_next_run_of_its_container_is_held_up_by_its_own_client_alone(
    tmp_path: Path,
) -> None:
    """The first client reads on only when its container has long been another's."""
    config = replace(SMALL, pool=PoolConfig(min=1, max=1))
    async with (
        Service(tmp_path, config) as service,
        Wire(service.socket) as first,
        Wire(service.socket) as second,
    ):
        cancelled, guest = await stalled(service, first, f"flood {MUCH}\nhang")
        first.notify("$/cancelRequest", id=cancelled)
        await until(lambda: service.pool().recycled == 1, "its container is used again")
        identity, _ = await stalled(service, second, f"flood {MUCH}")
        first.read_on()
        await first.error(cancelled)
        await turns(300)
        assert paused(guest)
        assert written(guest) < BUFFERS
        assert max(map(buffered, service.hub.connections)) < BUFFERS
        second.read_on()
        assert (await second.result(identity))["status"] == "ok"


async def test_a_run_that_ends_in_the_output_that_stalls_it_gives_its_container_back(
    service: Service, wire: Wire
) -> None:
    """Verdict and output come in one read; who reads the output does not matter any more."""
    wire.stop_reading()
    identity = wire.run("flood 2000000", **FLOOD)
    await until(lambda: any(map(paused, service.engine.seen)), "it is held up")
    wire.read_on()
    assert (await wire.result(identity))["status"] == "ok"
    await until(lambda: service.pool().busy == 0, "its container is free")
    assert service.pool().destroyed == 0


@pytest.mark.parametrize("size", [1_000_000])
async def test_answers_that_nobody_reads_do_not_pile_up_without_bound(
    service: Service, wire: Wire, size: int
) -> None:
    """Each is about as long as its request, which is read only when there is room."""
    wire.stop_reading()
    for _ in range(64):
        wire.ask("x" * size)
    (connection,) = service.hub.connections
    await turns(1000)
    assert buffered(connection) < 32_000_000
    wire.read_on()
    for identity in range(1, 65):
        await wire.error(identity)
