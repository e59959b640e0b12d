from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from structlog.typing import EventDict

from sandboxd_client import AsyncClient, Client
from tests.support.logs import watched
from tests.support.service import Service, ServiceThread


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[EventDict]]:
    with watched() as entries:
        yield entries


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServiceThread]:
    """A service in another thread, for clients that block."""
    with ServiceThread(tmp_path) as thread:
        yield thread
    assert thread.service.engine.faults == []


@pytest.fixture
def client(served: ServiceThread) -> Iterator[Client]:
    with Client(served.socket) as connected:
        yield connected


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with Service(tmp_path) as opened:
        yield opened
    assert opened.engine.faults == []


@pytest.fixture
async def aclient(service: Service) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(service.socket) as connected:
        yield connected
