"""Images are made on the real engine, whoever else makes them at the same time."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path

import pytest

from sandboxd.config import EngineConfig
from sandboxd.engine import host
from sandboxd.engine.docker import DockerEngine
from sandboxd.engine.images import Images, Wanted
from sandboxd.languages import load
from tests.docker.test_operator_language import AWK, RUNNER


@pytest.fixture
def wanted(tmp_path: Path) -> Wanted:
    """An image that was never made before."""
    (tmp_path / "awk.toml").write_text(AWK)
    (tmp_path / "awk.sh").write_text(f"# {secrets.token_hex(8)}\n{RUNNER}")
    return Wanted(load(tmp_path).find("awk"))


async def test_the_same_image_can_be_made_by_two_at_once(wanted: Wanted) -> None:
    async with DockerEngine(host.address(None), EngineConfig()) as engine:
        makers = [Images(engine, lambda *_: None) for _ in range(3)]
        tag, *others = await asyncio.gather(*(each.ensure(wanted) for each in makers))
        try:
            assert set(others) == {tag}
            state = await makers[0].state(wanted)
            assert (state.present, state.version) == (True, "mawk")
            # Only that one is left of all that was made on the way.
            assert [each for each in await makers[0].stale([]) if each.startswith(tag)] == [tag]
        finally:
            await engine.remove_image(tag)
