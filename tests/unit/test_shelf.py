"""Images while the configuration is read again, and while the engine says nothing of them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sandboxd.config import Config
from sandboxd.engine.images import Images, image_tag
from sandboxd.errors import EngineUnavailableError, ImageUnavailableError
from sandboxd.languages import load
from sandboxd.run.profiles import Profile, make_profiles
from sandboxd.shelf import Present, Shelf, wanted_image
from tests.support.image_store import FakeImages
from tests.support.wait import DEADLINE, turns


class Setting:
    """Some languages, and what the shelf says is there."""

    def __init__(self, folder: Path) -> None:
        known = make_profiles(Config(), load(folder / "none"))
        self.profiles = {name: known[name] for name in ("bash", "python", "sh")}
        self.store = FakeImages(*(image_tag(wanted_image(each)) for each in self.profiles.values()))
        self.told: list[set[str]] = []
        self.shelf = Shelf(Images(self.store), self._changed)

    def _changed(self, present: Present) -> None:
        self.told.append(set(present))

    async def configure(self) -> None:
        await self.shelf.configure(self.profiles)

    async def opened(self, profile: Profile, timeout: float = DEADLINE) -> None:
        await self.shelf.opened(profile, timeout)


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(tmp_path)


async def test_what_is_there_is_served_while_images_are_looked_for_again(setting: Setting) -> None:
    await setting.configure()
    answers = setting.store.on["labels"].hold()
    again = asyncio.create_task(setting.configure())
    await turns()
    for profile in setting.profiles.values():
        await setting.opened(profile, timeout=0.0)
    answers.set()
    await again
    assert setting.told == [{*setting.profiles}] * 2


async def test_an_engine_that_does_not_answer_takes_no_image_away(setting: Setting) -> None:
    await setting.configure()
    setting.store.on["labels"].fail(EngineUnavailableError("the engine does not answer"), times=3)
    await setting.configure()
    assert setting.told == [{*setting.profiles}] * 2
    assert setting.shelf.progress() == {}


async def test_an_image_that_has_gone_is_not_served_after_the_configuration_is_read_again(
    setting: Setting,
) -> None:
    await setting.configure()
    del setting.store.known[image_tag(wanted_image(setting.profiles["sh"]))]
    await setting.configure()
    assert setting.told == [{*setting.profiles}, {"bash", "python"}]
    with pytest.raises(ImageUnavailableError):
        await setting.opened(setting.profiles["sh"], timeout=0.0)
    await setting.shelf.close()


async def test_who_waits_for_an_image_gets_it_though_the_configuration_is_read_meanwhile(
    setting: Setting,
) -> None:
    answers = setting.store.on["labels"].hold()
    waiting = asyncio.create_task(setting.opened(setting.profiles["bash"]))
    await turns()
    again = asyncio.create_task(setting.configure())
    await turns()
    answers.set()
    await asyncio.gather(waiting, again)
    assert setting.shelf.state("bash")
