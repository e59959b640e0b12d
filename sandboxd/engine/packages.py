"""Packages for a language, fetched on the host into a folder that goes into an image.

By the language's own installer, and so that nothing of a package runs here: wheels
only for Python, no scripts for npm. The program that will use them never sees a
network.
"""

from __future__ import annotations

import asyncio
import platform
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from sandboxd.errors import ImageUnavailableError

Say = Callable[[str], None]

_TAIL = 15
_GLIBC = ("2014", "_2_17", "_2_24", "_2_27", "_2_28", "_2_31", "_2_34")
"""Of the wheels that Debian 12 and newer can load."""
_PYTHON = re.compile(r"Python (\d+\.\d+)")


class Fetched(NamedTuple):
    """What is there now."""

    packages: list[str]
    """Names and versions."""
    modules: list[str]
    """What a program imports."""


async def fetch(
    language: str, packages: Sequence[str], folder: Path, version: str, say: Say
) -> Fetched:
    """Puts packages into a folder; their names have been checked.

    `version` is what the image's interpreter says of itself. Raises
    ImageUnavailableError, which names what failed.
    """
    match language:
        case "python":
            return await _pip(packages, folder, version, say)
        case "javascript" | "typescript":
            return await _npm(packages, folder, say)
        case _:
            raise ImageUnavailableError(
                f"packages of {language} cannot be fetched yet; those of python and javascript can"
            )


TARGETS = {"python": "/sandboxd/packages", "javascript": "/", "typescript": "/"}
"""Where in the image the folder goes."""


async def _pip(packages: Sequence[str], folder: Path, version: str, say: Say) -> Fetched:
    match = _PYTHON.search(version)
    if match is None:
        raise ImageUnavailableError(f"the image does not tell its Python version: {version!r}")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--target", str(folder), "--no-compile", "--only-binary=:all:"]
    command += ["--implementation", "cp", "--python-version", match[1]]
    for libc in _GLIBC:
        command += ["--platform", f"manylinux{libc}_{platform.machine()}"]
    await _run([*command, "--", *packages], "pip", packages, say)
    shutil.rmtree(folder / "bin", ignore_errors=True)  # scripts for this host's interpreter
    found = list(metadata.distributions(path=[str(folder)]))
    modules = {name for each in found for name in _top_level(each)}
    return Fetched(sorted(f"{each.name}=={each.version}" for each in found), sorted(modules))


def _top_level(distribution: metadata.Distribution) -> set[str]:
    """Modules by the files that were installed: not every wheel lists them."""
    names = set()
    for file in distribution.files or ():
        first = file.parts[0]
        if len(file.parts) > 1 and not first.endswith((".dist-info", ".data", ".libs")):
            names.add(first)
        elif len(file.parts) == 1 and file.suffix in (".py", ".so"):
            names.add(first.split(".", maxsplit=1)[0])
    return {name for name in names if name.isidentifier()}


async def _npm(packages: Sequence[str], folder: Path, say: Say) -> Fetched:
    npm = shutil.which("npm")
    if npm is None:
        raise ImageUnavailableError("npm is not installed: apt-get install npm")
    command = [
        npm,
        "install",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--no-update-notifier",
    ]
    command += ["--prefix", str(folder), "--", *packages]
    await _run(command, "npm", packages, say)
    for name in ("package.json", "package-lock.json"):
        (folder / name).unlink(missing_ok=True)
    modules = sorted(
        str(each.parent.relative_to(folder / "node_modules"))
        for pattern in ("*/package.json", "@*/*/package.json")
        for each in (folder / "node_modules").glob(pattern)
    )
    return Fetched(modules, modules)


async def _run(command: list[str], name: str, packages: Sequence[str], say: Say) -> None:
    say(f"{name}: fetching {' '.join(packages)}")
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        tail = "\n".join(output.decode(errors="replace").splitlines()[-_TAIL:])
        raise ImageUnavailableError(f"{name} could not fetch {' '.join(packages)}:\n{tail}")
