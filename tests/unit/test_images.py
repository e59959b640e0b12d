"""What one daemon makes of images at once: it has one of `Images`, whoever asks it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from sandboxd.config import Config
from sandboxd.engine.images import NO_BASE, Images, image_tag
from sandboxd.engine.packages import Fetched
from sandboxd.errors import ImageUnavailableError, StartFailedError
from sandboxd.languages import load
from sandboxd.run.profiles import Profile, make_profiles
from sandboxd.shelf import Shelf, wanted_image
from tests.support.image_store import FakeImages
from tests.support.step import Step
from tests.support.wait import DEADLINE, turns, until

CORES = 2
NAMES = ("bash", "go", "javascript", "python", "ruby", "sh")
REQUESTS = 24


class Setting:
    """A shelf for some languages, and whose images are there already."""

    def __init__(self, folder: Path, names: Sequence[str], there: Sequence[str] = ()) -> None:
        known = make_profiles(Config(), load(folder / "none"))
        self.profiles = {name: known[name] for name in names}
        self.store = FakeImages(*(image_tag(wanted_image(known[name])) for name in there))
        self.pulls, self.builds = self.store.on["pull"], self.store.on["build"]
        self.present: set[str] = set()
        self.shelf = Shelf(Images(self.store), self.present.update)

    def open_many(self, profile: Profile) -> list[asyncio.Task[None]]:
        """As many requests, each with a package of its own."""
        wanted = [profile.with_packages([f"package{number}"]) for number in range(REQUESTS)]
        return [asyncio.create_task(self.shelf.opened(each, DEADLINE)) for each in wanted]


@pytest.fixture(autouse=True)
def cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: CORES)


@pytest.fixture(autouse=True)
def fetches(monkeypatch: pytest.MonkeyPatch) -> Step:
    """Packages come from nowhere: no test of these reaches an index."""
    step = Step()

    async def fetch(*_: object) -> Fetched:
        await step.play()
        return Fetched([], [])

    monkeypatch.setattr("sandboxd.engine.packages.fetch", fetch)
    return step


async def test_many_languages_are_not_pulled_nor_built_more_at_once_than_there_are_cores(
    tmp_path: Path,
) -> None:
    setting = Setting(tmp_path, NAMES)
    silence, building = setting.pulls.hold(), setting.builds.hold()
    await setting.shelf.configure(setting.profiles)
    await until(lambda: setting.pulls.calls >= CORES, "pulls have begun")
    await turns()
    silence.set()
    await until(lambda: setting.builds.calls >= CORES, "builds have begun")
    await turns()
    building.set()
    await until(lambda: setting.present == {*NAMES}, "all images are there")
    assert (setting.pulls.at_once, setting.builds.at_once) == (CORES, CORES)


async def test_what_the_first_learned_of_the_registry_the_others_know(tmp_path: Path) -> None:
    setting = Setting(tmp_path, NAMES)
    await setting.shelf.configure(setting.profiles)
    await until(lambda: setting.present == {*NAMES}, "all images are there")
    assert setting.pulls.calls == CORES


async def test_a_registry_that_lacks_an_image_is_asked_for_the_others(tmp_path: Path) -> None:
    setting = Setting(tmp_path, NAMES)
    setting.pulls.fail(ImageUnavailableError("manifest unknown"), times=len(NAMES))
    await setting.shelf.configure(setting.profiles)
    await until(lambda: setting.present == {*NAMES}, "all images are there")
    published = [each for each in setting.profiles.values() if each.language.image.base != NO_BASE]
    assert setting.pulls.calls == len(published)


async def test_a_registry_that_was_silent_is_asked_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandboxd.engine.images._SILENCE", 0.0)
    setting = Setting(tmp_path, ["go", "python"])
    await setting.shelf.configure(setting.profiles)
    await until(lambda: setting.present == {"go", "python"}, "all images are there")
    assert setting.pulls.calls == 2


async def test_many_requests_with_packages_fetch_no_more_at_once_than_there_are_cores(
    tmp_path: Path, fetches: Step
) -> None:
    setting = Setting(tmp_path, ["python"], there=["python"])
    fetching = fetches.hold()
    await setting.shelf.configure(setting.profiles)
    opening = setting.open_many(setting.profiles["python"])
    await until(lambda: fetches.calls >= CORES, "packages are fetched")
    await turns()
    fetching.set()
    await asyncio.gather(*opening)
    assert (fetches.calls, fetches.at_once) == (REQUESTS, CORES)


@pytest.mark.parametrize("works", [True, False])
async def test_requests_that_all_lack_the_same_language_make_it_once(
    tmp_path: Path, *, works: bool
) -> None:
    setting = Setting(tmp_path, ["python"])
    silence = setting.pulls.hold()
    if not works:
        setting.builds.fail(StartFailedError("no space left on device"), times=REQUESTS)
    await setting.shelf.configure({})
    opening = setting.open_many(setting.profiles["python"])
    await until(lambda: setting.pulls.calls > 0, "it is looked for in the registry")
    await turns()
    silence.set()
    ends = await asyncio.gather(*opening, return_exceptions=True)
    assert {type(end) for end in ends} == {type(None) if works else ImageUnavailableError}
    assert setting.pulls.calls == 1
    assert (setting.builds.calls > 1) is works
