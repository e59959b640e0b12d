"""A daemon's start and stop: whatever was opened is closed again, however far it came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from sandboxd.config import AdminConfig, Config, HistoryConfig
from sandboxd.daemon import Daemon
from sandboxd.engine.docker import DockerEngine
from sandboxd.errors import ConfigError
from tests.support.engine import FakeEngine
from tests.support.wait import until
from tests.support.wire import Wire
from tests.unit.test_doctor_engines import DOCKER_27


class Engine(FakeEngine):
    """Has Python's image, and makes others for ever."""

    def __init__(self) -> None:
        super().__init__()
        self.making = 0

    async def ask(self, path: str) -> dict[str, Any]:
        return DOCKER_27[path == "version"]

    async def image_labels(self, tag: str) -> dict[str, str] | None:
        await self.on["image_labels"].play()
        return {} if tag.startswith("sandboxd/python:") else None

    async def has_image(self, tag: str) -> bool:
        return await self.image_labels(tag) is not None

    async def post(self, *_: object) -> AsyncIterator[dict[str, Any]]:
        self.making += 1
        await asyncio.get_running_loop().create_future()
        yield {}


class Setting:
    def __init__(self, folder: Path) -> None:
        self.engine = Engine()
        self.config = Config(
            socket=str(folder / "sandboxd.sock"),
            languages_path=str(folder / "none"),
            history=HistoryConfig(path=str(folder / "history.db")),
            admin=AdminConfig(socket=str(folder / "admin.sock")),
        )
        self.socket, self.admin = Path(self.config.socket), folder / "admin.sock"
        self.daemon = Daemon(self.config, cast("DockerEngine", self.engine))
        self._before = asyncio.all_tasks()

    def left(self) -> list[object]:
        """What goes on though the daemon does not."""
        own = {*self._before, asyncio.current_task()}
        tasks = [each.get_coro() for each in asyncio.all_tasks() if each not in own]
        sockets = [each for each in (self.socket, self.admin) if each.is_socket()]
        return [*tasks, *sockets, *self.engine.guests]

    async def serves(self) -> None:
        await until(lambda: self.engine.making > 0, "images are being made")
        await until(lambda: len(self.engine.guests) > 0, "containers are there")
        async with Wire(self.socket) as wire:
            assert (await wire.call("health"))["status"] == "degraded"


@pytest.fixture
async def setting(tmp_path: Path) -> Setting:
    return Setting(tmp_path)


async def test_a_daemon_that_has_stopped_leaves_nothing(setting: Setting) -> None:
    async with setting.daemon:
        await setting.serves()
        assert len(setting.left()) > 3
    assert setting.left() == []


async def test_a_daemon_without_its_admin_socket_lets_nobody_in_and_begins_nothing(
    setting: Setting,
) -> None:
    setting.admin.mkdir()
    with pytest.raises(ConfigError, match=r"cannot listen on .*admin"):
        await setting.daemon.__aenter__()
    assert setting.left() == []
    assert setting.engine.making == 0


async def test_a_daemon_without_its_own_socket_ends_all_that_it_has_begun(
    setting: Setting,
) -> None:
    setting.socket.mkdir()
    with pytest.raises(ConfigError, match=r"cannot listen on .*sandboxd"):
        await setting.daemon.__aenter__()
    assert setting.left() == []
    assert setting.engine.on["containers"].calls == 1


async def test_a_start_that_is_given_up_is_undone(setting: Setting) -> None:
    setting.engine.on["image_labels"].hold()
    starting = asyncio.create_task(setting.daemon.__aenter__())
    await until(lambda: setting.engine.on["image_labels"].calls > 0, "images are looked for")
    assert setting.left()
    starting.cancel()
    await asyncio.wait([starting])
    assert starting.cancelled()
    assert setting.left() == []


async def test_what_cannot_be_closed_keeps_nothing_else_open(setting: Setting) -> None:
    await setting.daemon.__aenter__()
    await setting.serves()
    setting.socket.unlink()
    setting.socket.mkdir()
    with pytest.raises(OSError, match="directory"):
        await setting.daemon.__aexit__(None, None, None)
    assert setting.left() == []
