"""Images are made on the real engine, whoever else makes them at the same time."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path

import pytest

from sandboxd.config import EngineConfig
from sandboxd.engine.images import Images, Wanted
from sandboxd.engine.open import open_engine
from sandboxd.engine.recipe import archive_files, debian_tag
from sandboxd.languages import load
from tests.docker.test_operator_language import AWK, RUNNER


@pytest.fixture
def wanted(tmp_path: Path) -> Wanted:
    """An image that was never made before."""
    (tmp_path / "awk.toml").write_text(AWK)
    (tmp_path / "awk.sh").write_text(f"# {secrets.token_hex(8)}\n{RUNNER}")
    return Wanted(load(tmp_path).find("awk"))


async def test_the_same_image_can_be_made_by_two_at_once(wanted: Wanted) -> None:
    async with open_engine(EngineConfig()) as engine:
        makers = [Images(engine.images) for _ in range(3)]
        tag, *others = await asyncio.gather(*(each.ensure(wanted) for each in makers))
        try:
            assert set(others) == {tag}
            state = await makers[0].state(wanted)
            assert (state.present, state.version) == (True, "mawk")
            # Only that one is left of all that was made on the way.
            assert [each for each in await makers[0].stale([]) if each.startswith(tag)] == [tag]
        finally:
            await engine.images.remove(tag)


async def test_an_official_image_gets_the_tools_that_every_image_has(tmp_path: Path) -> None:
    """Stands for one that was pulled: a Debian without them."""
    official = "sandboxd-test/official:1"
    (tmp_path / "awk.toml").write_text(AWK.replace('"ubuntu:22.04"', f'"{official}"'))
    (tmp_path / "awk.sh").write_text(RUNNER)
    wanted = Wanted(load(tmp_path).find("awk"))
    async with open_engine(EngineConfig()) as engine:
        images = Images(engine.images)
        await images.ensure(Wanted(load(tmp_path).find("bash")), pull=False)
        plain = archive_files(f"FROM {debian_tag()}\nRUN apt-get remove -qy tree jq\n")
        async for _ in engine.images.build(official, plain, network=True):
            pass
        tag = await images.ensure(wanted)
        try:
            asked = archive_files(f"FROM {tag}\nRUN tree --version && jq --version\n")
            async for _ in engine.images.build(f"{official}-asked", asked, network=False):
                pass
        finally:
            for each in (f"{official}-asked", tag, official):
                await engine.images.remove(each)
