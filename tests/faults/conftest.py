"""Daemons on an engine of the tests' own, which they may do anything to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.broken_wire import BrokenWire
from tests.support.daemon import eventually
from tests.support.private_engine import EngineDaemon, PrivateEngine, private_engine

__all__ = ["private_engine"]

CONFIG = """
drain_timeout = 5.0
[engine]
timeout = 3.0
[pool]
min = 1
max = 3
queue_timeout = 8.0
"""
PATIENCE = 60.0
"""Seconds for an answer that has to wait until the daemon gives an engine up."""


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.wire.DEADLINE", PATIENCE)


@pytest.fixture
def engine(private_engine: PrivateEngine) -> Iterator[PrivateEngine]:
    """At the end there must be nothing in it."""
    private_engine.interrupted = False
    yield private_engine
    private_engine.revive()
    try:
        eventually(lambda: private_engine.containers() == [], "no container is left")
        if private_engine.interrupted:
            private_engine.end_forgotten()
        eventually(lambda: private_engine.processes() == [], "no process is left")
    finally:
        private_engine.clear()


@pytest.fixture
def daemon(engine: PrivateEngine, tmp_path: Path) -> Iterator[EngineDaemon]:
    with EngineDaemon(tmp_path, engine, config=CONFIG) as running:
        yield running


@pytest.fixture
def wire(engine: PrivateEngine, tmp_path: Path) -> Iterator[BrokenWire]:
    with BrokenWire(engine.socket, tmp_path / "wire.sock") as broken:
        yield broken


@pytest.fixture
def wired_daemon(engine: PrivateEngine, wire: BrokenWire, tmp_path: Path) -> Iterator[EngineDaemon]:
    """A daemon that reaches its engine through a wire that may break."""
    with EngineDaemon(tmp_path, engine, config=CONFIG, host=wire.host) as running:
        yield running
        wire.mend()
