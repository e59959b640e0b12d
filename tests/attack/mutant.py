"""A guest whose teardown is switched off, and a daemon that knows no better.

`-DTEARDOWN_OFF` (child.h) makes it: all runs in a container share its namespaces,
nothing is ended between them, and the daemon is told that all is well. It serves as
ever otherwise, so that what tests find there is what the teardown is for.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import subprocess
import sys
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from sandboxd.engine.images import Wanted, image_tag
from sandboxd.guest import BINARIES, SOURCES
from sandboxd.languages import BUILTIN, load
from tests.support.daemon import RunningDaemon, eventually
from tests.support.images import make_images

_FLAG = "-DTEARDOWN_OFF"

_BINARIES = """
from pathlib import Path
import sandboxd.guest
sandboxd.guest.SOURCES = Path({folder!r})
"""
"""Has a daemon take the mutant for the guest that it was built with."""

_VERIFY = """
from sandboxd.pool import verify
judge = verify.child_faults
def as_without_namespaces(status, **known):
    return judge(status, **known | {"namespaces": False})
verify.child_faults = as_without_namespaces
"""
"""Has it ask a child for what one without a user namespace can prove, which this one is:
by its uid alone the mutant would be found out before its first run."""


def build(folder: Path) -> None:
    """Compiles the mutant into a folder, just as the package's build compiles the guest."""
    sources = folder / "sources"
    shutil.copytree(SOURCES, sources, ignore=shutil.ignore_patterns(*BINARIES, "__pycache__"))
    with mock.patch.dict(os.environ, CC=f"{os.environ.get('CC', 'cc')} {_FLAG}"):
        _load_build().compile_guest(sources)
    for name in BINARIES:
        (sources / name).rename(folder / name)
    shutil.rmtree(sources)


def _load_build() -> types.ModuleType:
    """build.py is a hook of a builder that need not be installed; its name is enough."""
    interface = types.ModuleType("hatchling.builders.hooks.plugin.interface")
    vars(interface)["BuildHookInterface"] = object
    spec = importlib.util.spec_from_file_location("guest_build", SOURCES / "build.py")
    if spec is None or spec.loader is None:
        raise AssertionError("build.py is not beside the guest's sources")
    module = importlib.util.module_from_spec(spec)
    with mock.patch.dict(sys.modules, {interface.__name__: interface}):
        spec.loader.exec_module(module)
    return module


@contextmanager
def images(folder: Path, languages: Sequence[str]) -> Iterator[None]:
    """The languages' images with the mutant in them, by the names that its daemon will look
    for: these go by the guest's bytes. They are removed in the end."""
    build(folder)
    make_images(languages)
    made = []
    try:
        for language in map(load(BUILTIN).find, languages):
            wanted = Wanted(language)
            recipe = f"FROM {image_tag(wanted)}\nCOPY {' '.join(BINARIES)} /sandboxd/\n"
            bytes_of = {name: (folder / name).read_bytes() for name in BINARIES}
            with mock.patch("sandboxd.engine.images.binaries", return_value=bytes_of):
                tag = image_tag(wanted)
            command = ["docker", "build", "--quiet", "--tag", tag, "--file", "-", str(folder)]
            subprocess.run(command, input=recipe.encode(), check=True, capture_output=True)
            made.append(tag)
        yield
    finally:
        for tag in made:
            eventually(functools.partial(_removed, tag), f"{tag} is removed")


def _removed(tag: str) -> bool:
    """The engine may still be at the last container that was made of it."""
    command = ["docker", "image", "rm", tag]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def daemon(folder: Path, binaries: Path, config: str, *, verified: bool) -> RunningDaemon:
    """A daemon on the mutant's images; unless `verified`, it does not find it out."""
    site = folder / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        _BINARIES.format(folder=str(binaries)) + ("" if verified else _VERIFY)
    )
    running = RunningDaemon(folder, {"PYTHONPATH": str(site)})
    running.config.write_text(config)
    return running
