"""What one daemon makes of images at once: it has one of `Images`, whoever asks it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from sandboxd.config import Config
from sandboxd.engine.docker import DockerEngine
from sandboxd.engine.images import Images, image_tag
from sandboxd.engine.packages import Fetched
from sandboxd.engine.recipe import debian_tag
from sandboxd.errors import ImageUnavailableError, StartFailedError
from sandboxd.languages import load
from sandboxd.run.profiles import Profile, make_profiles
from sandboxd.shelf import Shelf, _wanted
from tests.support.wait import DEADLINE, turns, until

CORES = 2
NAMES = ("bash", "go", "javascript", "python", "ruby", "sh")
REQUESTS = 24


class Busy:
    """Work of a kind that is held until `go`: how much of it there was, and at once."""

    def __init__(self) -> None:
        self.begun = 0
        self.now = 0
        self.most = 0
        self.go = asyncio.Event()

    async def work(self) -> None:
        self.begun += 1
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.go.wait()
        finally:
            self.now -= 1


class Engine:
    """Has Debian's base, reaches no registry, and builds when it is let."""

    def __init__(self) -> None:
        self.images = {debian_tag()}
        self.pulls = Busy()
        self.builds = Busy()
        self.can_build = True

    async def image_labels(self, tag: str) -> dict[str, str] | None:
        await asyncio.sleep(0)
        return {} if tag in self.images else None

    async def has_image(self, tag: str) -> bool:
        return await self.image_labels(tag) is not None

    async def remove_image(self, tag: str) -> None:
        self.images.discard(tag)

    async def post(
        self, path: str, params: dict[str, str], data: Any = None
    ) -> AsyncIterator[dict[str, Any]]:
        if path != "build":
            await self.pulls.work()
            raise StartFailedError("no such host")
        await self.builds.work()
        if not self.can_build:
            raise StartFailedError("no space left on device")
        self.images.add(params["t"])
        yield {"stream": "version: 1"}


class Setting:
    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        known = make_profiles(Config(), load(folder / "none"))
        self.profiles = {name: known[name] for name in names}
        self.engine = Engine()
        self.present: set[str] = set()
        images = Images(cast("DockerEngine", self.engine))
        self.shelf = Shelf(images, self.present.update)

    def has(self, profile: Profile) -> None:
        self.engine.images.add(image_tag(_wanted(profile)))


@pytest.fixture(autouse=True)
def cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: CORES)


async def test_many_languages_are_not_pulled_nor_built_more_at_once_than_there_are_cores(
    tmp_path: Path,
) -> None:
    setting = Setting(tmp_path, NAMES)
    engine = setting.engine
    await setting.shelf.configure(setting.profiles)
    await until(lambda: engine.pulls.now >= CORES, "pulls have begun")
    await turns()
    engine.pulls.go.set()
    await until(lambda: engine.builds.now >= CORES, "builds have begun")
    await turns()
    engine.builds.go.set()
    await until(lambda: setting.present == {*NAMES}, "all images are there")
    assert (engine.pulls.most, engine.builds.most) == (CORES, CORES)
    # What the first ones learned of the registry, the others know.
    assert engine.pulls.begun == CORES


async def test_many_requests_with_packages_fetch_no_more_at_once_than_there_are_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetches = Busy()

    async def fetch(*_: object) -> Fetched:
        await fetches.work()
        return Fetched([], [])

    monkeypatch.setattr("sandboxd.engine.packages.fetch", fetch)
    setting = Setting(tmp_path, ["python"])
    python = setting.profiles["python"]
    setting.has(python)
    setting.engine.builds.go.set()
    await setting.shelf.configure(setting.profiles)
    wanted = [python.with_packages([f"package{number}"]) for number in range(REQUESTS)]
    opening = [asyncio.create_task(setting.shelf.opened(each, DEADLINE)) for each in wanted]
    await until(lambda: fetches.now >= CORES, "packages are fetched")
    await turns()
    fetches.go.set()
    await asyncio.gather(*opening)
    assert (fetches.begun, fetches.most) == (REQUESTS, CORES)


@pytest.mark.parametrize("works", [True, False])
async def test_requests_that_all_lack_the_same_language_make_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, works: bool
) -> None:
    async def fetch(*_: object) -> Fetched:
        return Fetched([], [])

    monkeypatch.setattr("sandboxd.engine.packages.fetch", fetch)
    setting = Setting(tmp_path, ["python"])
    engine, python = setting.engine, setting.profiles["python"]
    engine.can_build = works
    await setting.shelf.configure({})
    wanted = [python.with_packages([f"package{number}"]) for number in range(REQUESTS)]
    opening = [asyncio.create_task(setting.shelf.opened(each, DEADLINE)) for each in wanted]
    await until(lambda: engine.pulls.now > 0, "it is looked for in the registry")
    await turns()
    engine.pulls.go.set()
    engine.builds.go.set()
    ends = await asyncio.gather(*opening, return_exceptions=True)
    assert {type(end) for end in ends} == {type(None) if works else ImageUnavailableError}
    assert engine.pulls.begun == 1
    assert (engine.builds.begun > 1) is works
