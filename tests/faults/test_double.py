"""Every call to an engine fails in every way, on the double: whoever asked is told once and
why, `health` says it, nothing is left over, and it is over when the fault is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from sandboxd.config import PoolConfig
from sandboxd.errors import (
    EngineUnavailableError,
    ImageUnavailableError,
    StartFailedError,
    WireError,
)
from tests.support.engine import FakeEngine
from tests.support.logs import watched
from tests.support.service import SMALL, Service, replace
from tests.support.wait import until
from tests.support.wire import Wire

CALLS = ["create", "attach", "start", "update", "remove", "containers"]
CONFIG = replace(SMALL, pool=PoolConfig(min=1, max=2, starts=2, queue=1000, queue_timeout=2.0))
RUNS = 6


class Fault(Struct, frozen=True):
    """A way to fail, with the words that must not be lost on the way."""

    error: Callable[[], WireError]
    words: str

    def begin(self, engine: FakeEngine, call: str) -> None:
        for _ in range(1000):
            engine.on[call].fail(self.error())


FAULTS = {
    "500": Fault(lambda: StartFailedError("the engine would not: no such shim"), "no such shim"),
    "disk full": Fault(
        lambda: StartFailedError("write: no space left on device"), "no space left on device"
    ),
    "lost answer": Fault(
        lambda: EngineUnavailableError("the engine cannot be reached: disconnected"),
        "cannot be reached",
    ),
    "no answer in time": Fault(
        lambda: EngineUnavailableError("the engine did not within 30 s"), "did not within 30 s"
    ),
    "image gone": Fault(lambda: ImageUnavailableError("the image is not here"), "not here"),
}


@pytest.fixture
async def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    """One whose pauses are short."""
    monkeypatch.setattr("sandboxd.pool.core._BACKOFF_FIRST", 0.01)
    monkeypatch.setattr("sandboxd.pool.core._BACKOFF_MOST", 0.05)
    monkeypatch.setattr("sandboxd.pool.pool._RETRY_REMOVE", 0.01)
    monkeypatch.setattr("sandboxd.pool.pool._RETRY_REMOVE_MOST", 0.05)
    monkeypatch.setattr("sandboxd.pool.fleet._TICK", 0.01)
    monkeypatch.setattr("sandboxd.pool.fleet._SWEEP_EVERY", 1)
    with watched():
        async with Service(tmp_path, CONFIG) as served:
            yield served
        assert served.engine.faults == []
        assert served.engine.guests == {}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("call", CALLS)
async def test_a_fault_is_told_once_and_over_when_it_is_over(
    service: Service, call: str, fault: Fault
) -> None:
    async with Wire(service.socket) as wire:
        fault.begin(service.engine, call)
        runs = [wire.run("out 1", **each) for each in wishes()]
        answers = [await wire.answer(each) for each in runs]
        for answer in answers:
            assert is_right(answer) or fault.words in answer["error"]["message"]
        await says_so(service, wire, call, fault)
        service.engine.on[call].mend()
        await healthy(service, wire)
        assert (await wire.result(wire.run("out 2")))["stdout"] == "2\n"
        await wire.everything()
        assert [len(wire.answers(each)) for each in runs] == [1] * len(runs)


def wishes() -> list[dict[str, Any]]:
    """Runs that need new containers, runs that need other limits, and plain ones."""
    fresh: dict[str, Any] = {"reuse": "never"}
    other: dict[str, Any] = {"limits": {"cpus": 0.5}}
    return [fresh, other, {}] * (RUNS // 3)


def is_right(answer: dict[str, Any]) -> bool:
    return "result" in answer and answer["result"]["stdout"] == "1\n"


async def says_so(service: Service, wire: Wire, call: str, fault: Fault) -> None:
    """Health tells of what keeps runs from being served, for as long as it does."""
    if call in ("update", "containers"):
        return  # concerns one run; concerns none
    await until(lambda: service.pool().problem is not None, "the pool has a problem")
    health = await wire.call("health")
    assert health["status"] in ("degraded", "down")
    assert not health["checks"]["pool python"]["ok"]
    assert fault.words in health["checks"]["pool python"]["detail"]


async def healthy(service: Service, wire: Wire) -> None:
    """Without a request that would have it try again."""
    await until(lambda: service.pool().problem is None, "the pool's problem is over")
    await until(lambda: service.pool().idle == service.pool().size, "all containers are idle")
    health = await wire.call("health")
    assert health["checks"]["pool python"]["ok"]


@pytest.mark.parametrize("call", ["create", "attach", "start", "remove"])
async def test_a_call_that_hangs_holds_up_nobody_who_does_not_need_it(
    service: Service, call: str
) -> None:
    async with Wire(service.socket) as wire:
        gate = service.engine.on[call].hold()
        first = wire.run("wait go\nout 1", reuse="never")
        await wire.receive_until("run.started")
        assert await wire.call("status")
        service.engine.events["go"].set()
        assert (await wire.result(first))["stdout"] == "1\n"
        second = wire.run("out 2", reuse="never")
        await asyncio.sleep(0)
        gate.set()
        assert (await wire.result(second))["stdout"] == "2\n"
        await healthy(service, wire)


@pytest.mark.parametrize("call", CALLS)
async def test_a_fault_in_the_middle_of_stopping_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    monkeypatch.setattr("sandboxd.pool.pool._RETRY_REMOVE", 0.01)
    with watched():
        async with Service(tmp_path, CONFIG) as service, Wire(service.socket) as wire:
            runs = [wire.run("out begun\nhang") for _ in range(4)]
            await wire.receive_until("run.output")
            for _ in range(3):
                service.engine.on[call].fail(StartFailedError("no"))
            stopping = asyncio.create_task(service.stop())
            await wire.until_closed()
            await stopping
            for each in runs:
                (answer,) = wire.answers(each)
                assert answer["error"]["data"]["kind"] in ("shutting_down", "start_failed")
        assert service.engine.guests == {}


async def test_an_engine_that_is_down_for_days_is_used_again_once_it_is_back(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More failures in a row than a double of a pause can be doubled."""
    monkeypatch.setattr("sandboxd.pool.core._BACKOFF_MOST", 0.0)
    create = service.engine.on["create"]
    for _ in range(1200):
        create.fail(EngineUnavailableError("down"))
    service.engine.lose(next(iter(service.engine.guests)))
    await until(lambda: service.pool().failures >= 1200, "it has failed for long")
    async with Wire(service.socket) as wire:
        assert (await wire.result(wire.run("out 1")))["stdout"] == "1\n"
        await healthy(service, wire)
