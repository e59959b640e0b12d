"""A minimal Debian as a tar archive, made by mmdebstrap from the distribution's packages."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from sandboxd.engine import host
from sandboxd.engine.host import Say
from sandboxd.engine.recipe import NAMES, SUITE, TOOLS
from sandboxd.errors import SetupError

_MIRROR = "http://deb.debian.org/debian"
_SECURITY = "http://deb.debian.org/debian-security"
_TAIL = 30
"""Lines of what a failed one printed that go into the error."""


async def bootstrap(archive: Path, say: Say, *, may_install: bool) -> None:
    """Makes the archive. Raises SetupError."""
    if may_install and shutil.which("mmdebstrap") is None:
        await asyncio.to_thread(host.install_packages, ["mmdebstrap"], say)
    program = shutil.which("mmdebstrap")
    if program is None:
        raise SetupError("mmdebstrap is not installed: apt-get install mmdebstrap")
    sources = [
        f"deb {_MIRROR} {SUITE} main",
        f"deb {_MIRROR} {SUITE}-updates main",
        f"deb {_SECURITY} {SUITE}-security main",
        f"deb {_MIRROR} {SUITE}-backports main",
    ]
    process = await asyncio.create_subprocess_exec(
        program,
        "--variant=apt",
        f"--include={','.join((*TOOLS, *NAMES))}",
        # Each later step fetches its own.
        '--customize-hook=rm -rf "$1"/var/lib/apt/lists/*',
        SUITE,
        str(archive),
        *sources,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    lines: list[str] = []
    if process.stderr is not None:
        async for line in process.stderr:
            text = line.decode(errors="replace").strip()
            if text:
                lines.append(text)
                say(text)
    if await process.wait() != 0:
        tail = "\n".join(lines[-_TAIL:])
        raise SetupError(f"mmdebstrap failed ({process.returncode}):\n{tail}")
