from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from structlog.typing import EventDict

from tests.support.logs import watched
from tests.support.service import Service
from tests.support.wire import Wire


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[EventDict]]:
    with watched() as entries:
        yield entries


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """A service that holds up well: no guest was sent what it should not have got."""
    async with Service(tmp_path) as served:
        yield served
    assert served.engine.faults == []
    assert served.engine.guests == {}


@pytest.fixture
async def wire(service: Service) -> AsyncIterator[Wire]:
    async with Wire(service.socket) as connected:
        yield connected
