from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from structlog.typing import EventDict

from tests.support import properties
from tests.support.engine import FakeEngine
from tests.support.logs import watched

properties.load()


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[EventDict]]:
    with watched() as entries:
        yield entries


@pytest.fixture
async def engine() -> AsyncIterator[FakeEngine]:
    """At the end nobody has sent a guest what it should not have got."""
    double = FakeEngine()
    yield double
    assert double.faults == []
