"""A Podman, and a daemon on it, for all of these tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from sandboxd.engine.images import NO_BASE, Wanted, image_tag
from sandboxd.engine.recipe import debian_tag
from sandboxd.languages import BUILTIN, load
from sandboxd_client import Client
from tests.support.daemon import RunningDaemon
from tests.support.podman import NEEDS, Podman

LANGUAGES = ("bash", "python")


@pytest.fixture(scope="session")
def podman() -> Iterator[Podman]:
    """With the images of Python, and what those of Bash are made from."""
    if os.geteuid() != 0 or not all(map(shutil.which, NEEDS)):
        pytest.skip(f"a Podman of the tests' own needs root, and {', '.join(NEEDS)}")
    known = load(BUILTIN / "none")
    with Podman() as running:
        bases = {known.find("bash").image.base, debian_tag()} - {NO_BASE}
        running.copy_images(
            [image_tag(Wanted(known.find("python"))), *sorted(filter(_is_here, bases))]
        )
        yield running


@pytest.fixture(scope="session")
def daemon(podman: Podman, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    """What it lacks of images it makes."""
    environment = {"SANDBOXD_ENGINE__HOST": podman.host}
    running = RunningDaemon(tmp_path_factory.mktemp("daemon"), environment)
    others = sorted(set(load(BUILTIN / "none").by_name) - set(LANGUAGES))
    running.config.write_text("".join(f"[languages.{name}]\nenabled = false\n" for name in others))
    subprocess.run(
        [sys.executable, "-m", "sandboxd", "images", "build", "bash"],
        env={**os.environ, **environment},
        capture_output=True,
        check=True,
    )
    with running:
        yield running


@pytest.fixture
def client(daemon: RunningDaemon) -> Iterator[Client]:
    with daemon.client() as connected:
        yield connected


def _is_here(tag: str) -> bool:
    asked = subprocess.run(["docker", "image", "inspect", tag], capture_output=True, check=False)
    return asked.returncode == 0
