"""The configured engine, opened: the only place that says which kinds there are."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct

from sandboxd.config import EngineConfig
from sandboxd.engine import host
from sandboxd.engine.docker.api import DockerApi
from sandboxd.engine.docker.containers import DockerEngine
from sandboxd.engine.docker.images import DockerImages
from sandboxd.engine.port import Engine, ImageStore


class OpenEngine(Struct, frozen=True):
    """An engine by both its ports."""

    address: str
    containers: Engine
    images: ImageStore


@asynccontextmanager
async def open_engine(config: EngineConfig) -> AsyncIterator[OpenEngine]:
    """The engine that is configured, or else the first that answers; it may come later."""
    address = host.address(config.host)
    async with DockerApi(address, config.timeout) as api:
        with contextlib.closing(DockerEngine(api)) as containers:
            yield OpenEngine(address, containers, DockerImages(api))
