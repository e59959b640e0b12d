"""The images of all profiles: which are there, and the fetching of those that are not.

Those of standard languages and of declared profiles are fetched ahead, another's
when somebody first asks for it, who then waits.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial

import structlog

from sandboxd.engine.images import Images, ImageState, Wanted, image_tag
from sandboxd.errors import EngineUnavailableError, ImageUnavailableError, SandboxdError
from sandboxd.run.profiles import Profile

_log = structlog.get_logger("sandboxd.images")

_RETRY = 30.0
"""Seconds until an image that could not be made is tried again."""
_RETRY_ENGINE = 2.0
"""Seconds until an engine that did not answer is asked again."""
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

    def __init__(self, images: Images, changed: Callable[[Present], None]) -> None:
        self._images = images
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
        """Looks for the images of all profiles, and begins to fetch what should be there.

        What was there before is served until it is known to have gone.
        """
        for name in self._fetches:
            self._attempts[name].ended.set_result(None)  # who waits for it asks for another
        await self.close()
        self._declared = declared
        self._progress.clear()
        for profile in [*declared.values(), *self._on_request.values()]:
            await self._look(profile)
        wanted = declared | self._on_request
        self._present = {name: each for name, each in self._present.items() if name in wanted}
        self._changed(self._present)
        for profile in wanted.values():
            ahead = profile.language.standard or profile.pool_min > 0
            if profile.name not in self._present and ahead:
                self._fetch(profile)

    async def opened(self, profile: Profile, timeout: float) -> None:
        """Waits until a profile's image is there. Raises ImageUnavailableError."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while profile.name not in self._present:
            if loop.time() >= deadline:
                told = self._progress.get(profile.name, "it is being made")
                raise ImageUnavailableError(f"no image for {profile.name}: {told}", retry_after=5.0)
            self._want(profile)
            attempt = self._attempts[profile.name]
            attempt.wanted.set()
            # A cancelled waiter must not cancel the shared fetch.
            await asyncio.wait([attempt.ended], timeout=deadline - loop.time())
            if attempt.ended.done() and (failure := attempt.ended.result()) is not None:
                raise failure

    def _want(self, profile: Profile) -> None:
        name = profile.name
        if name not in self._declared and name not in self._on_request:
            while len(self._on_request) >= _ON_REQUEST_MOST:
                self._forget(next(iter(self._on_request)))
            self._on_request[name] = profile
        self._fetch(profile)

    async def close(self) -> None:
        """Ends the fetching that is under way."""
        fetches, self._fetches = self._fetches, {}
        for task in fetches.values():
            task.cancel()
        for task in fetches.values():
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def _forget(self, name: str) -> None:
        del self._on_request[name]
        self._progress.pop(name, None)
        if self._present.pop(name, None):
            self._changed(self._present)

    async def _look(self, profile: Profile) -> None:
        """Where the engine does not answer, what it said before of the same image holds."""
        name, wanted = profile.name, wanted_image(profile)
        state = self.state(name)
        try:
            state = await self._images.state(wanted)
        except SandboxdError as error:
            if state is None or state.tag != image_tag(wanted):
                state = None
                self._progress[name] = str(error)
        if state is not None and state.present:
            self._present[name] = profile, state
        else:
            self._present.pop(name, None)

    def _fetch(self, profile: Profile) -> asyncio.Task[None]:
        task = self._fetches.get(profile.name)
        if task is None:
            self._attempts[profile.name] = _Attempt()
            task = asyncio.create_task(self._fetch_until_there(profile))
            self._fetches[profile.name] = task
            task.add_done_callback(partial(self._fetched, profile.name))
        return task

    def _fetched(self, name: str, task: asyncio.Task[None]) -> None:
        if self._fetches.get(name) is task:
            del self._fetches[name]

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
                await self._images.ensure(wanted_image(profile), report)
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
            away = isinstance(failure, EngineUnavailableError)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_RETRY_ENGINE if away else _RETRY):
                    await self._attempts[name].wanted.wait()


def wanted_image(profile: Profile) -> Wanted:
    return Wanted(profile.language, profile.packages)
