"""Runs that have ended are written down behind their answers, each by itself."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.typing import EventDict

from sandboxd.config import HistoryConfig
from sandboxd.run.history import History
from sandboxd.run.history_writer import HistorySettings
from tests.support.service import SMALL, Service, replace
from tests.support.wait import until
from tests.support.wire import Wire

WITH_HISTORY = replace(SMALL, history=HistoryConfig())


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with Service(tmp_path, WITH_HISTORY) as service:
        yield service


async def ended(wire: Wire, code: str = "out 1") -> str:
    run: str = (await wire.result(wire.run(code)))["run"]
    return run


async def test_whoever_asks_after_the_answer_finds_the_run(wire: Wire) -> None:
    for _ in range(5):
        run = await ended(wire)
        assert (await wire.call("history.get", {"run": run}))["result"]["stdout"] == "1\n"


async def test_nobody_has_to_ask(wire: Wire, logs: list[EventDict]) -> None:
    told = {"event": "run ended", "run": await ended(wire)}
    await until(lambda: any(told.items() <= each.items() for each in logs), "it is in the log")


async def test_one_that_cannot_be_written_down_holds_up_no_other(
    service: Service, wire: Wire, logs: list[EventDict], monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics, count = service.daemon._metrics, itertools.count()
    observe = metrics.observe
    monkeypatch.setattr(
        metrics, "observe", lambda sample: observe(sample) if next(count) else 1 / 0
    )
    first, second = await ended(wire), await ended(wire)
    assert (await wire.call("history.get", {"run": second}))["summary"]["run"] == second
    (told,) = [each for each in logs if each["event"] == "a run was not written down whole"]
    assert told["run"] == first
    logs.remove(told)


async def test_a_daemon_that_stops_has_written_all_of_them(tmp_path: Path) -> None:
    async with Service(tmp_path, WITH_HISTORY) as service, Wire(service.socket) as wire:
        run = await ended(wire)
    async with History(tmp_path / "history.db", HistorySettings()) as history:
        assert (await history.get(None, run)).summary.run == run
