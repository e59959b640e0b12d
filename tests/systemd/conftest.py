"""Units as `sandboxd install-units` lays them, below a folder that stands for the root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from sandboxd.units import install_units

EXECUTABLE = Path(sys.executable).with_name("sandboxd")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with the system's units, of a host that has AppArmor."""
    root = tmp_path / "root"
    (root / "etc/apparmor.d").mkdir(parents=True)
    install_units(user=False, root=root, executable=EXECUTABLE, network=True)
    return root


def needs(program: str) -> pytest.MarkDecorator:
    """For a test of what another package's program says."""
    missing = shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin") is None
    return pytest.mark.skipif(missing, reason=f"{program} is not installed")


def output(
    command: Sequence[str | Path], environment: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """The exit code of a command, and all that it printed."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        check=False,
    )
    return done.returncode, done.stdout
