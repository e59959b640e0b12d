"""A daemon's start and stop: whatever was opened is closed again, however far it came."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sandboxd.config import AdminConfig, Config, HistoryConfig
from sandboxd.daemon import Daemon
from sandboxd.engine.images import Wanted, image_tag
from sandboxd.engine.open import OpenEngine
from sandboxd.errors import ConfigError
from sandboxd.languages import load
from tests.support.engine import FakeEngine
from tests.support.image_store import FakeImages
from tests.support.wait import until
from tests.support.wire import Wire


class Setting:
    """A daemon on an engine that has Python's image, and makes others for ever."""

    def __init__(self, folder: Path) -> None:
        languages = load(folder / "none")
        self.engine = FakeEngine()
        self.store = FakeImages(image_tag(Wanted(languages.find("python"))))
        self.store.on["pull"].hold()
        self.config = Config(
            socket=str(folder / "sandboxd.sock"),
            languages_path=str(folder / "none"),
            history=HistoryConfig(path=str(folder / "history.db")),
            admin=AdminConfig(socket=str(folder / "admin.sock")),
        )
        self.socket, self.admin = Path(self.config.socket), folder / "admin.sock"
        self.daemon = Daemon(self.config, OpenEngine("double", self.engine, self.store))
        self._before = asyncio.all_tasks()

    def left(self) -> list[object]:
        """What goes on though the daemon does not."""
        own = {*self._before, asyncio.current_task()}
        tasks = [each.get_coro() for each in asyncio.all_tasks() if each not in own]
        sockets = [each for each in (self.socket, self.admin) if each.is_socket()]
        return [*tasks, *sockets, *self.engine.guests]

    async def serves(self) -> None:
        await until(lambda: self.store.on["pull"].calls > 0, "images are being made")
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
    assert setting.store.on["pull"].calls == 0


async def test_a_daemon_without_its_own_socket_ends_all_that_it_has_begun(
    setting: Setting,
) -> None:
    setting.socket.mkdir()
    with pytest.raises(ConfigError, match=r"cannot listen on .*sandboxd"):
        await setting.daemon.__aenter__()
    assert setting.left() == []
    assert setting.engine.on["containers"].calls == 1


async def test_a_start_that_is_given_up_is_undone(setting: Setting) -> None:
    looked = setting.store.on["labels"]
    looked.hold()
    starting = asyncio.create_task(setting.daemon.__aenter__())
    await until(lambda: looked.calls > 0, "images are looked for")
    assert setting.left()
    starting.cancel()
    await asyncio.wait([starting])
    assert starting.cancelled()
    assert setting.left() == []


async def test_a_reload_that_is_asked_for_while_it_starts_comes_after_the_start(
    setting: Setting,
) -> None:
    answers = setting.store.on["labels"].hold()
    starting = asyncio.create_task(setting.daemon.__aenter__())
    await until(lambda: setting.store.on["labels"].calls > 0, "images are looked for")
    read: list[bool] = []

    def reload() -> Config:
        read.append(starting.done())
        return setting.config

    reloading = setting.daemon.reload_soon(reload)
    answers.set()
    await reloading
    assert read == [True]
    await setting.daemon.__aexit__(None, None, None)
    assert setting.left() == []


async def test_a_reload_does_not_outlive_a_start_that_fails(setting: Setting) -> None:
    setting.admin.mkdir()
    reloading = setting.daemon.reload_soon(lambda: setting.config)
    with pytest.raises(ConfigError, match="admin"):
        await setting.daemon.__aenter__()
    assert reloading.cancelled()
    assert setting.left() == []


async def test_what_cannot_be_closed_keeps_nothing_else_open(setting: Setting) -> None:
    await setting.daemon.__aenter__()
    await setting.serves()
    setting.socket.unlink()
    setting.socket.mkdir()
    with pytest.raises(OSError, match="directory"):
        await setting.daemon.__aexit__(None, None, None)
    assert setting.left() == []
