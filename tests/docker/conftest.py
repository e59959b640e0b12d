"""One daemon on the real engine for all tests that leave it as they found it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sandboxd_client import AsyncClient, Client
from tests.support.daemon import RunningDaemon
from tests.support.images import make_images
from tests.support.programs import MORE


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    with RunningDaemon(tmp_path_factory.mktemp("daemon")) as running:
        yield running


@pytest.fixture
def client(daemon: RunningDaemon) -> Iterator[Client]:
    with daemon.client() as connected:
        yield connected


@pytest.fixture
async def aclient(daemon: RunningDaemon) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(daemon.socket) as connected:
        yield connected


@pytest.fixture
def own_daemon(tmp_path: Path) -> Iterator[RunningDaemon]:
    """A daemon that the test may do anything to."""
    running = RunningDaemon(tmp_path)
    with running:
        yield running


@pytest.fixture(scope="session")
def more_languages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    """With the images that are made on demand, one after the other."""
    running = RunningDaemon(tmp_path_factory.mktemp("more"))
    running.config.write_text("[pool]\nmin = 0\n")
    for language in MORE:
        make_images([language], running.config)
    with running:
        yield running
