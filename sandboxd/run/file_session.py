"""Sessions in languages that have no driver: the files of the work folder live on.

Each run is an ordinary one, in any container. The daemon lays the files before it and
takes them back after it.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from sandboxd.errors import PayloadTooLargeError
from sandboxd.run.active import ActiveRun, Sink
from sandboxd.run.files import check_path, matches
from sandboxd.run.plan import Plan
from sandboxd.run.runner import Runner
from sandboxd.run.session import Files, Session, SessionRequest
from sandboxd_client.protocol import (
    Base64,
    FileInfo,
    FilesRead,
    OutputFile,
    RunResult,
    SkippedFile,
    State,
    from_blob,
)

_EVERYTHING = ["**"]


class Budget:
    """Bytes that the daemon holds for all such sessions; `most` is asked each time."""

    def __init__(self, most: Callable[[], int]) -> None:
        self._most = most
        self._held = 0

    def take(self, more: int) -> bool:
        """Whether so many more can be held; less is always possible."""
        if more > 0 and self._held + more > self._most():
            return False
        self._held += more
        return True


class FileSession(Session):
    def __init__(
        self,
        runner: Runner,
        plan: Plan,
        request: SessionRequest,
        closed: Callable[[Session], None],
        budget: Budget,
    ) -> None:
        super().__init__(runner, plan, request, closed)
        self._budget = budget
        self._files: dict[str, str | Base64] = {}

    def open(self) -> None:
        """Raises PayloadTooLargeError."""
        self._lay(self._plan.request.files)
        self.opened()

    async def _run(
        self, plan: Plan, sink: Sink, on_active: Callable[[ActiveRun], None], queued: float
    ) -> RunResult:
        wanted = plan.request.outputs
        request = msgspec.structs.replace(
            plan.request,
            env={**self._plan.request.env, **plan.request.env},
            files={**self._files, **plan.request.files},
            outputs=_EVERYTHING,
        )
        result = await self._runner.run(request, sink, on_active)
        skipped = list(result.files_skipped)
        before, self._files = self._files, {}
        self._budget.take(-_size(before))
        for file in result.files:
            if self._budget.take(file.size):
                self._files[file.path] = file.data
            else:
                skipped.append(SkippedFile(file.path, "the daemon holds no more for sessions"))
        return msgspec.structs.replace(
            result,
            files=[file for file in result.files if matches(file.path, wanted)],
            files_skipped=skipped,
            state=State.KEPT,
        )

    async def _end(self) -> None:
        self._budget.take(-_size(self._files))
        self._files = {}

    def _lay(self, files: Files) -> None:
        most = self._plan.limits.files_total
        merged = {**self._files, **files}
        for path in files:
            check_path(path, self.language.code_name)
        if _size(merged) > most:
            raise PayloadTooLargeError(
                f"the session would have files of {_size(merged)} bytes; limits.files_total "
                f"is {most}",
                limit="files_total",
                max=most,
            )
        if not self._budget.take(_size(merged) - _size(self._files)):
            raise PayloadTooLargeError(
                "the daemon holds no more files for sessions ([sessions] files)"
            )
        self._files = merged

    async def write_files(self, files: Files) -> None:
        async with self._its_turn(refuse=False):
            self._lay(files)
            self.touch()

    async def read_files(self, paths: list[str]) -> FilesRead:
        found = [
            OutputFile(path, len(from_blob(self._files[path])), self._files[path])
            for path in paths
            if path in self._files
        ]
        missing = [SkippedFile(path, "no such file") for path in paths if path not in self._files]
        self.touch()
        return FilesRead(found, missing)

    async def list_files(self) -> list[FileInfo]:
        self.touch()
        return [
            FileInfo(path, "file", len(from_blob(data)))
            for path, data in sorted(self._files.items())
        ]


def _size(files: Files) -> int:
    return sum(len(from_blob(data)) for data in files.values())
