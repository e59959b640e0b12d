"""One Ray cluster of two nodes, each with a daemon on a socket of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandboxd_client.ray import SandboxCluster
from tests.ray.machines import RayCluster, small_daemon
from tests.support.daemon import RunningDaemon


@pytest.fixture(scope="session")
def daemons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RunningDaemon]]:
    folder = tmp_path_factory.mktemp("daemons")
    with small_daemon(folder / "a") as first, small_daemon(folder / "b") as second:
        yield [first, second]


@pytest.fixture(scope="session")
def machines(daemons: list[RunningDaemon]) -> Iterator[RayCluster]:
    with RayCluster() as running:
        for daemon in daemons:
            running.add(daemon.socket)
        yield running


@pytest.fixture
def cluster(machines: RayCluster) -> Iterator[SandboxCluster]:
    with machines.client() as joined:
        yield joined


@pytest.fixture(scope="session")
def third(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    """Of a node that comes or goes."""
    with small_daemon(Path(tmp_path_factory.mktemp("third")) / "c") as daemon:
        yield daemon
