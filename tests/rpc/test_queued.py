"""A run that has to wait is told so, over the wire."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandboxd.config import PoolConfig
from tests.support.service import SMALL, Service, replace
from tests.support.wait import until
from tests.support.wire import Wire

ONE = replace(SMALL, pool=PoolConfig(min=1, max=1))


async def test_a_run_that_does_not_wait_is_not_told_of_a_queue(wire: Wire) -> None:
    identity = wire.run("")
    await wire.result(identity)
    assert wire.events(identity, "run.queued") == []


async def test_runs_that_wait_are_told_their_place_before_they_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandboxd.pool.waiting.EVERY", 0.0)
    async with Service(tmp_path, ONE) as service, Wire(service.socket) as wire:
        first, second = wire.run("wait go"), wire.run("wait on")
        third = wire.run("", stream=False, keep=True)
        await until(lambda: service.pool().waiting == 2, "two wait")
        await wire.everything()
        assert wire.events(first, "run.queued") == []
        places = {"position": 1, "estimate": None}, {"position": 2, "estimate": None}
        assert wire.events(second, "run.queued") == [{"id": second} | places[0]]
        assert wire.events(third, "run.queued") == [{"id": third} | places[1]]
        service.engine.events["go"].set()
        await wire.result(first)
        event = await wire.receive_until("run.queued")
        assert (event["id"], event["position"]) == (third, 1)
        assert event["estimate"] >= 0.0
        service.engine.events["on"].set()
        await wire.result(third)
        about = [
            message["method"]
            for message in wire.messages
            if message.get("params", {}).get("id") == third
        ]
        assert about == ["run.queued", "run.queued", "run.started"]
