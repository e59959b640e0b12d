"""The images of all profiles: which are there, and the fetching of those that are not.

Those of standard languages and of declared profiles are fetched ahead, another's
when somebody first asks for it, who then waits.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from sandboxd.engine.docker import DockerEngine
from sandboxd.engine.images import Images, ImageState, Wanted
from sandboxd.errors import EngineUnavailableError, ImageUnavailableError, SandboxdError
from sandboxd.run.profiles import Profile

_log = structlog.get_logger("sandboxd.images")

_RETRY = 30.0
_ON_REQUEST_MOST = 32
"""Profiles that requests have brought about; the first of them makes way for one more."""

Present = dict[str, tuple[Profile, ImageState]]


class _Attempt:
    """One try at getting an image."""

    def __init__(self) -> None:
        self.ended: asyncio.Future[SandboxdError | None] = (
            asyncio.get_running_loop().create_future()
        )
        """What it failed with, if it did."""
        self.wanted = asyncio.Event()
        """Somebody waits for it: it is not to be put off."""


class Shelf:
    """`changed` is called with all images that are there, whenever one has come."""

    def __init__(self, engine: DockerEngine, changed: Callable[[Present], None]) -> None:
        self._engine = engine
        self._changed = changed
        self._present: Present = {}
        self._fetches: dict[str, asyncio.Task[None]] = {}
        self._attempts: dict[str, _Attempt] = {}
        self._progress: dict[str, str] = {}
        self._declared: dict[str, Profile] = {}
        self._on_request: dict[str, Profile] = {}

    def state(self, profile: str) -> ImageState | None:
        found = self._present.get(profile)
        return found[1] if found else None

    def progress(self) -> dict[str, str]:
        """Profiles whose image is not there yet, and how far it is."""
        return dict(self._progress)

    async def configure(self, declared: dict[str, Profile]) -> None:
        """Looks for the images of all profiles, and begins to fetch what should be there."""
        await self.close()
        self._declared = declared
        self._progress.clear()
        wanted = [*declared.values(), *self._on_request.values()]
        before, self._present = self._present, {}
        for profile in wanted:
            await self._look(profile, before.get(profile.name))
        self._changed(self._present)
        for profile in wanted:
            ahead = profile.language.standard or profile.pool_min > 0
            if profile.name not in self._present and ahead:
                self._fetch(profile)

    async def opened(self, profile: Profile, timeout: float) -> None:
        """Waits until a profile's image is there. Raises ImageUnavailableError."""
        if profile.name in self._present:
            return
        if profile.name not in self._declared:
            while len(self._on_request) >= _ON_REQUEST_MOST:
                self._forget(next(iter(self._on_request)))
            self._on_request[profile.name] = profile
        self._fetch(profile)
        attempt = self._attempts[profile.name]
        attempt.wanted.set()
        # Nobody who waits takes it down with them.
        await asyncio.wait([attempt.ended], timeout=timeout)
        if profile.name in self._present:
            return
        if attempt.ended.done() and (failure := attempt.ended.result()) is not None:
            raise failure
        told = self._progress.get(profile.name, "it is being made")
        raise ImageUnavailableError(f"no image for {profile.name}: {told}", retry_after=5.0)

    async def close(self) -> None:
        """Ends the fetching that is under way."""
        tasks = list(self._fetches.values())
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._fetches.clear()

    def _forget(self, name: str) -> None:
        del self._on_request[name]
        self._progress.pop(name, None)
        if self._present.pop(name, None):
            self._changed(self._present)

    async def _look(
        self, profile: Profile, before: tuple[Profile, ImageState] | None = None
    ) -> None:
        images = Images(self._engine, lambda *_: None)
        try:
            state = await images.state(_wanted(profile))
        except SandboxdError as error:
            away = isinstance(error, EngineUnavailableError)
            if away and before and _wanted(before[0]) == _wanted(profile):
                # An engine that does not answer has not said that the image is gone.
                self._present[profile.name] = profile, before[1]
                return
            self._progress[profile.name] = str(error)
            return
        if state.present:
            self._present[profile.name] = profile, state

    def _fetch(self, profile: Profile) -> asyncio.Task[None]:
        task = self._fetches.get(profile.name)
        if task is None:
            self._attempts[profile.name] = _Attempt()
            task = asyncio.create_task(self._fetch_until_there(profile))
            self._fetches[profile.name] = task
            task.add_done_callback(lambda _: self._fetches.pop(profile.name, None))
        return task

    async def _fetch_until_there(self, profile: Profile) -> None:
        """Tries again by itself what was declared; a request is told, and may ask again."""
        name = profile.name

        def report(_: str, text: str) -> None:
            self._progress[name] = f"its image is being made: {text}"
            _log.debug("image", profile=name, progress=text)

        while True:
            report(name, "begun")
            failure: SandboxdError | None = None
            try:
                await Images(self._engine, report).ensure(_wanted(profile))
                await self._look(profile)
            except SandboxdError as error:
                failure = error
                self._progress[name] = str(error)
                _log.warning("no image", profile=name, error=str(error))
            if name in self._present:
                self._progress.pop(name, None)
                self._changed(self._present)
            attempt, self._attempts[name] = self._attempts[name], _Attempt()
            attempt.ended.set_result(failure)
            if name in self._present or name not in self._declared:
                return
            if not profile.language.standard:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_RETRY):
                    await self._attempts[name].wanted.wait()


def _wanted(profile: Profile) -> Wanted:
    return Wanted(profile.language, profile.packages)
