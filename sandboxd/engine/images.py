"""The images: a base for each language, and on it what sandboxd needs.

Official bases are pulled where a registry answers; where none does, equivalents
are made from Debian's packages on one base that all languages share. The image
that is run is derived from either: the guest, the runner and warmed caches laid
in, tagged by a hash of all that went in, and so built only when that changed.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shlex
import tempfile
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from sandboxd.engine import debian, packages
from sandboxd.engine.port import ImageStore
from sandboxd.engine.recipe import (
    NAMES,
    SUITE,
    TOOLS,
    add_line,
    add_tools,
    archive_files,
    archive_folder,
    debian_tag,
    digest,
    install,
    label,
    run_steps,
)
from sandboxd.errors import ImageUnavailableError, SandboxdError
from sandboxd.guest import binaries
from sandboxd.languages import Language

_RECIPE = 4
"""Raised when the steps below change in a way that old images must not survive."""
LABEL_LANGUAGE = "sandboxd.language"
LABEL_VERSION = "sandboxd.version"
LABEL_PACKAGES = "sandboxd.packages"
LABEL_MODULES = "sandboxd.modules"

NO_BASE = "scratch"
"""As a language's base: nobody publishes one with all that it needs."""

_TAIL = 30
"""Lines of a failed build's output that go into the error."""

Report = Callable[[str, str], None]
"""Told what is being worked on, and how far that is."""

_SILENCE = 60.0
"""Seconds for which a registry that has not answered is not asked again."""


class _Progress(Struct, frozen=True):
    """How far something is, told to whoever asked for it."""

    report: Report
    subject: str

    def __call__(self, text: str) -> None:
        self.report(self.subject, text)


class _Making:
    """What all who want the same image share while it is made: one of them makes it."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.failure: SandboxdError | None = None
        """Of the last attempt: those who waited for it are told, and do not try it again."""


def ignore(_subject: str, _text: str) -> None:
    """A report that nobody reads."""


class Wanted(Struct, frozen=True):
    """An image: a language, and packages for it."""

    language: Language
    packages: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        return self.language.name if not self.packages else f"{self.language.name}+"


class ImageState(Struct, frozen=True):
    language: str
    tag: str
    base: str
    present: bool
    version: str
    packages: list[str] = []
    """Names and versions of what is installed beside the standard library."""
    modules: list[str] = []
    """What a program can import of these."""


class Images:
    """Gets images. A process has one: what runs at once is bounded, and what was learned of
    the registry is known, for all who ask the same object."""

    def __init__(self, store: ImageStore, *, may_install: bool = False) -> None:
        self._store = store
        self._may_install = may_install
        self._silence = ""
        """Why the registry did not answer when it was asked last."""
        self._silent_until = 0.0
        """By the loop's clock: until then it is not asked again."""
        self._debian = asyncio.Lock()
        self._build_slots = asyncio.Semaphore(os.cpu_count() or 1)
        self._making = weakref.WeakValueDictionary[str, _Making]()
        """By their tags."""

    async def state(self, wanted: Wanted) -> ImageState:
        tag = image_tag(wanted)
        labels = await self._store.labels(tag)
        there = labels or {}
        return ImageState(
            language=wanted.language.name,
            tag=tag,
            base=wanted.language.image.base,
            present=labels is not None,
            version=there.get(LABEL_VERSION, ""),
            packages=there.get(LABEL_PACKAGES, "").split(),
            modules=there.get(LABEL_MODULES, "").split(),
        )

    async def ensure(
        self, wanted: Wanted, report: Report = ignore, *, pull: bool = True, build: bool = True
    ) -> str:
        """The tag of the image, which is made if it is missing.

        Raises ImageUnavailableError, with the reason why each way failed.
        """
        tag = image_tag(wanted)
        making = self._making.setdefault(tag, _Making())
        waited = making.lock.locked()
        async with making.lock:
            if waited and making.failure is not None:
                raise making.failure
            making.failure = None
            try:
                if not await self._has(tag):
                    await self._make(wanted, tag, report, pull=pull, build=build)
            except SandboxdError as error:
                making.failure = error
                raise
        return tag

    async def _make(
        self, wanted: Wanted, tag: str, report: Report, *, pull: bool, build: bool
    ) -> None:
        language, say = wanted.language, _Progress(report, wanted.subject)
        if wanted.packages:
            plain = await self.ensure(Wanted(language), report, pull=pull, build=build)
            async with self._build_slots:
                await self._add_packages(wanted, plain, tag, say)
        else:
            async with self._build_slots:
                base = await self._base(language, say, pull=pull, build=build)
                await self._derive(language, base, tag, say)
        say("ready")

    async def stale(self, all_wanted: Iterable[Wanted]) -> list[str]:
        """Tags of derived images that nothing configured uses any more."""
        wanted = {image_tag(each) for each in all_wanted}
        tags = await self._store.tags(LABEL_LANGUAGE)
        return sorted(tag for tag in tags if tag not in wanted)

    async def remove(self, tag: str) -> None:
        await self._store.remove(tag)

    async def _has(self, tag: str) -> bool:
        return await self._store.labels(tag) is not None

    # --- bases ---

    async def _base(self, language: Language, say: _Progress, *, pull: bool, build: bool) -> str:
        official = language.image.base
        failures: list[str] = []
        published = official != NO_BASE
        if published and await self._has(official):
            return await self._equipped(language.name, official, say)
        if published and pull:
            try:
                await self._pull(official, say)
            except SandboxdError as error:
                failures.append(f"pull: {error}")
            else:
                return await self._equipped(language.name, official, say)
        if build:
            try:
                return await self._debian_equivalent(language, say)
            except SandboxdError as error:
                failures.append(f"build from Debian packages: {error}")
        raise ImageUnavailableError(
            f"no image for {language.name}: "
            + (f"{official} is not here" if published else "there is no official one")
            + "".join(f"; {failure}" for failure in failures)
        )

    async def _pull(self, image: str, say: _Progress) -> None:
        """Where the registry was silent a moment ago, the next image would only wait for the
        same silence."""
        now = asyncio.get_running_loop().time
        if now() < self._silent_until:
            raise ImageUnavailableError(self._silence)
        say(f"pulling {image}")
        try:
            async for progress in self._store.pull(image):
                say(f"pulling {image} {progress}")
        except ImageUnavailableError:
            raise
        except SandboxdError as error:
            self._silence, self._silent_until = str(error), now() + _SILENCE
            raise

    async def _equipped(self, language: str, official: str, say: _Progress) -> str:
        """An official image with the tools that Debian's equivalent has."""
        recipe = f"FROM {official}\n{run_steps([add_tools()])}"
        return await self._build_base(language, recipe, say)

    async def _debian_equivalent(self, language: Language, say: _Progress) -> str:
        own = language.image.debian
        base = await self._debian_base(_Progress(say.report, "debian"))
        if not own.packages and not own.prepare:
            return base
        steps = [install(own.packages, own.suite), *own.prepare]
        return await self._build_base(language.name, f"FROM {base}\n{run_steps(steps)}", say)

    async def _build_base(self, language: str, recipe: str, say: _Progress) -> str:
        """Made with the network, unless the very same was made before."""
        tag = f"sandboxd/{language}-base:{digest(recipe.encode())}"
        if not await self._has(tag):
            await self._build(archive_files(recipe), tag, say, network=True)
        return tag

    async def _debian_base(self, say: _Progress) -> str:
        async with self._debian:
            if not await self._has(debian_tag()):
                say(f"making a {SUITE} base")
                with tempfile.TemporaryDirectory(prefix="sandboxd-") as folder:
                    archive = Path(folder) / "base.tar"
                    await debian.bootstrap(archive, say, may_install=self._may_install)
                    say("importing")
                    with archive.open("rb") as file:
                        await self._store.load(debian_tag(), file)
                say("ready")
        return debian_tag()

    # --- the derived image ---

    async def _derive(self, language: Language, base: str, tag: str, say: _Progress) -> None:
        """Built, asked for its version, and labelled with that.

        What is made on the way has a name of its own: the same image may be under way twice,
        and nobody's is to be taken away. `stale` finds what was left by one that broke off.
        """
        image = language.image
        steps = [
            "mkdir -p -m 1777 /sandbox",
            add_line("/etc/passwd", "sandbox:x:1000:1000::/sandbox:/bin/sh"),
            add_line("/etc/group", "sandbox:x:1000:"),
            *image.prepare,
        ]
        laid = binaries() | language.laid()
        files = {f"sandboxd/{name}": data for name, data in laid.items()}
        # What takes long comes first: another guest or runner needs none of it again.
        recipe = (
            f"FROM {base}\n{run_steps(steps)}COPY sandboxd /sandboxd\n{run_steps(image.finish)}"
            + label({LABEL_LANGUAGE: language.name})
        )
        built = f"{tag}-{secrets.token_hex(4)}"
        await self._build(archive_files(recipe, files), built, say, network=False)
        labels = {LABEL_VERSION: await self._version(language, built, say)}
        labelled = f"FROM {built}\n{label(labels)}"
        await self._build(archive_files(labelled), tag, say, network=False)
        await self._store.remove(built)

    async def _add_packages(self, wanted: Wanted, plain: str, tag: str, say: _Progress) -> None:
        """The language's image with packages on top, fetched here and laid in there."""
        language, labels = wanted.language, await self._store.labels(plain) or {}
        with tempfile.TemporaryDirectory(prefix="sandboxd-") as folder:
            root = Path(folder) / "root"
            target = root / packages.TARGETS.get(language.name, "/").lstrip("/")
            target.mkdir(parents=True)
            fetched = await packages.fetch(
                language.name,
                wanted.packages,
                target,
                labels.get(LABEL_VERSION, ""),
                say,
            )
            told = labels | {
                LABEL_LANGUAGE: language.name,
                LABEL_PACKAGES: " ".join(fetched.packages),
                LABEL_MODULES: " ".join(fetched.modules),
            }
            recipe = f"FROM {plain}\nCOPY root /\n{run_steps(language.image.packages)}{label(told)}"
            archive = await asyncio.to_thread(archive_folder, recipe, root)
        await self._build(archive, tag, say, network=False)

    async def _version(self, language: Language, image: str, say: _Progress) -> str:
        """What the language's version command prints, in a build that leaves nothing."""
        command = (
            f'FROM {image}\nRUN echo "version: $({shlex.join(language.image.version)} 2>&1)"\n'
        )
        asked = f"{image}-asked"
        archive = archive_files(command)
        lines = await self._build(archive, asked, say, network=False, cache=False)
        await self._store.remove(asked)
        found = (line for line in lines if line.startswith("version: "))
        return next(found, "").removeprefix("version: ")

    async def _build(
        self,
        archive: bytes,
        tag: str,
        say: _Progress,
        *,
        network: bool,
        cache: bool = True,
    ) -> list[str]:
        """Builds an image; returns the lines that its steps printed."""
        lines: list[str] = []
        try:
            async for line in self._store.build(tag, archive, network=network, cache=cache):
                lines.append(line)
                say(line)
        except SandboxdError as error:
            tail = "\n".join(lines[-_TAIL:])
            raise ImageUnavailableError(f"building {tag} failed: {error}\n{tail}") from None
        return lines


def image_tag(wanted: Wanted) -> str:
    """Names what an image must hold."""
    language = wanted.language
    recipe = msgspec.json.encode([_RECIPE, TOOLS, NAMES, language.image, sorted(wanted.packages)])
    laid = language.laid() | binaries()
    return f"sandboxd/{language.name}:{digest(recipe, *laid.values())}"
