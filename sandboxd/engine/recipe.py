"""What goes into an image, as the text of a recipe and the archive that it is built from. Pure."""

from __future__ import annotations

import hashlib
import io
import shlex
import tarfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

SUITE = "bookworm"
"""Of Debian."""
TOOLS = (
    "ca-certificates",
    "tzdata",
    "procps",
    "git",
    "curl",
    "jq",
    "unzip",
    "zip",
    "file",
    "make",
    "patch",
    "less",
    "tree",
)
"""What programs call without asking whether it is there; apt and apk name them alike."""
NAMES = ("netbase",)
"""Debian's /etc/services and /etc/protocols; Alpine's base has them."""


def digest(*parts: bytes) -> str:
    """A short name for content."""
    sha256 = hashlib.sha256()
    for part in parts:
        sha256.update(len(part).to_bytes(8, "big"))
        sha256.update(part)
    return sha256.hexdigest()[:12]


def debian_tag() -> str:
    """Names the base of all that are made from Debian's packages."""
    return f"sandboxd/debian:{SUITE}-{digest(' '.join((*TOOLS, *NAMES)).encode())}"


def run_steps(steps: Sequence[str]) -> str:
    """One layer for all steps, so that what a later one removes takes no room."""
    if not steps:
        return ""
    return "RUN " + " && \\\n    ".join(f"{{ {step}; }}" for step in steps) + "\n"


def add_line(path: str, line: str) -> str:
    """Names the uid or gid 1000 that a program runs as, unless it has a name."""
    return f"grep -q '^[^:]*:[^:]*:1000:' {path} || echo '{line}' >> {path}"


def install(packages: Sequence[str], suite: str | None = None) -> str:
    """apt-get in one step, so that its lists do not stay in a layer."""
    chosen = f" -t {shlex.quote(suite)}" if suite else ""
    return (
        "apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy"
        f" --no-install-recommends{chosen} {shlex.join(packages)} && apt-get clean"
        " && rm -rf /var/lib/apt/lists/*"
        if packages
        else "true"
    )


def add_tools() -> str:
    """The tools, for an image of either distribution."""
    return (
        f"if command -v apk >/dev/null; then apk add -q --no-cache {shlex.join(TOOLS)}; "
        f"else {install((*TOOLS, *NAMES))}; fi"
    )


def label(labels: dict[str, str]) -> str:
    """A step that labels the image."""
    pairs = (f"{name}={msgspec.json.encode(text).decode()}" for name, text in labels.items())
    return f"LABEL {' '.join(pairs)}\n"


def archive_folder(recipe: str, folder: Path) -> bytes:
    """A build context with a folder, under its own name."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(recipe.encode())
        archive.addfile(entry, io.BytesIO(recipe.encode()))
        archive.add(folder, folder.name)
    return buffer.getvalue()


def archive_files(recipe: str, files: dict[str, bytes] | None = None) -> bytes:
    """A build context: the same files give the same bytes."""
    files = (files or {}) | {"Dockerfile": recipe.encode()}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            entry.mode = 0o755
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()
