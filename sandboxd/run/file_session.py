"""Sessions in languages that have no driver: the files of the work folder live on.

Each run is an ordinary one, in any container. The daemon lays the files before it and
takes them back after it.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from sandboxd.errors import PayloadTooLargeError
from sandboxd.run.active import ActiveRun, Sink
from sandboxd.run.blobs import decode, encode
from sandboxd.run.files import (
    NO_FILE,
    Room,
    matches,
    missing,
    tell_named,
    why_missing,
    with_folders,
)
from sandboxd.run.laid import Files, LaidFile, check_files, check_path, check_total
from sandboxd.run.plan import Plan
from sandboxd.run.runner import Runner
from sandboxd.run.session import Session, SessionRequest
from sandboxd_client.protocol import (
    FileInfo,
    FilePart,
    FilesRead,
    OutputFile,
    RunResult,
    SkippedFile,
    State,
)

_EVERYTHING = ["**"]
_USUAL = 0o644
"""The mode of a file that was laid without one."""


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
        self._files: dict[str, LaidFile] = {}

    def open(self) -> None:
        """Raises PayloadTooLargeError."""
        self._lay(self._plan.request.files)
        self.opened()

    async def _run(
        self, plan: Plan, sink: Sink, on_active: Callable[[ActiveRun], None], queued: float
    ) -> RunResult:
        wanted = with_folders(plan.request.outputs)
        request = msgspec.structs.replace(
            plan.request,
            env={**self._plan.request.env, **plan.request.env},
            files={**self._files, **plan.request.files},
            outputs=_EVERYTHING,
        )
        result = await self._runner.run(request, sink, on_active)
        skipped = list(result.files_skipped)
        paths = sorted([*result.folders, *(file.path for file in result.files)])
        absent = missing(plan.request.outputs, paths, skipped)
        skipped += (SkippedFile(name, why_missing(name)) for name in absent)
        before = self._files
        self._files = {f"{folder}/": LaidFile(b"") for folder in result.folders}
        self._budget.take(-_size(before))
        for file in result.files:
            if self._budget.take(file.size):
                self._files[file.path] = LaidFile(await decode(file.data), file.mode)
            else:
                skipped.append(SkippedFile(file.path, "the daemon holds no more for sessions"))
        return msgspec.structs.replace(
            result,
            files=[file for file in result.files if matches(file.path, wanted)],
            files_skipped=tell_named(skipped, plan.request.outputs),
            folders=[folder for folder in result.folders if matches(folder, wanted)],
            state=State.KEPT,
        )

    async def _end(self) -> None:
        self._budget.take(-_size(self._files))
        self._files = {}

    def _lay(self, files: Files) -> None:
        most = self._plan.limits.files_total
        for path, file in files.items():
            check_total({path: (file.offset or 0) + len(file.data)}, most)
        laid = {path: _over(self._files.get(path), file) for path, file in files.items()}
        merged = {**self._files, **laid}
        check_files(merged, most, self.language.code_name)
        if not self._budget.take(_size(merged) - _size(self._files)):
            raise PayloadTooLargeError(
                f"files: {', '.join(files)[:200]}: the daemon holds no more files for sessions; "
                "[sessions] files bounds all of them"
            )
        self._files = merged

    async def write_files(self, files: Files) -> None:
        async with self._its_turn(refuse=False):
            self._lay(files)
            self.touch()

    async def read_files(self, parts: list[FilePart], sink: Sink) -> FilesRead:
        self.touch()
        read = FilesRead([], [])
        room = Room(self._plan.limits.files_total, self._runner.config.limits.files)
        found: list[tuple[str, bytes, LaidFile]] = []
        for part in parts:
            check_path(part.path, self.language.code_name)
            file = self._files.get(part.path)
            data = b"" if file is None else _part(file.data, part)
            if file is None:
                read.files_skipped.append(SkippedFile(part.path, NO_FILE))
            elif why := room.take(len(data)):
                read.files_skipped.append(SkippedFile(part.path, why))
            else:
                found.append((part.path, data, file))
        await sink.hold(sum(len(data) for _, data, _ in found))
        for path, data, file in found:
            read.files.append(OutputFile(path, len(data), await encode(data), _mode(file)))
        return read

    async def list_files(self) -> list[FileInfo]:
        self.touch()
        return [
            FileInfo(path.rstrip("/"), "folder" if path.endswith("/") else "file", len(file.data))
            for path, file in sorted(self._files.items())
        ]


def _over(there: LaidFile | None, file: LaidFile) -> LaidFile:
    """A file as it is once that was written to it, from an offset on or anew."""
    mode = file.mode if file.mode is not None or there is None else there.mode
    if file.offset is None:
        return LaidFile(file.data, mode)
    before = b"" if there is None else there.data
    data = before[: file.offset].ljust(file.offset, b"\0") + file.data
    return LaidFile(data + before[len(data) :], mode)


def _part(data: bytes, part: FilePart) -> bytes:
    end = None if part.length is None else part.offset + part.length
    return data[part.offset : end]


def _mode(file: LaidFile) -> int:
    return _USUAL if file.mode is None else file.mode


def _size(files: Files) -> int:
    return sum(len(file.data) for file in files.values())
